//! A world as a world file: its places and what is in them, as they are now. The clock and the players stay behind.

use std::collections::{BTreeMap, BTreeSet};

use super::worldfile::{GROUPS, room_above};
use crate::json::{Json, Style};
use crate::limits::WORLD_FILE_BYTES_MAX;
use crate::world::{Active, Entity, EntityId, Habit, Kind, Verb, World};

/// The key under which each habit lists what it is about, in the order of `Verb::ALL`.
pub(super) const ITEMS: [&str; Verb::ALL.len()] = ["within", "stops", "lines", "lines", "things", "prey"];

/// Writes `world` as JSON5, which `worldfile::read` takes back: a line for each entity, or if it would be too large for a
/// world file so, without any white space. That is no longer than the file that the world was founded from.
pub fn export(world: &World) -> String {
    export_within(world, WORLD_FILE_BYTES_MAX)
}

/// The same for files of at most so many bytes.
pub fn export_within(world: &World, bytes_max: u64) -> String {
    let export = Export { world, tags: tags(world), holders: world.holders() };
    let write = |style| {
        Json::styled(style, |json| {
            json.key("id").string(world.id.as_str());
            json.key("name").string(world.name.as_str());
            for (kind, key) in GROUPS {
                if world.entities().any(|entity| entity.kind == kind) {
                    json.key(key).nested(|json| export.each(json, kind));
                }
            }
            if !world.spawns.is_empty() {
                json.key("spawns").array(|json| export.spawns(json));
            }
        })
    };
    let text = write(Style::Lines(2));
    if text.len() as u64 >= bytes_max { write(Style::Tight) } else { text + "\n" }
}

/// A tag for every entity that a world file names: its own, or one made of its kind and id.
fn tags(world: &World) -> BTreeMap<EntityId, String> {
    let own: BTreeSet<&str> = world.entities().filter_map(|entity| entity.tag.as_deref()).collect();
    let tag = |entity: &Entity| match &entity.tag {
        Some(tag) => tag.to_string(),
        None => {
            let mut made = format!("{}_{}", entity.kind.label(), entity.id);
            while own.contains(made.as_str()) {
                made.push('_');
            }
            made
        }
    };
    world.entities().filter(|entity| entity.kind != Kind::Exit).map(|entity| (entity.id, tag(entity))).collect()
}

struct Export<'a> {
    world: &'a World,
    tags: BTreeMap<EntityId, String>,
    /// What holds something is a container without being called one.
    holders: BTreeSet<EntityId>,
}

impl Export<'_> {
    fn tag(&self, id: EntityId) -> &str {
        self.tags.get(&id).map_or("", String::as_str)
    }

    fn each(&self, json: &mut Json, kind: Kind) {
        for entity in self.world.entities().filter(|entity| entity.kind == kind) {
            json.key(self.tag(entity.id)).nested(|json| self.entity(json, entity));
        }
    }

    fn entity(&self, json: &mut Json, entity: &Entity) {
        for (key, text) in [("name", &entity.name), ("description", &entity.description), ("gait", &entity.gait)] {
            json.optional(key, text.as_deref());
        }
        // A player's belongings lie where the player stands or rests: players are no part of a world file.
        let holder = entity.location.and_then(|id| self.world.entity(id));
        let place = match holder {
            Some(player) if player.kind == Kind::Player => player.location.or(player.home),
            _ => entity.location,
        };
        let elsewhere = entity.home.filter(|home| Some(*home) != room_above(place, |id| self.world.entity(id)));
        for (key, other) in [("in", place), ("home", elsewhere), ("prototype", entity.prototype)] {
            json.optional(key, other.map(|other| self.tag(other)));
        }
        // What a copy has from its prototype is not said of it.
        let is_own = entity.prototype.is_none();
        let active = Some(entity.active).filter(|active| is_own && *active != Active::Always);
        json.optional("active", active.map(Active::label));
        let is_container = entity.container && !self.holders.contains(&entity.id);
        for (key, flag) in
            [("indoors", entity.indoors), ("fixed", entity.fixed && is_own), ("container", is_container && is_own)]
        {
            if flag {
                json.key(key).plain(true);
            }
        }
        if self.world.contents(entity.id, Kind::Exit).next().is_some() {
            json.key("exits").nested(|json| self.exits(json, entity.id));
        }
        let habits = self.world.own_habits(entity.id);
        if !habits.is_empty() {
            json.key("habits").nested(|json| habits.iter().for_each(|habit| self.habit(json, habit)));
        }
    }

    fn exits(&self, json: &mut Json, room: EntityId) {
        for exit in self.world.contents(room, Kind::Exit) {
            let json = json.key(self.world.name_of(exit.id));
            match exit.destination {
                Some(to) if exit.description.is_none() && !exit.locked => json.string(self.tag(to)),
                to => json.nested(|json| {
                    json.optional("to", to.map(|to| self.tag(to)));
                    json.optional("description", exit.description.as_deref());
                    if exit.locked {
                        json.key("locked").plain(true);
                    }
                }),
            }
        }
    }

    fn habit(&self, json: &mut Json, habit: &Habit) {
        json.key(habit.verb.label()).nested(|json| {
            json.key("every_minutes").plain(habit.every_minutes);
            if habit.targets.is_empty() && habit.lines.is_empty() {
                return;
            }
            json.key(ITEMS[habit.verb as usize]).array(|json| {
                habit.targets.iter().for_each(|target| json.string(self.tag(*target)));
                habit.lines.iter().for_each(|line| json.string(&**line));
            });
        });
    }

    fn spawns(&self, json: &mut Json) {
        for spawn in &self.world.spawns {
            json.nested(|json| {
                json.key("prototype").string(self.tag(spawn.prototype));
                json.key("room").string(self.tag(spawn.room));
                json.key("at_most").plain(spawn.at_most);
                json.key("every_minutes").plain(spawn.every_minutes);
                json.optional("text", spawn.text.as_deref());
            });
        }
    }
}
