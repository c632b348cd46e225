//! A world on its way to and from storage: its own record, and every other one after it, none of which needs the rest.

use std::collections::BTreeMap;

use super::digest::Hasher;
use super::random::Random;
use super::{Ban, Entities, Entity, EntityId, Habit, Keepsake, Parts, Player, Spawn, Tick, Weather, World};

/// A world's own record: what is stored of it beside entities, habits and spawn rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which world it is.
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
    /// The digest of all of it; `None` if somebody has cleared it.
    pub digest: Option<String>,
}

impl Head {
    /// The digest of a world with this record and others whose digests have this sum.
    pub fn digest_with(&self, sum: u64) -> String {
        let numbers = [self.tick.0, self.random.0, self.weather as u64, self.next_id, sum];
        hexadecimal(digest(&self.id, &self.name, numbers))
    }
}

/// A digest as it is stored: sixteen hexadecimal digits.
pub fn hexadecimal(digest: u64) -> String {
    format!("{digest:016x}")
}

/// The digest of all of a world: of its id, its name, and its tick, generator, weather, next id and sum of digests.
pub(super) fn digest(id: &str, name: &str, numbers: [u64; 5]) -> u64 {
    let mut hasher = Hasher::new(0);
    hasher.text(id).text(name);
    numbers.into_iter().for_each(|number| _ = hasher.number(number));
    hasher.finish()
}

/// One record of a world.
pub enum Record<'a> {
    /// Its own: the first of a world that is read, the last of a cut.
    Head(&'a Head),
    /// An entity as it is.
    Entity(Entity<&'a str>),
    /// An entity, a ban or a keepsake that is no more.
    Gone(EntityId),
    /// A habit of a creature or prototype.
    Habit(EntityId, &'a Habit),
    /// A spawn rule, and its place among them.
    Spawn(u64, &'a Spawn),
    /// What is known of a player beside the entity.
    Player(EntityId, Player<&'a str>),
    /// Who is kept out.
    Ban(EntityId, &'a Ban),
    /// What is kept for a player.
    Keepsake(EntityId, &'a Keepsake),
    /// No record, but the end of a world that is read.
    End,
}

impl Record<'_> {
    /// What it adds to the sum of digests. The place of a spawn rule counts: it decides when the rule has its turns.
    pub fn digest(&self) -> u64 {
        match self {
            Record::Entity(entity) => entity.digest(),
            Record::Player(id, player) => player.digest(*id),
            Record::Ban(id, ban) => ban.digest(*id),
            Record::Keepsake(id, keepsake) => keepsake.digest(*id),
            Record::Head(_) | Record::Gone(_) | Record::End => 0,
            Record::Habit(creature, Habit { verb, every_minutes, targets, lines }) => {
                let mut hasher = Hasher::new(2);
                hasher.number(creature.get()).number(*verb as u64).number(*every_minutes).number(targets.len() as u64);
                targets.iter().for_each(|target| _ = hasher.number(target.get()));
                lines.iter().for_each(|line| _ = hasher.text(line));
                hasher.finish()
            }
            Record::Spawn(position, Spawn { prototype, room, at_most, every_minutes, text }) => {
                let mut hasher = Hasher::new(3);
                let ids = [*position, prototype.get(), room.get()];
                ids.into_iter().chain([*at_most, *every_minutes]).for_each(|number| _ = hasher.number(number));
                hasher.text_option(text.as_deref()).finish()
            }
        }
    }
}

/// A world that comes in, record by record.
#[derive(Default)]
pub struct Gathering {
    /// Its own record, once that has come.
    pub head: Option<Head>,
    /// All records have come.
    pub is_whole: bool,
    entities: Entities,
    habits: BTreeMap<EntityId, Vec<Habit>>,
    spawns: Vec<Spawn>,
    players: BTreeMap<EntityId, Player>,
    bans: BTreeMap<EntityId, Ban>,
    keepsakes: BTreeMap<EntityId, Keepsake>,
    /// Of the digests of all records, which are made while the next ones are on their way.
    sum: u64,
}

impl Gathering {
    /// Takes one record. With a head everything begins anew.
    pub fn take(&mut self, record: Record) {
        self.sum = self.sum.wrapping_add(record.digest());
        match record {
            Record::Head(head) => *self = Gathering { head: Some(head.clone()), ..Gathering::default() },
            Record::Entity(entity) => self.entities.insert(entity.with_texts(|text| (*text).into())),
            Record::Gone(_) => (),
            Record::End => self.is_whole = true,
            Record::Habit(creature, habit) => self.habits.entry(creature).or_default().push(habit.clone()),
            Record::Spawn(_, spawn) => self.spawns.push(spawn.clone()),
            Record::Player(id, player) => _ = self.players.insert(id, player.with_texts(|text| (*text).into())),
            Record::Ban(id, ban) => _ = self.bans.insert(id, ban.clone()),
            Record::Keepsake(id, keepsake) => _ = self.keepsakes.insert(id, keepsake.clone()),
        }
    }

    /// How many entities have come.
    pub fn entities(&self) -> usize {
        self.entities.count()
    }

    /// Puts the world together, or says in what way it is none, or none that was ever stored.
    pub fn finish(self) -> Result<World, Vec<String>> {
        let head = self.head.ok_or_else(|| vec!["the world's own record is missing".to_owned()])?;
        let Head { id, name, tick, random, weather, next_id, digest } = head;
        let entities = self.entities;
        let habits = self.habits.into_iter().map(|(creature, habits)| (creature, habits.into())).collect();
        let Gathering { spawns, players, bans, keepsakes, .. } = self;
        let parts =
            Parts { id, name, tick, random, weather, next_id, entities, habits, spawns, players, bans, keepsakes };
        let world = World::of(parts, self.sum)?;
        let found = hexadecimal(world.digest());
        match digest {
            Some(stored) if stored != found => Err(vec![format!(
                "the records are not those of the last flush: their digest is {found}, and {stored} was stored with them"
            )]),
            _ => Ok(world),
        }
    }
}
