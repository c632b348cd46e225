//! Flushes from cut to acknowledgement: the engine's side of storage and a writer in a process of its own, as the loop has
//! them, beside bare rusqlite, which writes the same rows out of the same memory into a copy of the same database, by
//! statements that it has prepared before, in one transaction with the same pragmas. Either empties its write-ahead log
//! after as many records.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use aqevia_engine::clock;
use aqevia_engine::limits::{CHECKPOINT_RECORDS, EVERY_MINUTES_MAX};
use aqevia_engine::metrics::Metrics;
use aqevia_engine::schedule::{Flusher, Trigger};
use aqevia_engine::storage::Stamp;
use aqevia_engine::sys::{Poller, Readiness, Token};
use aqevia_engine::world::{Action, Command, Entity, EntityId, Kind, Record, Verb, World, unheard};
use aqevia_engine::writer::ledger::Ledger;
use aqevia_engine::writer::link::{self, Link};
use aqevia_engine::writer::wire::{Said, Task, ToEngine};
use rusqlite::{Connection, params};

use crate::progress;
use crate::support::Folder;
use crate::table::{Pairs, Side, row, thousands, time};
use crate::worlds::{SOURCE, parts, store};

/// A flush of so many records, the world's own included.
struct Size {
    records: usize,
    /// How often the two alternate.
    rounds: usize,
    /// How many times what the bare one takes.
    budget: f64,
    /// Milliseconds for which the loop does nothing else.
    pause_ms: Option<f64>,
}

const SIZES: [Size; 4] = [
    Size { records: 10, rounds: 200, budget: 1.5, pause_ms: None },
    Size { records: 100, rounds: 100, budget: 1.2, pause_ms: None },
    Size { records: 1_000, rounds: 50, budget: 1.2, pause_ms: Some(0.5) },
    Size { records: 100_000, rounds: 9, budget: 1.2, pause_ms: Some(20.0) },
];
/// Enough for 99,999 creatures.
const ENTITIES: u64 = 102_100;

pub fn measure() {
    let folder = Folder::new();
    let (database, copy) = (folder.database(), folder.join("copy.sqlite"));
    let (storage, world) = store(&database, parts(ENTITIES, Verb::Say, EVERY_MINUTES_MAX));
    // The writer takes it over.
    drop(storage);
    fs::copy(&database, &copy).unwrap();
    let mut bare = Bare { connection: open_bare(&copy), unmoved: 0 };
    let is_creature = |entity: &&Entity| entity.kind == Kind::Creature && !entity.is_prototype();
    let creatures: Vec<EntityId> = world.entities().filter(is_creature).map(|entity| entity.id).collect();
    let mut engine = Engine::attach(&database, world);
    for Size { records, rounds, budget, pause_ms } in SIZES {
        progress(&format!("flush of {records} records, {rounds} alternations"));
        let (mut changed, mut is_second) = (Vec::new(), false);
        engine.pauses.clear();
        let pairs = Pairs::alternate(rounds, |side| {
            if !is_second {
                let world = &mut engine.world;
                change(world, &creatures, records);
                changed.clear();
                world.cut(|record| {
                    if let Record::Entity(entity) = record {
                        changed.push(entity.id);
                    }
                });
                world.cut_failed();
            }
            is_second = !is_second;
            match side {
                Side::Engine => engine.flush(records),
                Side::Yardstick => bare.write(&engine.world, &changed),
            }
        });
        let size = thousands(records as u64);
        let what = format!("flush of {size} records, in a world of {}", thousands(ENTITIES));
        pairs.row(&what, "bare rusqlite", time, Some((&format!("{budget} x"), pairs.ratio() <= budget)));
        if let Some(budget) = pause_ms {
            engine.pauses.sort_by(f64::total_cmp);
            let (median, longest) = (engine.pauses[rounds / 2], engine.pauses[rounds]);
            let what = format!("the loop's pause for a flush of {size} records");
            let budget = (&*format!("{budget} ms"), median <= budget / 1e3);
            row(&what, &format!("{}, longest {}", time(median), time(longest)), "", "", Some(budget));
        }
    }
}

/// The process: the writer of whoever has started it.
pub fn write(_: &[String]) {
    link::serve().unwrap();
}

const WRITER: Token = Token(0);

/// What of the engine has to do with storage.
struct Engine {
    world: World,
    ledger: Ledger,
    writer: Link,
    poller: Poller,
    ready: Vec<Token>,
    metrics: Metrics,
    /// Records that the next checkpoint moves.
    unmoved: u64,
    /// Seconds for which the loop did nothing else, for each flush.
    pauses: Vec<f64>,
}

