//! Worlds of any size, made in memory: no world file could hold a million entities.

use std::collections::BTreeMap;
use std::path::Path;

use aqevia_engine::clock;
use aqevia_engine::storage::Storage;
use aqevia_engine::world::random::Random;
use aqevia_engine::world::{Entities, Entity, EntityId, Habit, Kind, Parts, Tick, Verb, Weather, World};

/// Entities of the world that is busy while something else is measured: 2,000 of them are creatures.
pub const BUSY: u64 = 2_042;

/// What stands in place of the digest of a world file.
pub const SOURCE: &str = "bench";

const DESCRIPTION: &str = "It has stood here for longer than anybody remembers, and casts no shadow at noon.";

/// A ring of rooms, each with an exit to the next and 98 creatures. All of these are copies of one prototype, have names
/// of their own and its one habit.
pub fn parts(entities: u64, verb: Verb, every_minutes: u64) -> Parts {
    let id = |number| EntityId::new(number).unwrap();
    let prototype = id(1);
    let mut entity = Entity::new(prototype, Kind::Creature);
    (entity.name, entity.description) = (Some("a shade".into()), Some(DESCRIPTION.into()));
    let mut all = Entities::default();
    all.insert(entity);
    for index in 0..entities {
        let (room, next) = (index / 100 * 100, index / 100 * 100 + 100);
        let kind = match index % 100 {
            0 => Kind::Room,
            1 => Kind::Exit,
            _ => Kind::Creature,
        };
        let mut entity = Entity::new(id(2 + index), kind);
        (entity.name, entity.description) =
            (Some(format!("{} {index}", kind.label()).into()), Some(DESCRIPTION.into()));
        entity.location = (kind != Kind::Room).then(|| id(2 + room));
        entity.destination = (kind == Kind::Exit).then(|| id(2 + if next < entities { next } else { 0 }));
        entity.prototype = (kind == Kind::Creature).then_some(prototype);
        all.insert(entity);
    }
    let lines = if verb == Verb::Say { vec!["The water is high today.".into()] } else { Vec::new() };
    Parts {
        id: "bench".to_owned(),
        name: "A World to Measure".to_owned(),
        tick: Tick(0),
        random: Random(1),
        weather: Weather::ALL[0],
        next_id: entities + 2,
        entities: all,
        habits: BTreeMap::from([(prototype, [Habit { verb, every_minutes, targets: Vec::new(), lines }].into())]),
        spawns: Vec::new(),
        players: BTreeMap::new(),
        bans: BTreeMap::new(),
        keepsakes: BTreeMap::new(),
    }
}

/// One room with creatures that look for what is not there, among things of another kind.
pub fn carriers(creatures: u64, things: u64) -> Parts {
    let id = |number| EntityId::new(number).unwrap();
    let [room, carrier, wanted, lying] = [1, 2, 3, 4].map(id);
    let mut parts = parts(1, Verb::Carry, 1);
    parts.entities = Entities::default();
    for (id, kind) in [(room, Kind::Room), (carrier, Kind::Creature), (wanted, Kind::Thing), (lying, Kind::Thing)] {
        parts.entities.insert(Entity { name: Some(kind.label().into()), ..Entity::new(id, kind) });
    }
    let copies = (0..creatures).map(|_| carrier).chain((0..things).map(|_| lying));
    for (number, prototype) in copies.enumerate() {
        let (id, kind) = (id(5 + number as u64), if prototype == lying { Kind::Thing } else { Kind::Creature });
        let entity = Entity { prototype: Some(prototype), location: Some(room), ..Entity::new(id, kind) };
        parts.entities.insert(entity);
    }
    let habit = |verb| Habit { verb, every_minutes: 1, targets: vec![wanted], lines: Vec::new() };
    parts.habits = BTreeMap::from([(carrier, [habit(Verb::Carry), habit(Verb::Eat)].into())]);
    parts.next_id = 5 + creatures + things;
    parts
}

/// Makes a database of a world. What is returned can go on writing to it.
pub fn store(database: &Path, parts: Parts) -> (Storage, World) {
    let world = World::restore(parts).unwrap();
    let (mut storage, _) = Storage::open(database, clock::wall()).unwrap();
    storage.found(&world, SOURCE, clock::wall()).unwrap();
    storage.attach(&world.head()).unwrap();
    (storage, world)
}
