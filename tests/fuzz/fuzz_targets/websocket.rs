//! WebSocket: whatever bytes come, how they were cut makes no difference; what is answered is bounded, and a second
//! reading, of whole frames instead of bytes, finds the same lines, messages, answers and faults. A handshake that is
//! taken has all that it must have.
#![no_main]

use aqevia_engine::http::request::{Method, parse};
use aqevia_engine::limits::{INPUT_LINE_BYTES_MAX, WEB_MESSAGE_BYTES_MAX};
use aqevia_engine::telnet::line::Line;
use aqevia_engine::web::handshake::{Subprotocol, shake};
use aqevia_engine::web::{Event, Socket};
use libfuzzer_sys::fuzz_target;

/// With so many a connection ends for which one byte was enough.
const CLOSE_BYTES: usize = 4;

// The first byte says what the rest is.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let Some(subprotocol) = Subprotocol::ALL.get(usize::from(first % 4)) else { return check_handshake(bytes) };
    let whole = converse(*subprotocol, [bytes]);
    assert!(whole.answers.len() <= bytes.len() + CLOSE_BYTES);
    assert!(converse(*subprotocol, bytes.chunks(1)) == whole);
    assert!(converse(*subprotocol, bytes.chunks(usize::from(first / 4) + 2)) == whole);
    let mut reader = Reader::default();
    let fault = reader.read(*subprotocol, bytes).err();
    // It reads whole frames alone, and knows of a fault only when a message is whole.
    assert!(whole.events.starts_with(&reader.events) && whole.answers.starts_with(&reader.answers));
    if let Some(code) = fault {
        reader.answers.extend([0x88, 2]);
        reader.answers.extend(code.to_be_bytes());
        assert!(whole.answers == reader.answers && whole.is_over);
    } else if reader.is_over {
        assert!(whole.is_over && whole.answers == reader.answers);
        // Lines of a message that is not whole have been told all the same.
        assert!(!reader.message.is_empty() || whole.events == reader.events);
    }
});

#[derive(PartialEq)]
struct Outcome {
    answers: Vec<u8>,
    events: Vec<String>,
    frames: usize,
    is_over: bool,
}

fn converse<'a>(subprotocol: Subprotocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut socket = Socket::new(subprotocol);
    let mut outcome = Outcome { answers: Vec::new(), events: Vec::new(), frames: 0, is_over: false };
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = outcome.answers.len();
            let (taken, event) = socket.next(piece, &mut outcome.answers);
            assert!((1..=piece.len()).contains(&taken) && (taken == piece.len() || event.is_some()));
            assert!(outcome.answers.len() == before || matches!(event, Some(Event::Frame | Event::Closed)));
            assert!(!outcome.is_over || event.is_none());
            match event {
                Some(Event::Line(text)) => outcome.events.push(line(text, false)),
                Some(Event::CutLine(text)) => outcome.events.push(line(text, true)),
                Some(Event::Gmcp { package, json }) => {
                    assert!(package.len() + json.len() <= WEB_MESSAGE_BYTES_MAX && !package.contains(' '));
                    outcome.events.push(format!("gmcp {package} {json}").trim_end().to_owned());
                }
                Some(Event::Frame) => outcome.frames += 1,
                Some(Event::Closed) => outcome.is_over = true,
                None => (),
            }
            piece = &piece[taken..];
        }
    }
    outcome
}

fn line(text: &str, is_cut: bool) -> String {
    assert!(text.len() <= INPUT_LINE_BYTES_MAX && !text.contains(char::is_control));
    assert!(!is_cut || text.len() + 4 > INPUT_LINE_BYTES_MAX);
    format!("line {text}{}", if is_cut { "..." } else { "" })
}

/// Reads frame by frame, and takes a message when it is whole.
#[derive(Default)]
struct Reader {
    answers: Vec<u8>,
    events: Vec<String>,
    is_over: bool,
    kind: u8,
    message: Vec<u8>,
    line: Line,
}

