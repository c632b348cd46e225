//! Real clients in a terminal, and the openings of others as they send them: they come in, walk, talk and leave.

use std::path::Path;
use std::process::Command;

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

/// What a client says of itself once it is asked, what it is called, and by which command prompts end for it.
const OPENINGS: [(&str, &[u8], u8); 2] = [
    (
        "MUDLET",
        b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\x00\x64\x00\x28\xff\xf0\xff\xfb\x27\xff\xfd\x2a\xff\xfd\x19\
          \xff\xfa\x18\x00MUDLET\xff\xf0\xff\xfa\x18\x00ANSI-TRUECOLOR\xff\xf0\xff\xfa\x18\x00MTTS 301\xff\xf0\
          \xff\xfa\x27\x00\x03CHARSET\x01UTF-8\x03MTTS\x01301\x03SCREEN_READER\x010\x03WORD_WRAP\x0190\xff\xf0\
          \xff\xfa\x2a\x02UTF-8\xff\xf0",
        239,
    ),
    (
        "BLIGHTMUD",
        b"\xff\xfb\x18\xff\xfb\x1f\xff\xfc\x27\xff\xfe\x2a\xff\xfd\x19\xff\xfa\x1f\x00\x78\x00\x32\xff\xf0\
          \xff\xfa\x18\x00BLIGHTMUD\xff\xf0\xff\xfa\x18\x00xterm-256color\xff\xf0\xff\xfa\x18\x00MTTS 271\xff\xf0",
        239,
    ),
];

#[test]
fn with_the_openings_of_mudlet_and_blightmud_one_comes_in_walks_talks_and_leaves() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    for (client, opening, mark) in OPENINGS {
        let mut visitor = Visitor::connect(&engine);
        // In pieces of any size, as a network cuts them.
        opening.chunks(7).for_each(|piece| visitor.sends(piece));
        // The two that log in by themselves do not wait to be asked.
        let name = format!("{}a", &client[..4]);
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
        engine.logs(&format!(" client={client}"));
    }
    engine.stop();
}
