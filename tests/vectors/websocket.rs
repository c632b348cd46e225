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

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aqevia_engine::web::handshake::Subprotocol;
use aqevia_engine::web::{Event, Socket};

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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/websocket");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        read(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    files.iter().map(read).collect()
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
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}: {line}", index + 1));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if index == 0 && word != "#" {
            return wrong("a vector opens with what it probes");
        }
        if line.trim() != line || !line.chars().all(|c| matches!(c, ' '..='~')) {
            return wrong("white space at an end, or no plain ASCII");
        }
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
            "frame" | "part" | "send" => sends.extend(sent(line, mask)?),
            "repeat" => {
                let (count, what) = rest.split_once(' ').ok_or("how often what?")?;
                sends.extend(sent(what, mask)?.repeat(number(count)?));
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
    }
    if sends.is_empty() {
        Err("it sends nothing".to_owned())
    } else {
        Ok(Vector { name: name.to_owned(), subprotocol, sends, outcome })
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("no number: {text}"))
}

fn sent(line: &str, mask: [u8; 4]) -> Result<Vec<u8>, String> {
    let (word, rest) = line.split_once(' ').ok_or("send what?")?;
    if word == "send" {
        return bytes(rest);
    }
    let (kind, content) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "frame" | "part" => frame(kind, word == "frame", Some(mask), &bytes(content)?),
        _ => Err(format!("unknown: {line}")),
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
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '<' => {
                let end = rest.find('>').ok_or_else(|| format!("no end of < in {text}"))?;
                let (count, what) = rest[1..end].split_once(' ').ok_or_else(|| format!("how often what? {text}"))?;
                found.extend(bytes(what)?.repeat(number(count)?));
                end + 1
            }
            '\\' if rest.starts_with("\\x") => {
                let digits = rest.get(2..4).unwrap_or_default();
                found.push(u8::from_str_radix(digits, 16).map_err(|_| format!("no \\xNN in {text}"))?);
                4
            }
            '\\' => {
                let known =
                    rest.as_bytes().get(1).and_then(|escaped| b"rnt0\\<".iter().position(|known| known == escaped));
                found.push(b"\r\n\t\0\\<"[known.ok_or_else(|| format!("an unknown escape in {text}"))?]);
                2
            }
            first => {
                found.push(first as u8);
                1
            }
        };
        rest = &rest[length..];
    }
    Ok(found)
}
