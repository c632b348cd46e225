//! A WebSocket (RFC 6455): bytes to lines and messages, and text to frames.
//!
//! It knows no socket, no clock and no World. It takes bytes until something has happened, so that whoever drives it can
//! stop after any line and leave the rest where it is; how the bytes were cut on their way makes no difference. Each frame
//! is an event at least, so that whoever sends many that say nothing can be told from whoever sends few. All that it keeps
//! is bounded, and what it answers is never longer than what it answers to, the four bytes aside with which it ends. The
//! first thing that is against the rules ends it, with the code that section 7.4.1 has for that.
//! Read `handshake` for how one begins, `crate::telnet::line` for how a line is typed.
#![forbid(unsafe_code)]

pub mod handshake;
pub mod port;

use crate::limits::WEB_MESSAGE_BYTES_MAX;
use crate::session::terminal::{Colours, Messages, Terminal};
use crate::telnet::line::Line;

use handshake::Subprotocol;

/// Section 11.8: what a frame is. From `CLOSE` on it is a control frame.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Section 5.2: the bit of the last frame of a message, three that are reserved, the bit of a mask, and what stands in
/// place of a length for one of 16 bits or of 64.
const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
/// Section 5.5: bytes of a control frame.
const CONTROL_BYTES_MAX: u8 = 125;

