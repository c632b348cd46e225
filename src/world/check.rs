//! What always holds in a world. Checked whenever one is put together from a file or a database.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::{Active, Entity, EntityId, Habit, Kind, Verb, World};
use crate::limits::{CONTAINMENT_DEPTH_MAX, PROBLEMS_LISTED_MAX};

impl World {
    /// Every way in which this world is not as a world must be, each naming its entity; at most
    /// `PROBLEMS_LISTED_MAX` and one more that counts the rest. This is about how records relate: what a single one may
    /// hold is checked where it is read, in a file or a database.
    pub fn violations(&self) -> Vec<String> {
        let mut problems = Problems::default();
        let last = self.entities.last_key_value().map_or(0, |(id, _)| id.get());
        if self.next_id <= last {
            let next = self.next_id;
            problems.add("the world", format_args!("the next id, {next}, is not above all ids in use ({last})"));
        }
        let mut tags = BTreeSet::new();
        for entity in self.entities.values() {
            self.check_entity(entity, &mut problems);
            if entity.tag.as_ref().is_some_and(|tag| !tags.insert(tag)) {
                problems.entity(entity, "has a tag that another has too");
            }
        }
        for (&creature, habits) in &self.habits {
            self.check_habits(creature, habits, &mut problems);
        }
        self.check_spawns(&mut problems);
        problems.finish()
    }

    fn check_entity(&self, entity: &Entity, problems: &mut Problems) {
        let kind_of = |id: Option<EntityId>| id.and_then(|id| self.entity(id)).map(|entity| entity.kind);
        let mut require = |holds: bool, what: &str| {
            if !holds {
                problems.entity(entity, what);
            }
        };
        let model = entity.prototype.and_then(|id| self.entity(id));
        let copy_is_sound = model.is_some_and(|model| model.is_prototype() && model.kind == entity.kind);
        require(entity.prototype.is_none() || copy_is_sound, "is a copy of something that is no prototype of its kind");
        require(entity.prototype.is_none() || !entity.is_prototype(), "is a copy and stands nowhere");
        require(entity.name.is_some() || model.is_some_and(|model| model.name.is_some()), "has no name");
        let home_is_sound = entity.home.is_none() || kind_of(entity.home) == Some(Kind::Room);
        require(home_is_sound, "has a home that is no room");
        let owner_is_sound = entity.owner.is_none() || kind_of(entity.owner) == Some(Kind::Player);
        require(owner_is_sound, "has an owner who is no player");
        match (entity.kind, entity.location, kind_of(entity.location)) {
            (Kind::Room, location, _) => require(location.is_none(), "is a room inside something"),
            (_, Some(_), None) => require(false, "stands in a place that does not exist"),
            (_, _, Some(Kind::Exit)) => require(false, "stands in an exit"),
            (Kind::Thing, Some(_), Some(_)) => {
                require(self.holder_is_found(entity), "is held in a circle, or too deep")
            }
            (Kind::Thing | Kind::Creature, None, _) => (),
            (_, _, holder) => require(holder == Some(Kind::Room), "does not stand in a room"),
        }
        if entity.kind == Kind::Exit {
            let leads = entity.destination.is_some() && kind_of(entity.destination) == Some(Kind::Room);
            require(leads || entity.destination.is_none() && entity.locked, "leads to no room and is not locked");
        } else {
            require(entity.destination.is_none(), "leads somewhere and is no exit");
        }
        require(entity.kind == Kind::Creature || entity.active == Active::Always, "has hours and is no creature");
        require(entity.active != Active::Always || !entity.asleep, "sleeps and has no hours");
    }

    /// True if something that is no thing holds this thing, perhaps by way of other things.
    fn holder_is_found(&self, thing: &Entity) -> bool {
        let holder_of = |entity: &&Entity| self.entity(entity.location?);
        let mut held = std::iter::successors(Some(thing), holder_of).take(CONTAINMENT_DEPTH_MAX + 1);
        held.any(|entity| entity.kind != Kind::Thing || entity.is_prototype())
    }

    fn check_habits(&self, creature: EntityId, habits: &[Habit], problems: &mut Problems) {
        let Some(entity) = self.entity(creature).filter(|entity| entity.kind == Kind::Creature) else {
            return problems.add("a habit", format_args!("belongs to {creature}, which is no creature"));
        };
        if entity.prototype.is_some() {
            problems.entity(entity, "has habits of its own and is a copy");
        }
        let mut verbs = BTreeSet::new();
        for Habit { verb, targets, .. } in habits {
            let wanted = match verb {
                Verb::Wander | Verb::Route => |entity: &Entity| entity.kind == Kind::Room,
                // A copy can be eaten and gone; a habit must not name what may go.
                Verb::Carry => |entity: &Entity| entity.kind == Kind::Thing && entity.prototype.is_none(),
                Verb::Eat => Entity::is_prototype,
                Verb::Say | Verb::Act => |_: &Entity| false,
            };
            for (holds, what) in [
                (verbs.insert(*verb), "it has twice"),
                (targets.iter().all(|id| self.entity(*id).is_some_and(wanted)), "names something unsuitable"),
            ] {
                if !holds {
                    problems.entity(entity, format_args!("has a habit, to {}, that {what}", verb.name()));
                }
            }
        }
        if verbs.contains(&Verb::Wander) && verbs.contains(&Verb::Route) {
            problems.entity(entity, "both wanders and follows a route");
        }
    }

    fn check_spawns(&self, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for (index, spawn) in self.spawns.iter().enumerate() {
            for (holds, what) in [
                (
                    self.entity(spawn.prototype).is_some_and(Entity::is_prototype),
                    "copies something that is no prototype",
                ),
                (self.entity(spawn.room).is_some_and(|room| room.kind == Kind::Room), "has a room that is no room"),
                (seen.insert((spawn.prototype, spawn.room)), "is for the same prototype and room as another"),
            ] {
                if !holds {
                    problems.add(format_args!("spawn rule {}", index + 1), what);
                }
            }
        }
    }
}

/// Collects problems up to a limit, each as its place and what is wrong there. Beyond the limit none is even put into
/// words, only counted: it must not matter how many a hostile file has.
#[derive(Debug, Default)]
pub struct Problems {
    listed: Vec<String>,
    unlisted: usize,
}

impl Problems {
    /// Adds one.
    pub fn add(&mut self, place: impl Display, what: impl Display) {
        if self.has_room() {
            self.listed.push(format!("{place}: {what}"));
        } else {
            self.unlisted += 1;
        }
    }

    fn entity(&mut self, entity: &Entity, what: impl Display) {
        let tag = entity.tag.as_deref().map(|tag| format!(" {tag:?}")).unwrap_or_default();
        self.add(format_args!("{} {}{tag}", entity.kind.name(), entity.id), what);
    }

    /// Whether the next one will be listed.
    pub fn has_room(&self) -> bool {
        self.listed.len() < PROBLEMS_LISTED_MAX
    }

    /// Those listed, and one more that counts the others.
    pub fn finish(mut self) -> Vec<String> {
        if self.unlisted > 0 {
            self.listed.push(format!("and {} more", self.unlisted));
        }
        self.listed
    }
}
