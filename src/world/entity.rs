//! What a world is made of: entities, the habits of creatures, the rules by which things come back.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use super::digest::Hasher;
use crate::limits::{EVERY_MINUTES_MAX, HABIT_ITEMS_MAX, SPAWN_AT_MOST_MAX};
use crate::text::keys;

/// The number of an entity: from 1 on, given once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(NonZeroU64);

impl EntityId {
    /// The largest number. It and the next one fit SQLite's signed integers, with room for sums.
    pub const MAX: u64 = (1 << 62) - 2;

    /// The smallest number.
    pub const FIRST: EntityId = EntityId(NonZeroU64::MIN);

    /// The id with this number, if it is one.
    pub fn new(number: u64) -> Option<EntityId> {
        NonZeroU64::new(number).filter(|number| number.get() <= EntityId::MAX).map(EntityId)
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

keys! {
    /// What an entity is. Its number is part of stored digests, and its place in `ALL`.
    Kind {
        /// A place.
        Room [0] = "room",
        /// A way from the room it stands in to another.
        Exit [1] = "exit",
        /// Something without a will.
        Thing [2] = "thing",
        /// Something with habits.
        Creature [3] = "creature",
        /// A person.
        Player [4] = "player",
    }
}

keys! {
    /// When a creature is awake. Its number is part of stored digests, and its place in `ALL`.
    Active {
        /// Day and night.
        Always [0] = "always",
        /// By day.
        Day [1] = "day",
        /// By night.
        Night [2] = "night",
    }
}

/// One record of the world.
///
/// A *prototype* is a thing or creature without a location: it stands nowhere itself; its copies name it in
/// `prototype` and take from it whatever they do not have of their own.
///
/// There may be millions: texts are boxed, which is 8 bytes less for each than what can grow. On its way to and from
/// storage an entity borrows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity<T = Box<str>> {
    /// Its number.
    pub id: EntityId,
    /// What it is.
    pub kind: Kind,
    /// The short name by which its world file speaks of it.
    pub tag: Option<T>,
    /// What people call it; `None`: as its prototype.
    pub name: Option<T>,
    /// What people see who look at it; `None`: as its prototype, if it has one.
    pub description: Option<T>,
    /// Where it is: the room of an exit, creature or player; the room, carrier or container of a thing.
    pub location: Option<EntityId>,
    /// Where it belongs: for a spawned copy, the room of its spawn rule.
    pub home: Option<EntityId>,
    /// The player who made it.
    pub owner: Option<EntityId>,
    /// What it is a copy of.
    pub prototype: Option<EntityId>,
    /// The room an exit leads to.
    pub destination: Option<EntityId>,
    /// How a creature moves, as a verb: "flaps"; `None`: as its prototype, or "goes".
    pub gait: Option<T>,
    /// When a creature is awake.
    pub active: Active,
    /// The stop of its route that a creature reached last, counted from 0.
    pub step: u8,
    /// A room: no sky above it.
    pub indoors: bool,
    /// An exit: nobody passes.
    pub locked: bool,
    /// A thing: nobody picks it up.
    pub fixed: bool,
    /// A creature: it sleeps.
    pub asleep: bool,
    /// A thing: others can be put into it.
    pub container: bool,
}

impl<T> Entity<T> {
    /// An entity of which no more is known.
    pub fn new(id: EntityId, kind: Kind) -> Entity<T> {
        Entity {
            id,
            kind,
            tag: None,
            name: None,
            description: None,
            location: None,
            home: None,
            owner: None,
            prototype: None,
            destination: None,
            gait: None,
            active: Active::Always,
            step: 0,
            indoors: false,
            locked: false,
            fixed: false,
            asleep: false,
            container: false,
        }
    }

    /// Whether it is only there to be copied.
    pub fn is_prototype(&self) -> bool {
        self.location.is_none() && matches!(self.kind, Kind::Thing | Kind::Creature)
    }

