//! What both sides agree on, and what a client tells of itself in doing so.
//!
//! `OFFERS` is all that is ever offered; everything else is refused, once. What has been said of an option is a state
//! (RFC 1143), so nothing is answered twice, and all answers to a client together are bounded, whatever it says.

use crate::limits::TERMINAL_NAMES_MAX;
use crate::session::terminal::{Colours, Messages, Terminal, clean};

use super::command::{DO, DONT, IAC, SB, SE, WILL, WONT};

const SUPPRESS_GO_AHEAD: u8 = 3;
const TERMINAL_TYPE: u8 = 24;
/// RFC 885: the end of a prompt has a mark of its own.
pub const END_OF_RECORD: u8 = 25;
const WINDOW_SIZE: u8 = 31;
const NEW_ENVIRON: u8 = 39;
const CHARSET: u8 = 42;
/// What kind of server this is, for crawlers.
pub const MSSP: u8 = 70;
/// Messages beside the text.
pub const GMCP: u8 = 201;

/// The first byte of what is told in RFC 1091 and RFC 1572.
const IS: u8 = 0;
const INFO: u8 = 2;
/// Of RFC 1572.
const VAR: u8 = 0;
const VALUE: u8 = 1;
const ESCAPE: u8 = 2;
const USERVAR: u8 = 3;
/// Of RFC 2066.
const REQUEST: u8 = 1;
const ACCEPTED: u8 = 2;
const REJECTED: u8 = 3;
/// Asks for the (next) name of the terminal.
const SEND_NAME: &[u8] = b"\x01";

/// An option that is offered.
struct Offer {
    option: u8,
    /// WILL, if it is something that is done on this side; DO, if the client is to do it.
    verb: u8,
    /// The subnegotiation that follows when both agree, if it is not empty. Holds no 255.
    opening: &'static [u8],
    /// What is made of a subnegotiation of the client.
    told: fn(&mut Options, &[u8], &mut Vec<u8>),
}

const OFFERS: [Offer; 7] = [
    Offer { option: TERMINAL_TYPE, verb: DO, opening: SEND_NAME, told: Options::name_told },
    Offer { option: WINDOW_SIZE, verb: DO, opening: b"", told: Options::size_told },
    Offer {
        option: NEW_ENVIRON,
        verb: DO,
        // Clients keep these among the one kind of variables or the other. Others would tell more than anybody asked for.
        opening: b"\x01\x00CHARSET\x00MTTS\x03CHARSET\x03MTTS\x03SCREEN_READER\x03WORD_WRAP",
        told: Options::environment_told,
    },
    Offer { option: CHARSET, verb: WILL, opening: b"\x01;UTF-8", told: Options::charset_told },
    Offer { option: END_OF_RECORD, verb: WILL, opening: b"", told: |_, _, _| () },
    Offer { option: MSSP, verb: WILL, opening: b"", told: |_, _, _| () },
    // What it tells is for the session.
    Offer { option: GMCP, verb: WILL, opening: b"", told: |_, _, _| () },
];

/// What has been said of an offered option. There is no state for one that this side is about to end: it never does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Offered, and not answered yet.
    #[default]
    Offered,
    /// Refused by the client, which may think better of it once.
    Refused,
    /// Agreed on.
    On,
    /// Over for good.
    Over,
}

/// What has been agreed on with one client, and what it has told.
#[derive(Default)]
pub struct Options {
    states: [State; OFFERS.len()],
    /// What this side will not do, and what the client is not to do: a bit for each option that was refused already.
    refused: [[u8; 32]; 2],
    /// Whether the client wants no GO AHEAD after a prompt (RFC 858). It is refused and heeded all the same: clients take
    /// it together with ECHO for the wish to send each letter by itself.
    pub no_go_ahead: bool,
    pub terminal: Terminal,
    /// Whether the client has answered anything. One that never does is a plain terminal, and such are UTF-8 today.
    has_answered: bool,
    /// Whether it has agreed to UTF-8, otherwise than by MTTS.
    has_charset: bool,
    /// Whether it has told its size, which is more than how it likes to wrap.
    has_size: bool,
    names: usize,
    last_name: String,
}

impl Options {
    /// Makes all offers, once for a connection.
    pub fn offer(out: &mut Vec<u8>) -> Options {
        OFFERS.iter().for_each(|offer| out.extend([IAC, offer.verb, offer.option]));
        Options::default()
    }

