//! The kernel: a text world that lives by ticks and commands. Pure and deterministic: no I/O, no clock, no randomness
//! but its own seeded generator, no order that depends on hashing. It knows nothing of storage, sockets or JSON.
//!
//! `World::tick` and `World::apply` are the only ways to change a world. Both tell what is to be heard and note which
//! records changed; `changes`, `digest` and `flushed` are how storage takes them. Next: `life.rs` for what creatures
//! do, `check.rs` for what always holds.

pub mod calendar;
mod check;
pub mod digest;
mod entity;
mod life;
pub mod random;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

pub use calendar::{Tick, Time, Weather};
pub use check::Problems;
use digest::Hasher;
pub use entity::{Active, EVERY_MINUTES, Entity, EntityId, Habit, Kind, SPAWN_AT_MOST, Spawn, Verb};
use life::Event;
pub use life::{Action, Command, Refusal, sleeps_at};
use random::Random;

use crate::limits::{ENTITIES_MAX, SPAWN_ENTITIES_MAX, SPAWNS_MAX};
use crate::text::keys;

/// All of a world as plain data: what a world file or a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Which world this is, for ever.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How long it has lived.
    pub tick: Tick,
    /// The state of its generator.
    pub random: Random,
    /// The sky.
    pub weather: Weather,
    /// The number that the next new entity gets.
    pub next_id: u64,
    /// Its records, each under its id. Boxed, so that none is ever moved and the room that a map leaves costs little.
    pub entities: BTreeMap<EntityId, Box<Entity>>,
    /// What its creatures do, by creature or prototype.
    pub habits: BTreeMap<EntityId, Rc<[Habit]>>,
    /// What comes back.
    pub spawns: Vec<Spawn>,
}

/// Something to be heard or seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// By whom.
    pub audience: Audience,
    /// Who did it; they need not be told.
    pub actor: Option<EntityId>,
    /// A sentence.
    pub text: String,
}

/// Who notices an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All who are in this room.
    Room(EntityId),
    /// All who have the sky above them.
    Outdoors,
}

keys! {
    /// What bounds the size of a world.
    Bound {
        /// `ENTITIES_MAX`.
        Entities = "entities",
        /// `SPAWN_ENTITIES_MAX`.
        SpawnEntities = "spawn_entities",
        /// `SPAWNS_MAX`.
        Spawns = "spawns",
    }
}

/// What stands at a place, in the order in which it is gone through: by kind, prototype and id.
type Standing = (EntityId, Kind, Option<EntityId>, EntityId);

/// A living world.
pub struct World {
    parts: Parts,

    /// What stands where. Derived, never stored.
    contents: BTreeSet<Standing>,
    /// How many copies of a prototype belong to a room. Derived.
    copies: BTreeMap<(EntityId, EntityId), u64>,
    counts: [u64; Kind::ALL.len()],
    /// What each creature and each spawn rule is due to do next. Derived: `life.rs` computes it from ids and the present
    /// tick alone.
    queue: BTreeSet<(Tick, Event)>,
    /// The bounds, and how often each was reached.
    most: [usize; Bound::ALL.len()],
    reached: [u64; Bound::ALL.len()],

    /// The records changed since the last flush, with the digest each had then (0: there was none).
    changed: BTreeMap<EntityId, u64>,
    /// The sum of the digests of all records as of the last flush, habits and spawn rules included.
    settled: u64,
    /// The same sum as of now, once it has been asked for: a flush needs it before it writes and after.
    present: Cell<Option<u64>>,
    flushed_tick: Option<Tick>,
    /// What `next_id` was when changes were last handed out: storage has never seen an entity of that id or a later one.
    offered: Cell<u64>,
}

impl World {
    /// A world that storage does not hold yet: every record of it is pending.
    pub fn found(parts: Parts) -> Result<World, Vec<String>> {
        let mut world = World::assemble(parts)?;
        world.changed = world.entities.keys().map(|&id| (id, 0)).collect();
        Ok(world)
    }

    /// A world as storage holds it: nothing is pending.
    pub fn restore(parts: Parts) -> Result<World, Vec<String>> {
        let mut world = World::assemble(parts)?;
        world.settled = world.entities.values().fold(world.settled, |sum, entity| sum.wrapping_add(entity.digest()));
        world.flushed_tick = Some(world.tick);
        world.offered.set(world.next_id);
        Ok(world)
    }

