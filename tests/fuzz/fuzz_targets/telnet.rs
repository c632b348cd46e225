//! Telnet: whatever bytes come, how they were cut makes no difference; what is answered is bounded, lines are text and no
//! longer than the limit, and of bytes without commands a second reading, written in another way, finds the same lines.
#![no_main]

use aqevia_engine::limits::{
    CLIENT_NAME_BYTES_MAX, INPUT_LINE_BYTES_MAX, SUBNEGOTIATION_BYTES_MAX, TERMINAL_COLUMNS_MIN,
};
use aqevia_engine::session::terminal::{Terminal, ascii};
use aqevia_engine::telnet::{Event, Telnet};
use libfuzzer_sys::fuzz_target;

/// All that a client can make this side say, ARE YOU THERE aside.
const ANSWERS_BYTES_MAX: usize = 2_048;
const HERE_BYTES: usize = 9;

fuzz_target!(|bytes: &[u8]| {
    let whole = converse([bytes]);
    let asked = whole.events.iter().filter(|event| *event == "asked").count();
    assert!(whole.answers.len() <= ANSWERS_BYTES_MAX + HERE_BYTES * asked && 2 * asked <= bytes.len());
    assert!(converse(bytes.chunks(1)) == whole);
    // The first byte also says where to cut.
    let size = usize::from(bytes.first().copied().unwrap_or(0)) + 2;
    assert!(converse(bytes.chunks(size)) == whole);
    let acts = |byte: &u8| matches!(byte, 0x08 | 0x1b | 0x7f | 255);
    if !bytes.iter().any(acts) && !bytes.windows(2).any(|two| two == b"\xc2\x9b") {
        check_plain(bytes, &whole);
    }
});

#[derive(PartialEq)]
struct Outcome {
    answers: Vec<u8>,
    events: Vec<String>,
    terminal: Terminal,
    is_over: bool,
}

fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut answers, mut events, mut secret) = (Vec::new(), Vec::new(), Vec::new());
    let mut telnet = Telnet::new(&mut answers);
    let mut is_over = false;
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = answers.len();
            let (taken, event) = telnet.next(piece, &mut answers);
            assert!((1..=piece.len()).contains(&taken) && (taken == piece.len() || event.is_some()));
            assert!(!is_over || event.is_none() && answers.len() == before);
            match event {
                Some(Event::Line(text)) => events.push(check_line(text)),
                Some(Event::CutLine(text)) => {
                    assert!(text.len() + 4 > INPUT_LINE_BYTES_MAX);
                    events.push(check_line(text) + "...");
                }
                Some(Event::Message { package, json }) => {
                    assert!(package.len() + json.len() <= SUBNEGOTIATION_BYTES_MAX && !package.contains(' '));
                    events.push(format!("message {package} {json}"));
                }
                Some(Event::AreYouThere) => events.push("asked".to_owned()),
                Some(Event::Terminal) => events.push("terminal".to_owned()),
                Some(Event::Foreign) => is_over = true,
                None => (),
            }
            piece = &piece[taken..];
        }
    }
    for hidden in [true, true, false, false] {
        telnet.secret(hidden, &mut secret);
    }
    assert_eq!(secret, [255, 251, 1, 255, 252, 1]);
    let terminal = telnet.terminal().clone();
    // Neither messages nor what crawlers are told can be ended from inside.
    let (mut message, mut status) = (Vec::new(), Vec::new());
    let text: String = events.iter().map(String::as_str).collect();
    telnet.message("A", &text, &mut message);
    telnet.status(&[("A", text)], &mut status);
    let ends = |told: &[u8]| told.iter().filter(|byte| **byte == 255).count() == 2 && told.ends_with(&[255, 240]);
    assert!(ends(&message) && ends(&status) && status.iter().filter(|byte| matches!(byte, 1 | 2)).count() == 2);
    assert!(terminal.width >= TERMINAL_COLUMNS_MIN && terminal.client.len() <= CLIENT_NAME_BYTES_MAX);
    assert!(terminal.client.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    Outcome { answers, events, terminal, is_over }
}

fn check_line(text: &str) -> String {
    assert!(text.len() <= INPUT_LINE_BYTES_MAX && !text.contains(char::is_control));
    assert!(ascii(text).is_ascii());
    format!("line {text}")
}

/// Reads bytes without commands, sequences and backspaces once more: first all of it into lines, then each into text.
fn check_plain(bytes: &[u8], outcome: &Outcome) {
    let ends = |(at, byte): (usize, &u8)| match byte {
        b'\r' => Some(at),
        b'\n' if at == 0 || bytes[at - 1] != b'\r' => Some(at),
        _ => None,
    };
    let (mut begin, mut lines) = (0, Vec::new());
    for end in bytes.iter().enumerate().filter_map(ends) {
        let (mut text, mut is_cut) = (String::new(), false);
        let unseen = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        let dropped = |c: &char| c.is_control() && *c != '\t' || unseen(*c) || matches!(c, '\u{61c}' | '\u{feff}');
        for chunk in bytes[begin..end].utf8_chunks() {
            for c in chunk.valid().chars().filter(|c| !dropped(c)) {
                is_cut |= text.len() + c.len_utf8() > INPUT_LINE_BYTES_MAX;
                if !is_cut {
                    text.push(if c == '\t' { ' ' } else { c });
                }
            }
        }
        lines.push(format!("line {text}{}", if is_cut { "..." } else { "" }));
        begin = end + 1;
    }
    // Who speaks another protocol shows it in the first line, and is not heard.
    assert!(outcome.events == lines || outcome.is_over && outcome.events.is_empty());
}
