//! What always holds in a world. Checked whenever one is put together from a file or a database.

use std::collections::BTreeSet;

use super::{Active, Entity, EntityId, Habit, Kind, Tick, Verb, World};
use crate::limits::{
    CONTAINMENT_DEPTH_MAX, EVERY_MINUTES_MAX, HABIT_ITEMS_MAX, PROBLEMS_LISTED_MAX, SPAWN_AT_MOST_MAX,
};

/// Beyond this age sums of ticks might overflow; at ten ticks a second it is reached after 14 billion years.
const TICK_MAX: Tick = Tick(1 << 62);

impl World {
    /// Every way in which this world is not as a world must be, each naming its entity; at most
    /// `PROBLEMS_LISTED_MAX` and one more that counts the rest.
    pub fn violations(&self) -> Vec<String> {
        let mut problems = Problems::default();
        if self.tick > TICK_MAX {
            problems.add("the world", format!("tick {} is beyond {}", self.tick.0, TICK_MAX.0));
        }
        let last = self.entities.last_key_value().map_or(0, |(id, _)| id.get());
        if self.next_id <= last || self.next_id > EntityId::MAX / 2 {
            problems.add(
                "the world",
                format!("the next id, {}, is not above all ids in use ({last}), or far too large", self.next_id),
            );
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
        let kind_of = |id: Option<EntityId>| id.and_then(|id| self.entities.get(&id)).map(|entity| entity.kind);
        let mut require = |holds: bool, what: &str| {
            if !holds {
                problems.entity(entity, what);
            }
        };
        let model = entity.prototype.and_then(|id| self.entities.get(&id));
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
        let holder_of = |entity: &&Entity| self.entities.get(&entity.location?);
        let mut held = std::iter::successors(Some(thing), holder_of).take(CONTAINMENT_DEPTH_MAX + 1);
        held.any(|entity| entity.kind != Kind::Thing || entity.is_prototype())
    }

    fn check_habits(&self, creature: EntityId, habits: &[Habit], problems: &mut Problems) {
        let Some(entity) = self.entities.get(&creature).filter(|entity| entity.kind == Kind::Creature) else {
            return problems.add("a habit", format!("belongs to {creature}, which is no creature"));
        };
        if entity.prototype.is_some() {
            problems.entity(entity, "has habits of its own and is a copy");
        }
        let mut verbs = BTreeSet::new();
        for Habit { verb, every_minutes, targets, lines } in habits {
            let wanted = match verb {
                Verb::Wander | Verb::Route => |entity: &Entity| entity.kind == Kind::Room,
                // A copy can be eaten and gone; a habit must not name what may go.
                Verb::Carry => |entity: &Entity| entity.kind == Kind::Thing && entity.prototype.is_none(),
                Verb::Eat => Entity::is_prototype,
                Verb::Say | Verb::Act => |_: &Entity| false,
            };
            let items = if matches!(verb, Verb::Say | Verb::Act) { lines.len() } else { targets.len() };
            let least = usize::from(*verb != Verb::Wander);
            for (holds, what) in [
                (verbs.insert(*verb), "it has twice"),
                ((1..=EVERY_MINUTES_MAX).contains(every_minutes), "comes at an impossible pace"),
                ((least..=HABIT_ITEMS_MAX).contains(&items), "names too few or too many"),
                (targets.iter().all(|id| self.entities.get(id).is_some_and(wanted)), "names something unsuitable"),
            ] {
                if !holds {
                    problems.entity(entity, &format!("has a habit, to {}, that {what}", verb.name()));
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
            let place = format!("spawn rule {}", index + 1);
            if !self.entities.get(&spawn.prototype).is_some_and(Entity::is_prototype) {
                problems.add(&place, "makes copies of something that is no prototype");
            }
            if self.entities.get(&spawn.room).is_none_or(|room| room.kind != Kind::Room) {
                problems.add(&place, "has a room that is no room");
            }
            if !(1..=EVERY_MINUTES_MAX).contains(&spawn.every_minutes) {
                problems.add(&place, "comes at an impossible pace");
            }
            if !(1..=SPAWN_AT_MOST_MAX).contains(&spawn.at_most) {
                problems.add(&place, "makes none, or too many");
            }
            if !seen.insert((spawn.prototype, spawn.room)) {
                problems.add(&place, "is for the same prototype and room as another");
            }
        }
    }
}

/// Collects problems up to a limit.
#[derive(Default)]
struct Problems {
    listed: Vec<String>,
    unlisted: usize,
}

impl Problems {
    fn add(&mut self, place: &str, what: impl AsRef<str>) {
        if self.listed.len() < PROBLEMS_LISTED_MAX {
            self.listed.push(format!("{place}: {}", what.as_ref()));
        } else {
            self.unlisted += 1;
        }
    }

    fn entity(&mut self, entity: &Entity, what: &str) {
        let tag = entity.tag.as_deref().map(|tag| format!(" \"{tag}\"")).unwrap_or_default();
        self.add(&format!("{} {}{tag}", entity.kind.name(), entity.id), what);
    }

    fn finish(mut self) -> Vec<String> {
        if self.unlisted > 0 {
            self.listed.push(format!("and {} more", self.unlisted));
        }
        self.listed
    }
}
