//! Rows of the database and records of the world, one turned into the other.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rusqlite::{Connection, Params, Row, Statement, Transaction, params};

use super::{Taker, schema};
use crate::clock::Wall;
use crate::limits::PLAYER_WIDTH;
use crate::text::labelled_by;
use crate::world::random::Random;
use crate::world::{
    Active, Ban, EVERY_MINUTES, Entity, EntityId, Habit, Head, Keeping, Keepsake, Kind, Player, Posture, Record,
    SECONDS_MAX, SPAWN_AT_MOST, Spawn, Tick, Verb, Weather, Wish,
};

/// What writes a row of each table, and what takes away whatever has a number. The columns stand in their order.
const WRITES: [&str; 11] = [
    // No other index is accepted on the table, so what makes way is the same entity.
    "REPLACE INTO entity VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    "DELETE FROM entity WHERE id = ?1",
    "INSERT INTO habit VALUES (?1, ?2, ?3)",
    "INSERT INTO habit_item VALUES (?1, ?2, ?3, ?4, ?5)",
    "INSERT INTO spawn VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    "REPLACE INTO player VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    "REPLACE INTO ban VALUES (?1, ?2, ?3)",
    "DELETE FROM player WHERE id = ?1",
    "DELETE FROM ban WHERE id = ?1",
    "REPLACE INTO keepsake VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    "DELETE FROM keepsake WHERE id = ?1",
];

/// Writes all records that `feed` hands out; the head is for `write_head`. Returns how many those were, the head included;
/// `None` if `feed` says that this was not all.
pub fn write_all(
    transaction: &Transaction,
    feed: impl FnOnce(Taker) -> bool,
    mut write_head: impl FnMut(&Head) -> rusqlite::Result<()>,
) -> rusqlite::Result<Option<u64>> {
    let mut rows = Rows { transaction, prepared: Default::default() };
    let (mut count, mut written) = (0, Ok(()));
    let is_whole = feed(&mut |record| {
        count += 1;
        if written.is_ok() {
            written = if let Record::Head(head) = record { write_head(head) } else { rows.write(&record) };
        }
    });
    written.map(|()| is_whole.then_some(count))
}

/// Writes records, by statements that are prepared when they are first needed: most flushes are small.
struct Rows<'t> {
    transaction: &'t Transaction<'t>,
    prepared: [Option<Statement<'t>>; WRITES.len()],
}

impl Rows<'_> {
    fn write_row(&mut self, how: usize, row: impl Params) -> rusqlite::Result<usize> {
        let prepared = &mut self.prepared[how];
        if prepared.is_none() {
            *prepared = Some(self.transaction.prepare(WRITES[how])?);
        }
        prepared.as_mut().map_or(Ok(0), |statement| statement.execute(row))
    }

    fn write(&mut self, record: &Record) -> rusqlite::Result<()> {
        match record {
            Record::Entity(entity) => self.write_entity(entity)?,
            Record::Gone(id) => [1, 7, 8, 10].into_iter().try_fold(0, |_, how| self.write_row(how, [number(*id)]))?,
            Record::Habit(creature, Habit { verb, every_minutes, targets, lines }) => {
                let targets = targets.iter().map(|target| (Some(number(*target)), None));
                let items = targets.chain(lines.iter().map(|line| (None, Some(line))));
                for (position, (target, line)) in items.enumerate() {
                    self.write_row(3, params![number(*creature), verb.label(), position as i64, target, line])?;
                }
                self.write_row(2, params![number(*creature), verb.label(), *every_minutes as i64])?
            }
            Record::Spawn(position, Spawn { prototype, room, at_most, every_minutes, text }) => {
                let (position, at_most, every_minutes) = (*position as i64, *at_most as i64, *every_minutes as i64);
                let (prototype, room) = (number(*prototype), number(*room));
                self.write_row(4, params![position, prototype, room, at_most, every_minutes, text])?
            }
            Record::Player(id, player) => {
                let Player { password, posture, brief, no_prompt, no_keepalive, colour, .. } = player;
                let Player { screen_reader, width, title, since, .. } = player;
                let [posture, colour, screen_reader] = [posture.label(), colour.label(), screen_reader.label()];
                let row = params![
                    number(*id),
                    password,
                    posture,
                    brief,
                    no_prompt,
                    no_keepalive,
                    colour,
                    screen_reader,
                    width,
                    title,
                    since.map(|since| since as i64)
                ];
                self.write_row(5, row)?
            }
            Record::Ban(id, Ban { of, until }) => {
                self.write_row(6, params![number(*id), of, until.map(|until| until as i64)])?
            }
            Record::Keepsake(id, Keepsake { player, kind, name, text, at }) => {
                self.write_row(9, params![number(*id), number(*player), kind.label(), name, text, *at as i64])?
            }
            // Whose place is another in a new database than in one that is there.
            Record::Head(_) | Record::End => 0,
        };
        Ok(())
    }

    fn write_entity(&mut self, entity: &Entity<&str>) -> rusqlite::Result<usize> {
        let reference = |id: Option<EntityId>| id.map(number);
        self.write_row(
            0,
            params![
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
                entity.container,
            ],
        )
    }
}