    /// Takes WILL, WONT, DO or DONT.
    pub fn negotiate(&mut self, verb: u8, option: u8, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_answered, true) {
            self.terminal.utf8 = false;
        }
        let (yes, no) = if matches!(verb, DO | DONT) { (WILL, WONT) } else { (DO, DONT) };
        let agrees = matches!(verb, DO | WILL);
        if (yes, option) == (WILL, SUPPRESS_GO_AHEAD) {
            self.no_go_ahead = agrees;
        }
        let row = OFFERS.iter().position(|offer| (offer.verb, offer.option) == (yes, option));
        let before = row.map_or(State::Over, |row| self.states[row]);
        let (after, answer) = match (before, agrees) {
            (State::Offered, true) => (State::On, None),
            (State::Offered, false) => (State::Refused, None),
            (State::Refused, true) => (State::On, Some(yes)),
            (State::On, false) => (State::Over, Some(no)),
            (State::Over, true) => (State::Over, self.refuse(yes, option).then_some(no)),
            (State::On, true) | (State::Refused | State::Over, false) => (before, None),
        };
        out.extend(answer.map(|answer| [IAC, answer, option]).into_iter().flatten());
        if let Some(row) = row {
            self.states[row] = after;
            if after == State::On && before != State::On && !OFFERS[row].opening.is_empty() {
                subnegotiate(option, OFFERS[row].opening, out);
            }
        }
        self.terminal.gmcp = if self.is_on(GMCP) { Messages::Named } else { Messages::None };
        self.terminal.mssp = self.is_on(MSSP);
    }

    /// Whether this is to be refused: only the first time. `yes` says which side is asked for it.
    pub fn refuse(&mut self, yes: u8, option: u8) -> bool {
        let refused = &mut self.refused[usize::from(yes == DO)][usize::from(option / 8)];
        let bit = 1 << (option % 8);
        let is_first = *refused & bit == 0;
        *refused |= bit;
        is_first
    }

    /// Whether both sides have agreed on an offered option.
    pub fn is_on(&self, option: u8) -> bool {
        OFFERS.iter().zip(self.states).any(|(offer, state)| offer.option == option && state == State::On)
    }

    /// Takes a subnegotiation of an option that is on.
    pub fn told(&mut self, option: u8, what: &[u8], out: &mut Vec<u8>) {
        if let Some(offer) = OFFERS.iter().find(|offer| offer.option == option) {
            (offer.told)(self, what, out);
        }
    }

    /// RFC 1091. A client says its own name, then that of the terminal it imitates, then what it can do; or the same
    /// again and again.
    fn name_told(&mut self, what: &[u8], out: &mut Vec<u8>) {
        let [IS, name @ ..] = what else { return };
        let name = clean(name);
        if let Some(bits) = name.strip_prefix("MTTS") {
            self.capabilities_told(bits);
        } else {
            self.terminal.colours = self.terminal.colours.max(colours_of(&name));
        }
        if self.names == 0 {
            self.terminal.client.clone_from(&name);
            self.terminal.utf8 |= is_screen(&name);
        }
        self.names += usize::from(self.names < TERMINAL_NAMES_MAX);
        if self.names < TERMINAL_NAMES_MAX && self.last_name != name {
            subnegotiate(TERMINAL_TYPE, SEND_NAME, out);
            self.last_name = name;
        }
    }

    /// MTTS, a number of bits; what is no number tells nothing.
    fn capabilities_told(&mut self, bits: &str) {
        let Ok(bits) = bits.trim().parse::<u64>() else { return };
        self.terminal.utf8 = self.has_charset || bits & 4 != 0;
        self.terminal.screen_reader |= bits & 64 != 0;
        self.terminal.colours = match bits {
            _ if bits & (8 | 256) != 0 => Colours::Many,
            _ if bits & 1 != 0 => Colours::Sixteen,
            _ => Colours::None,
        };
    }

    /// RFC 1073: columns, then rows.
    fn size_told(&mut self, what: &[u8], _: &mut Vec<u8>) {
        if let [high, low, _, _] = what {
            let columns = u16::from_be_bytes([*high, *low]);
            self.has_size = columns > 0;
            self.terminal.set_width(columns);
        }
    }

    /// RFC 1572: variables and their values, told when asked or whenever they change.
    fn environment_told(&mut self, what: &[u8], _: &mut Vec<u8>) {
        let [IS | INFO, what @ ..] = what else { return };
        let (mut name, mut value): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
        let mut bytes = what.iter().chain(&[VAR]);
        while let Some(byte) = bytes.next() {
            match *byte {
                // A variable without a value is one that is not there.
                VAR | USERVAR => {
                    if let Some(value) = value.take() {
                        self.variable_told(&name, &clean(&value));
                    }
                    name.clear();
                }
                VALUE => value = Some(Vec::new()),
                byte => {
                    let literal = if byte == ESCAPE { bytes.next().copied() } else { Some(byte) };
                    value.as_mut().unwrap_or(&mut name).extend(literal);
                }
            }
        }
    }

    fn variable_told(&mut self, name: &[u8], value: &str) {
        match name {
            b"CHARSET" if value.eq_ignore_ascii_case("UTF-8") => self.agree_to_utf8(),
            b"MTTS" => self.capabilities_told(value),
            b"SCREEN_READER" => self.terminal.screen_reader = !matches!(value, "" | "0"),
            b"WORD_WRAP" if !self.has_size => self.terminal.set_width(value.parse().unwrap_or(0)),
            _ => (),
        }
    }

    /// RFC 2066. A client that asks as well is told that the question of this side is the one that counts.
    fn charset_told(&mut self, what: &[u8], out: &mut Vec<u8>) {
        match what {
            // TinTin++ puts a separator before the name.
            [ACCEPTED, name @ ..] if clean(name).trim_start_matches(';').eq_ignore_ascii_case("UTF-8") => {
                self.agree_to_utf8();
            }
            [REQUEST, ..] if self.refuse(DO, CHARSET) => subnegotiate(CHARSET, &[REJECTED], out),
            _ => (),
        }
    }

    fn agree_to_utf8(&mut self) {
        (self.has_charset, self.terminal.utf8) = (true, true);
    }
}

/// A subnegotiation of what holds no 255.
pub fn subnegotiate(option: u8, what: &[u8], out: &mut Vec<u8>) {
    out.extend([IAC, SB, option]);
    out.extend(what);
    out.extend([IAC, SE]);
}

/// Whether somebody sits at a plain terminal of today, whose telnet client tells what TERM says.
fn is_screen(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let screens =
        ["xterm", "screen", "tmux", "linux", "rxvt", "konsole", "gnome", "alacritty", "foot", "kitty", "putty"];
    screens.iter().any(|screen| name.starts_with(screen))
}

/// The colours that the name of a terminal speaks of.
fn colours_of(name: &str) -> Colours {
    let capitals = name.to_ascii_uppercase();
    if capitals.contains("256COLOR") || capitals.contains("TRUECOLOR") {
        Colours::Many
    } else if capitals.starts_with("ANSI") || is_screen(name) {
        Colours::Sixteen
    } else {
        Colours::None
    }
}
