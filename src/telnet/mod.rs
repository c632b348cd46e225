//! A telnet connection (RFC 854): bytes to lines and facts of a terminal, and text to bytes.
//!
//! It knows no socket, no clock and no World. It takes bytes until something has happened, so that whoever drives it can
//! stop after any line and leave the rest where it is; how the bytes were cut on their way makes no difference. All that
//! it keeps is bounded: a line, a subnegotiation, a state for each option. All that it ever says of its own accord fits
//! into 2 KiB, but for the answer to ARE YOU THERE, which is an event, and so can be counted like a line.
//! Read `options` for what is agreed on, `line` for how a line is typed.
#![forbid(unsafe_code)]

mod line;
mod options;
pub mod port;

use crate::limits::SUBNEGOTIATION_BYTES_MAX;
use crate::session::terminal::Terminal;

use command::{AYT, DO, DONT, EC, EL, END_OF_RECORD, GA, IAC, NOP, SB, SE, WILL, WONT};
use line::Line;
use options::Options;

/// RFC 854, "Telnet command structure", and RFC 885.
mod command {
    pub const END_OF_RECORD: u8 = 239;
    pub const SE: u8 = 240;
    pub const NOP: u8 = 241;
    pub const AYT: u8 = 246;
    pub const EC: u8 = 247;
    pub const EL: u8 = 248;
    pub const GA: u8 = 249;
    pub const SB: u8 = 250;
    pub const WILL: u8 = 251;
    pub const WONT: u8 = 252;
    pub const DO: u8 = 253;
    pub const DONT: u8 = 254;
    pub const IAC: u8 = 255;
}

/// RFC 857.
const ECHO: u8 = 1;
/// What ARE YOU THERE is answered.
const HERE: &[u8] = b"\r\n[Yes]\r\n";
/// How a TLS handshake begins, which is no key on any keyboard.
const TLS_HANDSHAKE: u8 = 0x16;

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A line was typed, without its end. It is valid UTF-8 without control characters.
    Line(&'a str),
    /// The beginning of a line that was longer than `INPUT_LINE_BYTES_MAX`; the rest is lost.
    CutLine(&'a str),
    /// Somebody asked whether anybody is there, and was answered.
    AreYouThere,
    /// Something that is known of the terminal has changed.
    Terminal,
    /// No player: an HTTP request, TLS, SSH. The connection is to be closed without a word; nothing more will happen.
    Foreign,
}

/// One connection.
pub struct Telnet {
    state: State,
    line: Line,
    /// Whether no line has come yet: what speaks another protocol shows it in its first.
    is_first_line: bool,
    /// The subnegotiation that is being received; nothing, while one is skipped.
    subnegotiation: Option<Vec<u8>>,
    options: Options,
    /// Whether the client was asked not to show what is typed.
    is_hidden: bool,
}

/// The kind of an event.
enum Happened {
    Line,
    AreYouThere,
    Terminal,
    Foreign,
}

/// What the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Text.
    Text,
    /// A command, after IAC.
    Command,
    /// The option of which WILL, WONT, DO or DONT speaks.
    Verb(u8),
    /// The option of a subnegotiation.
    Subject,
    /// A byte of a subnegotiation.
    Content(u8),
    /// A command in a subnegotiation.
    ContentCommand(u8),
    /// Nothing that matters.
    Foreign,
}

impl Telnet {
    /// A new connection. The offers go to `out`.
    pub fn new(out: &mut Vec<u8>) -> Telnet {
        let (line, options) = (Line::default(), Options::offer(out));
        Telnet { state: State::Text, line, is_first_line: true, subnegotiation: None, options, is_hidden: false }
    }

