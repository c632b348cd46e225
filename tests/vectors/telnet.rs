//! The vectors of `telnet/`: what a client sends on one connection after the offers, what it is answered, and what comes
//! of it. One file each, named after the client or the trouble that it stands for, in lines:
//!
//! ```text
//! # what is probed, and why
//! send <WILL TTYPE>look\r\n       bytes; the lines follow one another without anything between them
//! repeat 64 <AYT>                 the same bytes so many times
//! answer <SB TTYPE SEND SE>       bytes that come back, all such lines together and nothing else
//! line look                       an event: a line
//! cut 1024 a                      an event: a line that was cut, after so many times these bytes
//! gmcp Core.Hello {}              an event: a message of GMCP, its package and what it says
//! here                            an event: somebody asked whether anybody is there, and was answered
//! foreign                         an event: this is no player
//! terminal 80 none utf8 NAME      the facts in the end: columns, colours, letters, perhaps `aloud`, `gmcp` and `mssp`, if that
//!                                 was agreed on, perhaps a name
//! ```
//!
//! In bytes, `\r`, `\n`, `\t`, `\0`, `\\`, `\<` and `\xNN` stand for what does not survive every editor, and between `<` and
//! `>` stand telnet's words and numbers. Anything else in a file is an error.

use aqevia_engine::session::terminal::{Colours, Messages, Terminal};
use aqevia_engine::telnet::{Event, Telnet};

use crate::lines::{self, number};

/// One conversation.
pub struct Vector {
    /// The name of its file.
    pub name: String,
    /// What the client sends.
    pub sends: Vec<u8>,
    /// What it must come to.
    pub outcome: Outcome,
}

/// What a conversation comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The bytes that come back, after the offers.
    pub answers: Vec<u8>,
    /// What happens, changes of the terminal aside.
    pub events: Vec<Happened>,
    /// What is known of the terminal in the end.
    pub terminal: Terminal,
}

/// An event that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    Line(String),
    CutLine(String),
    Message(String, String),
    AreYouThere,
    Foreign,
}

/// All vectors, in the order of their names.
pub fn all() -> Vec<Vector> {
    lines::all("telnet", read)
}

/// What comes of bytes that are sent in these pieces. Whether each change of the terminal was told is seen on the way.
pub fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut answers = Vec::new();
    let mut telnet = Telnet::new(&mut answers);
    answers.clear();
    let (mut events, mut known) = (Vec::new(), telnet.terminal().clone());
    for mut piece in pieces {
        while !piece.is_empty() {
            let (taken, event) = telnet.next(piece, &mut answers);
            let is_told = event == Some(Event::Terminal);
            assert!(taken == piece.len() || event.is_some());
            events.extend(event.and_then(|event| match event {
                Event::Line(text) => Some(Happened::Line(text.to_owned())),
                Event::CutLine(text) => Some(Happened::CutLine(text.to_owned())),
                Event::Message { package, json } => Some(Happened::Message(package.to_owned(), json.to_owned())),
                Event::AreYouThere => Some(Happened::AreYouThere),
                Event::Terminal => None,
                Event::Foreign => Some(Happened::Foreign),
            }));
            assert_eq!(*telnet.terminal() != known, is_told);
            known = telnet.terminal().clone();
            piece = &piece[taken..];
        }
    }
    Outcome { answers, events, terminal: known }
}

