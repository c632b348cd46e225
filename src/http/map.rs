//! The map of a world: its rooms, the ways between them, and how many are in each. Nobody is named.
//!
//! Whoever asks for it costs the world nothing: what is drawn is made anew only after a room or an exit has changed, how
//! many are where only once a second, and both are bounded, however large the world is.

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::json::Json;
use crate::limits::{MAP_EXITS_MAX, MAP_PAUSE_MS, MAP_ROOMS_MAX};
use crate::world::{EntityId, Kind, World};

/// The map as it was last asked for.
#[derive(Default)]
pub struct Map {
    text: OnceCell<String>,
    /// When the last text was given up.
    aged: Monotonic,
    layout: Cell<Option<Layout>>,
}

/// Rooms and exits: what changes only when somebody builds.
struct Layout {
    /// As of which `World::layout`.
    version: u64,
    rooms: String,
    exits: String,
}

impl Map {
    /// Gives up a text that may be too old.
    pub fn age(&mut self, now: Monotonic) {
        if now.since(self.aged) >= Duration::from_millis(MAP_PAUSE_MS) {
            self.text.take();
            self.aged = now;
        }
    }

    /// The map as JSON, at most as old as the pause before a new one.
    pub fn text(&self, world: &World) -> &str {
        self.text.get_or_init(|| {
            let kept = self.layout.take().filter(|layout| layout.version == world.layout());
            let layout = kept.unwrap_or_else(|| Layout::of(world));
            let text = layout.peopled(world);
            self.layout.set(Some(layout));
            text
        })
    }
}

impl Layout {
    fn of(world: &World) -> Layout {
        let exits = rooms(world).flat_map(|room| world.contents(*room, Kind::Exit)).take(MAP_EXITS_MAX);
        Layout {
            version: world.layout(),
            rooms: listed(rooms(world), |json, id| {
                json.key("id").plain(id);
                json.key("name").string(world.name_of(*id));
            }),
            exits: listed(exits, |json, exit| {
                json.key("from").number(exit.location.map(EntityId::get));
                json.key("to").number(exit.destination.map(EntityId::get));
                json.key("name").string(world.name_of(exit.id));
                json.key("locked").plain(exit.locked);
            }),
        }
    }

    /// The whole map: this, and who is where now.
    fn peopled(&self, world: &World) -> String {
        let [rooms_total, exits_total, ..] = world.counts();
        Json::object(|json| {
            json.key("tick").plain(world.now().0);
            json.key("rooms_total").plain(rooms_total);
            json.key("exits_total").plain(exits_total);
            json.key("rooms").plain(&self.rooms);
            json.key("exits").plain(&self.exits);
            let counts = rooms(world).map(|id| (id, world.inhabitants(*id)));
            let inhabited = counts.filter(|(_, counts)| *counts != [0, 0]);
            json.key("inhabited").plain(listed(inhabited, |json, (id, [creatures, people])| {
                json.key("room").plain(id);
                json.key("creatures").plain(creatures);
                json.key("people").plain(people);
            }));
        })
    }
}

/// Those that are on the map.
fn rooms(world: &World) -> impl Iterator<Item = &EntityId> {
    world.rooms().iter().take(MAP_ROOMS_MAX)
}

