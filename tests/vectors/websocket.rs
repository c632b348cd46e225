//! The vectors of `websocket/`: what a client sends on one WebSocket after the handshake, what it is answered, and what
//! comes of it. One file each, named after the rule that it probes, in lines:
//!
//! ```text
//! # what is probed, and why
//! as gmcp                         what the handshake has come to, if not plain: terminal, gmcp
//! mask 00 00 00 00                the mask of the frames that follow, if not the one of the RFC's examples
//! frame text look                 a frame: its kind or number, and what it holds
//! part text lo                    the same, not the last one of its message
//! send \x81\x80                   bytes, whatever they are; the lines follow one another without anything between them
//! repeat 64 frame ping            any of these so many times
//! answer pong hello               a frame that comes back, all such lines together and nothing else
//! answer close 1002               the last one: a code, or none
//! line look                       an event: a line
//! cut <1024 a>                    an event: a line that was cut
//! gmcp Core.Hello {}              an event: a message of GMCP, its package and what it says
//! nothing 2                       so many events: a frame that says nothing by itself
//! closed                          an event: the end
//! ```
//!
//! In bytes, `\r`, `\n`, `\t`, `\0`, `\\`, `\<` and `\xNN` stand for what does not survive every editor, and `<64 ab>` for
//! `ab` so many times. Anything else in a file is an error.

use aqevia_engine::web::handshake::Subprotocol;
use aqevia_engine::web::{Event, Socket};

use crate::lines::{self, number};

/// One conversation.
pub struct Vector {
    /// The name of its file.
    pub name: String,
    /// What the handshake has come to.
    pub subprotocol: Subprotocol,
    /// What the client sends.
    pub sends: Vec<u8>,
    /// What it must come to.
    pub outcome: Outcome,
}

/// What a conversation comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The bytes that come back.
    pub answers: Vec<u8>,
    /// What happens.
    pub events: Vec<Happened>,
}

/// An event that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    Line(String),
    CutLine(String),
    Gmcp(String, String),
    Frame,
    Closed,
}

const KINDS: [(&str, u8); 6] =
    [("continuation", 0), ("text", 1), ("binary", 2), ("close", 8), ("ping", 9), ("pong", 10)];

/// All vectors, in the order of their names.
pub fn all() -> Vec<Vector> {
    lines::all("websocket", read)
}

/// What comes of bytes that are sent in these pieces.
pub fn converse<'a>(subprotocol: Subprotocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut socket, mut outcome) = (Socket::new(subprotocol), Outcome::default());
    for mut piece in pieces {
        while !piece.is_empty() {
            let (taken, event) = socket.next(piece, &mut outcome.answers);
            assert!(taken == piece.len() || event.is_some());
            outcome.events.extend(event.map(|event| match event {
                Event::Line(text) => Happened::Line(text.to_owned()),
                Event::CutLine(text) => Happened::CutLine(text.to_owned()),
                Event::Gmcp { package, json } => Happened::Gmcp(package.to_owned(), json.to_owned()),
                Event::Frame => Happened::Frame,
                Event::Closed => Happened::Closed,
            }));
            piece = &piece[taken..];
        }
    }
    outcome
}

/// Reads one vector, or says what is wrong with it.
pub fn read(name: &str, text: &str) -> Result<Vector, String> {
    let (mut subprotocol, mut mask) = (Subprotocol::Plain, [0x37, 0xfa, 0x21, 0x3d]);
    let (mut sends, mut outcome) = (Vec::new(), Outcome::default());
    lines::each(text, |word, rest| {
        let wrong = |what: &str| Err(what.to_owned());
        let said = |text: &str| String::from_utf8(bytes(text)?).map_err(|error| error.to_string());
        let is_over = outcome != Outcome::default();
        match word {
            "#" if sends.is_empty() => (),
            "as" if sends.is_empty() => {
                subprotocol = match rest {
                    "terminal" => Subprotocol::Terminal,
                    "gmcp" => Subprotocol::Gmcp,
                    _ => return wrong("no subprotocol"),
                }
            }
            "mask" => {
                let bytes: Vec<u8> = rest.split(' ').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
                mask = bytes.try_into().map_err(|_| "a mask has four bytes")?;
            }
            "frame" | "part" | "send" | "repeat" if is_over => return wrong("too late"),
            "frame" | "part" | "send" => sends.extend(sent(word, rest, mask)?),
            "repeat" => {
                let (count, what) = rest.split_once(' ').ok_or("how often what?")?;
                let (word, rest) = what.split_once(' ').ok_or("send what?")?;
                sends.extend(sent(word, rest, mask)?.repeat(number(count)?));
            }
            "answer" => {
                let (kind, content) = rest.split_once(' ').unwrap_or((rest, ""));
                let content = match kind {
                    "close" if content.is_empty() => vec![],
                    "close" => number::<u16>(content)?.to_be_bytes().to_vec(),
                    _ => bytes(content)?,
                };
                outcome.answers.extend(frame(kind, true, None, &content)?);
            }
            "line" => outcome.events.push(Happened::Line(said(rest)?)),
            "cut" => outcome.events.push(Happened::CutLine(said(rest)?)),
            "gmcp" => {
                let (package, json) = rest.split_once(' ').unwrap_or((rest, ""));
                outcome.events.push(Happened::Gmcp(said(package)?, said(json)?));
            }
            "nothing" => outcome.events.extend(vec![Happened::Frame; number(rest)?]),
            "closed" if rest.is_empty() => outcome.events.push(Happened::Closed),
            _ => return wrong("unknown"),
        }
        Ok(())
    })?;
    if sends.is_empty() {
        Err("it sends nothing".to_owned())
    } else {
        Ok(Vector { name: name.to_owned(), subprotocol, sends, outcome })
    }
}

fn sent(word: &str, rest: &str, mask: [u8; 4]) -> Result<Vec<u8>, String> {
    if word == "send" {
        return bytes(rest);
    }
    let (kind, content) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "frame" | "part" => frame(kind, word == "frame", Some(mask), &bytes(content)?),
        _ => Err(format!("unknown: {word}")),
    }
}

fn frame(kind: &str, is_last: bool, mask: Option<[u8; 4]>, content: &[u8]) -> Result<Vec<u8>, String> {
    let kind = KINDS.iter().find(|(name, _)| *name == kind).map_or_else(|| number(kind), |(_, code)| Ok(*code))?;
    let masked = if mask.is_some() { 128 } else { 0 };
    let mut bytes = vec![kind + if is_last { 128 } else { 0 }];
    if content.len() < 126 {
        bytes.push(masked + content.len() as u8);
    } else if content.len() < 65_536 {
        bytes.push(masked + 126);
        bytes.extend_from_slice(&(content.len() as u16).to_be_bytes());
    } else {
        bytes.push(masked + 127);
        bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
    }
    bytes.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(content.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    Ok(bytes)
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('<') {
            let (inner, after) = inner.split_once('>').ok_or_else(|| format!("no end of < in {text}"))?;
            let (count, what) = inner.split_once(' ').ok_or_else(|| format!("how often what? {text}"))?;
            found.extend(bytes(what)?.repeat(number(count)?));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\<") {
            found.push(b'<');
            rest = after;
        } else {
            let (byte, after) = lines::byte(rest)?;
            found.push(byte);
            rest = after;
        }
    }
    Ok(found)
}