/// Writes the world's own record over the one that was written at tick `persisted`; false if that is not there.
pub fn update_head(transaction: &Transaction, head: &Head, persisted: Tick, wall: Wall) -> rusqlite::Result<bool> {
    let changed = transaction.execute(
        "UPDATE world SET tick = ?1, random = ?2, weather = ?3, next_id = ?4, digest = ?5, flushed_at = ?6
         WHERE one = 1 AND id = ?7 AND tick = ?8",
        params![
            head.tick.0 as i64,
            head.random.0 as i64,
            head.weather.label(),
            head.next_id as i64,
            head.digest,
            wall.rfc3339(),
            head.id,
            persisted.0 as i64,
        ],
    )?;
    Ok(changed == 1)
}

/// Writes the world's own record into a new database.
pub fn insert_head(transaction: &Transaction, head: &Head, source: &str, wall: Wall) -> rusqlite::Result<()> {
    // What changes while the world lives is filled in as by every flush.
    let empty = "INSERT INTO world VALUES (1, ?1, ?2, 0, 0, '', 0, ?3, NULL, '')";
    transaction.execute(empty, params![head.id, head.name, source])?;
    update_head(transaction, head, Tick(0), wall).map(drop)
}

/// Reads the world's own record, and the digest of the world file it was founded from.
pub fn read_head(connection: &Connection) -> rusqlite::Result<(Head, String)> {
    let query = "SELECT id, name, tick, random, weather, next_id, digest, source FROM world WHERE one = 1";
    connection.query_row(query, [], |row| {
        let head = Head {
            id: row.get(0)?,
            name: row.get(1)?,
            tick: Tick(count(row, 2, TICKS)?),
            random: Random(row.get::<_, i64>(3)? as u64),
            weather: labelled(row, 4, Weather::ALL, Weather::label)?,
            next_id: count(row, 5, 1..=EntityId::MAX + 1)?,
            digest: row.get(6)?,
        };
        Ok((head, row.get(7)?))
    })
}

/// Hands out every other record, entities by id. To be called in the transaction that the head was read in.
pub fn read_records(transaction: &Transaction, mut take: impl FnMut(Record)) -> rusqlite::Result<()> {
    each(transaction, "entity", "SELECT * FROM entity ORDER BY id", |row| {
        take(Record::Entity(read_entity(row)?));
        Ok(())
    })?;
    read_habits(transaction, &mut take)?;
    let query = "SELECT prototype, room, at_most, every_minutes, text FROM spawn ORDER BY position";
    let (mut position, version) = (0, schema::tables_version(transaction)?);
    each(transaction, "spawn", query, |row| {
        let spawn = Spawn {
            prototype: id(row, 0)?,
            room: id(row, 1)?,
            at_most: count(row, 2, SPAWN_AT_MOST)?,
            every_minutes: count(row, 3, EVERY_MINUTES)?,
            text: row.get(4)?,
        };
        take(Record::Spawn(position, &spawn));
        position += 1;
        Ok(())
    })?;
    if version < 2 {
        return Ok(());
    }
    each(transaction, "player", "SELECT * FROM player ORDER BY id", |row| {
        take(Record::Player(id(row, 0)?, read_player(row)?));
        Ok(())
    })?;
    each(transaction, "ban", "SELECT * FROM ban ORDER BY id", |row| {
        take(Record::Ban(id(row, 0)?, &Ban { of: row.get(1)?, until: moment(row, 2)? }));
        Ok(())
    })?;
    if version < 3 {
        return Ok(());
    }
    each(transaction, "keepsake", "SELECT * FROM keepsake ORDER BY id", |row| {
        let (player, kind) = (id(row, 1)?, labelled(row, 2, Keeping::ALL, Keeping::label)?);
        let (name, text, at) = (row.get(3)?, row.get(4)?, count(row, 5, 0..=SECONDS_MAX)?);
        take(Record::Keepsake(id(row, 0)?, &Keepsake { player, kind, name, text, at }));
        Ok(())
    })
}

