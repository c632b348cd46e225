//! A telnet connection (RFC 854): bytes to lines and facts of a terminal, and text to bytes.
//!
//! It knows no socket, no clock and no World. It takes bytes until something has happened, so that whoever drives it can
//! stop after any line and leave the rest where it is; how the bytes were cut on their way makes no difference. All that
//! it keeps is bounded: a line, a subnegotiation, a state for each option. All that it ever says of its own accord fits
//! into 2 KiB, but for the answer to ARE YOU THERE, which is an event, and so can be counted like a line. What it has to say of
//! the World, lines, messages (GMCP) and what crawlers ask for (MSSP), it is given.
//! Read `options` for what is agreed on, `line` for how a line is typed.
#![forbid(unsafe_code)]

pub mod line;
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
/// What stands before a name and before its value in MSSP.
const MSSP_VAR: u8 = 1;
const MSSP_VAL: u8 = 2;
/// How a TLS handshake begins, which is no key on any keyboard.
const TLS_HANDSHAKE: u8 = 0x16;

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A line was typed, without its end. It is valid UTF-8 without control characters.
    Line(&'a str),
    /// The beginning of a line that was longer than `INPUT_LINE_BYTES_MAX`; the rest is lost.
    CutLine(&'a str),
    /// A message of GMCP, as the client has put it: nothing of it is checked but that it is text.
    Message {
        /// What it is about, such as `Core.Hello`.
        package: &'a str,
        /// What it says, or nothing.
        json: &'a str,
    },
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
    /// Whether a line has come: who speaks another protocol shows it in the first.
    has_line: bool,
    /// The subnegotiation that is being received: its option and what is told of it. Nothing, while one is skipped.
    subnegotiation: Option<(u8, Vec<u8>)>,
    /// The message of GMCP that has come last.
    message: String,
    options: Options,
    /// Whether the client was asked not to show what is typed.
    is_hidden: bool,
}

/// The kind of an event.
enum Happened {
    Line,
    Message,
    AreYouThere,
    Terminal,
    Foreign,
}

/// What the next byte is.
#[derive(Clone, Copy)]
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
    Content,
    /// A command in a subnegotiation.
    ContentCommand,
    /// Nothing that matters.
    Foreign,
}

impl Telnet {
    /// A new connection. The offers go to `out`.
    pub fn new(out: &mut Vec<u8>) -> Telnet {
        let (line, message, options) = (Line::default(), String::new(), Options::offer(out));
        Telnet { state: State::Text, line, has_line: false, subnegotiation: None, message, options, is_hidden: false }
    }

    /// Takes bytes until something has happened or none is left. Returns how many it has taken, and what has happened;
    /// what must be answered to the client's telnet goes to `out`.
    pub fn next(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Event<'_>>) {
        self.line.begin();
        // Whoever was told of it has had their time with it, and its room is needed no more.
        self.message = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(happened) = self.take(*byte, out) {
                return (at + 1, Some(self.event(happened)));
            }
        }
        (bytes.len(), None)
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

    /// A message of GMCP, for a client that takes such.
    pub fn message(&self, package: &str, json: &str, out: &mut Vec<u8>) {
        options::subnegotiate(options::GMCP, format!("{package} {json}").trim_end().as_bytes(), out);
    }

    /// What a crawler has asked for: names and values (MSSP). These hold no byte that separates them.
    pub fn status(&self, table: &[(&str, String)], out: &mut Vec<u8>) {
        let row = |(name, value): &(&str, String)| {
            let value: Vec<u8> = value.bytes().filter(|byte| *byte > MSSP_VAL).collect();
            [&[MSSP_VAR], name.as_bytes(), &[MSSP_VAL], &value].concat()
        };
        options::subnegotiate(options::MSSP, &table.iter().flat_map(row).collect::<Vec<u8>>(), out);
    }

