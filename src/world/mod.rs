//! The kernel: a text world that lives by ticks and commands. Pure and deterministic: no I/O, no clock, no randomness
//! but its own seeded generator, no order that depends on hashing. It knows nothing of storage, sockets or JSON.
//!
//! `World::tick` and `World::apply` are the only ways to change a world. Both tell what is to be heard and note which
//! records changed; `cut` hands them out, and what is not acknowledged then is pending again. Next: `life.rs` for what
//! creatures do, `check.rs` for what always holds.

pub mod calendar;
mod check;
pub mod digest;
mod entities;
mod entity;
mod life;
mod people;
pub mod random;
mod record;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

pub use calendar::{Tick, Time, Weather};
pub use check::Problems;
pub use entities::Entities;
pub use entity::{Active, EVERY_MINUTES, Entity, EntityId, Habit, Kind, SPAWN_AT_MOST, Spawn, Verb};
use life::Event;
pub use life::{Action, Command, Refusal, sleeps_at};
pub use people::{Ban, Keeping, Keepsake, Player, Posture, SECONDS_MAX, Wish, folded};
use random::Random;
pub use record::{Gathering, Head, Record, hexadecimal};

use crate::limits::{BANS_MAX, ENTITIES_MAX, KEEPSAKES_MAX, PLAYERS_MAX, SPAWN_ENTITIES_MAX, SPAWNS_MAX};
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
    /// Its records.
    pub entities: Entities,
    /// What its creatures do, by creature or prototype.
    pub habits: BTreeMap<EntityId, Rc<[Habit]>>,
    /// What comes back.
    pub spawns: Vec<Spawn>,
    /// What is known of players beside their entities.
    pub players: BTreeMap<EntityId, Player>,
    /// Who is kept out. Their numbers are those of no entities.
    pub bans: BTreeMap<EntityId, Ban>,
    /// What is kept for players. Their numbers are those of no entities and no bans.
    pub keepsakes: BTreeMap<EntityId, Keepsake>,
}

impl Parts {
    /// The things that hold something, or of which a copy does.
    pub fn holders(&self) -> BTreeSet<EntityId> {
        let things = self.entities.iter().filter(|entity| entity.kind == Kind::Thing);
        let places = things.filter_map(|thing| self.entities.get(thing.location?));
        let holders = places.filter(|place| place.kind == Kind::Thing);
        holders.map(|holder| holder.prototype.unwrap_or(holder.id)).collect()
    }
}

/// Something to be heard or seen. Words are made of it for whoever notices it: see `session/words.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect<'a> {
    /// Who notices it.
    pub audience: Audience,
    /// Who did it.
    pub actor: Option<EntityId>,
    /// What was done.
    pub deed: Deed<'a>,
}

/// What is told of each effect, at the moment when it happens: what is eaten is still there.
pub type Ear<'a> = &'a mut dyn FnMut(&World, &Effect);

/// An ear for what nobody is to hear.
pub fn unheard(_: &World, _: &Effect) {}