/// Reads one vector, or says what is wrong with it.
pub fn read(name: &str, text: &str) -> Result<Vector, String> {
    let (mut sends, mut answers, mut events, mut terminal) = (vec![], vec![], vec![], None);
    lines::each(text, |word, rest| {
        let wrong = |what: &str| Err(what.to_owned());
        let repeated = || {
            let (count, what) = rest.split_once(' ').ok_or("how often what?")?;
            Ok::<_, String>(bytes(what)?.repeat(number(count)?))
        };
        let has_answers = !answers.is_empty() || !events.is_empty() || terminal.is_some();
        let said = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| error.to_string());
        match word {
            "#" if sends.is_empty() => (),
            "send" | "repeat" if has_answers => return wrong("too late"),
            "send" => sends.extend(bytes(rest)?),
            "repeat" => sends.extend(repeated()?),
            "answer" => answers.extend(bytes(rest)?),
            "line" => events.push(Happened::Line(said(bytes(rest)?)?)),
            "cut" => events.push(Happened::CutLine(said(repeated()?)?)),
            "gmcp" => {
                let text = said(bytes(rest)?)?;
                let (package, json) = text.split_once(' ').unwrap_or((&text, ""));
                events.push(Happened::Message(package.to_owned(), json.to_owned()));
            }
            "here" if rest.is_empty() => events.push(Happened::AreYouThere),
            "foreign" if rest.is_empty() => events.push(Happened::Foreign),
            "terminal" if terminal.is_none() => terminal = Some(facts(rest)?),
            _ => return wrong("unknown"),
        }
        Ok(())
    })?;
    let terminal = terminal.ok_or("what is known in the end?")?;
    Ok(Vector { name: name.to_owned(), sends, outcome: Outcome { answers, events, terminal } })
}

fn facts(text: &str) -> Result<Terminal, String> {
    let (width, rest) = text.split_once(' ').ok_or("a terminal without colours")?;
    let (colours, rest) = rest.split_once(' ').ok_or("a terminal without letters")?;
    let colours = match colours {
        "none" => Colours::None,
        "sixteen" => Colours::Sixteen,
        "many" => Colours::Many,
        _ => return Err(format!("no colours: {colours}")),
    };
    let (letters, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if !["ascii", "utf8"].contains(&letters) {
        return Err(format!("no letters: {letters}"));
    }
    let mut rest = rest;
    let [screen_reader, has_gmcp, mssp] = ["aloud", "gmcp", "mssp"].map(|word| match rest.strip_prefix(word) {
        Some(after) if after.is_empty() || after.starts_with(' ') => {
            rest = after.trim_start();
            true
        }
        _ => false,
    });
    let gmcp = if has_gmcp { Messages::Named } else { Messages::None };
    let (utf8, client) = (letters == "utf8", rest.to_owned());
    Ok(Terminal { width: number(width)?, colours, utf8, screen_reader, gmcp, mssp, client })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = match (rest.strip_prefix('<'), rest.strip_prefix("\\<")) {
            (None, Some(after)) => {
                bytes.push(b'<');
                after
            }
            (Some(words), _) => {
                let (words, after) = words.split_once('>').ok_or_else(|| format!("no end of < in {text}"))?;
                for word in words.split(' ') {
                    bytes.extend(telnet_word(word)?);
                }
                after
            }
            (None, None) => {
                let (byte, after) = lines::byte(rest)?;
                bytes.push(byte);
                after
            }
        };
    }
    Ok(bytes)
}

/// A word of the RFCs. A command brings its IAC along.
fn telnet_word(word: &str) -> Result<Vec<u8>, String> {
    let command =
        ["EOR", "SE", "NOP", "DM", "BRK", "IP", "AO", "AYT", "EC", "EL", "GA", "SB", "WILL", "WONT", "DO", "DONT"];
    if let Some(place) = command.iter().position(|known| *known == word) {
        return Ok(vec![255, 239 + place as u8]);
    }
    let byte = match word {
        "BINARY" | "IS" | "VAR" => 0,
        "ECHO" | "SEND" | "VALUE" | "REQUEST" => 1,
        "INFO" | "ESC" | "ACCEPTED" => 2,
        "SGA" | "USERVAR" | "REJECTED" => 3,
        "STATUS" => 5,
        "TIMING-MARK" => 6,
        "TTYPE" => 24,
        "END-OF-RECORD" => 25,
        "NAWS" => 31,
        "TSPEED" => 32,
        "LFLOW" => 33,
        "LINEMODE" => 34,
        "XDISPLOC" => 35,
        "NEW-ENVIRON" => 39,
        "CHARSET" => 42,
        "MSDP" => 69,
        "MSSP" => 70,
        "MCCP2" => 86,
        "MSP" => 90,
        "MXP" => 91,
        "GMCP" => 201,
        "IAC" => 255,
        number => number.parse().map_err(|_| format!("no word of telnet: {word}"))?,
    };
    Ok(vec![byte])
}