    fn assemble(mut parts: Parts) -> Result<World, Vec<String>> {
        let habits = parts.habits.iter();
        let habits = habits.flat_map(|(&id, habits)| habits.iter().map(move |habit| habit_digest(id, habit)));
        let spawns = parts.spawns.iter().enumerate().map(|(position, spawn)| spawn_digest(position, spawn));
        let settled = habits.chain(spawns).fold(0_u64, u64::wrapping_add);
        let entities = std::mem::take(&mut parts.entities);
        let mut world = World {
            parts,
            contents: entities.values().filter_map(|entity| standing(entity)).collect(),
            copies: BTreeMap::new(),
            counts: [0; Kind::ALL.len()],
            queue: BTreeSet::new(),
            most: [ENTITIES_MAX, SPAWN_ENTITIES_MAX, SPAWNS_MAX],
            reached: [0; Bound::ALL.len()],
            changed: BTreeMap::new(),
            settled,
            present: Cell::new(None),
            flushed_tick: None,
            offered: Cell::new(0),
        };
        entities.values().for_each(|entity| world.count(entity));
        world.parts.entities = entities;
        world.reached[Bound::Spawns as usize] = u64::from(world.spawns.len() > SPAWNS_MAX);
        let problems = world.violations();
        if !problems.is_empty() {
            return Err(problems);
        }
        world.schedule_all();
        Ok(world)
    }

    /// How many ticks it has lived.
    pub fn now(&self) -> Tick {
        self.tick
    }

    /// Its time of day.
    pub fn time(&self) -> Time {
        Time::at(self.tick)
    }

    /// How many entities there are, prototypes aside, in the order of `Kind::ALL`.
    pub fn counts(&self) -> [u64; Kind::ALL.len()] {
        self.counts
    }

    /// The entity with this id.
    pub fn entity(&self, id: EntityId) -> Option<&Entity> {
        self.entities.get(&id).map(Box::as_ref)
    }