/// An object of each.
fn listed<T>(all: impl Iterator<Item = T>, fields: impl Fn(&mut Json, T)) -> String {
    Json::value(|json| json.array(|json| all.for_each(|one| json.nested(|json| fields(json, one)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::worldfile;
    use crate::world::unheard;

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic(Duration::from_millis(milliseconds))
    }

    /// A world with so many rooms in a ring, so many ways from each to the next, and a rat in the first.
    fn ring(rooms: usize, ways: usize) -> World {
        let room = |at: usize| {
            let to = (at + 1) % rooms;
            let exits: String = (0..ways).map(|way| format!("way{way}: \"r{to}\",")).collect();
            format!("r{at}: {{ name: \"Room {at}\", description: \"x\", exits: {{ {exits} }} }},")
        };
        let rooms: String = (0..rooms).map(room).collect();
        let rat = "rat: { name: \"a rat\", description: \"x\", in: \"r0\", habits: { wander: { every_minutes: 1 } } }";
        let text = format!("{{ id: \"r\", name: \"R\", rooms: {{ {rooms} }}, creatures: {{ {rat} }} }}");
        worldfile::read(text, 1).unwrap()
    }

    /// What stands in a map at a path of SQLite's, as JSON.
    fn value(map: &str, path: &str) -> String {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.query_row("SELECT ?1 -> ?2", [map, path], |row| row.get(0)).unwrap()
    }

    fn length(map: &str, path: &str) -> usize {
        value(map, path).matches("{").count()
    }

    #[test]
    fn a_map_has_every_room_and_way_and_how_many_are_where_and_names_nobody() {
        let mut world = ring(3, 1);
        let anna = world.add_player("Anna", None).unwrap();
        world.wake(anna, &mut unheard);
        let map = Map::default();
        let text = map.text(&world);
        let rooms = r#"[{"id":1,"name":"Room 0"},{"id":2,"name":"Room 1"},{"id":3,"name":"Room 2"}]"#;
        assert_eq!(value(text, "$.rooms"), rooms);
        let exit = r#"{"from":3,"to":1,"name":"way0","locked":false}"#;
        assert_eq!((value(text, "$.exits[2]").as_str(), length(text, "$.exits")), (exit, 3));
        assert_eq!(value(text, "$.inhabited"), r#"[{"room":1,"creatures":1,"people":1}]"#);
        assert_eq!((value(text, "$.rooms_total"), value(text, "$.exits_total")), ("3".to_owned(), "3".to_owned()));
        assert!(!text.contains("Anna") && !text.contains("rat"), "{text}");
        world.rest(anna, &mut unheard);
        assert_eq!(value(Map::default().text(&world), "$.inhabited"), r#"[{"room":1,"creatures":1,"people":0}]"#);
    }

    #[test]
    fn of_a_large_world_a_map_has_the_first_rooms_and_says_how_large_it_is() {
        let world = ring(MAP_ROOMS_MAX + 1, 5);
        let map = Map::default();
        let text = map.text(&world);
        assert_eq!((length(text, "$.rooms"), length(text, "$.exits")), (MAP_ROOMS_MAX, MAP_EXITS_MAX));
        assert_eq!(value(text, "$.rooms[#-1].name"), format!("\"Room {}\"", MAP_ROOMS_MAX - 1));
        assert_eq!((value(text, "$.rooms_total"), value(text, "$.exits_total")), ("2001".into(), "10005".into()));
        // All that is bounded by the bytes of a name stays far below what a connection may hold.
        assert!(text.len() < 1 << 20, "{}", text.len());
    }

    #[test]
    fn a_map_is_made_anew_at_most_once_a_second_and_its_layout_only_when_that_has_changed() {
        let mut world = ring(3, 1);
        let mut map = Map::default();
        let rooms_at = |map: &Map| {
            let layout = map.layout.take();
            let place = layout.as_ref().map(|layout| layout.rooms.as_ptr());
            map.layout.set(layout);
            place
        };
        assert_eq!(rooms_at(&map), None, "nobody has asked");
        map.age(at(5_000));
        let (first, place) = (map.text(&world).to_owned(), rooms_at(&map));
        let mut seen = vec![value(&first, "$.inhabited")];
        for turn in 1..100 {
            (0..10).for_each(|_| world.tick(&mut unheard));
            map.age(at(5_000 + 500 * turn));
            let is_anew = value(map.text(&world), "$.tick") == world.now().0.to_string();
            assert_eq!(is_anew, turn % 2 == 0, "in half a second nothing is made anew");
            seen.push(value(map.text(&world), "$.inhabited"));
            assert_eq!(rooms_at(&map), place);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3, "the rat walks from room to room");
    }
}
