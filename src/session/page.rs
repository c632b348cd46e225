//! Text as a terminal can show it: as wide, in its colours, with its letters.

use super::terminal::{Colours, Terminal, ascii};
use crate::limits::INPUT_LINE_BYTES_MAX;
use crate::text::disturbs;
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

/// How every line of the engine's own begins. What people say holds no such sign, see `harmless`, so that none of their
/// lines looks so, wherever a terminal breaks it.
pub const MARK: &str = "** ";
/// The same for a screen reader, for which no line is broken: what people say never stands at the beginning of one.
pub const SPOKEN_MARK: &str = "System: ";

/// What looks like the sign of `MARK`, or becomes it in ASCII.
const STARS: &[char] = &['*', '\u{2022}', '\u{b7}', '\u{2217}', '\u{204e}', '\u{ff0a}'];

/// What somebody typed, as far as others may read it: no control characters, nothing that turns or breaks lines, no two
/// stars side by side, and no more than `INPUT_LINE_BYTES_MAX`.
pub fn harmless(line: &str) -> String {
    let line = &line[..line.floor_char_boundary(INPUT_LINE_BYTES_MAX)];
    let mut text = String::with_capacity(line.len());
    for c in line.chars().filter(|c| !disturbs(*c)) {
        if !(STARS.contains(&c) && text.ends_with(STARS)) {
            text.push(c);
        }
    }
    text
}

/// Columns that a character takes on a screen: those of East Asia and pictures two, what stands on another none.
fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x1ab0..=0x1aff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

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
    /// How things are shown on a terminal to somebody who wants this. A wish goes before what the terminal tells.
    pub fn of(terminal: &Terminal, wants: &Player) -> View {
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
        let mark = match style {
            Style::Notice if self.is_read_aloud => SPOKEN_MARK,
            Style::Notice => MARK,
            _ => "",
        };
        for line in text.lines().filter(|line| !self.is_read_aloud || !line.trim().is_empty()) {
            if !colour.is_empty() {
                out.extend(["\x1b[", colour, "m"]);
            }
            out.push_str(mark);
            self.wrap(out, line, mark.len());
            if !colour.is_empty() {
                out.push_str("\x1b[0m");
            }
            out.push('\n');
        }
    }

    /// A screen reader needs no lines of a certain length, which would be pauses, and no signs around commands.
    fn wrap(&self, out: &mut String, line: &str, mut column: usize) {
        if self.is_read_aloud {
            return out.extend(line.trim().chars().filter(|c| *c != '`'));
        }
        for (place, word) in line.split(' ').enumerate() {
            let width = word.chars().map(columns_of).sum::<usize>();
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