    /// All entities, by id.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.entities.values().map(Box::as_ref)
    }

    /// How often each bound was reached since the world was put together, in the order of `Bound::ALL`.
    pub fn bounds_reached(&self) -> [u64; Bound::ALL.len()] {
        self.reached
    }

    /// How many entities there can be when every spawn rule has made all that it may.
    pub fn entities_in_the_end(&self) -> usize {
        let rules = self.spawns.iter().map(|spawn| {
            let copies = self.copies.get(&(spawn.prototype, spawn.room)).copied().unwrap_or(0);
            spawn.at_most.saturating_sub(copies) as usize
        });
        let (now, most) = (self.entities.len(), self.most[Bound::SpawnEntities as usize]);
        now.saturating_add(rules.sum()).min(most.max(now))
    }

    /// In what this world, which an earlier engine has made, is larger than any made today may be. It lives all the same.
    pub fn excesses(&self) -> Vec<String> {
        let [entities_max, _, spawns_max] = self.most;
        let sizes = [("entities", self.entities.len(), entities_max), ("spawn rules", self.spawns.len(), spawns_max)];
        let above = sizes.into_iter().filter(|(_, size, most)| size > most);
        above.map(|(what, size, most)| format!("{size} {what}, and {most} are the most")).collect()
    }

    /// The habits of one creature or prototype, without those it has from its prototype.
    pub fn own_habits(&self, id: EntityId) -> &[Habit] {
        self.habits.get(&id).map_or(&[], |habits| habits)
    }

    /// What of one kind is at a place: first, by id, what is no copy, then the copies, by prototype and id.
    pub fn contents(&self, place: EntityId, kind: Kind) -> impl Iterator<Item = &Entity> {
        self.contents_from(place, kind, None)
    }

    /// The same from the copies of a prototype on, if one is given.
    fn contents_from(&self, place: EntityId, kind: Kind, prototype: Option<EntityId>) -> impl Iterator<Item = &Entity> {
        let range = (place, kind, prototype, EntityId::FIRST)..;
        let here = self.contents.range(range).take_while(move |(at, of, ..)| (*at, *of) == (place, kind));
        here.filter_map(|(.., id)| self.entity(*id))
    }

    /// The copies of a prototype that are at a place, by id.
    fn copies_at(&self, place: EntityId, model: &Entity) -> impl Iterator<Item = &Entity> {
        let from = self.contents_from(place, model.kind, Some(model.id));
        from.take_while(|other| other.prototype == Some(model.id))
    }

    /// What people call an entity: its own name, or its prototype's.
    pub fn name_of(&self, id: EntityId) -> &str {
        self.inherited(id, |entity| entity.name.as_deref()).unwrap_or("something")
    }

    fn inherited<'a, T>(&'a self, id: EntityId, field: impl Fn(&'a Entity) -> Option<T>) -> Option<T> {
        let entity = self.entity(id)?;
        field(entity).or_else(|| field(self.entity(entity.prototype?)?))
    }

    /// How many records wait for a flush: the changed entities, and the world's own record if a tick has passed.
    pub fn pending(&self) -> usize {
        self.changed.len() + usize::from(self.flushed_tick != Some(self.tick))
    }

    /// The changed entities by id; `None` stands for one that is gone.
    pub fn changes(&self) -> impl Iterator<Item = (EntityId, Option<&Entity>)> {
        self.offered.set(self.next_id);
        self.changed.keys().map(|&id| (id, self.entity(id)))
    }

    /// Storage has what `changes` gave, and nothing has changed since.
    pub fn flushed(&mut self) {
        self.settled = self.sum();
        self.changed.clear();
        self.flushed_tick = Some(self.tick);
        self.offered.set(self.next_id);
    }

    /// A digest of the whole state: equal for two worlds that are the same, bit for bit. Its cost follows the
    /// number of pending records.
    pub fn digest(&self) -> u64 {
        let mut hasher = Hasher::new(0);
        hasher.text(&self.id).text(&self.name).number(self.tick.0).number(self.random.0);
        hasher.number(self.weather as u64).number(self.next_id).number(self.sum()).finish()
    }

    /// The sum of the digests of all records. A sum does not depend on order and can be kept up to date.
    fn sum(&self) -> u64 {
        self.present.get().unwrap_or_else(|| {
            let sum = self.changed.iter().fold(self.settled, |sum, (id, before)| {
                sum.wrapping_sub(*before).wrapping_add(self.entity(*id).map_or(0, Entity::digest))
            });
            self.present.set(Some(sum));
            sum
        })
    }

    /// The one way to change an entity: notes that it is pending. Its location is not to be changed here.
    fn change(&mut self, id: EntityId) -> Option<&mut Entity> {
        let entity = self.parts.entities.get_mut(&id)?;
        self.present.set(None);
        self.changed.entry(id).or_insert_with(|| entity.digest());
        Some(entity)
    }

    fn relocate(&mut self, id: EntityId, to: EntityId) {
        let Some(entity) = self.change(id) else { return };
        let before = standing(entity);
        entity.location = Some(to);
        let after = standing(entity);
        before.map(|before| self.contents.remove(&before));
        self.contents.extend(after);
    }

    /// Adds an entity with the next free id, if there is one and room for one more.
    fn create(&mut self, make: impl FnOnce(EntityId) -> Entity) -> Option<EntityId> {
        if self.is_full(Bound::Entities) {
            return None;
        }
        let id = EntityId::new(self.next_id)?;
        self.parts.next_id += 1;
        let entity = make(id);
        self.contents.extend(standing(&entity));
        self.count(&entity);
        self.parts.entities.insert(id, Box::new(entity));
        self.present.set(None);
        self.changed.insert(id, 0);
        Some(id)
    }

    /// Whether there are as many entities as a bound allows. Notes that it was reached.
    fn is_full(&mut self, bound: Bound) -> bool {
        let full = self.entities.len() >= self.most[bound as usize];
        self.reached[bound as usize] += u64::from(full);
        full
    }

    /// Takes an entity out of the world for ever. What it held falls to where it was.
    fn destroy(&mut self, id: EntityId) {
        let Some(place) = self.change(id).and_then(|entity| entity.location) else { return };
        let held: Vec<EntityId> = self.contents(id, Kind::Thing).map(|thing| thing.id).collect();
        held.into_iter().for_each(|thing| self.relocate(thing, place));
        self.unschedule(id);
        let Some(entity) = self.parts.entities.remove(&id) else { return };
        standing(&entity).map(|here| self.contents.remove(&here));
        if id.get() >= self.offered.get() {
            self.changed.remove(&id);
        }
        self.counts[entity.kind as usize] -= 1;
        if let Some(count) = entity.prototype.zip(entity.home).and_then(|copy| self.copies.get_mut(&copy)) {
            *count -= 1;
        }
    }

    fn count(&mut self, entity: &Entity) {
        if !entity.is_prototype() {
            self.counts[entity.kind as usize] += 1;
        }
        if let Some(copy) = entity.prototype.zip(entity.home) {
            *self.copies.entry(copy).or_default() += 1;
        }
    }
}

