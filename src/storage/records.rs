//! Rows of the database and records of the world, one turned into the other.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use rusqlite::{Connection, Row, Transaction, params};

use crate::clock::Wall;
use crate::text::labelled_by;
use crate::world::random::Random;
use crate::world::{
    Active, EVERY_MINUTES, Entity, EntityId, Habit, Kind, Parts, SPAWN_AT_MOST, Spawn, Tick, Verb, Weather, World,
};

/// The columns in their order. No other index is accepted on the table, so what makes way is the same entity.
const WRITE_ENTITY: &str =
    "REPLACE INTO entity VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

/// The stored record of a world beside its parts.
pub struct Stored {
    /// The world.
    pub parts: Parts,
    /// A digest of the world file it was founded from.
    pub source: String,
    /// The world's digest as of its last flush; `None` if somebody has cleared it.
    pub digest: Option<String>,
}

/// Writes every pending entity of `world`; returns how many there were.
pub fn write_changes(transaction: &Transaction, world: &World) -> rusqlite::Result<u64> {
    let mut write = transaction.prepare(WRITE_ENTITY)?;
    let mut delete = transaction.prepare("DELETE FROM entity WHERE id = ?1")?;
    let mut count = 0;
    for (id, entity) in world.changes() {
        match entity {
            Some(entity) => write_entity(&mut write, entity)?,
            None => delete.execute([number(id)])?,
        };
        count += 1;
    }
    Ok(count)
}

/// Writes every entity of `world` into a new database.
pub fn insert_entities(transaction: &Transaction, world: &World) -> rusqlite::Result<()> {
    let mut write = transaction.prepare(WRITE_ENTITY)?;
    world.entities().try_for_each(|entity| write_entity(&mut write, entity).map(drop))
}

fn write_entity(write: &mut rusqlite::Statement, entity: &Entity) -> rusqlite::Result<usize> {
    let reference = |id: Option<EntityId>| id.map(number);
    write.execute(params![
        number(entity.id),
        entity.kind.label(),
        entity.tag,
        entity.name,
        entity.description,
        reference(entity.location),
        reference(entity.home),
        reference(entity.owner),
        reference(entity.prototype),
        reference(entity.destination),
        entity.gait,
        entity.active.label(),
        entity.step,
        entity.indoors,
        entity.locked,
        entity.fixed,
        entity.asleep,
    ])
}

/// Writes the world's own record over the one that was written at tick `persisted`; false if that is not there.
pub fn update_world(transaction: &Transaction, world: &World, persisted: Tick, wall: Wall) -> rusqlite::Result<bool> {
    let changed = transaction.execute(
        "UPDATE world SET tick = ?1, random = ?2, weather = ?3, next_id = ?4, digest = ?5, flushed_at = ?6
         WHERE one = 1 AND id = ?7 AND tick = ?8",
        params![
            world.now().0 as i64,
            world.random.0 as i64,
            world.weather.label(),
            world.next_id as i64,
            hexadecimal(world.digest()),
            wall.rfc3339(),
            &world.id,
            persisted.0 as i64,
        ],
    )?;
    Ok(changed == 1)
}

/// Writes what a new database holds beside entities: the world's own record, habits and spawn rules.
pub fn insert_world(transaction: &Transaction, world: &World, source: &str, wall: Wall) -> rusqlite::Result<()> {
    // What changes while the world lives is filled in as by every flush.
    transaction.execute(
        "INSERT INTO world VALUES (1, ?1, ?2, 0, 0, '', 0, ?3, NULL, '')",
        params![&world.id, &world.name, source],
    )?;
    update_world(transaction, world, Tick(0), wall)?;
    let mut habit_row = transaction.prepare("INSERT INTO habit VALUES (?1, ?2, ?3)")?;
    let mut item_row = transaction.prepare("INSERT INTO habit_item VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (&creature, habits) in &world.habits {
        for Habit { verb, every_minutes, targets, lines } in habits.iter() {
            habit_row.execute(params![number(creature), verb.label(), *every_minutes as i64])?;
            let targets = targets.iter().map(|target| (Some(number(*target)), None));
            let items = targets.chain(lines.iter().map(|line| (None, Some(line))));
            for (position, (target, line)) in items.enumerate() {
                item_row.execute(params![number(creature), verb.label(), position as i64, target, line])?;
            }
        }
    }
    let mut spawn_row = transaction.prepare("INSERT INTO spawn VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (position, Spawn { prototype, room, at_most, every_minutes, text }) in world.spawns.iter().enumerate() {
        let (at_most, every_minutes) = (*at_most as i64, *every_minutes as i64);
        spawn_row.execute(params![position as i64, number(*prototype), number(*room), at_most, every_minutes, text])?;
    }
    Ok(())
}

