//! Somebody at the other end of a telnet connection or a WebSocket of a test's own, who reads what a person would.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::support::{Engine, Folder, PATIENCE};

/// Where people come into an engine.
pub const TELNET: (&str, &str) = ("AQEVIA_TELNET_ADDR", "127.0.0.1:0");

/// The same by a browser.
pub const WEB: (&str, &str) = ("AQEVIA_WEB_ADDR", "127.0.0.1:0");

/// A world in which nobody moves but people. A chest stands in the yard, and twenty coins lie there, each of its own name.
fn quiet_world() -> String {
    let coins: String =
        coins().map(|coin| format!("{coin}: {{ name: \"{coin}\", description: \"Round.\", in: \"yard\" }},")).collect();
    format!(
        r#"{{ id: "quiet", name: "A Quiet World", rooms: {{
            yard: {{ name: "The Yard", description: "Gravel.", exits: {{ north: "barn" }} }},
            barn: {{ name: "The Barn", description: "Straw.", indoors: true, exits: {{ south: "yard" }} }},
        }}, things: {{
            chest: {{ name: "the chest", description: "Oak.", in: "yard", fixed: true, container: true }}, {coins}
        }} }}"#
    )
}

/// The names of the coins. No letter of them is taken for another.
pub fn coins() -> impl Iterator<Item = String> {
    "abcdefghjkmnopqrstuv".chars().map(|letter| format!("coin{letter}"))
}

/// An engine that people can come into.
pub fn host(folder: &Folder, variables: &[(&str, &str)]) -> Engine {
    let world = folder.write("world.json5", quiet_world());
    let own = [TELNET, WEB, ("AQEVIA_WORLD_PATH", world.to_str().unwrap())];
    Engine::start_with(folder, &[&own[..], variables].concat())
}

/// Where it lets them in.
pub fn address(engine: &Engine) -> String {
    engine.told("msg=listening", " telnet=").unwrap()
}

/// Where its page is, as `127.0.0.1:4080`.
pub fn web_address(engine: &Engine) -> String {
    let page = engine.told("msg=listening", " web=").unwrap();
    page.strip_prefix("http://").unwrap().strip_suffix('/').unwrap().to_owned()
}

/// One connection.
pub struct Visitor {
    pub stream: TcpStream,
    /// What was sent to be read and is not looked at yet.
    text: Vec<u8>,
    /// The commands of telnet that came, without what they are about.
    pub commands: Vec<u8>,
    /// The messages of GMCP that came.
    pub messages: Vec<String>,
    /// What came of MSSP, as it was sent.
    pub status: Vec<String>,
    /// The subnegotiation of telnet that has begun: its option and what it says.
    content: Vec<u8>,
    /// With which code a WebSocket was closed.
    pub closed: Option<u16>,
    state: State,
    asked: u32,
}

/// What the next byte is (RFC 854), or what has come of a frame of a WebSocket (RFC 6455 section 5.2).
enum State {
    Text,
    Command,
    Option,
    Content,
    ContentCommand,
    Frame(Vec<u8>),
}

/// A frame as a client sends it: whole, if it is `last`, and masked.
pub fn frame(last: bool, opcode: u8, content: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0xa5, 0x0f, 0xf0];
    let mut frame = vec![u8::from(last) << 7 | opcode];
    match content.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => frame.extend([&[0x80 | 126][..], &(length as u16).to_be_bytes()].concat()),
        length => frame.extend([&[0x80 | 127][..], &(length as u64).to_be_bytes()].concat()),
    }
    frame.extend(mask);
    frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A request for a WebSocket with these fields beside those that it must have.
