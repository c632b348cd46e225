//! Flushes: `Storage` beside bare rusqlite, which writes the same rows out of the same memory into a copy of the same
//! database, by statements that it has prepared before, in one transaction with the same pragmas.

use std::fs;
use std::path::Path;
use std::time::Instant;

use aqevia_engine::clock;
use aqevia_engine::limits::EVERY_MINUTES_MAX;
use aqevia_engine::storage::Storage;
use aqevia_engine::world::{Action, Command, Entity, EntityId, Kind, Record, Verb, World};
use rusqlite::{Connection, params};

use crate::progress;
use crate::support::Folder;
use crate::table::{Pairs, Side, thousands, time};
use crate::worlds::{parts, store};

/// Records of a flush, the world's own included, and how often the two alternate.
const SIZES: [(usize, usize); 4] = [(10, 200), (100, 100), (1_000, 50), (100_000, 9)];
const BUDGET: f64 = 1.2;
/// Enough for 99,999 creatures.
const ENTITIES: u64 = 102_100;

pub fn measure() {
    let folder = Folder::new();
    let (database, copy) = (folder.database(), folder.join("copy.sqlite"));
    let (mut storage, mut world) = store(&database, parts(ENTITIES, Verb::Say, EVERY_MINUTES_MAX));
    fs::copy(&database, &copy).unwrap();
    let bare = open_bare(&copy);
    let is_creature = |entity: &&Entity| entity.kind == Kind::Creature && !entity.is_prototype();
    let creatures: Vec<EntityId> = world.entities().filter(is_creature).map(|entity| entity.id).collect();
    for (records, rounds) in SIZES {
        progress(&format!("flush of {records} records, {rounds} alternations"));
        let (mut changed, mut is_second) = (Vec::new(), false);
        let pairs = Pairs::alternate(rounds, |side| {
            if !is_second {
                change(&mut world, &creatures, records);
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
                Side::Engine => flush(&mut storage, &mut world),
                Side::Yardstick => write_bare(&bare, &world, &changed),
            }
        });
        let budget = (&*format!("{BUDGET} x"), pairs.ratio() <= BUDGET);
        let what = format!("flush of {} records, in a world of {}", thousands(records as u64), thousands(ENTITIES));
        pairs.row(&what, "bare rusqlite", time, Some(budget));
    }
}

/// Makes exactly so many records pending: creatures from all over the world that walk to the next room, and the world's
/// own record.
fn change(world: &mut World, creatures: &[EntityId], records: usize) {
    world.tick();
    for actor in creatures.iter().step_by(creatures.len() / (records - 1)).take(records - 1) {
        let room = world.entity(*actor).unwrap().location.unwrap();
        let exit = world.contents(room, Kind::Exit).next().unwrap().id;
        world.apply(Command { actor: *actor, action: Action::Go(exit) }).unwrap();
    }
    assert_eq!(world.pending(), records);
}

/// Seconds for what the loop does in a flush; the checkpoint comes later and does not count.
fn flush(storage: &mut Storage, world: &mut World) -> f64 {
    let begun = Instant::now();
    let flushed = storage.flush(clock::wall(), |take| {
        world.cut(&mut *take);
        take(Record::Head(&world.head()));
        true
    });
    flushed.unwrap();
    world.acknowledged();
    let taken = begun.elapsed();
    storage.checkpoint("PASSIVE").unwrap();
    taken.as_secs_f64()
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
                       indoors, locked, fixed, asleep";

fn write_bare(connection: &Connection, world: &World, changed: &[EntityId]) -> f64 {
    let rows: Vec<&Entity> = changed.iter().filter_map(|id| world.entity(*id)).collect();
    let update: Vec<String> = COLUMNS.split(", ").map(|column| format!("{column} = excluded.{column}")).collect();
    let (places, update) = (vec!["?"; update.len() + 1].join(", "), update.join(", "));
    let upsert =
        format!("INSERT INTO entity (id, {COLUMNS}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {update}");
    let mut upsert = connection.prepare(&upsert).unwrap();
    let record = "UPDATE world SET tick = tick + 1, random = ?, weather = ?, next_id = ?, digest = ?, flushed_at = ?";
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
        ];
        upsert.execute(values).unwrap();
    }
    record.execute(params![1, "clear", 1, "0123456789abcdef", "2026-11-23T08:00:00Z"]).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    let taken = begun.elapsed();
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    taken.as_secs_f64()
}