impl Reader {
    fn read(&mut self, subprotocol: Subprotocol, mut rest: &[u8]) -> Result<(), u16> {
        while let [first, second, after @ ..] = rest {
            let opcode = first & 15;
            let may_begin = match (opcode, subprotocol) {
                (1, Subprotocol::Terminal) | (2, Subprotocol::Plain) => false,
                (1 | 2, _) => true,
                _ => false,
            };
            if first & 0x70 != 0 {
                return Err(1002);
            }
            match opcode {
                0 if self.kind != 0 => (),
                1 | 2 if self.kind == 0 && may_begin => self.kind = opcode,
                1 | 2 if self.kind == 0 => return Err(1003),
                8..=10 if *first >= 128 => (),
                _ => return Err(1002),
            }
            if *second < 128 || opcode >= 8 && second & 127 > 125 {
                return Err(1002);
            }
            let extra = [0, 2, 8][usize::from(second & 127).saturating_sub(125)];
            let Some((head, content)) = after.split_at_checked(extra + 4) else { return Ok(()) };
            let length = match extra {
                0 => u128::from(second & 127),
                _ => head[..extra].iter().fold(0, |length, byte| length * 256 + u128::from(*byte)),
            };
            if extra == 2 && length < 126 || extra == 8 && (length < 65_536 || length >> 63 != 0) {
                return Err(1002);
            }
            if opcode < 8 && length + self.message.len() as u128 > WEB_MESSAGE_BYTES_MAX as u128 {
                return Err(1009);
            }
            let Some((content, after)) = content.split_at_checked(length as usize) else { return Ok(()) };
            let content: Vec<u8> = content.iter().zip(head[extra..].iter().cycle()).map(|(a, b)| a ^ b).collect();
            rest = after;
            match opcode {
                8 => {
                    self.is_over = true;
                    return self.end(&content);
                }
                9 => self.answer(0x8a, &content),
                10 => (),
                _ => {
                    self.message.extend(content);
                    self.take(subprotocol, *first >= 128)?;
                }
            }
        }
        // All of one byte that can be known.
        if rest.first().is_some_and(|first| first & 0x70 != 0) { Err(1002) } else { Ok(()) }
    }

    fn take(&mut self, subprotocol: Subprotocol, is_whole: bool) -> Result<(), u16> {
        let is_bad = |error: std::str::Utf8Error| is_whole || error.error_len().is_some();
        if self.kind == 1 && std::str::from_utf8(&self.message).is_err_and(is_bad) {
            return Err(1007);
        }
        if !is_whole {
            return Ok(());
        }
        let message = std::mem::take(&mut self.message);
        if (std::mem::take(&mut self.kind), subprotocol) == (1, Subprotocol::Gmcp) {
            self.events.push(format!("gmcp {}", String::from_utf8_lossy(&message)).trim_end().to_owned());
            return Ok(());
        }
        for byte in &message {
            self.line.begin();
            if self.line.take(*byte) {
                let (text, is_cut) = self.line.text();
                self.events.push(line(text, is_cut));
            }
        }
        self.line.begin();
        if subprotocol == Subprotocol::Plain && !message.ends_with(b"\r") && !message.ends_with(b"\n") {
            self.line.end();
            let (text, is_cut) = self.line.text();
            self.events.push(line(text, is_cut));
        }
        Ok(())
    }

    fn end(&mut self, content: &[u8]) -> Result<(), u16> {
        if content.is_empty() {
            self.answer(0x88, b"");
            return Ok(());
        }
        let [high, low, reason @ ..] = content else { return Err(1002) };
        let code = u16::from(*high) * 256 + u16::from(*low);
        if !(3_000..5_000).contains(&code) && ![1000, 1001, 1002, 1003].contains(&code) && !(1007..1015).contains(&code)
        {
            return Err(1002);
        }
        if std::str::from_utf8(reason).is_err() {
            return Err(1007);
        }
        self.answer(0x88, &[*high, *low]);
        Ok(())
    }

    fn answer(&mut self, first: u8, content: &[u8]) {
        self.answers.extend([first, content.len() as u8]);
        self.answers.extend(content);
    }
}

fn check_handshake(bytes: &[u8]) {
    let Ok(Some((request, length))) = parse(bytes) else { return };
    let (head, mut out) = (&bytes[..length], Vec::new());
    let Ok(chosen) = shake(&request, head, &["https://b".to_owned()], &mut out) else {
        assert!(out.is_empty());
        return;
    };
    assert!(request.method == Method::Get && !request.is_http10);
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    for needed in ["upgrade:", "connection:", "websocket", "sec-websocket-key:", "sec-websocket-version:", "=="] {
        assert!(text.contains(needed), "{needed}");
    }
    let host = text.split("\r\nhost:").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or_default().trim();
    let mut origins = text.split("\r\norigin:").skip(1).filter_map(|rest| rest.split("\r\n").next());
    let is_known = |origin: &str| {
        origin.trim() == "https://b"
            || [format!("http://{host}"), format!("https://{host}")].contains(&origin.trim().to_owned())
    };
    assert!(origins.next().is_none_or(is_known) && origins.next().is_none());
    assert!(chosen == Subprotocol::Plain || text.contains(chosen.label()));
    assert!(out.starts_with(b"HTTP/1.1 101 ") && out.ends_with(b"\r\n\r\n"));
    assert_eq!(out.windows(2).filter(|two| two == b"\r\n").count(), if chosen == Subprotocol::Plain { 5 } else { 6 });
}
