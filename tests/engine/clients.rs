//! Real clients in a terminal, and the openings of others as they send them: they come in, walk, talk and leave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Engine, Folder, PATIENCE, skip};
use crate::visitor::{Visitor, address, host};

/// Columns and lines of the terminal.
const SIZE: (&str, &str) = ("100", "60");

/// A program in a terminal of its own, which tmux keeps.
struct Terminal {
    folder: Folder,
}

impl Terminal {
    /// Runs a command of the shell there. `None`, and the reason is told, where that cannot be done.
    fn run(program: &str, command: &str) -> Option<Terminal> {
        let terminal = Terminal { folder: Folder::new() };
        for needed in ["tmux", program] {
            if !search_path().split(':').any(|folder| Path::new(folder).join(needed).exists()) {
                skip(&format!("{needed} is not installed, so no player comes by {program}"));
                return None;
            }
        }
        // What it shows at its end stays.
        let command = format!("{command}; exec sleep {}", PATIENCE.as_secs());
        terminal.tmux(&["new-session", "-d", "-x", SIZE.0, "-y", SIZE.1, &command]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_clear().envs([("TERM", "xterm"), ("LANG", "C.UTF-8"), ("PATH", &search_path())]);
        command.env("HOME", self.folder.join("")).arg("-S").arg(self.folder.join("tmux"));
        let output = command.args(["-f", "/dev/null"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Everything that was shown so far.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// Waits until something is shown.
    fn shows(&self, text: &str) -> String {
        let mut screen = String::new();
        let begun = std::time::Instant::now();
        while !screen.contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{text:?} is not shown: {screen}");
            screen = self.screen();
        }
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.folder.join("tmux");
        if socket.exists() {
            let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
        }
    }
}

/// Where programs are, those that Debian calls games too.
fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/games"
}

/// Comes in by a program as somebody new, walks, talks and leaves; then again with the password, which is not to be seen.
fn visit(engine: &Engine, program: &str, command: &str, name: &str, hides: bool) {
    let (mut witness, _) = Visitor::new_player(engine, &format!("{name}watch"));
    witness.asks("north");
    let Some(terminal) = Terminal::run(program, command) else { return };
    terminal.shows("Name:");
    terminal.types(name);
    terminal.shows("Yes or no:");
    terminal.types("yes");
    let screen = terminal.shows("Exits: ");
    let password =
        screen.split(&format!("The password of {name}: ")).nth(1).unwrap().split_whitespace().next().unwrap();
    terminal.types("north");
    terminal.shows("The Barn");
    witness.reads(&format!("{name} arrives.\r\n"));
    terminal.types("say Grüße");
    terminal.shows("You say, \"Grüße\"");
    witness.reads(&format!("{name} says, \"Gr"));
    witness.types("say and to you");
    terminal.shows("and to you\"");
    terminal.types("quit");
    terminal.shows("Goodbye.");
    witness.reads(&format!("{name} leaves the world.\r\n"));

    let terminal = Terminal::run(program, command).unwrap();
    terminal.shows("Name:");
    terminal.types(name);
    terminal.shows("Password:");
    terminal.types(password);
    terminal.shows("The Barn");
    witness.reads(&format!("{name} wakes into the world.\r\n"));
    terminal.types("say again");
    let screen = terminal.shows("You say, \"again\"");
    assert_eq!(screen.contains(password), !hides, "{screen}");
    terminal.types("quit");
    terminal.shows("Goodbye.");
    assert_eq!(engine.get("/health").0, 200);
}

fn open(folder: &Folder) -> (Engine, String) {
    let engine = host(folder, &[]);
    let address = address(&engine).replace(':', " ");
    (engine, address)
}

#[test]
fn by_telnet_one_comes_in_walks_talks_and_leaves() {
    let folder = Folder::new();
    let (engine, address) = open(&folder);
    visit(&engine, "telnet", &format!("telnet {address}"), "Tela", true);
    engine.stop();
}

#[test]
fn by_netcat_one_comes_in_walks_talks_and_leaves() {
    let folder = Folder::new();
    let (engine, address) = open(&folder);
    visit(&engine, "nc", &format!("nc {address}"), "Nessa", false);
    engine.stop();
}

#[test]
fn by_tintin_one_comes_in_walks_talks_and_leaves() {
    let folder = Folder::new();
    let (engine, address) = open(&folder);
    visit(&engine, "tt++", &format!("tt++ -G -e '#session world {address}'"), "Tinka", true);
    engine.logs(" client=TINTIN++");
    engine.stop();
}

/// How TinTin++ is told to use messages, as a player would write it: what it says of itself, that `Room.Info` names the rooms
/// of its map and `Room.WrongDir` takes back a step, and that a trigger reads the text beside them.
const TINTIN_SCRIPT: &str = r#"#event {IAC WILL GMCP} {
    #send {\xFF\xFD\xC9\};
    #send {\xFF\xFA\xC9Core.Hello { "client": "TinTin++", "version": "2.02" \}\xFF\xF0\};
    #send {\xFF\xFA\xC9Core.Supports.Set ["Room 1"]\xFF\xF0\}
}
#event {SESSION CONNECTED} {#map create 100;#map goto 1}
#event {IAC SB GMCP Room.Info IAC SE} {
    #var {info} {%0};
    #map set {roomname} {$info[name]};
    #showme {CAME TO $info[num] BY $info[exits]}
}
#event {IAC SB GMCP Room.WrongDir IAC SE} {#map undo;#showme {NO WAY %0}}
#action {^Exits: %1$} {#showme {WAYS %1}}
"#;

