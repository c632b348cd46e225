//! Twenty players who trade coins in a circle, through kills of the engine, its writer or both, and through a stop: each coin
//! is in one place, and what was acknowledged before is where it was.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::limits::SHUTDOWN_MS_MAX;
use aqevia_engine::world::random::Random;

use crate::support::{Engine, Folder, query, seed, send_signal, wait_for};
use crate::visitor::{Visitor, coins, host};

/// Where things are: by their names, the name of what holds them.
type Places = BTreeMap<String, String>;

/// What ends a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Engine,
    Writer,
    Both,
    Stop,
}

/// Players by their names, and their passwords.
struct Traders {
    names: Vec<String>,
    passwords: Vec<String>,
    visitors: Vec<Visitor>,
}

impl Traders {
    fn new(engine: &Engine) -> Traders {
        let names: Vec<String> = coins().map(|coin| coin.replace("coin", "Trader")).collect();
        let (visitors, passwords) = names.iter().map(|name| Visitor::new_player(engine, name)).unzip();
        Traders { names, passwords, visitors }
    }

    /// All come in again.
    fn come_back(&mut self, engine: &Engine) {
        self.visitors = self.names.iter().map(|_| Visitor::connect(engine)).collect();
        for (visitor, (name, password)) in self.visitors.iter_mut().zip(self.names.iter().zip(&self.passwords)) {
            visitor.types(&format!("{name}\r\n{password}"));
            visitor.reads("Exits: ");
        }
    }

    /// Where all coins are, as the players see it: each in one place.
    fn look(&mut self, context: &str) -> Places {
        let mut places = Places::new();
        // What others did before is to be read first.
        let mut seen = Vec::new();
        for (place, command, begin) in [("yard", "look", "Exits: "), ("chest", "look in chest", "In it: ")] {
            let text = self.visitors[0].asks(command);
            seen.push((place.to_owned(), text.split(begin).last().unwrap().to_owned()));
        }
        for (name, visitor) in self.names.iter().zip(&mut self.visitors) {
            seen.push((name.clone(), visitor.asks("inventory").split("You carry").last().unwrap().to_owned()));
        }
        for (place, text) in seen {
            for coin in coins().filter(|coin| text.to_lowercase().contains(coin)) {
                let other = places.insert(coin.clone(), place.clone());
                assert_eq!(other, None, "{context}: {coin} is twice, once in {place}: {text}");
            }
        }
        assert_eq!(places.len(), coins().count(), "{context}: {places:?}");
        places
    }

    /// Everybody does something with one of these coins, and waits for no answer.
    fn trade(&mut self, coins: &[String], random: &mut Random) {
        for n in 0..self.visitors.len() {
            let coin = &coins[random.below(coins.len() as u64) as usize];
            let next = &self.names[(n + 1) % self.names.len()];
            let command = match random.below(6) {
                0 | 1 => format!("get {coin}"),
                2 => format!("get {coin} from chest"),
                3 => format!("drop {coin}"),
                4 => format!("put {coin} in chest"),
                _ => format!("give {coin} to {next}"),
            };
            // Nobody may be there any more.
            let _ = self.visitors[n].try_types(&command);
        }
    }

    /// Reads until everything that was typed is done.
    fn settle(&mut self) {
        self.visitors.iter_mut().for_each(|visitor| _ = visitor.asks("stand"));
    }
}

/// Waits until what was done before this is stored.
pub fn wait_until_stored(engine: &Engine) {
    let tick = engine.status_number("$.world.tick");
    wait_for("a flush of it", || {
        // It is not known while a writer is on its way.
        (engine.status("$.storage.persisted_tick").parse::<u64>().ok()? > tick).then_some(())
    });
}

#[test]
fn killed_at_any_moment_while_players_trade_each_thing_is_in_one_place_and_what_was_acknowledged_where_it_was() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(4, |rounds| rounds.parse::<usize>().unwrap() / 10);
    let seed = seed();
    let mut random = Random(seed);
    let folder = Folder::new();
    let all: Vec<String> = coins().collect();
    let (kept, traded) = all.split_at(all.len() / 2);
    let mut traders: Option<Traders> = None;
    let mut moved = 0;
    for round in 0..rounds {
        let end = [End::Engine, End::Writer, End::Both, End::Stop][round % 4];
        let context = format!("TEST_SEED={seed}, round {round}, {end:?}");
        let pace = [("20", "1000000"), ("1000", "10"), ("10", "1")][round % 3];
        let engine = host(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", pace.0), ("PERSIST_BATCH_CAPACITY", pace.1)]);
        let traders = match &mut traders {
            Some(traders) => {
                traders.come_back(&engine);
                traders
            }
            none => none.insert(Traders::new(&engine)),
        };
        traders.trade(&all, &mut random);
        traders.trade(&all, &mut random);
        traders.settle();
        let acknowledged = traders.look(&context);
        wait_until_stored(&engine);
        // From here on half of them stay where they are.
        let (processes, pause) = ([engine.child.id(), engine.writer()], Duration::from_micros(random.below(30_000)));
        let killer = thread::spawn(move || {
            thread::sleep(pause);
            let [engine, writer] = processes.map(|process| process.to_string());
            match end {
                End::Engine => send_signal(&engine, "KILL"),
                End::Writer => send_signal(&writer, "KILL"),
                End::Both => send_signal(&format!("{engine} {writer}"), "KILL"),
                End::Stop => send_signal(&engine, "TERM"),
            }
        });
        (0..10).for_each(|_| traders.trade(traded, &mut random));
        killer.join().unwrap();
        if end == End::Writer {
            // It costs those who are there nothing.
            wait_until_stored(&engine);
            traders.settle();
            traders.look(&context);
            engine.kill();
        } else {
            engine.wait_for_end();
        }
        let engine = host(&folder, &[]);
        traders.come_back(&engine);
        let found = traders.look(&context);
        for coin in kept {
            assert_eq!(found[coin], acknowledged[coin], "{context}: {coin}");
        }
        moved += traded.iter().filter(|coin| found[*coin] != acknowledged[*coin]).count();
        engine.stop();
    }
    assert!(moved > 0, "TEST_SEED={seed}: nothing was ever traded");
}

#[test]
fn a_stop_tells_everybody_who_is_in_and_saves_what_they_have() {
    let folder = Folder::new();
    let engine = host(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "1000000")]);
    let mut traders = Traders::new(&engine);
    for (visitor, coin) in traders.visitors.iter_mut().zip(coins()) {
        visitor.types(&format!("get {coin}"));
        visitor.reads(&format!("You pick up {coin}."));
    }
    let begun = Instant::now();
    engine.stop();
    assert!(begun.elapsed() < Duration::from_millis(SHUTDOWN_MS_MAX), "{:?}", begun.elapsed());
    for visitor in &mut traders.visitors {
        let said = visitor.reads_to_the_end();
        assert!(said.contains("The world stops, and saves all that you did."), "{said}");
    }
    let held = "SELECT count(*) FROM entity coin JOIN entity holder ON holder.id = coin.location
        WHERE holder.kind = 'player' AND replace(holder.name, 'Trader', 'coin') = coin.name";
    assert_eq!(query(&folder.database(), held), coins().count().to_string());
    let engine = host(&folder, &[]);
    traders.come_back(&engine);
    for (name, place) in traders.look("after a stop") {
        assert_eq!(name.replace("coin", "Trader"), place);
    }
    engine.stop();
}
