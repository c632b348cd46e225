//! The line that somebody is typing, byte by byte.
//!
//! Only text comes out: valid UTF-8 without control characters (C0, DEL, C1), without escape sequences, and without what
//! would turn, break or hide the lines of others (separators, directional and invisible marks of Unicode). A tab is a space. Bytes
//! that are no UTF-8 are dropped, and so is what was begun of a character when another byte comes.

use crate::limits::INPUT_LINE_BYTES_MAX;
use crate::text::disturbs;

/// A line, as far as it has come.
#[derive(Default)]
pub struct Line {
    text: String,
    /// The first bytes of a character, and how many.
    begun: [u8; 4],
    begun_bytes: usize,
    sequence: Sequence,
    /// Whether there was no room for more.
    is_cut: bool,
    is_whole: bool,
    /// Whether the last byte was a carriage return: the line feed or NUL after it belongs to the same line end.
    after_return: bool,
}

/// How far an escape sequence of ECMA-48 has come. Raw terminals send them for keys that are no letters.
#[derive(Clone, Copy, Default)]
enum Sequence {
    #[default]
    None,
    /// ESC, perhaps with intermediate bytes.
    Escape,
    /// A control sequence: parameters, until a letter.
    Control,
    /// A single shift: one more letter.
    Shift,
    /// A control string: until a control character.
    String,
}

impl Line {
    /// The line, and whether something was beyond `INPUT_LINE_BYTES_MAX` and is lost.
    pub fn text(&self) -> (&str, bool) {
        (&self.text, self.is_cut)
    }

    /// Forgets all of it: another line begins.
    pub fn erase(&mut self) {
        self.text.clear();
        (self.begun_bytes, self.sequence, self.is_cut, self.is_whole) = (0, Sequence::None, false, false);
    }

    /// Forgets a line that was whole: whoever was told has had their time with it.
    pub fn begin(&mut self) {
        if self.is_whole {
            self.erase();
        }
    }

    /// Takes a byte; returns whether the line is whole now. LF, CR LF, CR NUL and CR alone end it.
    pub fn take(&mut self, byte: u8) -> bool {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => (),
            b'\r' | b'\n' => self.is_whole = true,
            _ => self.decode(byte),
        }
        self.is_whole
    }

    /// Ends the line where it is, without a byte that would.
    pub fn end(&mut self) {
        (self.is_whole, self.after_return) = (true, false);
    }

    fn decode(&mut self, byte: u8) {
        self.begun[self.begun_bytes] = byte;
        self.begun_bytes += 1;
        match str::from_utf8(&self.begun[..self.begun_bytes]) {
            Ok(text) => {
                let character = text.chars().next();
                self.begun_bytes = 0;
                character.into_iter().for_each(|character| self.type_in(character));
            }
            Err(error) if error.error_len().is_some() => {
                // This byte may begin another character, if it is not the one that begins none.
                if std::mem::take(&mut self.begun_bytes) > 1 {
                    self.decode(byte);
                }
            }
            Err(_) => (),
        }
    }

    fn type_in(&mut self, character: char) {
        let (sequence, is_typed) = match (self.sequence, character) {
            (_, '\x1b') => (Sequence::Escape, false),
            (_, '\u{9b}') => (Sequence::Control, false),
            // Any other control character ends a sequence, and is then one like any other.
            (_, character) if character.is_control() => (Sequence::None, true),
            (Sequence::None, _) => (Sequence::None, true),
            (Sequence::Escape, '[') => (Sequence::Control, false),
            (Sequence::Escape, ']' | 'P' | 'X' | '^' | '_') => (Sequence::String, false),
            (Sequence::Escape, 'N' | 'O') => (Sequence::Shift, false),
            (Sequence::Escape, ' '..='/') => (Sequence::Escape, false),
            (Sequence::Control, ' '..='?') => (Sequence::Control, false),
            (Sequence::Escape | Sequence::Control | Sequence::Shift, _) => (Sequence::None, false),
            (Sequence::String, _) => (Sequence::String, false),
        };
        self.sequence = sequence;
        match character {
            _ if !is_typed => (),
            '\x08' | '\x7f' => self.erase_character(),
            '\t' => self.put(' '),
            character if disturbs(character) => (),
            character => self.put(character),
        }
    }

    fn put(&mut self, character: char) {
        self.is_cut |= self.text.len() + character.len_utf8() > INPUT_LINE_BYTES_MAX;
        if !self.is_cut {
            self.text.push(character);
        }
    }

    /// Takes back the last character, whole. Of a line that was cut nobody sees the end, so nothing is taken from it.
    pub fn erase_character(&mut self) {
        if !self.is_cut {
            self.text.pop();
        }
    }
}