/// What somebody does, or what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed<'a> {
    /// Takes this exit.
    Goes(EntityId),
    /// Comes in from this room.
    Arrives(EntityId),
    /// Comes into the world.
    Enters,
    /// Leaves the world.
    Leaves,
    /// Is called so from now on.
    Becomes(&'a str),
    /// Says this.
    Says(&'a str),
    /// Does this; the words follow a name.
    Acts(&'a str),
    /// Says this to all the world.
    Shouts(&'a str),
    /// Says this to one alone, in the same room.
    Whispers(&'a str, EntityId),
    /// Says this to one alone, wherever they are.
    Tells(&'a str, EntityId),
    /// Picks up a thing, or takes it out of another.
    Takes(EntityId, Option<EntityId>),
    /// Puts a thing down.
    Drops(EntityId),
    /// Puts a thing into another.
    Puts(EntityId, EntityId),
    /// Gives a thing to somebody.
    Gives(EntityId, EntityId),
    /// Eats something.
    Eats(EntityId),
    /// Sits down, lies down or stands up.
    Assumes(Posture),
    /// Falls asleep.
    FallsAsleep,
    /// Wakes up.
    WakesUp,
    /// Appears, with these words if there are any.
    Appears(Option<&'a str>),
    /// The sky changes, with these words.
    Sky(&'a str),
}

impl Deed<'_> {
    /// Whether something or somebody may be elsewhere after it, or be called otherwise.
    pub fn moves(&self) -> bool {
        use Deed::{Acts, Assumes, FallsAsleep, Says, Shouts, Sky, Tells, WakesUp, Whispers};
        let stays = matches!(self, Says(_) | Shouts(_) | Whispers(..) | Tells(..) | Acts(_) | Assumes(_) | Sky(_));
        !stays && !matches!(self, FallsAsleep | WakesUp)
    }
}

/// Who notices an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All who are in this room.
    Room(EntityId),
    /// All who have the sky above them.
    Outdoors,
    /// Everybody.
    World,
    /// This one alone.
    One(EntityId),
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
        /// `PLAYERS_MAX`.
        Players = "players",
        /// `BANS_MAX`.
        Bans = "bans",
        /// `KEEPSAKES_MAX`.
        Keepsakes = "keepsakes",
    }
}

/// Whatever is at one place, of one kind, and copies of one prototype or of none.
type Group = (EntityId, Kind, Option<EntityId>);

/// A living world.
pub struct World {
    parts: Parts,

    /// What stands where: each group by id. None is empty. Derived, never stored.
    contents: BTreeMap<Group, Vec<EntityId>>,
    /// How many copies of a prototype belong to a room. Derived.
    copies: BTreeMap<(EntityId, EntityId), u64>,
    counts: [u64; Kind::ALL.len()],
    /// The rooms, by id. Derived.
    rooms: Vec<EntityId>,
    /// Players by their names as they are compared. Derived.
    names: BTreeMap<String, EntityId>,
    /// What no player can be called, because a creature is or was since the start. Derived.
    taken: BTreeSet<String>,
    /// What is kept for each player, in the order in which it came. Derived.
    kept: BTreeMap<EntityId, Vec<EntityId>>,
    /// What each creature and each spawn rule is due to do next. Derived: `life.rs` computes it from ids and the present
    /// tick alone.
    queue: BTreeSet<(Tick, Event)>,
    /// The bounds, and how often each was reached.
    most: [usize; Bound::ALL.len()],
    reached: [u64; Bound::ALL.len()],

    /// How often a room or an exit was made or changed. Derived.
    layout: u64,

    /// What has changed since the last cut.
    changed: Changes,
    /// What was cut and is not yet acknowledged.
    in_flight: Option<Changes>,
    /// How many records have changed in both.
    twice: usize,
    /// The sum of the digests of all records as of now, once it has been asked for.
    present: Cell<Option<u64>>,
    /// What `next_id` was at the last cut: storage has never seen an entity of that id or a later one.
    offered: u64,
}

/// What has changed since a cut.
#[derive(Default)]
struct Changes {
    /// The records, with the digest each had at that cut (0: there was none).
    records: BTreeMap<EntityId, u64>,
    /// The sum of the digests of all records at that cut, habits and spawn rules included.
    settled: u64,
    /// The tick of that cut; `None` if there was none.
    tick: Option<Tick>,
}

impl World {
    /// A world as storage holds it: nothing is pending.
    pub fn restore(parts: Parts) -> Result<World, Vec<String>> {
        let mut world = World::of(parts, 0)?;
        let mut sum = 0_u64;
        world.records(|record| sum = sum.wrapping_add(record.digest()));
        world.changed.settled = sum;
        Ok(world)
    }

    /// The same, of records whose digests have this sum.
    fn of(mut parts: Parts, settled: u64) -> Result<World, Vec<String>> {
        let entities = std::mem::take(&mut parts.entities);
        let (offered, tick) = (parts.next_id, Some(parts.tick));
        let mut world = World {
            parts,
            contents: BTreeMap::new(),
            copies: BTreeMap::new(),
            counts: [0; Kind::ALL.len()],
            rooms: Vec::new(),
            names: BTreeMap::new(),
            taken: BTreeSet::new(),
            kept: BTreeMap::new(),
            queue: BTreeSet::new(),
            most: [ENTITIES_MAX, SPAWN_ENTITIES_MAX, SPAWNS_MAX, PLAYERS_MAX, BANS_MAX, KEEPSAKES_MAX],
            reached: [0; Bound::ALL.len()],
            layout: 0,
            changed: Changes { settled, tick, ..Changes::default() },
            in_flight: None,
            twice: 0,
            present: Cell::new(None),
            offered,
        };
        entities.iter().for_each(|entity| world.place(entity));
        world.parts.entities = entities;
        world.parts.keepsakes.iter().for_each(|(id, it)| world.kept.entry(it.player).or_default().push(*id));
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
        self.entities.get(id)
    }

    /// The rooms, by id.
    pub fn rooms(&self) -> &[EntityId] {
        &self.rooms
    }

    /// All entities, by id.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.entities.iter()
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
        let (now, most) = (self.entities.count(), self.most[Bound::SpawnEntities as usize]);
        now.saturating_add(rules.sum()).min(most.max(now))
    }

    /// In what this world, which an earlier engine has made, is larger than any made today may be. It lives all the same.
    pub fn excesses(&self) -> Vec<String> {
        let [entities_max, _, spawns_max, players_max, bans_max, keepsakes_max] = self.most;
        let sizes = [
            ("entities", self.entities.count(), entities_max),
            ("spawn rules", self.spawns.len(), spawns_max),
            ("players", self.players.len(), players_max),
            ("bans", self.bans.len(), bans_max),
            ("keepsakes", self.keepsakes.len(), keepsakes_max),
        ];
        let above = sizes.into_iter().filter(|(_, size, most)| size > most);
        above.map(|(what, size, most)| format!("{size} {what}, and {most} are the most")).collect()
    }

    /// The habits of one creature or prototype, without those it has from its prototype.
    pub fn own_habits(&self, id: EntityId) -> &[Habit] {
        self.habits.get(&id).map_or(&[], |habits| habits)
    }

    /// What of one kind is at a place: first, by id, what is no copy, then the copies, by prototype and id.
    pub fn contents(&self, place: EntityId, kind: Kind) -> impl Iterator<Item = &Entity> {
        let from = self.contents.range((place, kind, None)..);
        let here = from.take_while(move |((at, of, _), _)| (*at, *of) == (place, kind));
        here.flat_map(|(_, ids)| ids).filter_map(|id| self.entity(*id))
    }

    /// How many creatures and how many people are in a room.
    pub fn inhabitants(&self, room: EntityId) -> [usize; 2] {
        let here = self.contents.range((room, Kind::Creature, None)..).take_while(|((at, ..), _)| *at == room);
        let mut counts = [0; 2];
        here.for_each(|((_, kind, _), ids)| counts[usize::from(*kind == Kind::Player)] += ids.len());
        counts
    }

    /// A number that moves with every change of a room or an exit, and with nothing else.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// The copies of a prototype that are at a place, by id.
    fn copies_at(&self, place: EntityId, model: &Entity) -> impl Iterator<Item = &Entity> {
        let group = self.contents.get(&(place, model.kind, Some(model.id)));
        group.into_iter().flatten().filter_map(|id| self.entity(*id))
    }

    /// What people call an entity: its own name, or its prototype's.
    pub fn name_of(&self, id: EntityId) -> &str {
        self.inherited(id, |entity| entity.name.as_deref()).unwrap_or("something")
    }

    /// How somebody moves, as a verb: a creature's own way, its prototype's, or "goes".
    pub fn gait_of(&self, id: EntityId) -> &str {
        self.inherited(id, |entity| entity.gait.as_deref()).unwrap_or("goes")
    }

    /// What people see who look at an entity: its own description, or its prototype's.
    pub fn description_of(&self, id: EntityId) -> Option<&str> {
        self.inherited(id, |entity| entity.description.as_deref())
    }

    fn inherited<'a, T>(&'a self, id: EntityId, field: impl Fn(&'a Entity) -> Option<T>) -> Option<T> {
        let entity = self.entity(id)?;
        field(entity).or_else(|| field(self.entity(entity.prototype?)?))
    }

    /// How many records storage is not known to hold: the changed entities, and the world's own record if it has lived on.
    pub fn pending(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map_or(0, |changes| changes.records.len());
        let own = usize::from(self.in_flight.is_some() || self.has_lived_on());
        self.changed.records.len() + in_flight - self.twice + own
    }

    /// How many of them are not in a cut that may yet be acknowledged.
    pub fn pending_since_cut(&self) -> usize {
        self.changed.records.len() + usize::from(self.has_lived_on())
    }

    fn has_lived_on(&self) -> bool {
        self.changed.tick != Some(self.tick)
    }

    /// Hands out the changed entities by id, as they are now. Until the cut is
    /// acknowledged or has failed they stay pending, and there is no other one.
    pub fn cut(&mut self, mut take: impl FnMut(Record)) {
        assert!(self.in_flight.is_none(), "a cut is in flight");
        let mut sum = self.changed.settled;
        for (&id, before) in &self.changed.records {
            sum = sum.wrapping_sub(*before);
            let mut is_gone = true;
            self.records_of(id, |record| {
                sum = sum.wrapping_add(record.digest());
                is_gone = false;
                take(record);
            });
            if is_gone {
                take(Record::Gone(id));
            }
        }
        self.present.set(Some(sum));
        let next = Changes { settled: sum, tick: Some(self.tick), ..Changes::default() };
        self.in_flight = Some(std::mem::replace(&mut self.changed, next));
        self.offered = self.next_id;
    }

    /// Storage has what was cut.
    pub fn acknowledged(&mut self) {
        (self.in_flight, self.twice) = (None, 0);
    }

    /// Storage may not have what was cut, if anything was: it is pending again, and with it what has changed since. Of a
    /// record in both, the digest as of the earlier cut counts.
    pub fn cut_failed(&mut self) {
        if let Some(mut earlier) = self.in_flight.take() {
            self.changed.records.append(&mut earlier.records);
            (self.changed.settled, self.changed.tick, self.twice) = (earlier.settled, earlier.tick, 0);
        }
    }

    /// Hands out what is stored of one number: an entity, and what is known of a player beside it, or a ban or a keepsake.
    fn records_of(&self, id: EntityId, mut take: impl FnMut(Record)) {
        match self.entity(id) {
            Some(entity) => {
                take(Record::Entity(entity.borrowed()));
                let player = Some(id).filter(|_| entity.kind == Kind::Player).and_then(|id| self.players.get(&id));
                player.into_iter().for_each(|player| take(Record::Player(id, player.borrowed())));
            }
            None => {
                self.bans.get(&id).into_iter().for_each(|ban| take(Record::Ban(id, ban)));
                self.keepsakes.get(&id).into_iter().for_each(|kept| take(Record::Keepsake(id, kept)));
            }
        }
    }

    /// The sum of the digests of that.
    fn digest_of(&self, id: EntityId) -> u64 {
        let mut sum = 0_u64;
        self.records_of(id, |record| sum = sum.wrapping_add(record.digest()));
        sum
    }

    /// Hands out every record.
    pub fn records(&self, mut take: impl FnMut(Record)) {
        self.entities().for_each(|entity| take(Record::Entity(entity.borrowed())));
        let habits = self.habits.iter().flat_map(|(&id, habits)| habits.iter().map(move |habit| (id, habit)));
        habits.for_each(|(id, habit)| take(Record::Habit(id, habit)));
        self.spawns.iter().enumerate().for_each(|(position, spawn)| take(Record::Spawn(position as u64, spawn)));
        self.players.iter().for_each(|(&id, player)| take(Record::Player(id, player.borrowed())));
        self.bans.iter().for_each(|(&id, ban)| take(Record::Ban(id, ban)));
        self.keepsakes.iter().for_each(|(&id, kept)| take(Record::Keepsake(id, kept)));
    }

    /// Its own record.
    pub fn head(&self) -> Head {
        let Parts { id, name, tick, random, weather, next_id, .. } = &self.parts;
        let (id, name, digest) = (id.clone(), name.clone(), Some(hexadecimal(self.digest())));
        Head { id, name, tick: *tick, random: *random, weather: *weather, next_id: *next_id, digest }
    }

    /// A digest of the whole state: equal for two worlds that are the same, bit for bit. Its cost follows the
    /// number of records changed since the last cut.
    pub fn digest(&self) -> u64 {
        let Parts { id, name, tick, random, weather, next_id, .. } = &self.parts;
        record::digest(id, name, [tick.0, random.0, *weather as u64, *next_id, self.sum()])
    }

    /// The sum of the digests of all records. A sum does not depend on order and can be kept up to date.
    fn sum(&self) -> u64 {
        self.present.get().unwrap_or_else(|| {
            let sum = self.changed.records.iter().fold(self.changed.settled, |sum, (id, before)| {
                sum.wrapping_sub(*before).wrapping_add(self.digest_of(*id))
            });
            self.present.set(Some(sum));
            sum
        })
    }

    /// The one way to change an entity: notes that it is pending. Its location is not to be changed here.
    fn change(&mut self, id: EntityId) -> Option<&mut Entity> {
        if let Some(entity) = self.parts.entities.get(id) {
            self.layout += u64::from(matches!(entity.kind, Kind::Room | Kind::Exit));
            self.note(id);
        }
        self.parts.entities.get_mut(id)
    }

    /// Notes that what is stored of this number is pending, before it changes.
    fn note(&mut self, id: EntityId) {
        self.present.set(None);
        if !self.changed.records.contains_key(&id) {
            self.changed.records.insert(id, self.digest_of(id));
            self.twice += usize::from(self.in_flight.as_ref().is_some_and(|cut| cut.records.contains_key(&id)));
        }
    }

    /// Makes containers of things that hold something, or of which a copy does. The first engines did not tell them apart.
    pub fn note_containers(&mut self) {
        let mut holders = self.holders();
        holders.retain(|id| self.entity(*id).is_some_and(|holder| !holder.container));
        if holders.is_empty() {
            return;
        }
        let are_meant = |entity: &&Entity| holders.contains(&entity.prototype.unwrap_or(entity.id));
        let ids: Vec<EntityId> = self.entities().filter(are_meant).map(|entity| entity.id).collect();
        ids.into_iter().for_each(|id| self.change(id).into_iter().for_each(|entity| entity.container = true));
    }

    fn relocate(&mut self, id: EntityId, to: Option<EntityId>) {
        let Some(entity) = self.change(id) else { return };
        let before = group(entity);
        entity.location = to;
        let after = group(entity);
        self.leave(before, id);
        self.enter(after, id);
    }

    fn enter(&mut self, group: Option<Group>, id: EntityId) {
        let Some(ids) = group.map(|group| self.contents.entry(group).or_default()) else { return };
        let _ = ids.binary_search(&id).map_err(|place| ids.insert(place, id));
    }

    fn leave(&mut self, group: Option<Group>, id: EntityId) {
        let Some((group, ids)) = group.and_then(|group| Some((group, self.contents.get_mut(&group)?))) else { return };
        let _ = ids.binary_search(&id).map(|place| ids.remove(place));
        if ids.is_empty() {
            self.contents.remove(&group);
        } else if ids.len() < ids.capacity() / 4 {
            // A crowd that has passed keeps no memory.
            ids.shrink_to(2 * ids.len());
        }
    }

    /// Adds an entity with the next free id, if there is one and room for one more.
    fn create(&mut self, make: impl FnOnce(EntityId) -> Entity) -> Option<EntityId> {
        if self.is_full(Bound::Entities) {
            return None;
        }
        let id = EntityId::new(self.next_id)?;
        self.parts.next_id += 1;
        let entity = make(id);
        self.place(&entity);
        self.layout += u64::from(matches!(entity.kind, Kind::Room | Kind::Exit));
        self.parts.entities.insert(entity);
        self.present.set(None);
        self.changed.records.insert(id, 0);
        Some(id)
    }

    /// Whether there are as many entities as a bound allows. Notes that it was reached.
    fn is_full(&mut self, bound: Bound) -> bool {
        let size = match bound {
            Bound::Entities | Bound::SpawnEntities => self.entities.count(),
            Bound::Spawns => self.spawns.len(),
            Bound::Players => self.players.len(),
            Bound::Bans => self.bans.len(),
            Bound::Keepsakes => self.keepsakes.len(),
        };
        let full = size >= self.most[bound as usize];
        self.reached[bound as usize] += u64::from(full);
        full
    }

    /// Takes an entity out of the world for ever. What it held falls to where it was.
    fn destroy(&mut self, id: EntityId) {
        let Some(place) = self.change(id).and_then(|entity| entity.location.or(entity.home)) else { return };
        let held: Vec<EntityId> = self.contents(id, Kind::Thing).map(|thing| thing.id).collect();
        held.into_iter().for_each(|thing| self.relocate(thing, Some(place)));
        self.unschedule(id);
        self.parts.players.remove(&id);
        let Some(entity) = self.parts.entities.remove(id) else { return };
        self.leave(group(&entity), id);
        if entity.kind == Kind::Room {
            self.rooms.retain(|room| *room != id);
        }
        if let Some(name) = entity.name.as_deref().filter(|_| entity.kind == Kind::Player) {
            self.names.remove(&folded(name));
        }
        self.forget_unseen(id);
        self.counts[entity.kind as usize] -= 1;
        if let Some(count) = entity.prototype.zip(entity.home).and_then(|copy| self.copies.get_mut(&copy)) {
            *count -= 1;
        }
    }

    /// Forgets that a number is pending that storage has never seen, and now never will.
    fn forget_unseen(&mut self, id: EntityId) {
        if id.get() >= self.offered {
            self.changed.records.remove(&id);
        }
    }

    /// Notes where an entity is that has not been in this world before.
    fn place(&mut self, entity: &Entity) {
        self.enter(group(entity), entity.id);
        if entity.kind == Kind::Room {
            // The last one: ids are given in order.
            self.rooms.push(entity.id);
        }
        if !entity.is_prototype() {
            self.counts[entity.kind as usize] += 1;
        }
        if let Some(name) = entity.name.as_deref().filter(|_| entity.kind == Kind::Player) {
            self.names.insert(folded(name), entity.id);
        }
        self.taken.extend(people::taken_by(entity));
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

fn group(entity: &Entity) -> Option<Group> {
    entity.location.map(|place| (place, entity.kind, entity.prototype))
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({} at {:?}, {} entities, {:016x})", self.id, self.tick, self.entities.count(), self.digest())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Monotonic;
    use crate::http::map::Map;
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
            world.tick(&mut unheard);
            // One turn for each creature and each rule, and never one of the dead.
            assert_eq!(world.queue.len() as u64, world.counts()[Kind::Creature as usize] + 1);
        }
        assert!(world.next_id > 1_000, "{}", world.next_id);
    }

    #[test]
    fn a_world_that_is_full_has_no_more_births_and_says_so() {
        let mut world = worldfile::read(RATS.replace("eat: { every_minutes: 1, prey: [\"rat\"] },", ""), 3).unwrap();
        assert_eq!(world.entities_in_the_end(), 2 + 500);
        world.most = [30, 20, 1, 1, 1, 1];
        assert_eq!(world.entities_in_the_end(), 20);
        (0..1_000).for_each(|_| world.tick(&mut unheard));
        assert_eq!((world.entities.count(), world.bounds_reached()[0]), (20, 0));
        assert!(world.bounds_reached()[1] > 0);
        // Spawn rules leave room for others, up to the last of it.
        let rat = |id| Entity { location: EntityId::new(1), ..Entity::new(id, Kind::Creature) };
        let made = (0..100).filter_map(|_| world.create(rat)).count();
        assert_eq!((made, world.entities.count(), world.bounds_reached()[0]), (10, 30, 90));
        assert_eq!(world.excesses(), [""; 0]);
        world.most = [29, 28, 0, 0, 0, 0];
        assert_eq!(world.entities_in_the_end(), 30);
        assert_eq!(world.excesses(), ["30 entities, and 29 are the most", "1 spawn rules, and 0 are the most"]);
    }

    #[test]
    fn a_map_shows_rooms_and_exits_as_they_have_become() {
        let mut world = worldfile::read(RATS, 3).unwrap();
        let mut map = Map::default();
        let (yard, rat) = (EntityId::new(1).unwrap(), EntityId::new(3).unwrap());
        let mut shown = |world: &World, now| {
            map.age(Monotonic(Duration::from_secs(now)));
            map.text(world).to_owned()
        };
        assert!(shown(&world, 1).contains(r#""rooms":[{"id":1,"name":"A"}],"exits":[]"#));
        let layout = world.layout();
        world.change(rat).unwrap().asleep = true;
        world.relocate(rat, None);
        (0..100).for_each(|_| world.tick(&mut unheard));
        assert_eq!(world.layout(), layout, "nobody has built anything");
        world.change(yard).unwrap().name = Some("B".into());
        let name = Some("out".into());
        let exit = |id| Entity { name, location: Some(yard), locked: true, ..Entity::new(id, Kind::Exit) };
        let exit = world.create(exit).unwrap();
        let built = shown(&world, 2);
        let exits = r#""exits":[{"from":1,"to":null,"name":"out","locked":true}]"#;
        assert!(built.contains(r#""rooms":[{"id":1,"name":"B"}]"#) && built.contains(exits), "{built}");
        let room = world.create(|id| Entity { name: Some("C".into()), ..Entity::new(id, Kind::Room) }).unwrap();
        assert_eq!(world.rooms(), [yard, room]);
        world.relocate(rat, Some(room));
        assert!(shown(&world, 3).contains(&format!(r#"{{"room":{room},"creatures":1,"people":0}}"#)));
        world.relocate(rat, Some(yard));
        world.change(room).unwrap().home = Some(yard);
        world.destroy(room);
        world.destroy(exit);
        assert_eq!((world.rooms(), world.first_room()), (&[yard][..], Some(yard)));
        assert!(shown(&world, 4).contains(r#""exits_total":0,"rooms":[{"id":1,"name":"B"}],"exits":[]"#));
    }

    #[test]
    fn the_end_of_what_was_never_handed_out_is_not_told() {
        let mut world = worldfile::read(RATS, 3).unwrap();
        let rat = |id| Entity { location: EntityId::new(1), ..Entity::new(id, Kind::Creature) };
        let [first, second] = [(); 2].map(|()| world.create(rat).unwrap());
        let cut = |world: &mut World| {
            let mut records = Vec::new();
            world.cut(|record| match record {
                Record::Entity(entity) => records.push((entity.id, true)),
                Record::Gone(id) => records.push((id, false)),
                _ => (),
            });
            world.cut_failed();
            records
        };
        world.destroy(first);
        assert_eq!(cut(&mut world), [(second, true)]);
        world.destroy(second);
        assert_eq!(cut(&mut world), [(second, false)]);
    }
}
