//! People by raw sockets: what they did is there after a kill, each thing once and in one place.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::limits::SHUTDOWN_FLUSH_MS_MAX;
use aqevia_engine::world::random::Random;

use crate::support::{Engine, Folder, PATIENCE, command, query, seed, send_signal, wait_for};

/// How many trade in a circle: as many new players as one address may bring at once.
const TRADERS: usize = 20;

/// A connection of somebody.
struct Visitor {
    stream: TcpStream,
    read: String,
}

impl Visitor {
    fn new(engine: &Engine) -> Visitor {
        let address = engine.told("msg=listening", " telnet=").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Visitor { stream, read: String::new() }
    }

    /// Sends a line; false if nobody takes it any more.
    fn send(&mut self, line: &str) -> bool {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).is_ok()
    }

    /// Reads until a text has come, and returns all up to there.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.find(text) {
                return self.read.drain(..at + text.len()).collect();
            }
            let mut bytes = [0; 4_096];
            let count = self.stream.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "{text:?} never came, but {:?}", self.read);
            self.read.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn ask(&mut self, line: &str, answer: &str) -> String {
        assert!(self.send(line));
        self.until(answer)
    }

    /// Makes a player; the password.
    fn make(&mut self, name: &str) -> String {
        self.until("Name: ");
        self.ask(name, "Yes or no: ");
        let text = self.ask("yes", "Exits: ");
        text.split(&format!("The password of {name}: ")).nth(1).unwrap().lines().next().unwrap().to_owned()
    }

    /// Comes in as one who is known; what is read up to the ways out.
    fn enter(&mut self, name: &str, password: &str) -> String {
        self.until("Name: ");
        self.ask(name, "Password: ");
        self.ask(password, "Exits: ")
    }
}

fn start(folder: &Folder) -> Engine {
    let mut command = command(folder, &[]);
    command.env("AQEVIA_TELNET_ADDR", "127.0.0.1:0").env("AQEVIA_WORLD_PATH", folder.join("world.json5"));
    command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
    Engine::spawn(&mut command)
}