    /// Takes bytes until something has happened or none is left. Returns how many it has taken, and what has happened;
    /// what must be answered to the client's telnet goes to `out`.
    pub fn next(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Event<'_>>) {
        self.line.begin();
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(happened) = self.take(*byte, out) {
                return (at + 1, Some(self.event(happened)));
            }
        }
        (bytes.len(), None)
    }

    fn event(&self, happened: Happened) -> Event<'_> {
        match (happened, self.line.text()) {
            (Happened::Line, (text, false)) => Event::Line(text),
            (Happened::Line, (text, true)) => Event::CutLine(text),
            (Happened::AreYouThere, _) => Event::AreYouThere,
            (Happened::Terminal, _) => Event::Terminal,
            (Happened::Foreign, _) => Event::Foreign,
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Happened> {
        let state = std::mem::replace(&mut self.state, State::Text);
        self.state = match (state, byte) {
            (State::Text, IAC) => State::Command,
            (State::Text, _) => return self.take_text(byte),
            (State::Command, WILL | WONT | DO | DONT) => State::Verb(byte),
            (State::Command, SB) => State::Subject,
            (State::Command, _) => return self.take_command(byte, out),
            (State::Verb(verb), option) => return self.change(|options| options.negotiate(verb, option, out)),
            // Only what both have agreed on may take memory.
            (State::Subject, option) => {
                self.subnegotiation = self.options.is_on(option).then(Vec::new);
                if option == IAC { State::ContentCommand(option) } else { State::Content(option) }
            }
            (State::Content(option), IAC) => State::ContentCommand(option),
            (State::Content(option), _) | (State::ContentCommand(option), IAC) => {
                self.subnegotiation.take_if(|content| content.len() == SUBNEGOTIATION_BYTES_MAX);
                self.subnegotiation.iter_mut().for_each(|content| content.push(byte));
                State::Content(option)
            }
            (State::ContentCommand(option), SE) => {
                let content = self.subnegotiation.take()?;
                return self.change(|options| options.told(option, &content, out));
            }
            // Whatever this was meant to be, where it began and where it ends cannot be told any more.
            (State::ContentCommand(option), _) => {
                self.subnegotiation = None;
                State::Content(option)
            }
            (State::Foreign, _) => State::Foreign,
        };
        None
    }

    fn take_text(&mut self, byte: u8) -> Option<Happened> {
        let is_foreign = self.is_first_line && byte == TLS_HANDSHAKE && self.line.text().0.is_empty();
        if !is_foreign && !self.line.take(byte) {
            return None;
        }
        if is_foreign || std::mem::take(&mut self.is_first_line) && speaks_another_protocol(self.line.text().0) {
            self.state = State::Foreign;
            return Some(Happened::Foreign);
        }
        Some(Happened::Line)
    }

    fn take_command(&mut self, command: u8, out: &mut Vec<u8>) -> Option<Happened> {
        match command {
            AYT => {
                out.extend(HERE);
                return Some(Happened::AreYouThere);
            }
            EC => self.line.erase_character(),
            EL => self.line.erase(),
            // As a byte of text it is no UTF-8.
            IAC => return self.take_text(IAC),
            _ => (),
        }
        None
    }

    /// Whether what is done changes what is known of the terminal.
    fn change(&mut self, does: impl FnOnce(&mut Options)) -> Option<Happened> {
        let before = self.options.terminal.clone();
        does(&mut self.options);
        (self.options.terminal != before).then_some(Happened::Terminal)
    }

    /// What is known of the terminal.
    pub fn terminal(&self) -> &Terminal {
        &self.options.terminal
    }

    /// Text as a client wants it: each line ends with CR LF, and with nothing else. UTF-8 holds no 255, so there is none
    /// to double.
    pub fn text(&self, text: &str, out: &mut Vec<u8>) {
        for byte in text.bytes() {
            match byte {
                b'\r' => (),
                b'\n' => out.extend(b"\r\n"),
                _ => out.push(byte),
            }
        }
    }

    /// A prompt, with the mark at its end that tells clients to show it: END OF RECORD, if that is agreed on, or GO
    /// AHEAD, if the client does not want to be without.
    pub fn prompt(&self, text: &str, out: &mut Vec<u8>) {
        self.text(text, out);
        match () {
            () if self.options.is_on(options::END_OF_RECORD) => out.extend([IAC, END_OF_RECORD]),
            () if !self.options.no_go_ahead => out.extend([IAC, GA]),
            () => (),
        }
    }

    /// Asks the client not to show what is typed, or to show it again. One message each time, whatever the client
    /// answers, and none if nothing changes: a client that gets many takes them for a fault and shows passwords.
    pub fn secret(&mut self, hidden: bool, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_hidden, hidden) != hidden {
            out.extend([IAC, if hidden { WILL } else { WONT }, ECHO]);
            // What the client says of it from now on is its answer, and not a wish that could be refused.
            self.options.refuse(WILL, ECHO);
        }
    }

    /// Keeps the connection open, and says nothing.
    pub fn keep_alive(&self, out: &mut Vec<u8>) {
        out.extend([IAC, NOP]);
    }
}

/// Whether this is the first line of a protocol that no player speaks: HTTP, whole or cut, or SSH.
fn speaks_another_protocol(line: &str) -> bool {
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI"];
    let is_request = |(method, target): (&str, &str)| {
        methods.contains(&method) && (target.starts_with('/') || target.contains(" HTTP/"))
    };
    line.starts_with("SSH-") || line.split_once(' ').is_some_and(is_request)
}