pub fn handshake(host: &str, fields: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

impl Visitor {
    pub fn connect(engine: &Engine) -> Visitor {
        Visitor::at(&address(engine))
    }

    pub fn at(address: &str) -> Visitor {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (text, commands, messages, status, content, closed) = Default::default();
        Visitor { stream, text, commands, messages, status, content, closed, state: State::Text, asked: 0 }
    }

    /// By a WebSocket, as the page does it.
    pub fn browse(engine: &Engine) -> Visitor {
        let address = web_address(engine);
        Visitor::at(&address).shakes(&address)
    }

    /// Goes over to a WebSocket, as a page of that host does.
    pub fn shakes(mut self, host: &str) -> Visitor {
        let fields = format!("Origin: https://{host}\r\nSec-WebSocket-Protocol: gmcp.mudstandards.org\r\n");
        self.sends(handshake(host, &fields).as_bytes());
        let answer = self.reads_head();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        self
    }

    /// What HTTP answers, to the end of its head; what follows are frames.
    pub fn reads_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        self.state = State::Frame(Vec::new());
        String::from_utf8(head).unwrap()
    }

    /// A new player, who is in. Their password.
    pub fn new_player(engine: &Engine, name: &str) -> (Visitor, String) {
        let mut visitor = Visitor::connect(engine);
        visitor.types(&format!("{name}\r\nyes"));
        visitor.reads(&format!("The password of {name}: "));
        let password = visitor.reads("\r\n").trim_end().to_owned();
        visitor.reads("Exits: ");
        (visitor, password)
    }

    pub fn guest(engine: &Engine) -> Visitor {
        Visitor::connect(engine).comes_in()
    }

    /// Comes in as a guest.
    pub fn comes_in(mut self) -> Visitor {
        self.types("guest");
        self.reads("Exits: ");
        self
    }

    pub fn sends(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn types(&mut self, line: &str) {
        self.try_types(line).unwrap();
    }

    pub fn try_types(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\r\n");
        match self.state {
            State::Frame(_) => self.stream.write_all(&frame(true, 2, line.as_bytes())),
            _ => self.stream.write_all(line.as_bytes()),
        }
    }

    /// Waits until something was sent, and returns what came before it; that is not looked at again.
    pub fn reads(&mut self, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let found = self.text.windows(wanted.len()).position(|text| text == wanted.as_bytes());
            if let Some(at) = found {
                let before = self.text.drain(..at + wanted.len()).take(at).collect();
                return String::from_utf8(before).unwrap();
            }
            // A sign of life is no answer.
            let goes_on = self.receive() && begun.elapsed() < PATIENCE;
            assert!(goes_on, "it ended, and {wanted:?} was not in {}", String::from_utf8_lossy(&self.text));
        }
    }

    /// Waits until a crawler is told what it has asked for, as names and values.
    pub fn reads_status(&mut self) -> Vec<(String, String)> {
        while self.status.is_empty() {
            assert!(self.receive(), "it ended");
        }
        let pair = |pair: &str| pair.split_once('\u{2}').map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.status.remove(0).split('\u{1}').skip(1).map(|part| pair(part).expect("a value")).collect()
    }

    /// What is sent until the end of the connection.
    pub fn reads_to_the_end(&mut self) -> String {
        while self.receive() {}
        String::from_utf8(std::mem::take(&mut self.text)).unwrap()
    }

    /// Types a command and returns what was sent until it was done, as the answer to the next one shows, which is no command.
    pub fn asks(&mut self, line: &str) -> String {
        self.asked += 1;
        let mark = format!("mark{}.", self.asked);
        self.types(line);
        self.types(&mark);
        self.reads(&format!("There is no command `{mark}`"))
    }

    /// Takes what comes; false at the end.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let count = match self.stream.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}, after {}", String::from_utf8_lossy(&self.text)),
        };
        bytes[..count].iter().for_each(|byte| self.take(*byte));
        count > 0
    }

    fn take(&mut self, byte: u8) {
        self.state = match (std::mem::replace(&mut self.state, State::Text), byte) {
            (State::Text, 255) => State::Command,
            (State::Text, _) => {
                self.text.push(byte);
                State::Text
            }
            (State::Command, _) => {
                self.commands.push(byte);
                match byte {
                    250 => State::Content,
                    251..=254 => State::Option,
                    _ => State::Text,
                }
            }
            (State::Option, _) => State::Text,
            (State::ContentCommand, 240) => {
                let content = String::from_utf8(self.content.split_off(1));
                match std::mem::take(&mut self.content)[..] {
                    [201] => self.messages.push(content.unwrap()),
                    [70] => self.status.push(content.unwrap()),
                    _ => (),
                }
                State::Text
            }
            (State::Content, 255) => State::ContentCommand,
            (State::Content | State::ContentCommand, _) => {
                self.content.push(byte);
                State::Content
            }
            (State::Frame(mut frame), _) => {
                frame.push(byte);
                self.take_frame(&frame).then(|| frame.clear());
                State::Frame(frame)
            }
        };
    }

    /// Takes a frame, if it is whole.
    fn take_frame(&mut self, frame: &[u8]) -> bool {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let (head, length) = match frame.get(1) {
            Some(126) if frame.len() >= 4 => (4, number(&frame[2..4])),
            Some(127) if frame.len() >= 10 => (10, number(&frame[2..10])),
            Some(length @ 0..=125) => (2, usize::from(*length)),
            Some(128..) => panic!("a server masks nothing"),
            _ => return false,
        };
        let Some(content) = frame.get(head..).filter(|content| content.len() == length) else { return false };
        match frame[0] {
            0x81 => self.messages.push(String::from_utf8(content.to_vec()).unwrap()),
            0x82 => self.text.extend(content),
            0x88 => self.closed = Some(number(&content[..2]) as u16),
            0x89 | 0x8a => (),
            other => panic!("a frame of {other:#x}"),
        }
        true
    }
}