#[test]
fn tintin_draws_a_map_by_messages_and_its_triggers_read_the_text() {
    let folder = Folder::new();
    let (engine, address) = open(&folder);
    let script = folder.write("world.tin", format!("{TINTIN_SCRIPT}#session world {address}\n"));
    let Some(terminal) = Terminal::run("tt++", &format!("tt++ -G {}", script.display())) else { return };
    terminal.shows("Name:");
    terminal.types("guest");
    terminal.shows("CAME TO 1 BY {n}{2}");
    terminal.shows("WAYS north.");
    terminal.types("n");
    terminal.shows("CAME TO 2 BY {s}{1}");
    let screen = terminal.shows("WAYS south.");
    // The message comes first.
    assert!(screen.find("CAME TO 2") < screen.find("Straw."), "{screen}");
    terminal.types("e");
    terminal.shows("NO WAY e");
    terminal.types("s");
    terminal.types("#map list");
    let begun = |line: &&str| line.starts_with("vnum: ");
    let screen = terminal.shows("name: The Barn");
    let rooms: Vec<&str> = screen.lines().filter(begun).map(|line| line.split("name: ").nth(1).unwrap()).collect();
    assert_eq!(rooms, ["The Yard", "The Barn"], "{screen}");
    engine.logs(" client=TINTIN++");
    terminal.types("quit");
    terminal.shows("Goodbye.");
    engine.stop();
}

/// How a client opens.
struct Opening {
    /// What it is called, by telnet or by a message.
    client: &'static str,
    /// What it says of itself once it is asked.
    says: &'static [u8],
    /// By which command prompts end for it.
    mark: u8,
    /// The packages of the messages that it gets.
    packages: &'static [&'static str],
    /// Whether it asks what crawlers do.
    asks: bool,
}