/// Which world is stored, and as of when.
#[derive(PartialEq, Eq)]
pub struct Stamp {
    /// The id of the world.
    pub world: String,
    /// Its tick.
    pub tick: Tick,
    /// Its digest as of that tick; `None` if somebody has cleared it.
    pub digest: Option<String>,
}

/// Reads which world is stored, and as of when.
pub fn read_stamp(connection: &Connection) -> rusqlite::Result<Stamp> {
    connection.query_row("SELECT id, tick, digest FROM world WHERE one = 1", [], |row| {
        Ok(Stamp { world: row.get(0)?, tick: Tick(count(row, 1, TICKS)?), digest: row.get(2)? })
    })
}

/// Reads all of a world, in one transaction so that it is one cut.
pub fn read_world(connection: &mut Connection) -> rusqlite::Result<Stored> {
    let transaction = connection.transaction()?;
    let mut stored = transaction.query_row(
        "SELECT id, name, tick, random, weather, next_id, source, digest FROM world WHERE one = 1",
        [],
        |row| {
            let parts = Parts {
                id: row.get(0)?,
                name: row.get(1)?,
                tick: Tick(count(row, 2, TICKS)?),
                random: Random(row.get::<_, i64>(3)? as u64),
                weather: labelled(row, 4, Weather::ALL, Weather::label)?,
                next_id: count(row, 5, 1..=EntityId::MAX + 1)?,
                ..Parts::default()
            };
            Ok(Stored { parts, source: row.get(6)?, digest: row.get(7)? })
        },
    )?;
    stored.parts.entities = read_all(&transaction, "entity", "SELECT * FROM entity ORDER BY id", read_entity)?;
    stored.parts.habits = read_habits(&transaction)?;
    stored.parts.spawns = read_all(
        &transaction,
        "spawn",
        "SELECT prototype, room, at_most, every_minutes, text FROM spawn ORDER BY position",
        |row| {
            Ok(Spawn {
                prototype: id(row, 0)?,
                room: id(row, 1)?,
                at_most: count(row, 2, SPAWN_AT_MOST)?,
                every_minutes: count(row, 3, EVERY_MINUTES)?,
                text: row.get(4)?,
            })
        },
    )?;
    Ok(stored)
}

/// Whether a database holds `world`, record by record, without holding a second one in memory.
pub fn holds(connection: &mut Connection, world: &World) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let stamp = read_stamp(&transaction)?;
    let mut same = stamp.world == world.id && stamp.tick == world.now();
    same &= stamp.digest == Some(hexadecimal(world.digest()));
    let mut left = world.entities().count();
    read_all::<(), ()>(&transaction, "entity", "SELECT * FROM entity", |row| {
        let (id, entity) = read_entity(row)?;
        same &= world.entity(id) == Some(&*entity);
        left = left.wrapping_sub(1);
        Ok(())
    })?;
    Ok(same && left == 0)
}

/// The columns in their order.
fn read_entity(row: &Row) -> rusqlite::Result<(EntityId, Box<Entity>)> {
    let reference = |index| reference(row, index);
    let id = id(row, 0)?;
    let entity = Entity {
        id,
        kind: labelled(row, 1, Kind::ALL, Kind::label)?,
        tag: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        location: reference(5)?,
        home: reference(6)?,
        owner: reference(7)?,
        prototype: reference(8)?,
        destination: reference(9)?,
        gait: row.get(10)?,
        active: labelled(row, 11, Active::ALL, Active::label)?,
        // Cannot wrap: the range is that of the type.
        step: count(row, 12, 0..=u8::MAX.into())? as u8,
        indoors: row.get(13)?,
        locked: row.get(14)?,
        fixed: row.get(15)?,
        asleep: row.get(16)?,
    };
    Ok((id, Box::new(entity)))
}

/// The targets and the lines of a habit.
type Items = (Vec<EntityId>, Vec<Box<str>>);