/// The parts may be read by all, and changed here alone.
impl Deref for World {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

fn standing(entity: &Entity) -> Option<Standing> {
    entity.location.map(|place| (place, entity.kind, entity.prototype, entity.id))
}

fn habit_digest(creature: EntityId, habit: &Habit) -> u64 {
    let Habit { verb, every_minutes, targets, lines } = habit;
    let mut hasher = Hasher::new(2);
    hasher.number(creature.get()).number(*verb as u64).number(*every_minutes).number(targets.len() as u64);
    targets.iter().for_each(|target| _ = hasher.number(target.get()));
    lines.iter().for_each(|line| _ = hasher.text(line));
    hasher.finish()
}

/// The position counts: it decides when a rule has its turns.
fn spawn_digest(position: usize, spawn: &Spawn) -> u64 {
    let Spawn { prototype, room, at_most, every_minutes, text } = spawn;
    let mut hasher = Hasher::new(3);
    hasher.number(position as u64).number(prototype.get()).number(room.get()).number(*at_most).number(*every_minutes);
    hasher.text_option(text.as_deref()).finish()
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({} at {:?}, {} entities, {:016x})", self.id, self.tick, self.entities.len(), self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::worldfile;

    /// Rats are born by the dozen and eat one another.
    const RATS: &str = r#"{ id: "r", name: "R", rooms: { a: { name: "A", description: "x" } },
        creatures: { rat: { name: "a rat", description: "x", active: "day", habits: {
          eat: { every_minutes: 1, prey: ["rat"] }, say: { every_minutes: 1, lines: ["Eek."] },
          wander: { every_minutes: 1 } } }, first: { prototype: "rat", in: "a" } },
        spawns: [{ prototype: "rat", room: "a", at_most: 500, every_minutes: 1 }] }"#;

    #[test]
    fn the_queue_is_bounded_by_what_lives() {
        let mut world = worldfile::read(RATS, 3).unwrap();
        for _ in 0..30_000 {
            world.tick();
            // One turn for each creature and each rule, and never one of the dead.
            assert_eq!(world.queue.len() as u64, world.counts()[Kind::Creature as usize] + 1);
        }
        assert!(world.next_id > 1_000, "{}", world.next_id);
    }

    #[test]
    fn a_world_that_is_full_has_no_more_births_and_says_so() {
        let mut world = worldfile::read(RATS.replace("eat: { every_minutes: 1, prey: [\"rat\"] },", ""), 3).unwrap();
        assert_eq!(world.entities_in_the_end(), 2 + 500);
        world.most = [30, 20, 1];
        assert_eq!(world.entities_in_the_end(), 20);
        (0..1_000).for_each(|_| drop(world.tick()));
        assert_eq!((world.entities.len(), world.bounds_reached()[0]), (20, 0));
        assert!(world.bounds_reached()[1] > 0);
        // Spawn rules leave room for others, up to the last of it.
        let rat = |id| Entity { location: EntityId::new(1), ..Entity::new(id, Kind::Creature) };
        let made = (0..100).filter_map(|_| world.create(rat)).count();
        assert_eq!((made, world.entities.len(), world.bounds_reached()[0]), (10, 30, 90));
        assert_eq!(world.excesses(), [""; 0]);
        world.most = [29, 28, 0];
        assert_eq!(world.entities_in_the_end(), 30);
        assert_eq!(world.excesses(), ["30 entities, and 29 are the most", "1 spawn rules, and 0 are the most"]);
    }
    #[test]
    fn the_end_of_what_was_never_handed_out_is_not_told() {
        let mut world = worldfile::read(RATS, 3).unwrap();
        world.changes().for_each(drop);
        world.flushed();
        let rat = |id| Entity { location: EntityId::new(1), ..Entity::new(id, Kind::Creature) };
        let [first, second] = [(); 2].map(|()| world.create(rat).unwrap());
        world.destroy(first);
        assert_eq!(world.changes().map(|(id, entity)| (id, entity.is_some())).collect::<Vec<_>>(), [(second, true)]);
        world.destroy(second);
        assert_eq!(world.changes().map(|(id, entity)| (id, entity.is_some())).collect::<Vec<_>>(), [(second, false)]);
    }
}
