//! A world file: JSON5, read by SQLite's own functions, turned into the parts of a world.
//!
//! Every mistake is found in one go and named with its place, such as `rooms.quay.exits.north`. The file is gone through
//! twice, value by value: first for its tags, because anything may name anything, then for all else. What is kept is what
//! the world needs, never the file's own shape, so memory is bounded by its size whatever is in it. Next: `reader.rs`.

mod cursor;
mod links;
mod reader;

use rusqlite::Connection;

use crate::world::digest::Hasher;
use crate::world::{Kind, Parts, World, hexadecimal};
use cursor::{Cursor, QUERY};
pub use links::{room_above, warnings};
use reader::Reader;

/// The world that an empty database gets if no file is named.
pub const BUILTIN: &str = include_str!("../../builtin.json5");

/// Where a file has entities, and of which kind.
pub const GROUPS: [(Kind, &str); 3] = [(Kind::Room, "rooms"), (Kind::Thing, "things"), (Kind::Creature, "creatures")];

/// A digest of the text of a world file, to notice that it has changed.
pub fn source_digest(text: &str) -> String {
    hexadecimal(Hasher::new(4).text(text).finish())
}

/// Reads a world file. The world's generator starts at `seed`. Who gives the text away saves its memory.
pub fn read(text: impl Into<String>, seed: u64) -> Result<World, Vec<String>> {
    World::restore(parts(text.into(), seed)?)
}

fn parts(text: String, seed: u64) -> Result<Parts, Vec<String>> {
    let failed = |error: rusqlite::Error| vec![format!("the file: SQLite cannot read it: {error}")];
    let connection = Connection::open_in_memory().map_err(failed)?;
    let position: i64 =
        connection.query_row("SELECT json_error_position(?1)", [&text], |row| row.get(0)).map_err(failed)?;
    if let Some(before) = usize::try_from(position).ok().and_then(|position| position.checked_sub(1)) {
        let (mut line, mut column) = (1, 1);
        for character in text.chars().take(before) {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        return Err(vec![format!("line {line}, column {column}: this is not JSON5")]);
    }
    let mut statement = connection.prepare(QUERY).map_err(failed)?;
    statement.raw_bind_parameter(1, &text).map_err(failed)?;
    // SQLite has a copy.
    drop(text);
    let survey = Reader::survey(Cursor::new(statement.raw_query()))?;
    Reader::read(Cursor::new(statement.raw_query()), survey, seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::export::export;
    use crate::world::unheard;

    #[test]
    fn the_built_in_world_is_sound_and_a_place_worth_visiting() {
        let world = read(BUILTIN, 1).unwrap();
        let count = |kind| world.counts()[kind as usize];
        assert!(count(Kind::Room) >= 20 && count(Kind::Exit) >= 45);
        assert!(count(Kind::Thing) >= 15 && count(Kind::Creature) >= 10 && world.spawns.len() >= 5);
        assert_eq!(warnings(&world), [""; 0]);
    }

    #[test]
    fn an_exported_world_reads_back_and_exports_the_same() {
        let mut world = read(BUILTIN, 1).unwrap();
        (0..30_000).for_each(|_| world.tick(&mut unheard));
        let text = export(&world);
        let again = read(&text, 1).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
        assert_eq!(export(&again), text);
        assert_eq!(again.counts(), world.counts());
    }
}