const OPENINGS: [Opening; 7] = [
    Opening {
        client: "MUDLET",
        says: b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\x00\x64\x00\x28\xff\xf0\xff\xfb\x27\xff\xfd\x2a\xff\xfd\x19\xff\xfd\x46\xff\xfd\xc9\
          \xff\xfa\xc9Core.Hello { \"client\": \"Mudlet\", \"version\": \"4.19.1\" }\xff\xf0\
          \xff\xfa\xc9Core.Supports.Set [ \"Char 1\", \"Char.Skills 1\", \"Char.Items 1\", \"Room 1\", \"IRE.Rift 1\" ]\xff\xf0\
          \xff\xfa\x18\x00MUDLET\xff\xf0\xff\xfa\x18\x00ANSI-TRUECOLOR\xff\xf0\xff\xfa\x18\x00MTTS 301\xff\xf0\
          \xff\xfa\x27\x00\x03CHARSET\x01UTF-8\x03MTTS\x01301\x03SCREEN_READER\x010\x03WORD_WRAP\x0190\xff\xf0\
          \xff\xfa\x2a\x02UTF-8\xff\xf0",
        mark: 239,
        packages: &["Char.Items.List", "Char.Name", "Core.Goodbye", "Room.Info", "Room.Players"],
        asks: true,
    },
    Opening {
        client: "BLIGHTMUD",
        says: b"\xff\xfb\x18\xff\xfb\x1f\xff\xfc\x27\xff\xfe\x2a\xff\xfd\x19\xff\xfd\x46\xff\xfd\xc9\xff\xfa\x1f\x00\x78\x00\x32\xff\xf0\
          \xff\xfa\xc9Core.Hello {\"Version\":\"5.3.1\",\"Client\":\"Blightmud\"}\xff\xf0\xff\xfa\xc9Core.Supports.Add [\"Room 1\"]\xff\xf0\
          \xff\xfa\x18\x00BLIGHTMUD\xff\xf0\xff\xfa\x18\x00xterm-256color\xff\xf0\xff\xfa\x18\x00MTTS 271\xff\xf0",
        mark: 239,
        packages: &["Core.Goodbye", "Room.Info", "Room.Players"],
        asks: true,
    },
    Opening {
        client: "TINTIN++",
        says: b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\x00d\x00(\xff\xf0\xff\xfb\x27\xff\xfd\x2a\xff\xfd\x19\
          \xff\xfa\x18\x00TINTIN++\xff\xf0\xff\xfa\x18\x00screen-256color\xff\xf0\xff\xfa\x18\x00MTTS 269\xff\xf0\xff\xfa\x2a\x02 UTF-8\xff\xf0",
        mark: 239,
        packages: &[],
        asks: false,
    },
    Opening {
        client: "mushclient",
        says: b"\xff\xfb\x18\xff\xfc\x1f\xff\xfc\x27\xff\xfe\x2a\xff\xfe\x19\xff\xfe\x46\xff\xfd\xc9\
          \xff\xfa\xc9Core.Hello { \"client\": \"MUSHclient\", \"version\": \"5.06\" }\xff\xf0\
          \xff\xfa\xc9Core.Supports.Set [ \"room.info\", \"char.name\" ]\xff\xf0\
          \xff\xfa\x18\x00mushclient\xff\xf0\xff\xfa\x18\x00ANSI\xff\xf0\xff\xfa\x18\x00MTTS 13\xff\xf0",
        mark: 249,
        packages: &["Char.Name", "Core.Goodbye", "Room.Info"],
        asks: false,
    },
    // Mudlet as the tests of Evennia have it, and one that tells its name by a message alone.
    Opening {
        client: "MUDLET",
        says: b"\xff\xfe\x03\xff\xfb\x1f\xff\xfa\x1f\x00x\x00d\xff\xf0\xff\xfb\x18\xff\xfa\x18\x00MUDLET\xff\xf0\xff\xfa\x18\x00XTERM\xff\xf0\
          \xff\xfa\x18\x00MTTS 141\xff\xf0\xff\xfe\x56\xff\xfe\x46\xff\xfd\x45\xff\xfa\x45\x01LIST\x02COMMANDS\xff\xf0\xff\xfe\x5b",
        mark: 249,
        packages: &[],
        asks: false,
    },
    Opening {
        client: "Handmade",
        says: b"\xff\xfd\xc9\xff\xfd\x2a\xff\xfa\x2a\x02UTF-8\xff\xf0\xff\xfa\xc9core.hello {\"client\":\"Handmade\"}\xff\xf0\
          \xff\xfa\xc9core.supports.set [\"char.name 1\", \"aqevia 1\"]\xff\xf0",
        mark: 249,
        packages: &["Aqevia.Login", "Aqevia.Password", "Char.Name", "Core.Goodbye"],
        asks: false,
    },
    // Nothing but a terminal.
    Opening { client: "", says: b"", mark: 249, packages: &[], asks: false },
];

#[test]
fn with_the_openings_of_real_clients_one_comes_in_walks_talks_and_leaves() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    for (place, Opening { client, says, mark, packages, asks }) in OPENINGS.into_iter().enumerate() {
        let mut visitor = Visitor::connect(&engine);
        // In pieces of any size, as a network cuts them.
        says.chunks(7).for_each(|piece| visitor.sends(piece));
        // Those that log in by themselves do not wait to be asked.
        let name = format!("Visitor{}", char::from(b'a' + place as u8));
        visitor.types(&name);
        visitor.types("yes");
        visitor.reads("Exits: ");
        visitor.asks("north");
        visitor.types("say Grüße an alle");
        visitor.reads("You say, \"Grüße an alle\"");
        visitor.types("quit");
        visitor.reads("Goodbye.");
        visitor.reads_to_the_end();
        let prompts = visitor.commands.iter().filter(|command| [239, 249].contains(*command));
        let marks: Vec<u8> = prompts.copied().collect();
        assert!(marks.contains(&mark), "{client}: {:?}", visitor.commands);
        // Once agreed on, the mark is the same for every prompt.
        let first = marks.iter().position(|other| *other == mark).unwrap();
        assert!(marks[first..].iter().all(|other| *other == mark), "{client}: {marks:?}");
        let told: BTreeSet<&str> = visitor.messages.iter().map(|message| message.split(' ').next().unwrap()).collect();
        assert!(told.iter().eq(packages), "{client}: {told:?}");
        let rooms = visitor.messages.iter().filter(|message| message.starts_with("Room.Info {\"num\":"));
        assert_eq!(rooms.count(), 2 * usize::from(packages.contains(&"Room.Info")), "{client}");
        assert_eq!(visitor.status.len(), usize::from(asks), "{client}");
        let client = if client.is_empty() { String::new() } else { format!(" client={client}") };
        let line = format!("msg=\"a player came in\" name={name} address=127.0.0.1{client}\n");
        engine.logs(&line);
    }
    engine.stop();
}

#[test]
fn crawlers_are_told_what_is_configured_and_nobody_else_notices() {
    let folder = Folder::new();
    let variables =
        [("AQEVIA_TLS_PORT", "4443"), ("AQEVIA_HOSTNAME", "world.example"), ("AQEVIA_CONTACT", "anna@example.org")];
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let engine = host(&folder, &variables);
    let mut player = Visitor::guest(&engine);
    player.asks("look");
    for _ in 0..300 {
        let mut crawler = Visitor::connect(&engine);
        crawler.sends(b"\xff\xfd\x46\xff\xfe\xc9");
        let table: BTreeMap<String, String> = crawler.reads_status().into_iter().collect();
        let value = |name: &str| table.get(name).map_or("", String::as_str);
        let uptime: u64 = value("UPTIME").parse().unwrap();
        assert!((begun..begun + 600).contains(&uptime), "{table:?}");
        for (name, expected) in [
            ("NAME", "A Quiet World"),
            ("PLAYERS", "1"),
            ("PORT", address(&engine).rsplit(':').next().unwrap()),
            ("HOSTNAME", "world.example"),
            ("CONTACT", "anna@example.org"),
            ("SSL", "4443"),
            ("TLS", "4443"),
            ("ROOMS", "2"),
            ("OBJECTS", "21"),
            ("MOBILES", "0"),
            ("CRAWL DELAY", "-1"),
        ] {
            assert_eq!(value(name), expected, "{table:?}");
        }
    }
    let said = player.asks("say Is anybody there?");
    let answer = ". `commands` lists them all.\r\n> You say, \"Is anybody there?\"\r\n";
    assert_eq!(said.trim_end_matches("> "), answer);
    let metrics = engine.get("/metrics").1;
    for line in ["aqevia_logins_total 1\n", "aqevia_login_failures_total 0\n"] {
        assert!(metrics.contains(line), "{line} {metrics}");
    }
    let mut limits = metrics.lines().filter(|line| line.starts_with("aqevia_session_limits_total{"));
    assert!(limits.all(|line| line.ends_with(" 0")), "{metrics}");
    assert!(engine.get("/status").1.contains("\"players_online\":1"));
    let log = engine.stop();
    // A world with a name of its own is told of without a word.
    let unexpected = log.lines().filter(|line| line.contains("login") || line.contains("crawler")).count();
    assert_eq!((unexpected, log.matches("msg=\"a player came in\"").count()), (0, 1), "{log}");
}
