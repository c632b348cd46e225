//! Whatever comes in by telnet, somebody who plays goes on unharmed, HTTP answers, and nobody else reads anything of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use aqevia_engine::limits::{
    COMMAND_BURST, LOST_PEER_SECONDS, OUTPUT_BYTES_MAX, SESSIONS_PER_ADDRESS_MAX, SUBNEGOTIATION_BYTES_MAX,
    TELNET_CONNECTIONS_MAX,
};

use crate::support::{Engine, Folder, by_way_of, command, skip, wait_for};
use crate::visitor::{TELNET, Visitor, address, host};

/// Somebody who plays on, and reads just what they should.
struct Good {
    visitor: Visitor,
    has: bool,
}

impl Good {
    fn new(engine: &Engine) -> Good {
        let (mut visitor, _) = Visitor::new_player(engine, "Goodwin");
        visitor.asks("prompt off");
        Good { visitor, has: false }
    }

    /// Takes a coin, or puts it down again, and sees that HTTP answers too. Returns what else they read meanwhile.
    fn plays(&mut self, engine: &Engine) -> String {
        self.has = !self.has;
        let (command, done) =
            if self.has { ("get coina", "You pick up coina.") } else { ("drop coina", "You put down coina.") };
        let said = self.visitor.asks(command);
        assert!(said.contains(done), "{said}");
        assert_eq!(engine.get("/health").0, 200);
        said
    }
}

#[test]
fn hostile_clients_harm_nobody_who_plays() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut good = Good::new(&engine);

    // A megabyte without a line end, before one has come in and after.
    for name in ["", "guest\r\n"] {
        let mut endless = Visitor::connect(&engine);
        endless.sends(name.as_bytes());
        endless.sends(&vec![b'x'; 1 << 20]);
        good.plays(&engine);
        endless.types("");
        endless.reads("That line was too long");
        endless.types("quit");
        endless.reads("Goodbye.");
    }

    // Negotiating for ever: what there is to be said of options is said once.
    let mut talks = Visitor::connect(&engine);
    for round in 0..200 {
        let all: Vec<u8> = (0..=255u8)
            .flat_map(|option| [255, 251 + (round % 4) as u8, option, 255, 250, option, 1, 255, 240])
            .collect();
        talks.sends(&all);
    }
    talks.sends(&[&[255, 250, 24, 0][..], &vec![b'x'; 2 * SUBNEGOTIATION_BYTES_MAX]].concat());
    good.plays(&engine);
    talks.sends(&[255, 240]);
    talks.types("guest");
    talks.reads("Exits: ");
    assert!(talks.commands.len() < 2_000, "{}", talks.commands.len());

    // More commands than anybody may give. They are taken one by one, and whoever sends them has to wait.
    let mut floods = Visitor::guest(&engine);
    floods.sends(&b"who\r\n".repeat(COMMAND_BURST as usize + 20));
    good.plays(&engine);
    (0..COMMAND_BURST + 20).for_each(|_| _ = floods.reads("In the world: "));

    // Half open: one side ended, both ended in a hurry, or never a word.
    let silent = Visitor::connect(&engine);
    let ended = Visitor::connect(&engine);
    ended.stream.shutdown(Shutdown::Write).unwrap();
    drop(Visitor::guest(&engine));
    let mut half = Visitor::guest(&engine);
    half.types("say I hear you");
    half.stream.shutdown(Shutdown::Write).unwrap();
    half.reads("You say, \"I hear you\"");
    assert!(good.plays(&engine).contains("I hear you"));

    // Who speaks something else is let go without a word, and nobody hears of it.
    for foreign in [
        &b"GET / HTTP/1.1\r\nHost: secret-host\r\n\r\n"[..],
        b"POST /secret-host HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret-host",
        b"SSH-2.0-secret-host\r\n",
    ] {
        let mut other = Visitor::connect(&engine);
        other.reads("Name: ");
        other.sends(foreign);
        assert_eq!(other.reads_to_the_end(), "", "{}", String::from_utf8_lossy(foreign));
        assert!(!good.plays(&engine).contains("secret-host"));
    }
    assert!(!engine.log().contains("secret-host"));
    drop((silent, ended));
    assert_eq!(engine.get("/ready").0, 200);
    engine.stop();
}

