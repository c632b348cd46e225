//! Somebody at the other end of a telnet connection of a test's own, who reads what a person would.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::support::{Engine, Folder, PATIENCE};

/// Where people come into an engine.
pub const TELNET: (&str, &str) = ("AQEVIA_TELNET_ADDR", "127.0.0.1:0");

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
    let own = [TELNET, ("AQEVIA_WORLD_PATH", world.to_str().unwrap())];
    Engine::start_with(folder, &[&own[..], variables].concat())
}

/// Where it lets them in.
pub fn address(engine: &Engine) -> String {
    engine.told("msg=listening", " telnet=").unwrap()
}

/// One connection.
pub struct Visitor {
    pub stream: TcpStream,
    /// What was sent to be read and is not looked at yet.
    text: Vec<u8>,
    /// The commands of telnet that came, without what they are about.
    pub commands: Vec<u8>,
    state: State,
    asked: u32,
}

/// What the next byte is (RFC 854).
#[derive(Clone, Copy)]
enum State {
    Text,
    Command,
    Option,
    Content,
    ContentCommand,
}

impl Visitor {
    pub fn connect(engine: &Engine) -> Visitor {
        let stream = TcpStream::connect(address(engine)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Visitor { stream, text: Vec::new(), commands: Vec::new(), state: State::Text, asked: 0 }
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
        let mut visitor = Visitor::connect(engine);
        visitor.types("guest");
        visitor.reads("Exits: ");
        visitor
    }

    pub fn sends(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn types(&mut self, line: &str) {
        self.try_types(line).unwrap();
    }

    pub fn try_types(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())
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
        self.state = match (self.state, byte) {
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
            (State::Option, _) | (State::ContentCommand, 240) => State::Text,
            (State::Content, 255) => State::ContentCommand,
            (State::Content | State::ContentCommand, _) => State::Content,
        };
    }
}
