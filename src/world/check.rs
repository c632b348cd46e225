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
        let last = self.entities.iter().next_back().map(|entity| entity.id);
        let last = last.max(self.bans.keys().next_back().copied()).max(self.keepsakes.keys().next_back().copied());
        let last = last.map_or(0, EntityId::get);
        let next = self.next_id;
        let not_above = format_args!("the next id, {next}, is not above all ids in use ({last})");
        problems.require(next > last, "the world", not_above);
        let mut tags = BTreeSet::new();
        for entity in self.entities() {
            self.check_entity(entity, &mut problems);
            let tag_is_its_own = entity.tag.as_ref().is_none_or(|tag| tags.insert(tag));
            problems.require(tag_is_its_own, entity, "has a tag that another has too");
        }
        for (&creature, habits) in &self.habits {
            self.check_habits(creature, habits, &mut problems);
        }
        self.check_spawns(&mut problems);
        for id in self.players.keys() {
            let is_player = self.kind_of(*id) == Some(Kind::Player);
            problems.require(is_player, format_args!("player {id}"), "is no entity of that kind");
        }
        for id in self.bans.keys() {
            problems.require(self.entity(*id).is_none(), format_args!("ban {id}"), "has the number of an entity");
        }
        for (id, keepsake) in &self.keepsakes {
            let is_its_own = self.entity(*id).is_none() && !self.bans.contains_key(id);
            problems.require(is_its_own, format_args!("keepsake {id}"), "has the number of an entity or a ban");
            let is_kept_for_one = self.players.get(&keepsake.player).is_some_and(|player| !player.is_guest());
            problems.require(is_kept_for_one, format_args!("keepsake {id}"), "is kept for nobody who has a password");
        }
        problems.finish()
    }

    fn check_entity(&self, entity: &Entity, problems: &mut Problems) {
        let is_a = |kind: Kind, id: Option<EntityId>| id.is_none_or(|id| self.kind_of(id) == Some(kind));
        let mut require = |holds: bool, what: &str| problems.require(holds, entity, what);
        let model = entity.prototype.and_then(|id| self.entity(id));
        let copy_is_sound = model.is_some_and(|model| model.is_prototype() && model.kind == entity.kind);
        require(entity.prototype.is_none() || copy_is_sound, "is a copy of something that is no prototype of its kind");
        require(entity.prototype.is_none() || !entity.is_prototype(), "is a copy and stands nowhere");
        require(entity.name.is_some() || model.is_some_and(|model| model.name.is_some()), "has no name");
        require(is_a(Kind::Room, entity.home), "has a home that is no room");
        require(is_a(Kind::Player, entity.owner), "has an owner who is no player");
        match (entity.kind, entity.location, entity.location.and_then(|id| self.kind_of(id))) {
            (Kind::Room, location, _) => require(location.is_none(), "is a room inside something"),
            (_, Some(_), None) => require(false, "stands in a place that does not exist"),
            (_, _, Some(Kind::Exit)) => require(false, "stands in an exit"),
            (Kind::Thing, Some(_), Some(_)) => {
                require(self.holder_is_found(entity), "is held in a circle, or too deep")
            }
            (Kind::Thing | Kind::Creature, None, _) => (),
            (Kind::Player, None, _) => require(entity.home.is_some(), "rests and has no home"),
            (_, _, holder) => require(holder == Some(Kind::Room), "does not stand in a room"),
        }
        if entity.kind == Kind::Exit {
            let leads = is_a(Kind::Room, entity.destination) && (entity.locked || entity.destination.is_some());
            require(leads, "leads to no room and is not locked");
        } else {
            require(entity.destination.is_none(), "leads somewhere and is no exit");
        }
        if entity.kind == Kind::Player {
            require(self.players.contains_key(&entity.id), "is a player of whom nothing else is known");
            let named = entity.name.as_deref().map(super::folded);
            let is_found = named.is_some_and(|name| self.names.get(&name) == Some(&entity.id));
            require(is_found, "has a name that looks like another player's");
        }
        require(entity.kind == Kind::Creature || entity.active == Active::Always, "has hours and is no creature");
        require(entity.kind == Kind::Thing || !entity.container, "is a container and no thing");
        require(entity.active != Active::Always || !entity.asleep, "sleeps and has no hours");
    }

    fn kind_of(&self, id: EntityId) -> Option<Kind> {
        self.entity(id).map(|entity| entity.kind)
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
        problems.require(entity.prototype.is_none(), entity, "has habits of its own and is a copy");
        let mut verbs = BTreeSet::new();
        for Habit { verb, targets, .. } in habits {
            let wanted = match verb {
                Verb::Wander | Verb::Route => |entity: &Entity| entity.kind == Kind::Room,
                // A copy can be eaten and gone; a habit must not name what may go.
                Verb::Carry => |entity: &Entity| entity.kind == Kind::Thing && entity.prototype.is_none(),
                Verb::Eat => Entity::is_prototype,
                Verb::Say | Verb::Act => |_: &Entity| false,
            };
            let mut require = |holds: bool, what: &str| {
                problems.require(holds, entity, format_args!("has a habit, to {}, that {what}", verb.label()));
            };
            require(verbs.insert(*verb), "it has twice");
            require(targets.iter().all(|id| self.entity(*id).is_some_and(wanted)), "names something unsuitable");
        }
        let both = verbs.contains(&Verb::Wander) && verbs.contains(&Verb::Route);
        problems.require(!both, entity, "both wanders and follows a route");
    }

    fn check_spawns(&self, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for (index, spawn) in self.spawns.iter().enumerate() {
            let place = format_args!("spawn rule {}", index + 1);
            let mut require = |holds: bool, what: &str| problems.require(holds, place, what);
            let copied = self.entity(spawn.prototype);
            require(copied.is_some_and(Entity::is_prototype), "copies something that is no prototype");
            require(self.kind_of(spawn.room) == Some(Kind::Room), "has a room that is no room");
            let is_alone = seen.insert((spawn.prototype, spawn.room));
            require(is_alone, "is for the same prototype and room as another");
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

    /// Adds one unless what must hold does.
    pub fn require(&mut self, holds: bool, place: impl Display, what: impl Display) {
        if !holds {
            self.add(place, what);
        }
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