fn read_habits(transaction: &Transaction) -> rusqlite::Result<BTreeMap<EntityId, Rc<[Habit]>>> {
    let mut items: BTreeMap<(EntityId, Verb), Items> = BTreeMap::new();
    let query = "SELECT creature, verb, target, line FROM habit_item ORDER BY creature, verb, position";
    read_all::<(), ()>(transaction, "habit_item", query, |row| {
        let (targets, lines) = items.entry((id(row, 0)?, labelled(row, 1, Verb::ALL, Verb::label)?)).or_default();
        match (reference(row, 2)?, row.get(3)?) {
            (Some(target), None) => targets.push(target),
            (None, Some(line)) => lines.push(line),
            _ => return Err(broken("it must have either a target or a line".to_owned())),
        }
        Ok(())
    })?;
    let mut habits: BTreeMap<EntityId, Vec<Habit>> = BTreeMap::new();
    let query = "SELECT creature, verb, every_minutes FROM habit ORDER BY creature, verb";
    read_all::<(), ()>(transaction, "habit", query, |row| {
        let (creature, verb) = (id(row, 0)?, labelled(row, 1, Verb::ALL, Verb::label)?);
        let (targets, lines) = items.remove(&(creature, verb)).unwrap_or_default();
        let named = if matches!(verb, Verb::Say | Verb::Act) { lines.len() } else { targets.len() };
        if !verb.items().contains(&named) {
            return Err(broken(format!("it names {named}, and {:?} is accepted", verb.items())));
        }
        let habit = Habit { verb, every_minutes: count(row, 2, EVERY_MINUTES)?, targets, lines };
        habits.entry(creature).or_default().push(habit);
        Ok(())
    })?;
    match items.keys().next() {
        Some((creature, verb)) => Err(broken(format!("habit_item: {creature} has no habit to {}", verb.label()))),
        None => Ok(habits.into_iter().map(|(creature, habits)| (creature, habits.into())).collect()),
    }
}

/// Reads every row, and names the one that cannot be.
fn read_all<T, All: FromIterator<T>>(
    transaction: &Transaction,
    table: &str,
    query: &str,
    read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<All> {
    let named = |(index, row): (usize, rusqlite::Result<T>)| {
        row.map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => error,
            other => broken(format!("{table}, row {}: {other}", index + 1)),
        })
    };
    transaction.prepare(query)?.query_map([], read)?.enumerate().map(named).collect()
}

/// An error about what is stored, not about storing.
fn broken(what: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(what.into())
}

/// A digest as it is stored: sixteen hexadecimal digits.
pub fn hexadecimal(digest: u64) -> String {
    format!("{digest:016x}")
}

fn number(id: EntityId) -> i64 {
    // Cannot wrap: `EntityId::MAX` is `i64::MAX`.
    id.get() as i64
}

const TICKS: RangeInclusive<u64> = 0..=Tick::MAX.0;

/// A column that holds the id of an entity.
fn id(row: &Row, index: usize) -> rusqlite::Result<EntityId> {
    reference(row, index)?.ok_or_else(|| broken("an id is missing".to_owned()))
}

/// A column that may hold the id of an entity.
fn reference(row: &Row, index: usize) -> rusqlite::Result<Option<EntityId>> {
    let Some(number) = row.get::<_, Option<i64>>(index)? else { return Ok(None) };
    in_range(row, index, number, 1..=EntityId::MAX).map(EntityId::new)
}

/// A column that holds a number of the range in which it stays while the world lives.
fn count(row: &Row, index: usize, range: RangeInclusive<u64>) -> rusqlite::Result<u64> {
    in_range(row, index, row.get(index)?, range)
}

fn in_range(row: &Row, index: usize, number: i64, range: RangeInclusive<u64>) -> rusqlite::Result<u64> {
    u64::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let column = row.as_ref().column_name(index).unwrap_or_default();
        broken(format!("{column} is {number}, and {} to {} is accepted", range.start(), range.end()))
    })
}

/// A column that holds one of a few labels.
fn labelled<T: Copy>(row: &Row, index: usize, all: &[T], label: fn(T) -> &'static str) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    labelled_by(all, label, text).ok_or_else(|| {
        let problem = format!("{text:?} is none of the names known here");
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, problem.into())
    })
}
