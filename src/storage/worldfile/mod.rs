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
/// What it is called.
pub const BUILTIN_NAME: &str = "Tollfleet";

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
    use crate::world::{Action, Command, unheard};

    #[test]
    fn the_built_in_world_is_sound_and_a_place_worth_visiting() {
        let world = read(BUILTIN, 1).unwrap();
        let count = |kind| world.counts()[kind as usize];
        assert!(count(Kind::Room) >= 20 && count(Kind::Exit) >= 45);
        assert!(count(Kind::Thing) >= 15 && count(Kind::Creature) >= 10 && world.spawns.len() >= 5);
        assert_eq!((warnings(&world), world.name.as_str()), (vec![], BUILTIN_NAME));
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

    /// What the file says of nothing is a container follows from what holds something.
    #[test]
    fn what_is_a_container_is_read_follows_from_what_it_holds_and_is_exported() {
        let text = r#"{ id: "a", name: "A", rooms: { hall: { name: "Hall", description: "x" } }, things: {
            urn: { name: "an urn", description: "x", in: "hall", container: true },
            box: { name: "a box", description: "x", in: "hall" },
            bag: { name: "a bag", description: "x" },
            full: { prototype: "bag", in: "box" }, empty: { prototype: "bag", in: "hall" },
            coin: { name: "a coin", description: "x", in: "full", container: false },
        } }"#;
        let containers = |world: &World| {
            let all = world.entities().filter(|entity| entity.container);
            all.filter_map(|entity| entity.tag.as_deref()).map(str::to_owned).collect::<Vec<String>>()
        };
        let expected = ["urn", "box", "bag", "full", "empty"];
        let mut world = read(text, 1).unwrap();
        assert_eq!(containers(&world), expected);
        assert_eq!(export(&world).matches("container").count(), 1);
        // What is taken out leaves containers behind, and what a player has is not lost, whether they rest or not.
        let id = |world: &World, tag| world.entities().find(|it| it.tag.as_deref() == Some(tag)).unwrap().id;
        let (coin, full, hall) = (id(&world, "coin"), id(&world, "full"), id(&world, "hall"));
        let ada = world.add_player("Ada", Some("sealed".to_owned())).unwrap();
        world.wake(ada, &mut unheard);
        for thing in [full, coin] {
            world.apply(Command { actor: ada, action: Action::Take(thing) }, &mut unheard).unwrap();
        }
        for rests in [false, true] {
            let again = read(export(&world), 1).unwrap_or_else(|problems| panic!("{problems:?}"));
            assert_eq!(containers(&again), expected);
            let place = |tag| again.entity(id(&again, tag)).and_then(|thing| thing.location);
            assert_eq!((place("coin"), place("full")), (Some(hall), Some(hall)), "rests: {rests}");
            assert_eq!(again.counts()[Kind::Player as usize], 0);
            world.rest(ada, &mut unheard);
        }
        let wrong = text.replace("prototype: \"bag\", in", "container: true, prototype: \"bag\", in");
        let wrong = wrong.replace("name: \"Hall\",", "name: \"Hall\", container: true,");
        let problems = read(wrong, 1).unwrap_err();
        assert!(problems[0].starts_with("rooms.hall.container: is not known"), "{problems:?}");
        assert_eq!(problems[1], "things.full.container: a copy has this from its prototype");
    }
}