impl Engine {
    fn attach(database: &Path, world: World) -> Engine {
        let (stamp, started) = (Stamp::from(&world.head()), clock::wall());
        let mut writer = Link::spawn().unwrap();
        let (id, source, states) = (world.id.clone(), SOURCE.to_owned(), vec![stamp.clone()]);
        writer.begin(database, started, Task::Resume { world: id, source, states });
        let flusher = Flusher::new(Duration::from_secs(1), 1, clock::monotonic());
        let ledger = Ledger::new(flusher, stamp);
        let (poller, ready, metrics) = (Poller::new().unwrap(), Vec::new(), Metrics::default());
        let mut engine = Engine { world, ledger, writer, poller, ready, metrics, unmoved: 0, pauses: Vec::new() };
        engine.turn_until(|said| matches!(said, ToEngine::Attached { .. }));
        engine
    }

    /// Turns like the loop until the writer has said something.
    fn turn_until(&mut self, is_said: fn(&ToEngine) -> bool) {
        loop {
            self.writer.write();
            self.writer.watch(|stream, for_room| self.poller.watch(stream, WRITER, true, for_room)).unwrap();
            self.poller.wait(None, clock::monotonic(), &mut self.ready).unwrap();
            self.writer.inlet.read();
            while let Some(Said::Message(said)) = self.writer.inlet.next(&mut |_| ()) {
                let is_last = is_said(&said);
                self.ledger.hear(said, &mut self.world, clock::monotonic(), &mut self.metrics);
                assert_eq!(self.ledger.news, []);
                if is_last {
                    return;
                }
            }
            assert!(!self.writer.inlet.is_over);
        }
    }

    /// Seconds from cut to acknowledgement; the checkpoint comes later and does not count.
    fn flush(&mut self, records: usize) -> f64 {
        let begun = Instant::now();
        let now = clock::monotonic();
        self.ledger.cut(&mut self.world, Trigger::Capacity, now, clock::wall(), &mut self.writer.out);
        self.writer.write();
        self.pauses.push(begun.elapsed().as_secs_f64());
        self.turn_until(|said| matches!(said, ToEngine::Flushed { .. }));
        let taken = begun.elapsed();
        if is_to_be_moved(&mut self.unmoved, records) {
            self.turn_until(|said| matches!(said, ToEngine::Checkpointed { .. }));
        }
        taken.as_secs_f64()
    }
}

/// Whether a checkpoint is made now that so many more records are in the log.
fn is_to_be_moved(unmoved: &mut u64, records: usize) -> bool {
    *unmoved += records as u64;
    let is_due = *unmoved >= CHECKPOINT_RECORDS;
    *unmoved = if is_due { 0 } else { *unmoved };
    is_due
}

/// Makes exactly so many records pending: creatures from all over the world that walk to the next room, and the world's
/// own record.
fn change(world: &mut World, creatures: &[EntityId], records: usize) {
    world.tick(&mut unheard);
    for actor in creatures.iter().step_by(creatures.len() / (records - 1)).take(records - 1) {
        let room = world.entity(*actor).unwrap().location.unwrap();
        let exit = world.contents(room, Kind::Exit).next().unwrap().id;
        world.apply(Command { actor: *actor, action: Action::Go(exit) }, &mut unheard).unwrap();
    }
    assert_eq!(world.pending(), records);
}

fn open_bare(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    let pragmas = "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cell_size_check = ON";
    connection.execute_batch(pragmas).unwrap();
    connection
}

/// Every column but the key, in the order of the table.
const COLUMNS: &str = "kind, tag, name, description, location, home, owner, prototype, destination, gait, active, step, \
                       indoors, locked, fixed, asleep, container";

/// The yardstick.
struct Bare {
    connection: Connection,
    unmoved: u64,
}

impl Bare {
    fn write(&mut self, world: &World, changed: &[EntityId]) -> f64 {
        let connection = &self.connection;
        let rows: Vec<&Entity> = changed.iter().filter_map(|id| world.entity(*id)).collect();
        let update: Vec<String> = COLUMNS.split(", ").map(|column| format!("{column} = excluded.{column}")).collect();
        let (places, update) = (vec!["?"; update.len() + 1].join(", "), update.join(", "));
        let upsert =
            format!("INSERT INTO entity (id, {COLUMNS}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {update}");
        let mut upsert = connection.prepare(&upsert).unwrap();
        let record =
            "UPDATE world SET tick = tick + 1, random = ?, weather = ?, next_id = ?, digest = ?, flushed_at = ?";
        let mut record = connection.prepare(record).unwrap();
        let number = |id: Option<EntityId>| id.map(|id| id.get() as i64);

        let begun = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for row in rows {
            let values = params![
                row.id.get() as i64,
                row.kind.label(),
                row.tag,
                row.name,
                row.description,
                number(row.location),
                number(row.home),
                number(row.owner),
                number(row.prototype),
                number(row.destination),
                row.gait,
                row.active.label(),
                row.step,
                row.indoors,
                row.locked,
                row.fixed,
                row.asleep,
                row.container,
            ];
            upsert.execute(values).unwrap();
        }
        record.execute(params![1, "clear", 1, "0123456789abcdef", "2026-11-23T08:00:00Z"]).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        let taken = begun.elapsed();
        if is_to_be_moved(&mut self.unmoved, changed.len() + 1) {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
        taken.as_secs_f64()
    }
}
