//! The log: logfmt lines on standard output, one event a line, control characters escaped.
//!
//! A line that cannot be written at once (a pipe nobody reads, a full disk, a stopped terminal) is dropped and
//! counted. The log never blocks, stops or panics the loop. `LOG_LINE_BYTES_MAX` says why a line in a pipe is never torn.

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use crate::clock;
use crate::limits::LOG_LINE_BYTES_MAX;
use crate::sys;
use crate::text::{disturbs, keys, quote};

keys! {
    /// How much a line matters; a log shows the lines of its level and of those before it.
    Level {
        /// Something failed and somebody should look.
        Error = "error",
        /// Something is not as it should be, and the engine goes on.
        Warn = "warn",
        /// What an operator wants to have read afterwards.
        Info = "info",
        /// The life of the world, line by line.
        Debug = "debug",
    }
}

/// Fields of a line: names in the order in which they shall stand, with their values. One whose value is empty is left
/// out: it would tell nothing.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// A line that is yet to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// All of it but its time, in logfmt.
    pub text: String,
}

impl Line {
    /// A line with these fields.
    pub fn new<V: Display>(level: Level, message: &str, fields: &[(&str, V)]) -> Line {
        let mut text = format!("level={} msg=", level.label());
        write_value(&mut text, &message);
        for (name, value) in fields {
            let start = text.len();
            let _ = write!(text, " {name}=");
            if !write_value(&mut text, value) {
                text.truncate(start);
            }
        }
        Line { level, text }
    }

    /// What is written at a time.
    fn at(&self, time: &str) -> String {
        let mut line = format!("ts={time} {}", self.text);
        if line.len() >= LOG_LINE_BYTES_MAX {
            const MARK: &str = "...\"";
            line.truncate(line.floor_char_boundary(LOG_LINE_BYTES_MAX - 1 - MARK.len()));
            line.push_str(MARK);
        }
        line + "\n"
    }
}

/// A log on standard output.
pub struct Log {
    level: Level,
    output: Option<File>,
    /// The last line came through in part only.
    torn: bool,
    /// How many lines could not be written.
    pub dropped: u64,
}

impl Log {
    /// A log that shows lines up to `level`. A pipe or terminal is opened anew, because O_NONBLOCK on the stream itself
    /// would hold for everybody who shares it. Where that is not allowed, `write_now` still asks first whether there is room.
    pub fn new(level: Level) -> Log {
        let shared = io::stdout().as_fd().try_clone_to_owned().ok().map(File::from);
        let kind = shared.as_ref().and_then(|file| file.metadata().ok()).map(|metadata| metadata.file_type());
        let blocks = kind.is_some_and(|kind| kind.is_fifo() || kind.is_char_device());
        let own = if blocks { sys::open_nonblocking("/proc/self/fd/1").ok() } else { None };
        Log { level, output: own.or(shared), torn: false, dropped: 0 }
    }

    /// True if lines of `level` are shown: lets a caller skip preparing one that is not.
    pub fn shows(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Writes a line if it is of a level that is shown.
    pub fn line(&mut self, line: &Line) {
        if self.shows(line.level) {
            self.dropped += u64::from(!self.write_now(&line.at(&clock::wall().rfc3339_millis())));
        }
    }

    /// Something failed and somebody should look.
    pub fn error(&mut self, message: &str, fields: Fields) {
        self.line(&Line::new(Level::Error, message, fields));
    }

    /// Something is not as it should be, and the engine goes on.
    pub fn warn(&mut self, message: &str, fields: Fields) {
        self.line(&Line::new(Level::Warn, message, fields));
    }

    /// What an operator wants to have read afterwards.
    pub fn info(&mut self, message: &str, fields: Fields) {
        self.line(&Line::new(Level::Info, message, fields));
    }

    /// The life of the world.
    pub fn debug(&mut self, message: &str, fields: Fields) {
        self.line(&Line::new(Level::Debug, message, fields));
    }

    /// Writes a line if that is possible without waiting; false if not all of it came through.
    fn write_now(&mut self, line: &str) -> bool {
        let Some(file) = &mut self.output else { return false };
        if !sys::has_room(file) || self.torn && file.write(b"\n").is_err() {
            return false;
        }
        let written = file.write(line.as_bytes()).unwrap_or(0);
        self.torn = written > 0 && written < line.len();
        written == line.len()
    }
}

/// Writes a value as logfmt reads it: bare if it is plain, otherwise in double quotes with escapes. False if it is empty.
fn write_value(line: &mut String, value: &impl Display) -> bool {
    let start = line.len();
    let _ = write!(line, "{value}");
    let plain = |byte: u8| byte > b' ' && byte != b'"' && byte != b'=' && byte != b'\\' && byte < 0x7f;
    if !line[start..].bytes().all(plain) {
        let text = line.split_off(start);
        // As JSON does it, so that whatever a stranger sent stays on one line.
        quote(line, &text, '"', disturbs);
    }
    line.len() > start
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn line(message: &str, fields: Fields) -> String {
        Line::new(Level::Info, message, fields).at("T")
    }

    #[test]
    fn plain_values_stand_bare_and_others_are_quoted() {
        assert_eq!(line("up", &[("port", &7878)]), "ts=T level=info msg=up port=7878\n");
        assert_eq!(line("a b", &[("k", &"x=1")]), "ts=T level=info msg=\"a b\" k=\"x=1\"\n");
    }

    #[test]
    fn what_is_no_letter_digit_or_sign_is_quoted_even_alone() {
        assert_eq!(line("a\u{7f}", &[]), "ts=T level=info msg=\"a\\u007f\"\n");
        assert_eq!(line("\u{e9}", &[]), "ts=T level=info msg=\"\u{e9}\"\n");
        assert_eq!(line("!~", &[]), "ts=T level=info msg=!~\n");
    }

    #[test]
    fn a_field_without_a_value_is_left_out() {
        assert_eq!(line("up", &[("a", &1), ("b", &""), ("c", &2)]), "ts=T level=info msg=up a=1 c=2\n");
    }

    #[test]
    fn nothing_a_stranger_sends_can_break_or_colour_a_line() {
        let hostile = "a\"b\\c\nd\re\tf\0g\x1b[31mh\u{9b}i\u{2028}j\u{202e}k";
        let expected = r#"msg="a\"b\\c\nd\re\tf\u0000g\u001b[31mh\u009bi\u2028j\u202ek""#;
        assert_eq!(line(hostile, &[]), format!("ts=T level=info {expected}\n"));
    }

    #[test]
    fn the_line_after_one_that_came_through_in_part_stands_by_itself() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let output = Some(File::from(OwnedFd::from(ours)));
        let mut log = Log { level: Level::Info, output, torn: false, dropped: 0 };
        let mut taken = || {
            let mut bytes = Vec::new();
            // It ends with an error, because more could come.
            assert!(theirs.read_to_end(&mut bytes).is_err());
            String::from_utf8(bytes).unwrap()
        };
        assert!(log.write_now("whole\n"));
        assert!(!log.write_now(&"x".repeat(16 << 20)), "more than fits");
        assert!(taken().starts_with("whole\nxxx"));
        assert!(log.write_now("next\n") && log.write_now("last\n"));
        assert_eq!(taken(), "\nnext\nlast\n");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_and_stays_one_line() {
        for pad in 0..4 {
            let long = format!("{}{}", "x".repeat(pad), "é".repeat(LOG_LINE_BYTES_MAX));
            let line = line(&long, &[]);
            assert!(line.len() <= LOG_LINE_BYTES_MAX && line.ends_with("...\"\n"), "{} bytes", line.len());
        }
    }
}