/// Why a connection ends: the codes of section 7.4.1 that are of use here.
pub mod code {
    /// All is said.
    pub const NORMAL: u16 = 1000;
    /// The engine stops.
    pub const GOING_AWAY: u16 = 1001;
    /// A frame is against the rules.
    pub const PROTOCOL: u16 = 1002;
    /// A message is of a kind that the subprotocol has no use for.
    pub const UNACCEPTABLE: u16 = 1003;
    /// Text is no UTF-8.
    pub const NO_TEXT: u16 = 1007;
    /// A message is longer than `WEB_MESSAGE_BYTES_MAX`.
    pub const TOO_BIG: u16 = 1009;
}

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A line was typed, without its end. It is valid UTF-8 without control characters.
    Line(&'a str),
    /// The beginning of a line that was longer than `INPUT_LINE_BYTES_MAX`; the rest is lost.
    CutLine(&'a str),
    /// A message of GMCP, as the client has put it: nothing of it is checked but that it is text.
    Gmcp {
        /// What it is about, such as `Core.Hello`.
        package: &'a str,
        /// What it says, or nothing.
        json: &'a str,
    },
    /// A frame that says nothing by itself: a part of a message, a ping, which was answered, a pong.
    Frame,
    /// The connection is to be closed once what is in `out` has been sent; nothing more will happen.
    Closed,
}

/// One connection, from the end of its handshake.
#[derive(Default)]
pub struct Socket {
    subprotocol: Subprotocol,
    is_over: bool,
    head: Head,
    /// Bytes of what the frame holds that are still to come, once its head is there.
    left: Option<u64>,
    /// What a control frame holds. It may come between the parts of a message.
    control: Vec<u8>,
    /// If a message has begun: whether it is text or binary.
    message: Option<u8>,
    /// Bytes of it that have been announced.
    message_bytes: u64,
    utf8: Utf8,
    /// A message of GMCP. All others are bytes of lines.
    gmcp: Vec<u8>,
    line: Line,
    /// Whether what came last of a message was the end of a line.
    is_line_ended: bool,
}

/// The kind of an event.
enum Happened {
    Line,
    Gmcp,
    Frame,
    Closed,
}

/// What has come of the head of a frame: two bytes, up to eight of the length, four of the mask.
#[derive(Default)]
struct Head {
    bytes: [u8; 14],
    count: usize,
}

/// The first bytes of a character, and how many.
#[derive(Default)]
struct Utf8 {
    begun: [u8; 4],
    count: usize,
}

impl Socket {
    /// A connection whose handshake has come to this.
    pub fn new(subprotocol: Subprotocol) -> Socket {
        Socket { subprotocol, ..Socket::default() }
    }

    /// Takes bytes until something has happened or none is left. Returns how many it has taken, and what has happened;
    /// what must be answered goes to `out`.
    pub fn next(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Event<'_>>) {
        self.line.begin();
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_over {
                break;
            }
            let happened = self.take(*byte, out).unwrap_or_else(|code| {
                self.close(code, out);
                Some(Happened::Closed)
            });
            if let Some(happened) = happened {
                return (at + 1, Some(self.event(happened)));
            }
        }
        (bytes.len(), None)
    }

    /// What is known of the terminal: a subprotocol for terminals is one for terminals with colours, and where there are
    /// messages, or is none of either, lines are broken by whoever shows them.
    pub fn terminal(&self) -> Terminal {
        let known = Terminal::default();
        let colours = if self.subprotocol == Subprotocol::Plain { Colours::None } else { Colours::Sixteen };
        let width = if self.subprotocol == Subprotocol::Terminal { known.width } else { u16::MAX };
        let gmcp = if self.subprotocol == Subprotocol::Gmcp { Messages::All } else { Messages::None };
        Terminal { colours, width, gmcp, ..known }
    }

    /// Text, or a prompt: a message of its own. For a terminal each line ends with CR LF; where a message is a line, the
    /// end of the message is that of its last line.
    pub fn text(&self, text: &str, out: &mut Vec<u8>) {
        match self.subprotocol {
            _ if text.is_empty() => (),
            Subprotocol::Plain => self.send(TEXT, text.strip_suffix('\n').unwrap_or(text).as_bytes(), out),
            Subprotocol::Terminal | Subprotocol::Gmcp => {
                self.send(BINARY, text.replace('\r', "").replace('\n', "\r\n").as_bytes(), out);
            }
        }
    }

    /// A message of GMCP, if the client has asked for such.
    pub fn gmcp(&self, package: &str, json: &str, out: &mut Vec<u8>) {
        if self.subprotocol == Subprotocol::Gmcp {
            self.send(TEXT, format!("{package} {json}").trim_end().as_bytes(), out);
        }
    }

    /// Keeps the connection open, and says nothing.
    pub fn ping(&self, out: &mut Vec<u8>) {
        self.send(PING, b"", out);
    }

    /// Says why the connection ends. Nothing is said after that, and nothing more will happen.
    pub fn close(&mut self, code: u16, out: &mut Vec<u8>) {
        self.send(CLOSE, &code.to_be_bytes(), out);
        self.is_over = true;
    }

    /// One frame, without a mask, as a server sends them, its length in as few bytes as can be.
    fn send(&self, opcode: u8, content: &[u8], out: &mut Vec<u8>) {
        if self.is_over {
            return;
        }
        out.push(LAST | opcode);
        match content.len() {
            length @ 0..=125 => out.push(length as u8),
            length @ 126..=0xffff => out.extend([LENGTH_16, (length >> 8) as u8, length as u8]),
            length => {
                out.push(LENGTH_64);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(content);
    }

    fn event(&self, happened: Happened) -> Event<'_> {
        match (happened, self.line.text()) {
            (Happened::Line, (text, false)) => Event::Line(text),
            (Happened::Line, (text, true)) => Event::CutLine(text),
            (Happened::Gmcp, _) => {
                // All of it has been found to be UTF-8.
                let text = str::from_utf8(&self.gmcp).unwrap_or_default();
                let (package, json) = text.split_once(' ').unwrap_or((text, ""));
                Event::Gmcp { package, json }
            }
            (Happened::Frame, _) => Event::Frame,
            (Happened::Closed, _) => Event::Closed,
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<Option<Happened>, u16> {
        let mut happened = None;
        self.left = match self.left {
            None => self.take_head(byte)?,
            Some(left) => {
                let byte = self.head.unmask(byte);
                happened = self.take_content(byte)?;
                Some(left - 1)
            }
        };
        if self.left == Some(0) {
            let ended = self.end_frame(out)?;
            (self.left, self.head.count) = (None, 0);
            happened = happened.or(Some(ended));
        }
        Ok(happened)
    }

    /// Takes a byte of a head, and judges as soon as it can; returns the length of what follows once that is known.
    fn take_head(&mut self, byte: u8) -> Result<Option<u64>, u16> {
        self.head.bytes[self.head.count] = byte;
        self.head.count += 1;
        match self.head.count {
            1 => self.begin_frame()?,
            2 if byte & MASKED == 0 || self.head.is_control() && byte & !MASKED > CONTROL_BYTES_MAX => {
                return Err(code::PROTOCOL);
            }
            _ => (),
        }
        let Some(length) = self.head.length()? else { return Ok(None) };
        if !self.head.is_control() {
            self.message_bytes = self.message_bytes.saturating_add(length);
            if self.message_bytes > WEB_MESSAGE_BYTES_MAX as u64 {
                return Err(code::TOO_BIG);
            }
        }
        Ok(Some(length))
    }

    /// Sections 5.2, 5.4 and 5.5: what may come when. No extension was agreed on, so none of its bits may be set.
    fn begin_frame(&mut self) -> Result<(), u16> {
        match (self.head.opcode(), self.message, self.subprotocol) {
            _ if self.head.bytes[0] & RESERVED != 0 => Err(code::PROTOCOL),
            (CLOSE | PING | PONG, ..) if self.head.is_last() => {
                self.control.clear();
                Ok(())
            }
            (CONTINUATION, Some(_), _) => Ok(()),
            (opcode @ TEXT, None, Subprotocol::Plain | Subprotocol::Gmcp)
            | (opcode @ BINARY, None, Subprotocol::Terminal | Subprotocol::Gmcp) => {
                (self.message, self.message_bytes, self.is_line_ended) = (Some(opcode), 0, false);
                self.gmcp.clear();
                Ok(())
            }
            (TEXT | BINARY, None, _) => Err(code::UNACCEPTABLE),
            _ => Err(code::PROTOCOL),
        }
    }

    fn take_content(&mut self, byte: u8) -> Result<Option<Happened>, u16> {
        if self.head.is_control() {
            self.control.push(byte);
            return Ok(None);
        }
        if self.message == Some(TEXT) {
            self.utf8.take(byte)?;
            if self.subprotocol == Subprotocol::Gmcp {
                self.gmcp.push(byte);
                return Ok(None);
            }
        }
        self.is_line_ended = matches!(byte, b'\r' | b'\n');
        Ok(self.line.take(byte).then_some(Happened::Line))
    }

    fn end_frame(&mut self, out: &mut Vec<u8>) -> Result<Happened, u16> {
        match self.head.opcode() {
            PING => self.send(PONG, &self.control, out),
            CLOSE => {
                self.send(CLOSE, judge_close(&self.control)?, out);
                self.is_over = true;
                return Ok(Happened::Closed);
            }
            CONTINUATION | TEXT | BINARY if self.head.is_last() => return self.end_message(),
            _ => (),
        }
        Ok(Happened::Frame)
    }

    fn end_message(&mut self) -> Result<Happened, u16> {
        match (self.message.take(), self.subprotocol) {
            _ if self.utf8.count > 0 => Err(code::NO_TEXT),
            (Some(TEXT), Subprotocol::Gmcp) => Ok(Happened::Gmcp),
            (Some(TEXT), _) if !self.is_line_ended => {
                self.line.end();
                Ok(Happened::Line)
            }
            _ => Ok(Happened::Frame),
        }
    }
}

impl Head {
    fn opcode(&self) -> u8 {
        self.bytes[0] & !(LAST | RESERVED)
    }

    fn is_last(&self) -> bool {
        self.bytes[0] & LAST != 0
    }

    fn is_control(&self) -> bool {
        self.opcode() >= CLOSE
    }

    /// The length of what follows, once all of the head is there. Section 5.2: in as few bytes as can be, the highest bit
    /// of 64 is not set.
    fn length(&self) -> Result<Option<u64>, u16> {
        let (extended, shortest) = match self.bytes[1] & !MASKED {
            LENGTH_16 => (2, 126..=0xffff),
            LENGTH_64 => (8, 0x1_0000..=i64::MAX as u64),
            _ => (0, 0..=125),
        };
        if self.count < 2 + extended + 4 {
            return Ok(None);
        }
        let bytes = if extended == 0 { &[self.bytes[1] & !MASKED] } else { &self.bytes[2..2 + extended] };
        let length = bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        if shortest.contains(&length) { Ok(Some(length)) } else { Err(code::PROTOCOL) }
    }

    /// Section 5.3: the next byte of what the frame holds.
    fn unmask(&mut self, byte: u8) -> u8 {
        let mask = &mut self.bytes[self.count - 4..self.count];
        mask.rotate_left(1);
        byte ^ mask[3]
    }
}

impl Utf8 {
    /// Takes a byte, if text may go on with it.
    fn take(&mut self, byte: u8) -> Result<(), u16> {
        self.begun[self.count] = byte;
        self.count += 1;
        match str::from_utf8(&self.begun[..self.count]) {
            Ok(_) => self.count = 0,
            Err(error) if error.error_len().is_some() => return Err(code::NO_TEXT),
            Err(_) => (),
        }
        Ok(())
    }
}

/// Sections 5.5.1 and 7.4: what a close frame may hold is nothing, or a code that may be sent and a reason. Returns what of
/// it is sent back.
fn judge_close(content: &[u8]) -> Result<&[u8], u16> {
    let Some((code, reason)) = content.split_at_checked(2) else {
        return if content.is_empty() { Ok(content) } else { Err(code::PROTOCOL) };
    };
    match u16::from_be_bytes([code[0], code[1]]) {
        1000..=1003 | 1007..=1014 | 3000..=4999 if str::from_utf8(reason).is_ok() => Ok(code),
        1000..=1003 | 1007..=1014 | 3000..=4999 => Err(code::NO_TEXT),
        _ => Err(code::PROTOCOL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{INPUT_LINE_BYTES_MAX, OUTPUT_BYTES_MAX};

    const ALL: [Subprotocol; 3] = [Subprotocol::Plain, Subprotocol::Terminal, Subprotocol::Gmcp];

    fn said(say: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        say(&mut out);
        out
    }

    /// A frame as a client would read it: its first byte, what it holds, what follows.
    fn read(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
        let (at, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            length => (2, usize::from(length)),
        };
        (bytes[0], &bytes[at..at + length], &bytes[at + length..])
    }

    #[test]
    fn text_is_a_message_as_the_subprotocol_has_it() {
        for (subprotocol, first, line, lines, prompt) in [
            (Subprotocol::Plain, 0x81, &b"a"[..], &b"a\n\nb"[..], &b"> "[..]),
            (Subprotocol::Terminal, 0x82, b"a\r\n", b"a\r\n\r\nb\r\n", b"> "),
            (Subprotocol::Gmcp, 0x82, b"a\r\n", b"a\r\n\r\nb\r\n", b"> "),
        ] {
            let socket = Socket::new(subprotocol);
            for (text, content) in [("a\n", line), ("a\n\nb\n", lines), ("> ", prompt)] {
                let out = said(|out| socket.text(text, out));
                assert_eq!(read(&out), (first, content, &b""[..]));
            }
            assert_eq!(said(|out| socket.text("", out)), b"");
        }
        assert_eq!(said(|out| Socket::new(Subprotocol::Terminal).text("a\r\nb\rc", out)), b"\x82\x05a\r\nbc");
    }

    #[test]
    fn a_length_is_said_in_as_few_bytes_as_can_be() {
        let socket = Socket::new(Subprotocol::Plain);
        for (length, head) in [
            (1, &b"\x81\x01"[..]),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\0\x7e"),
            (65_535, b"\x81\x7e\xff\xff"),
            (65_536, b"\x81\x7f\0\0\0\0\0\x01\0\0"),
            (4 * OUTPUT_BYTES_MAX, b"\x81\x7f\0\0\0\0\0\x04\0\0"),
        ] {
            let text = "x".repeat(length);
            let out = said(|out| socket.text(&text, out));
            assert_eq!(out[..head.len()], *head);
            assert!(out[head.len()..] == *text.as_bytes());
        }
    }

    #[test]
    fn only_who_has_asked_for_gmcp_gets_any() {
        for subprotocol in ALL {
            let out = said(|out| Socket::new(subprotocol).gmcp("Char.Name", "{\"name\":\"Mara\"}", out));
            let expected: &[u8] =
                if subprotocol == Subprotocol::Gmcp { b"\x81\x19Char.Name {\"name\":\"Mara\"}" } else { b"" };
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_called_a_terminal_shows_colours() {
        let colours = ALL.map(|subprotocol| Socket::new(subprotocol).terminal().colours);
        assert_eq!(colours, [Colours::None, Colours::Sixteen, Colours::Sixteen]);
        assert!(ALL.iter().all(|subprotocol| Socket::new(*subprotocol).terminal().utf8));
    }

    #[test]
    fn after_the_end_nothing_is_said_or_heard_whoever_has_ended_it() {
        let mut ended = Socket::new(Subprotocol::Gmcp);
        assert_eq!(said(|out| ended.close(code::GOING_AWAY, out)), b"\x88\x02\x03\xe9");
        let mut left = Socket::new(Subprotocol::Gmcp);
        let mut out = Vec::new();
        assert_eq!(left.next(b"\x88\x80abcd\x89\x80abcd", &mut out), (6, Some(Event::Closed)));
        assert_eq!(out, b"\x88\0");
        for mut socket in [ended, left] {
            let mut out = Vec::new();
            assert_eq!(socket.next(b"\x89\x80abcd\x88\x80abcd\xff", &mut out), (13, None));
            socket.text("a", &mut out);
            socket.gmcp("A", "1", &mut out);
            socket.ping(&mut out);
            socket.close(code::NORMAL, &mut out);
            assert_eq!(out, b"");
        }
        assert_eq!(said(|out| Socket::new(Subprotocol::Plain).ping(out)), b"\x89\0");
    }

    #[test]
    fn a_driver_may_stop_after_each_event_and_take_the_rest_later() {
        let (mut socket, mut out) = (Socket::new(Subprotocol::Gmcp), Vec::new());
        let bytes = b"\x82\x84\0\0\0\0a\nb\n\x89\x80\0\0\0\0\x82\x82\0\0\0\0cd\x81\x83\0\0\0\0A 1\x82\x81\0\0";
        let mut rest = &bytes[..];
        for (event, takes) in [
            (Event::Line("a"), 8),
            (Event::Line("b"), 2),
            (Event::Frame, 6),
            (Event::Frame, 8),
            (Event::Gmcp { package: "A", json: "1" }, 9),
        ] {
            let (taken, happened) = socket.next(rest, &mut out);
            assert_eq!((taken, happened), (takes, Some(event)));
            rest = &rest[taken..];
        }
        assert_eq!(socket.next(rest, &mut out), (4, None));
        assert_eq!(socket.next(b"", &mut out), (0, None));
        assert_eq!(socket.next(b"\0\0\ne", &mut out), (3, Some(Event::Line("cd"))));
        assert_eq!(out, b"\x8a\0");
    }

    #[test]
    fn whatever_a_client_sends_it_takes_little_memory_and_gets_no_more_than_it_gave() {
        // What a generator of Lehmer's makes, of frames that are almost as they should be.
        let mut number = 1u64;
        let mut draw = |below: u64| {
            number = number * 48_271 % 2_147_483_647;
            number / 64 % below
        };
        let mut longest = 0;
        for round in 0..3_000 {
            let (mut socket, mut out, mut sent) = (Socket::new(ALL[round % 3]), Vec::new(), 0);
            while !socket.is_over {
                let opcode = [0, 0, 1, 2, 9, 9, 10, 8][draw(8) as usize];
                let first = if draw(3) > 0 { 0x80 | opcode } else { opcode };
                let length = if opcode < 8 { draw(1_500) } else { draw(126) };
                let mut frame = vec![first as u8, if length < 126 { 0x80 | length as u8 } else { 0xfe }];
                frame.extend((length as u16).to_be_bytes().iter().filter(|_| length >= 126));
                frame.extend([0; 4]);
                frame.extend((0..length).map(|_| b"abc \n"[draw(5) as usize]));
                sent += frame.len();
                let mut rest = &frame[..];
                while !rest.is_empty() {
                    let (taken, _) = socket.next(rest, &mut out);
                    rest = &rest[taken..];
                    longest = longest.max(socket.gmcp.len());
                    assert!(socket.gmcp.len() <= WEB_MESSAGE_BYTES_MAX);
                    assert!(socket.control.len() <= usize::from(CONTROL_BYTES_MAX));
                    assert!(socket.line.text().0.len() <= INPUT_LINE_BYTES_MAX);
                }
            }
            assert!(out.len() <= sent, "{} {sent}", out.len());
        }
        assert!(longest > WEB_MESSAGE_BYTES_MAX / 2);
    }
}