    /// The same with its texts taken another way.
    pub fn with_texts<'a, U>(&'a self, take: impl Fn(&'a T) -> U) -> Entity<U> {
        let Entity { id, kind, tag, name, description, location, home, owner, prototype, destination, .. } = self;
        let Entity { gait, active, step, indoors, locked, fixed, asleep, container, .. } = self;
        let [tag, name, description, gait] = [tag, name, description, gait].map(|text| text.as_ref().map(&take));
        let mut other = Entity { tag, name, description, gait, ..Entity::new(*id, *kind) };
        (other.location, other.home, other.owner, other.prototype) = (*location, *home, *owner, *prototype);
        (other.destination, other.active, other.step, other.indoors) = (*destination, *active, *step, *indoors);
        (other.locked, other.fixed, other.asleep, other.container) = (*locked, *fixed, *asleep, *container);
        other
    }
}

impl Entity {
    /// The same, with its texts where they are.
    pub fn borrowed(&self) -> Entity<&str> {
        self.with_texts(AsRef::as_ref)
    }
}

impl<T: AsRef<str>> Entity<T> {
    /// A digest of every field. All are named here, so that a new one cannot be forgotten.
    pub fn digest(&self) -> u64 {
        let Entity { id, kind, tag, name, description, location, home, owner, prototype, destination, .. } = self;
        let Entity { gait, active, step, indoors, locked, fixed, asleep, container, .. } = self;
        let mut hasher = Hasher::new(1);
        hasher.number(id.get()).number(*kind as u64);
        for text in [tag, name, description, gait] {
            hasher.text_option(text.as_ref().map(AsRef::as_ref));
        }
        for reference in [location, home, owner, prototype, destination] {
            hasher.option(reference.map(EntityId::get));
        }
        hasher.number(*active as u64).number(u64::from(*step));
        for flag in [indoors, locked, fixed, asleep] {
            hasher.number(u64::from(*flag));
        }
        // Came later: the digests of what has it not are as they were before.
        if *container {
            hasher.number(1);
        }
        hasher.finish()
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.label(), self.id)?;
        self.tag.iter().try_for_each(|tag| write!(f, " {tag:?}"))
    }
}

keys! {
    /// What a creature does by habit. Its number decides when, is part of stored digests, and is its place in `ALL`.
    Verb {
        /// Takes any open exit that leads to one of its rooms (if it names none: to any).
        Wander [0] = "wander",
        /// Walks from one of its rooms to the next, round and round.
        Route [1] = "route",
        /// Says one of its lines.
        Say [2] = "say",
        /// Does one of its lines.
        Act [3] = "act",
        /// Picks up one of its things, and puts it down the next time.
        Carry [4] = "carry",
        /// Eats a copy of one of its prototypes.
        Eat [5] = "eat",
    }
}

impl Verb {
    /// How many rooms, things, prototypes or lines a habit names.
    pub fn items(self) -> RangeInclusive<usize> {
        usize::from(self != Verb::Wander)..=HABIT_ITEMS_MAX
    }
}

/// One habit of a creature, or of all copies of a prototype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habit {
    /// What is done.
    pub verb: Verb,
    /// Once in so many world minutes, at a different point of each such span.
    pub every_minutes: u64,
    /// The rooms, things or prototypes it is about.
    pub targets: Vec<EntityId>,
    /// The lines of `Say` and `Act`.
    pub lines: Vec<Box<str>>,
}

/// The accepted paces of habits and spawn rules, in world minutes.
pub const EVERY_MINUTES: RangeInclusive<u64> = 1..=EVERY_MINUTES_MAX;

/// The accepted values of `at_most` of a spawn rule.
pub const SPAWN_AT_MOST: RangeInclusive<u64> = 1..=SPAWN_AT_MOST_MAX;

/// A rule by which copies of a prototype appear in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// What appears.
    pub prototype: EntityId,
    /// Where.
    pub room: EntityId,
    /// As long as fewer than so many of this rule's copies live anywhere.
    pub at_most: u64,
    /// Once in so many world minutes.
    pub every_minutes: u64,
    /// What people in the room read when it happens.
    pub text: Option<Box<str>>,
}

/// The stop of a route is counted in 8 bits.
const _: () = assert!(HABIT_ITEMS_MAX <= 1 << u8::BITS);
