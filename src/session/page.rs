//! Text as a terminal can show it: as wide, in its colours, with its letters.

use super::terminal::{Colours, Terminal, ascii};
use crate::world::{Player, Wish};

/// What a line is. Colour tells nothing that the words do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What happens, and answers.
    Plain,
    /// The name of a place.
    Title,
    /// The ways out of it.
    Exits,
    /// What is said to one.
    Speech,
    /// What the engine itself has to say. Nobody else's line looks so: it begins with `MARK`.
    Notice,
}

/// How every line of the engine's own begins. What people say never stands at the beginning of a line.
pub const MARK: &str = "** ";

/// How one reader is shown things: what their terminal tells, and what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Columns of a line.
    pub columns: usize,
    /// Colours.
    pub colours: Colours,
    /// More than ASCII.
    pub utf8: bool,
    /// In the words for a screen reader.
    pub is_read_aloud: bool,
}

impl View {
    /// How a player is shown things on a terminal. A wish goes before what the terminal tells.
    pub fn of(terminal: &Terminal, player: Option<&Player>) -> View {
        let none = Player::default();
        let wants = player.unwrap_or(&none);
        let is_read_aloud = match wants.screen_reader {
            Wish::Auto => terminal.screen_reader,
            wish => wish == Wish::On,
        };
        let colours = match wants.colour {
            Wish::Off => Colours::None,
            Wish::Auto if is_read_aloud => Colours::None,
            Wish::On => terminal.colours.max(Colours::Sixteen),
            Wish::Auto => terminal.colours,
        };
        let columns = if wants.width > 0 { wants.width } else { terminal.width };
        View { columns: columns.into(), colours, utf8: terminal.utf8, is_read_aloud }
    }

    /// Appends a text, each of its lines wrapped between words and ended.
    pub fn write(&self, out: &mut String, style: Style, text: &str) {
        let text = if self.utf8 { text.into() } else { ascii(text) };
        let colour = match style {
            Style::Plain => "",
            Style::Title => "1",
            Style::Exits => "36",
            Style::Speech => "33",
            Style::Notice => "32",
        };
        let colour = if self.colours == Colours::None { "" } else { colour };
        for line in text.lines() {
            if !colour.is_empty() {
                out.extend(["\x1b[", colour, "m"]);
            }
            if style == Style::Notice {
                out.push_str(MARK);
            }
            self.wrap(out, line, if style == Style::Notice { MARK.len() } else { 0 });
            if !colour.is_empty() {
                out.push_str("\x1b[0m");
            }
            out.push('\n');
        }
    }

    /// A screen reader needs no lines of a certain length: they would be pauses.
    fn wrap(&self, out: &mut String, line: &str, mut column: usize) {
        if self.is_read_aloud {
            return out.push_str(line.trim_start());
        }
        for (place, word) in line.split(' ').enumerate() {
            let width = word.chars().count();
            if place > 0 && column + 1 + width > self.columns {
                out.push('\n');
                column = 0;
            } else if place > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += width;
        }
    }
}