/// A square in which so many coins lie, and a yard beside it.
fn market(folder: &Folder, coins: usize) {
    let coins: String = (0..coins)
        .map(|n| format!("c{n}: {{ name: \"coin c{n}c\", description: \"Round.\", in: \"square\" }},"))
        .collect();
    let world = format!(
        "{{ id: \"market\", name: \"The Market\", rooms: {{
            square: {{ name: \"The Square\", description: \"Wide.\", exits: {{ north: \"yard\" }} }},
            yard: {{ name: \"The Yard\", description: \"Narrow.\", exits: {{ south: \"square\" }} }} }},
          things: {{ {coins} }} }}"
    );
    folder.write("world.json5", world);
}

/// Waits until all that was done is stored.
fn wait_until_stored(engine: &Engine) {
    // What is stored as of this very tick may be from before it was done.
    let tick = engine.status_number("$.world.tick");
    wait_for("what was done to be stored", || (engine.status_number("$.storage.persisted_tick") > tick).then_some(()));
}

#[test]
fn after_a_kill_a_player_has_what_they_took_and_what_a_guest_held_lies_where_they_stood() {
    let folder = Folder::new();
    market(&folder, 2);
    let engine = start(&folder);
    let (mut anna, mut guest) = (Visitor::new(&engine), Visitor::new(&engine));
    let password = anna.make("Anna");
    guest.until("Name: ");
    guest.ask("guest", "Exits: ");
    anna.ask("get coin c0c", "You pick up coin c0c.");
    anna.ask("n", "The Yard");
    guest.ask("get coin c1c", "You pick up coin c1c.");
    guest.ask("north", "The Yard");
    anna.until("Guest1 arrives.");
    wait_until_stored(&engine);
    engine.kill();

    let engine = start(&folder);
    let mut anna = Visitor::new(&engine);
    let mut seen = anna.enter("anna", &password);
    seen += &anna.until("> ");
    assert!(seen.contains("The Yard") && seen.contains("Coin c1c is here.") && !seen.contains("Guest"), "{seen}");
    anna.ask("i", "coin c0c");
    let log = engine.log();
    assert!(!log.contains(&password) && log.contains("msg=\"a player came in\" name=Anna address=127.0.0.1"), "{log}");
    // A stop is told, and saves all of it.
    anna.ask("drop all", "You put down coin c0c.");
    engine.signal("TERM");
    anna.until("** The world stops, and saves all that you did.");
    // Who stays on the line does not hold it up.
    let begun = Instant::now();
    engine.wait_for_end();
    assert!(begun.elapsed() < Duration::from_millis(SHUTDOWN_FLUSH_MS_MAX), "{:?}", begun.elapsed());
    let place = |coin: &str| {
        let sql = format!(
            "SELECT room.name FROM entity JOIN entity room ON room.id = entity.location WHERE entity.name = '{coin}'"
        );
        query(&folder.database(), &sql)
    };
    assert_eq!((place("coin c0c"), place("coin c1c")), ("The Yard".to_owned(), "The Yard".to_owned()));
}

#[test]
fn twenty_who_trade_in_a_circle_lose_and_double_nothing_whoever_is_killed() {
    let folder = Folder::new();
    market(&folder, TRADERS);
    let seed = seed();
    println!("TEST_SEED={seed}");
    let mut random = Random(seed);
    let name = |n: usize| format!("Trader{}", char::from(b"abcdefghjkmnopqrstuv"[n]));
    let mut passwords: BTreeMap<usize, String> = BTreeMap::new();
    for kill in ["writer", "engine", "both", "stop"] {
        let engine = start(&folder);
        let mut traders: Vec<Visitor> = (0..TRADERS).map(|_| Visitor::new(&engine)).collect();
        for (n, trader) in traders.iter_mut().enumerate() {
            match passwords.get(&n) {
                Some(password) => _ = trader.enter(&name(n), password),
                None => _ = passwords.insert(n, trader.make(&name(n))),
            }
        }
        wait_until_stored(&engine);
        let end = Duration::from_millis(random.below(150));
        let killer = {
            let (engine_id, writer_id) = (engine.child.id().to_string(), engine.writer().to_string());
            thread::spawn(move || {
                thread::sleep(end);
                if kill != "engine" && kill != "stop" {
                    send_signal(&writer_id, "KILL");
                }
                match kill {
                    "engine" | "both" => send_signal(&engine_id, "KILL"),
                    "stop" => send_signal(&engine_id, "TERM"),
                    _ => (),
                }
            })
        };
        // They never wait for an answer: what is on its way when it ends is no promise.
        for turn in 0..24 {
            for (n, trader) in traders.iter_mut().enumerate() {
                let _ = match turn % 4 {
                    0 => trader.send(&format!("get coin c{}c", (n + turn) % TRADERS)),
                    1 => trader.send("drop 2.coin"),
                    _ => trader.send(&format!("give coin to {}", name((n + 1) % TRADERS))),
                };
            }
            thread::sleep(Duration::from_millis(5));
        }
        killer.join().unwrap();
        if kill == "writer" {
            wait_until_stored(&engine);
            engine.kill();
        } else {
            engine.wait_for_end();
        }
        // Each exists once, in one place: on a player, or in the square.
        let count = |sql: &str| query(&folder.database(), sql);
        assert_eq!(count("SELECT count(*) FROM entity WHERE name GLOB 'coin c*'"), TRADERS.to_string());
        let held = "SELECT count(*) FROM entity coin JOIN entity holder ON holder.id = coin.location
            WHERE coin.name GLOB 'coin c*' AND (holder.kind = 'player' OR holder.name = 'The Square')";
        assert_eq!(count(held), TRADERS.to_string());
    }
    // Not all of them lie where they lay.
    let moved = "SELECT count(*) > 0 FROM entity coin JOIN entity holder ON holder.id = coin.location
        WHERE coin.name GLOB 'coin c*' AND holder.kind = 'player'";
    assert_eq!(query(&folder.database(), moved), "1");
}