/// The columns in their order.
fn read_entity<'r>(row: &'r Row) -> rusqlite::Result<Entity<&'r str>> {
    let reference = |index| reference(row, index);
    let text = |index| row.get_ref(index)?.as_str_or_null().map_err(rusqlite::Error::from);
    Ok(Entity {
        id: id(row, 0)?,
        kind: labelled(row, 1, Kind::ALL, Kind::label)?,
        tag: text(2)?,
        name: text(3)?,
        description: text(4)?,
        location: reference(5)?,
        home: reference(6)?,
        owner: reference(7)?,
        prototype: reference(8)?,
        destination: reference(9)?,
        gait: text(10)?,
        active: labelled(row, 11, Active::ALL, Active::label)?,
        // Cannot wrap: the range is that of the type.
        step: count(row, 12, 0..=u8::MAX.into())? as u8,
        indoors: row.get(13)?,
        locked: row.get(14)?,
        fixed: row.get(15)?,
        asleep: row.get(16)?,
        // Version 1 has no such column.
        container: row.as_ref().column_count() > 17 && flag(row, 17)?,
    })
}

/// The columns in their order.
fn read_player<'r>(row: &'r Row) -> rusqlite::Result<Player<&'r str>> {
    let widths = u64::from(*PLAYER_WIDTH.start())..=u64::from(*PLAYER_WIDTH.end());
    // Version 2 has no such columns.
    let has_title = row.as_ref().column_count() > 9;
    Ok(Player {
        password: row.get_ref(1)?.as_str_or_null()?,
        posture: labelled(row, 2, Posture::ALL, Posture::label)?,
        brief: flag(row, 3)?,
        no_prompt: flag(row, 4)?,
        no_keepalive: flag(row, 5)?,
        colour: labelled(row, 6, Wish::ALL, Wish::label)?,
        screen_reader: labelled(row, 7, Wish::ALL, Wish::label)?,
        // Cannot wrap: the range is that of the type.
        width: if row.get(8) == Ok(0) { 0 } else { count(row, 8, widths)? as u16 },
        title: if has_title { row.get_ref(9)?.as_str_or_null()? } else { None },
        since: if has_title { moment(row, 10)? } else { None },
    })
}

/// The targets and the lines of a habit.
type Items = (Vec<EntityId>, Vec<Box<str>>);

fn read_habits(transaction: &Transaction, take: &mut impl FnMut(Record)) -> rusqlite::Result<()> {
    let mut items: BTreeMap<(EntityId, Verb), Items> = BTreeMap::new();
    let query = "SELECT creature, verb, target, line FROM habit_item ORDER BY creature, verb, position";
    each(transaction, "habit_item", query, |row| {
        let (targets, lines) = items.entry((id(row, 0)?, labelled(row, 1, Verb::ALL, Verb::label)?)).or_default();
        match (reference(row, 2)?, row.get(3)?) {
            (Some(target), None) => targets.push(target),
            (None, Some(line)) => lines.push(line),
            _ => return Err(broken("it must have either a target or a line".to_owned())),
        }
        Ok(())
    })?;
    let query = "SELECT creature, verb, every_minutes FROM habit ORDER BY creature, verb";
    each(transaction, "habit", query, |row| {
        let (creature, verb) = (id(row, 0)?, labelled(row, 1, Verb::ALL, Verb::label)?);
        let (targets, lines) = items.remove(&(creature, verb)).unwrap_or_default();
        let named = if matches!(verb, Verb::Say | Verb::Act) { lines.len() } else { targets.len() };
        if !verb.items().contains(&named) {
            return Err(broken(format!("it names {named}, and {:?} is accepted", verb.items())));
        }
        let habit = Habit { verb, every_minutes: count(row, 2, EVERY_MINUTES)?, targets, lines };
        take(Record::Habit(creature, &habit));
        Ok(())
    })?;
    match items.keys().next() {
        Some((creature, verb)) => Err(broken(format!("habit_item: {creature} has no habit to {}", verb.label()))),
        None => Ok(()),
    }
}

/// Goes through every row, and names the one that cannot be read.
fn each(
    transaction: &Transaction,
    table: &str,
    query: &str,
    mut read: impl FnMut(&Row) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare(query)?;
    let (mut rows, mut number) = (statement.query([])?, 0);
    while let Some(row) = rows.next()? {
        number += 1;
        read(row).map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => error,
            other => broken(format!("{table}, row {number}: {other}")),
        })?;
    }
    Ok(())
}

/// An error about what is stored, not about storing.
fn broken(what: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(what.into())
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

/// A column that may hold a moment, in seconds since 1970.
fn moment(row: &Row, index: usize) -> rusqlite::Result<Option<u64>> {
    let Some(seconds) = row.get::<_, Option<i64>>(index)? else { return Ok(None) };
    in_range(row, index, seconds, 0..=SECONDS_MAX).map(Some)
}

/// A column that holds a yes or no.
fn flag(row: &Row, index: usize) -> rusqlite::Result<bool> {
    Ok(count(row, index, 0..=1)? == 1)
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