    /// A prompt, with the mark at its end that tells clients to show it: END OF RECORD, if that is agreed on, or GO
    /// AHEAD, if the client does not want to be without.
    pub fn prompt(&self, text: &str, out: &mut Vec<u8>) {
        self.text(text, out);
        if self.options.is_on(options::END_OF_RECORD) {
            out.extend([IAC, END_OF_RECORD]);
        } else if !self.options.no_go_ahead {
            out.extend([IAC, GA]);
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

    fn event(&self, happened: Happened) -> Event<'_> {
        match (happened, self.line.text()) {
            (Happened::Line, (text, false)) => Event::Line(text),
            (Happened::Line, (text, true)) => Event::CutLine(text),
            (Happened::Message, _) => {
                let (package, json) = self.message.split_once(' ').unwrap_or((&self.message, ""));
                Event::Message { package, json }
            }
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
            (State::Subject, option) => {
                // Only what both have agreed on may take memory.
                self.subnegotiation = self.options.is_on(option).then(|| (option, Vec::new()));
                if option == IAC { State::ContentCommand } else { State::Content }
            }
            (State::Content, IAC) => State::ContentCommand,
            (State::Content, _) | (State::ContentCommand, IAC) => {
                self.subnegotiation.take_if(|(_, content)| content.len() == SUBNEGOTIATION_BYTES_MAX);
                self.subnegotiation.iter_mut().for_each(|(_, content)| content.push(byte));
                State::Content
            }
            (State::ContentCommand, SE) => {
                let (option, content) = self.subnegotiation.take()?;
                if option == options::GMCP {
                    self.message = String::from_utf8(content).ok()?;
                    return Some(Happened::Message);
                }
                return self.change(|options| options.told(option, &content, out));
            }
            // Whatever this was meant to be, where it began and where it ends cannot be told any more.
            (State::ContentCommand, _) => {
                self.subnegotiation = None;
                State::Content
            }
            (State::Foreign, _) => State::Foreign,
        };
        None
    }

    fn take_text(&mut self, byte: u8) -> Option<Happened> {
        let is_tls = !self.has_line && byte == TLS_HANDSHAKE && self.line.text().0.is_empty();
        let is_whole = self.line.take(byte);
        let is_first = is_whole && !std::mem::replace(&mut self.has_line, true);
        if is_tls || is_first && speaks_another_protocol(self.line.text().0) {
            self.state = State::Foreign;
            return Some(Happened::Foreign);
        }
        is_whole.then_some(Happened::Line)
    }

    fn take_command(&mut self, command: u8, out: &mut Vec<u8>) -> Option<Happened> {
        match command {
            AYT => {
                out.extend(HERE);
                return Some(Happened::AreYouThere);
            }
            EC => self.line.erase_character(),
            EL => self.line.erase(),
            // A doubled 255 too: as a byte of text it would be no UTF-8.
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
}

/// Whether this is the first line of a protocol that no player speaks: HTTP, whole or cut, or SSH.
fn speaks_another_protocol(line: &str) -> bool {
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI"];
    let is_request = |(method, target): (&str, &str)| {
        methods.contains(&method) && (target.starts_with('/') || target.contains(" HTTP/"))
    };
    line.starts_with("SSH-") || line.split_once(' ').is_some_and(is_request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{INPUT_LINE_BYTES_MAX, TERMINAL_NAMES_MAX};
    use crate::session::terminal::Colours;

    const TERMINAL_TYPE: u8 = 24;
    const MARK: u8 = 25;
    const CHARSET: u8 = 42;
    const OFFERED: [(u8, u8); 7] =
        [(DO, 24), (DO, 31), (DO, 39), (WILL, 42), (WILL, 25), (WILL, options::MSSP), (WILL, options::GMCP)];

    fn new() -> Telnet {
        Telnet::new(&mut Vec::new())
    }

    /// Sends all of it; returns the bytes that come back.
    fn send(telnet: &mut Telnet, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let (taken, _) = telnet.next(bytes, &mut out);
            bytes = &bytes[taken..];
        }
        out
    }

    fn said(say: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        say(&mut out);
        out
    }

    #[test]
    fn the_server_begins_and_offers_these_and_nothing_else() {
        let mut out = Vec::new();
        let mut telnet = Telnet::new(&mut out);
        let offers: Vec<u8> = OFFERED.iter().flat_map(|(verb, option)| [IAC, *verb, *option]).collect();
        assert_eq!(out, offers);
        // Neither what is typed nor a command that is nothing is answered.
        assert_eq!(send(&mut telnet, b"look\r\n\xff\xf1\xff\xf2\xff\xf9\xff\x00"), b"");
    }

    #[test]
    fn whatever_is_not_offered_is_refused_once_and_never_offered() {
        let mut telnet = new();
        for option in 0..=255 {
            for (asks, takes_back, offer, refusal) in [(WILL, WONT, DO, DONT), (DO, DONT, WILL, WONT)] {
                if !OFFERED.contains(&(offer, option)) {
                    assert_eq!(send(&mut telnet, &[IAC, asks, option]), [IAC, refusal, option]);
                    assert_eq!(
                        send(&mut telnet, &[IAC, asks, option, IAC, takes_back, option, IAC, asks, option]),
                        b""
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_offered_and_answered_is_not_answered_again() {
        for (offer, option) in OFFERED {
            let (agrees, refuses) = if offer == WILL { (DO, DONT) } else { (WILL, WONT) };
            let no = if offer == WILL { WONT } else { DONT };
            // RFC 1143: agreed, agreed again, ended, and that is the end of it.
            let mut telnet = new();
            let opening = send(&mut telnet, &[IAC, agrees, option]);
            assert!(opening.is_empty() || opening.starts_with(&[IAC, SB, option]) && opening.ends_with(&[IAC, SE]));
            assert_eq!(send(&mut telnet, &[IAC, agrees, option]), b"");
            assert_eq!(send(&mut telnet, &[IAC, refuses, option]), [IAC, no, option]);
            assert_eq!(send(&mut telnet, &[IAC, refuses, option]), b"");
            assert_eq!(send(&mut telnet, &[IAC, agrees, option]), [IAC, no, option]);
            assert_eq!(send(&mut telnet, &[IAC, agrees, option, IAC, refuses, option]), b"");
            // Refused, and agreed to after all.
            let mut telnet = new();
            assert_eq!(send(&mut telnet, &[IAC, refuses, option, IAC, refuses, option]), b"");
            let answer = [&[IAC, offer, option], &opening[..]].concat();
            assert_eq!(send(&mut telnet, &[IAC, agrees, option]), answer);
        }
    }

    #[test]
    fn a_password_costs_one_will_echo_and_one_wont_whatever_the_client_says_of_it() {
        for answer in [&b""[..], b"\xff\xfd\x01", b"\xff\xfe\x01", b"\xff\xfd\x01\xff\xfe\x01\xff\xfd\x01"] {
            let mut telnet = new();
            assert_eq!(said(|out| telnet.secret(false, out)), b"");
            for _ in 0..3 {
                assert_eq!(said(|out| telnet.secret(true, out)), [IAC, WILL, ECHO]);
                assert_eq!(send(&mut telnet, answer), b"");
                assert_eq!(said(|out| telnet.secret(true, out)), b"");
                assert_eq!(said(|out| telnet.secret(false, out)), [IAC, WONT, ECHO]);
                assert_eq!(send(&mut telnet, answer), b"");
                assert_eq!(said(|out| telnet.secret(false, out)), b"");
            }
        }
        // Who wishes for it without having been asked does not get it.
        assert_eq!(send(&mut new(), &[IAC, DO, ECHO, IAC, DO, ECHO]), [IAC, WONT, ECHO]);
    }

    #[test]
    fn every_prompt_bears_the_mark_that_was_agreed_on_and_no_line_does() {
        let prompt = |telnet: &Telnet| said(|out| telnet.prompt("1\n> ", out));
        let mut telnet = new();
        assert_eq!(prompt(&telnet), b"1\r\n> \xff\xf9");
        // What the client does about going ahead is its own affair.
        send(&mut telnet, &[IAC, WILL, 3]);
        assert_eq!(prompt(&telnet), b"1\r\n> \xff\xf9");
        send(&mut telnet, &[IAC, DO, 3]);
        assert_eq!(prompt(&telnet), b"1\r\n> ");
        send(&mut telnet, &[IAC, DO, MARK]);
        assert_eq!(prompt(&telnet), b"1\r\n> \xff\xef");
        send(&mut telnet, &[IAC, DONT, MARK]);
        assert_eq!(prompt(&telnet), b"1\r\n> ");
        send(&mut telnet, &[IAC, DONT, 3]);
        assert_eq!(prompt(&telnet), b"1\r\n> \xff\xf9");
        assert_eq!(said(|out| telnet.text("a line\n", out)), b"a line\r\n");
    }

    #[test]
    fn lines_end_with_cr_lf_alone_and_text_holds_no_command() {
        let telnet = new();
        assert_eq!(said(|out| telnet.text("a\nb\r\nc\rd\n\n", out)), b"a\r\nb\r\ncd\r\n\r\n");
        let every: String = (' '..=char::MAX).step_by(7).chain(['\u{ff}', '\u{ffff}', char::MAX]).collect();
        let out = said(|out| telnet.text(&every, out));
        assert!(out == every.as_bytes() && !out.contains(&IAC));
        assert_eq!(said(|out| telnet.keep_alive(out)), [IAC, NOP]);
    }

    #[test]
    fn a_driver_may_stop_after_each_event_and_take_the_rest_later() {
        let (mut telnet, mut out) = (new(), Vec::new());
        let bytes = b"a\r\nb\n\xff\xf6\xff\xfc\x18c";
        let mut rest = &bytes[..];
        for (event, takes) in
            [(Event::Line("a"), 2), (Event::Line("b"), 3), (Event::AreYouThere, 2), (Event::Terminal, 3)]
        {
            let (taken, happened) = telnet.next(rest, &mut out);
            assert_eq!((taken, happened), (takes, Some(event)));
            rest = &rest[taken..];
        }
        assert_eq!(telnet.next(rest, &mut out), (1, None));
        assert_eq!(telnet.next(b"", &mut out), (0, None));
        assert_eq!(telnet.next(b"\n", &mut out), (1, Some(Event::Line("c"))));
        assert_eq!(out, HERE);
    }

    #[test]
    fn who_never_answers_gets_utf8_and_who_does_gets_it_when_agreed() {
        let mut telnet = new();
        send(&mut telnet, b"caf\xc3\xa9\n\xff\xf6\xff\xf1");
        assert!(telnet.terminal().utf8);
        send(&mut telnet, &[IAC, DO, CHARSET]);
        assert!(!telnet.terminal().utf8);
        send(&mut telnet, b"\xff\xfa\x2a\x02UTF-8\xff\xf0");
        assert!(telnet.terminal().utf8);
        // By one way or the other.
        send(&mut telnet, b"\xff\xfb\x18\xff\xfa\x18\x00X\xff\xf0\xff\xfa\x18\x00MTTS 1\xff\xf0");
        assert!(telnet.terminal().utf8 && telnet.terminal().colours == Colours::Sixteen);
    }

    #[test]
    fn each_bit_of_mtts_says_what_it_says() {
        for (bits, colours, utf8, aloud) in [
            (0, Colours::None, false, false),
            (1, Colours::Sixteen, false, false),
            (2, Colours::None, false, false),
            (4, Colours::None, true, false),
            (8, Colours::Many, false, false),
            (64, Colours::None, false, true),
            (128, Colours::None, false, false),
            (256, Colours::Many, false, false),
            (512, Colours::None, false, false),
            (2_048, Colours::None, false, false),
            (2_893, Colours::Many, true, true),
        ] {
            let mut telnet = new();
            let told = [b"\xff\xfb\x18\xff\xfa\x18\x00MTTS ", bits.to_string().as_bytes(), b"\xff\xf0"].concat();
            send(&mut telnet, &told);
            let terminal = telnet.terminal();
            assert_eq!((terminal.colours, terminal.utf8, terminal.screen_reader), (colours, utf8, aloud), "{bits}");
        }
    }

    #[test]
    fn facts_belong_to_a_connection() {
        let mut first = new();
        send(&mut first, b"\xff\xfb\x18\xff\xfa\x18\x00MUDLET\xff\xf0\xff\xfb\x1f\xff\xfa\x1f\x00\x64\x00\x18\xff\xf0");
        assert_eq!((first.terminal().client.as_str(), first.terminal().width), ("MUDLET", 100));
        assert_eq!(*new().terminal(), Terminal::default());
    }

    #[test]
    fn whatever_a_client_says_it_takes_little_memory_and_gets_little_out_of_it() {
        // What a generator of Lehmer's makes, of bytes that matter.
        let mut number = 1u64;
        let mut telnet = new();
        let (mut answers, mut asked) = (Vec::new(), 0);
        for _ in 0..300_000 {
            number = number * 48_271 % 2_147_483_647;
            let byte = match number / 64 % 8 {
                0..=3 => IAC,
                4 => [WILL, WONT, DO, DONT, SB, SE, AYT, EL][number as usize / 512 % 8],
                5 => [24, 25, 31, 39, 42, options::MSSP, options::GMCP, 1, 3, 0][number as usize / 512 % 10],
                _ => (number / 512 % 256) as u8,
            };
            let (_, event) = telnet.next(&[byte], &mut answers);
            asked += usize::from(event == Some(Event::AreYouThere));
            assert!(telnet.line.text().0.len() <= INPUT_LINE_BYTES_MAX);
            let messages = [&telnet.message].into_iter().map(String::len);
            let mut kept = telnet.subnegotiation.iter().map(|(_, content)| content.len()).chain(messages);
            assert!(kept.all(|bytes| bytes <= SUBNEGOTIATION_BYTES_MAX));
        }
        assert!(asked > 0 && answers.len() - asked * HERE.len() <= 2_048, "{} {asked}", answers.len());
    }

    #[test]
    fn an_endless_subnegotiation_is_forgotten_and_one_of_nothing_agreed_is_never_kept() {
        let mut telnet = new();
        send(&mut telnet, &[IAC, SB, TERMINAL_TYPE, 0]);
        assert!(telnet.subnegotiation.is_none());
        send(&mut telnet, &[IAC, SE, IAC, WILL, TERMINAL_TYPE, IAC, SB, TERMINAL_TYPE]);
        send(&mut telnet, &[0; SUBNEGOTIATION_BYTES_MAX]);
        assert!(telnet.subnegotiation.as_ref().is_some_and(|(_, content)| content.len() == SUBNEGOTIATION_BYTES_MAX));
        send(&mut telnet, &[0]);
        assert!(telnet.subnegotiation.is_none());
        send(&mut telnet, &[0; SUBNEGOTIATION_BYTES_MAX]);
        assert_eq!(telnet.next(&[IAC, SE, b'l', b'\n'], &mut Vec::new()), (4, Some(Event::Line("l"))));
    }

    #[test]
    fn a_name_is_asked_for_so_often_and_no_more() {
        let mut telnet = new();
        send(&mut telnet, &[IAC, WILL, TERMINAL_TYPE]);
        let names: Vec<Vec<u8>> = (b'A'..=b'Z')
            .map(|name| send(&mut telnet, &[IAC, SB, TERMINAL_TYPE, 0, name, IAC, SE]))
            .take_while(|asked| *asked == [IAC, SB, TERMINAL_TYPE, 1, IAC, SE])
            .collect();
        assert_eq!(names.len(), TERMINAL_NAMES_MAX - 1);
    }
}