#[test]
fn one_who_never_reads_slows_nobody_and_is_told_what_was_left_out() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut good = Good::new(&engine);
    let mut deaf = Visitor::guest(&engine);
    // More than its connection and its session take, by as many as say it in one breath.
    let words = "and on ".repeat(130);
    let mut talkers: Vec<Visitor> = (0..20).map(|_| Visitor::guest(&engine)).collect();
    let each = COMMAND_BURST as usize - 5;
    assert!(talkers.len() * each * words.len() > 9 * OUTPUT_BYTES_MAX);
    let lines: String = (0..each).map(|n| format!("tell guest1 {n} {words}\r\n")).collect();
    for talker in &mut talkers {
        talker.sends(lines.as_bytes());
        good.plays(&engine);
    }
    talkers.iter_mut().for_each(|talker| _ = talker.asks("look"));
    deaf.reads("Missing here: ");
    deaf.asks("look");
    good.plays(&engine);
    engine.stop();
}

#[test]
fn a_thousand_connections_from_one_address_shut_nobody_out_and_leave_http_its_places() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut good = Good::new(&engine);
    let address = address(&engine);
    let mut flood: Vec<TcpStream> = Vec::new();
    for count in 0..TELNET_CONNECTIONS_MAX + 100 {
        let Ok(mut stream) = TcpStream::connect(&address) else { break };
        let _ = stream.write_all(b"\r\n");
        flood.push(stream);
        if count % 100 == 0 {
            good.plays(&engine);
        }
    }
    assert!(flood.len() > 1_000, "{}", flood.len());
    good.plays(&engine);
    // So many are let in from there, and the others were told why not.
    let mut told = 0;
    for stream in &mut flood {
        stream.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes).unwrap_or(0);
        told +=
            usize::from(String::from_utf8_lossy(&bytes[..count]).contains("too many connections from your address"));
    }
    assert!(told >= flood.len() - SESSIONS_PER_ADDRESS_MAX, "{told} of {}", flood.len());
    // Who comes from elsewhere comes in.
    let (host, port) = address.split_once(':').unwrap();
    match Command::new("nc").args(["-s", "127.0.0.2", host, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    {
        Ok(mut other) => {
            other.stdin.take().unwrap().write_all(b"guest\nsay from afar\nquit\n").unwrap();
            let mut said = Vec::new();
            other.stdout.take().unwrap().read_to_end(&mut said).unwrap();
            assert!(String::from_utf8_lossy(&said).contains("You say, \"from afar\""), "{said:?}");
            other.wait().unwrap();
        }
        Err(_) => skip("nc is not installed, so nobody comes from another address"),
    }
    good.plays(&engine);
    drop(flood);
    // Their places are free again.
    wait_for("a place for a new player", || {
        let mut visitor = Visitor::connect(&engine);
        visitor.types("quit");
        visitor.reads_to_the_end().contains("Goodbye.").then_some(())
    });
    engine.stop();
}

#[test]
fn of_few_descriptors_some_are_left_for_players_and_some_for_http() {
    let folder = Folder::new();
    let mut limited = by_way_of("sh", &["-c", "ulimit -n 40 && exec \"$0\""], &command(&folder, &[]));
    let engine = Engine::spawn(limited.env(TELNET.0, TELNET.1));
    let mut players: Vec<Visitor> = (0..5).map(|_| Visitor::guest(&engine)).collect();
    let web: Vec<TcpStream> = (0..50).map(|_| engine.connect()).collect();
    players.iter_mut().for_each(|player| _ = player.asks("look"));
    let address = address(&engine);
    let flood: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&address).unwrap()).collect();
    players.iter_mut().for_each(|player| _ = player.asks("look"));
    assert_eq!(engine.get("/health").0, 200);
    drop((web, flood));
    wait_for("a place for another player", || {
        let mut visitor = Visitor::connect(&engine);
        visitor.types("quit");
        visitor.reads_to_the_end().contains("Goodbye.").then_some(())
    });
    engine.stop();
}

