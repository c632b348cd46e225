//! The vectors of `http/`: what a client sends on one connection, and what it must get. One file each, named after what
//! it probes, in lines:
//!
//! ```text
//! # which rule is probed, and why
//! send GET /health HTTP/1.1\r\n      bytes; the lines follow one another without anything between them
//! repeat 64 X: y\r\n                 the same bytes so many times
//! end                                the client ends its side
//! expect 400 close line_end          an answer: its code, what becomes of the connection, why it was rejected
//! also {"status":"ok"}               bytes that this answer contains
//! expect nothing open                no answer follows, and what has become of the connection
//! ```
//!
//! In bytes, `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` stand for what does not survive every editor. An answer leaves the
//! connection `open`, or says `keep-alive` or `close`; `empty` in place of a reason: it has no body, as for HEAD;
//! `expect 100 times 200 open` is a hundred such answers. Anything else in a file is an error.

use aqevia_engine::http::request::Reject;

use crate::lines::{self, number};

/// One conversation.
pub struct Vector {
    /// The name of its file.
    pub name: String,
    /// What the client sends.
    pub sends: Vec<u8>,
    /// Whether it then ends its side.
    pub ends: bool,
    /// The answers it must get.
    pub answers: Vec<Expected>,
    /// Whether the connection is closed in the end.
    pub closed: bool,
}

/// What an answer must be.
#[derive(Clone)]
pub struct Expected {
    code: u16,
    connection: String,
    empty: bool,
    /// Why the request was rejected, as `/metrics` names it.
    pub reason: Option<String>,
    also: Vec<Vec<u8>>,
}

/// All vectors, in the order of their names.
pub fn all() -> Vec<Vector> {
    lines::all("http", read)
}

/// Reads one vector, or says what is wrong with it.
pub fn read(name: &str, text: &str) -> Result<Vector, String> {
    let mut vector = Vector { name: name.to_owned(), sends: vec![], ends: false, answers: vec![], closed: false };
    let mut over = false;
    lines::each(text, |word, rest| {
        let wrong = |what: &str| Err(what.to_owned());
        match word {
            "#" if vector.sends.is_empty() && vector.answers.is_empty() => (),
            "send" | "repeat" if vector.ends || !vector.answers.is_empty() || over => return wrong("too late"),
            "send" => vector.sends.extend(bytes(rest)?),
            "repeat" => {
                let (count, text) = rest.split_once(' ').ok_or("repeat what?")?;
                vector.sends.extend(bytes(text)?.repeat(number(count)?));
            }
            "end" if rest.is_empty() && !vector.ends => vector.ends = true,
            "expect" if over || vector.closed => return wrong("nothing can follow the end of the connection"),
            "expect" if rest == "nothing open" => over = true,
            "expect" if rest == "nothing close" => (vector.closed, over) = (true, true),
            "expect" => {
                let (count, answer) = rest.split_once(" times ").unwrap_or(("1", rest));
                vector.answers.extend(vec![Expected::read(answer)?; number(count)?]);
            }
            "also" if !over => vector.answers.last_mut().ok_or("also to what?")?.also.push(bytes(rest)?),
            _ => return wrong("unknown"),
        }
        vector.closed |= vector.answers.last().is_some_and(|answer| answer.connection == "close");
        Ok(())
    })?;
    let expects = over || !vector.answers.is_empty();
    if expects { Ok(vector) } else { Err("it expects nothing at all".to_owned()) }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (byte, after) = lines::byte(rest)?;
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes)
}

impl Expected {
    fn read(text: &str) -> Result<Expected, String> {
        let mut words = text.split(' ');
        let code = number(words.next().unwrap_or_default())?;
        let connection = words.next().filter(|word| ["open", "keep-alive", "close"].contains(word));
        let connection = connection.ok_or("open, keep-alive or close?")?.to_owned();
        let (note, empty) = (words.next(), text.ends_with(" empty"));
        let reason = note.filter(|_| !empty).map(str::to_owned);
        let is_known = |reason: &String| Reject::ALL.iter().any(|reject| reject.label() == reason);
        if words.next().is_some() || !reason.iter().all(is_known) {
            return Err(format!("no reason for a rejection: {text}"));
        }
        Ok(Expected { code, connection, empty, reason, also: vec![] })
    }

    /// Takes this answer off the beginning of `bytes`, and returns what is left.
    fn take<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Err("no answer".into()) };
        let head = str::from_utf8(&bytes[..at]).map_err(|error| error.to_string())?;
        let (status, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        if !status.starts_with(&format!("HTTP/1.1 {} ", self.code)) {
            return Err(format!("not {}", self.code));
        }
        let values = |name: &str| -> Vec<&str> {
            fields.split("\r\n").filter_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).collect()
        };
        // RFC 9110 section 8.6: a 204 has none.
        let has_content = self.code != 204;
        let length: usize = match values("Content-Length")[..] {
            [length] if has_content => {
                if self.empty {
                    0
                } else {
                    number(length)?
                }
            }
            [] if !has_content => 0,
            _ => return Err("not one Content-Length".into()),
        };
        let body = bytes[at + 4..].get(..length).ok_or("the body is cut short")?;
        let is_error = self.code >= 400;
        let connection = if self.connection == "open" { vec![] } else { vec![self.connection.as_str()] };
        for (what, holds) in [
            ("Connection", values("Connection") == connection),
            ("Date", values("Date").len() == 1),
            ("Content-Type", values("Content-Type").len() == usize::from(has_content)),
            ("Cache-Control", values("Cache-Control") == ["no-store"]),
            ("X-Content-Type-Options", values("X-Content-Type-Options") == ["nosniff"]),
            ("Allow", (values("Allow") == ["GET, HEAD, OPTIONS"]) == matches!(self.code, 204 | 405)),
            ("the body of an error", self.empty || body.starts_with(b"{\"error\":\"") == is_error),
        ] {
            if !holds {
                return Err(format!("{what} is not as it should be"));
            }
        }
        let is_body_of = |reject: &Reject| body == format!("{{\"error\":\"{}\"}}", reject.answer().1).as_bytes();
        let reason = Reject::ALL.iter().copied().find(is_body_of).map(Reject::label);
        if reason != self.reason.as_deref() {
            return Err(format!("the reason is {reason:?}, not {:?}", self.reason));
        }
        let (answer, rest) = bytes.split_at(at + 4 + length);
        let missing = self.also.iter().find(|also| !answer.windows(also.len()).any(|part| part == *also));
        missing.map_or(Ok(rest), |missing| Err(format!("without {}", missing.escape_ascii())))
    }
}

impl Vector {
    /// Whether these are the answers that the vector expects, and no others, and the connection has become what it
    /// expects; what is wrong with them otherwise.
    pub fn judge(&self, answers: &[u8], closed: bool) -> Result<(), String> {
        let fail = |what: String, rest: &[u8]| {
            let shown = &rest[..rest.len().min(600)];
            Err(format!("{}: {what}, in\n{}", self.name, String::from_utf8_lossy(shown)))
        };
        let mut rest = answers;
        for (index, expected) in self.answers.iter().enumerate() {
            match expected.take(rest) {
                Ok(left) => rest = left,
                Err(what) => return fail(format!("answer {}: {what}", index + 1), rest),
            }
        }
        if !rest.is_empty() {
            return fail("more than the vector expects".to_owned(), rest);
        }
        if closed != self.closed {
            return fail(format!("the connection is {}", if closed { "closed" } else { "open" }), answers);
        }
        Ok(())
    }
}