#[test]
fn control_characters_and_invalid_bytes_reach_no_other_player_no_log_and_no_database() {
    let folder = Folder::new();
    let engine = host(&folder, &[("AQEVIA_LOG_LEVEL", "debug")]);
    let mut good = Good::new(&engine);
    let hostile: &[&[u8]] = &[
        b"\x1b[31mred\x1b[0m",
        b"\x1b]0;title\x07",
        b"\x9b31m",
        b"\xc2\x9b31mc1\xc2\x9d0;t\xc2\x9c",
        b"bell\x07back\x08\x08del\x7f",
        b"cr\rlf",
        b"\xff\xff\xfe\xfd\xc0\xaf\xed\xa0\x80\xf5",
        b"\xe2\x80\xae\xe2\x80\xa8sep",
        b"nul\x00nul",
    ];
    // As names, of those who are not there and of those who are new.
    for name in hostile {
        let mut visitor = Visitor::connect(&engine);
        visitor.sends(&[name, &b"\r\nyes\r\n\r\nquit\r\nquit\r\n"[..]].concat());
        let answer = visitor.reads_to_the_end();
        assert!(is_clean(&answer), "{name:?}: {answer:?}");
    }
    // In all that one can say, be and do.
    let mut evil = Visitor::guest(&engine);
    for words in hostile {
        for command in
            ["say", "emote", "shout", "tell Goodwin", "whisper Goodwin", "description", "get", "register", "help"]
        {
            evil.sends(&[command.as_bytes(), b" ", words, b" over\r\n"].concat());
        }
        evil.types("");
        good.visitor.types("look at guest1");
        let read = good.plays(&engine);
        assert!(is_clean(&read), "{words:?}: {read:?}");
    }
    let own = evil.asks("look");
    assert!(is_clean(&own), "{own:?}");
    let tick = engine.status_number("$.world.tick");
    wait_for("all of it to be stored", || {
        (engine.status("$.storage.persisted_tick").parse::<u64>().ok()? > tick).then_some(())
    });
    let log = engine.stop();
    assert!(is_clean(&log), "{log:?}");
    let connection = rusqlite::Connection::open(folder.database()).unwrap();
    let query = "SELECT coalesce(name, '') || coalesce(description, '') FROM entity";
    let mut statement = connection.prepare(query).unwrap();
    let texts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| is_clean(text)), "{texts:?}");
}

/// Whether a text has no control characters but line ends, nor what changes how the rest of a line is read.
fn is_clean(text: &str) -> bool {
    let is_harmful = |character: char| {
        character.is_control() && !"\r\n".contains(character)
            || ('\u{202a}'..='\u{202e}').contains(&character)
            || "\u{2028}\u{2029}".contains(character)
    };
    !text.contains(is_harmful) && text.split("\r\n").all(|line| !line.contains('\r'))
}

/// A peer whose machine has gone says nothing any more, not even that.
#[test]
fn the_kernel_asks_for_a_sign_of_peers_that_are_silent() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (visitor, web) = (Visitor::connect(&engine), engine.connect());
    for stream in [&visitor.stream, &web] {
        let (ours, theirs) = (stream.local_addr().unwrap().port(), stream.peer_addr().unwrap().port());
        wait_for("a timer that asks", || {
            let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
            // Local and remote address, state, queues, timer (proc(5)); 2 is the one that asks, in hundredths of a second.
            let asks = |line: &str| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let is_it =
                    fields[1].ends_with(&format!(":{theirs:04X}")) && fields[2].ends_with(&format!(":{ours:04X}"));
                let left = fields[5].strip_prefix("02:").and_then(|left| u64::from_str_radix(left, 16).ok());
                is_it && left.is_some_and(|left| left <= 100 * u64::from(LOST_PEER_SECONDS))
            };
            connections.lines().skip(1).any(asks).then_some(())
        });
    }
}
