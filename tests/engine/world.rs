//! The kernel: what creatures do, what comes back, and that the same seed gives the same world.

use std::collections::{BTreeMap, BTreeSet};

use aqevia_engine::limits::CONTAINMENT_DEPTH_MAX;
use aqevia_engine::storage::export::export;
use aqevia_engine::storage::worldfile::{self, BUILTIN};
use aqevia_engine::world::digest::Hasher;
use aqevia_engine::world::random::Random;
use aqevia_engine::world::{
    Action, Active, Audience, Command, Entity, EntityId, Gathering, Head, Kind, Record, Refusal, Verb, Weather, World,
    unheard,
};

use crate::support::{SMALL_WORLD, Told, told};

const DAY: u64 = 14_400;

fn world(text: &str) -> World {
    worldfile::read(text, 1).unwrap_or_else(|problems| panic!("{}", problems.join("\n")))
}

fn find<'w>(world: &'w World, tag: &str) -> &'w Entity {
    world.entities().find(|entity| entity.tag.as_deref() == Some(tag)).unwrap()
}

fn id(world: &World, tag: &str) -> EntityId {
    find(world, tag).id
}

fn texts(effects: &[Told]) -> Vec<&str> {
    effects.iter().map(|effect| effect.text.as_str()).collect()
}

/// A world of one habit: a creature in `a`, with rooms `a`, `b` and `c` in a row.
fn habit(habits: &str, more: &str) -> World {
    world(&format!(
        r#"{{ id: "h", name: "H",
        rooms: {{
          a: {{ name: "A", description: "-", exits: {{ east: "b" }} }},
          b: {{ name: "B", description: "-", exits: {{ west: "a", east: "c" }} }},
          c: {{ name: "C", description: "-", exits: {{ west: "b" }} }},
        }},
        creatures: {{
          it: {{ name: "it", description: "-", in: "a", habits: {{ {habits} }} }},
          bat: {{ name: "a bat", description: "-", active: "night" }},
          wren: {{ name: "a wren", description: "-", active: "day" }},
        }},
        {more} }}"#
    ))
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_seed_another() {
    let run = |seed| {
        let mut world = worldfile::read(BUILTIN, seed).unwrap();
        let effects: Vec<Told> = (0..DAY).flat_map(|_| told(|hear| world.tick(hear))).collect();
        (world.digest(), effects)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

/// Everything in it moves, is carried, eaten, sleeps and comes back, prey and eaters being the same kind.
pub const RESTLESS: &str = r#"{
  id: "p", name: "P",
  rooms: {
    a: { name: "A", description: "x", exits: { e: "b", f: "c" } },
    b: { name: "B", description: "x", exits: { w: "a" } },
    c: { name: "C", description: "x", exits: { w: "a", x: "b" } },
  },
  things: {
    berry: { name: "a berry", description: "x" },
    stone: { name: "a stone", description: "x", in: "a" },
    rock: { name: "a rock", description: "x", fixed: true },
    pebble: { name: "a pebble", description: "x" },
    box: { name: "a box", description: "x", in: "a" },
    p1: { prototype: "pebble", in: "box" },
    p2: { prototype: "pebble", in: "b" },
    r1: { prototype: "rock", in: "b" },
  },
  creatures: {
    mouse: {
      name: "a mouse", description: "x", active: "night",
      habits: {
        wander: { every_minutes: 1 }, eat: { every_minutes: 2, prey: ["berry", "mouse"] },
        carry: { every_minutes: 1, things: ["pebble", "stone", "rock"] },
        say: { every_minutes: 1, lines: ["Eek.", "Ook."] },
      },
    },
    owl: {
      name: "an owl", description: "x", in: "a",
      habits: {
        wander: { every_minutes: 1 }, eat: { every_minutes: 3, prey: ["mouse", "berry", "rock"] },
        carry: { every_minutes: 2, things: ["box", "stone"] },
      },
    },
    m1: { prototype: "mouse", in: "c" },
    fox: {
      name: "a fox", description: "x", in: "b", active: "day",
      habits: { route: { every_minutes: 1, stops: ["b", "a", "c"] }, eat: { every_minutes: 5, prey: ["mouse"] } },
    },
  },
  spawns: [
    { prototype: "mouse", room: "a", at_most: 7, every_minutes: 1 },
    { prototype: "mouse", room: "c", at_most: 5, every_minutes: 1 },
    { prototype: "berry", room: "b", at_most: 9, every_minutes: 1 },
    { prototype: "pebble", room: "c", at_most: 20, every_minutes: 10 },
  ],
}"#;

/// A world as the first engine founded it, which knew no containers.
fn as_founded_first(file: &str, seed: u64) -> World {
    let world = worldfile::read(file, seed).unwrap();
    let mut gathering = Gathering::default();
    gathering.take(Record::Head(&Head { digest: None, ..world.head() }));
    world.records(|record| match record {
        Record::Entity(entity) => gathering.take(Record::Entity(Entity { container: false, ..entity })),
        other => gathering.take(other),
    });
    gathering.finish().unwrap()
}

#[test]
fn what_holds_something_in_a_world_of_an_engine_that_knew_no_containers_is_one() {
    let text = r#"{ id: "a", name: "A", rooms: { hall: { name: "Hall", description: "x" } }, things: {
        box: { name: "a box", description: "x", in: "hall" }, coin: { name: "a coin", description: "x", in: "box" },
        bag: { name: "a bag", description: "x" }, full: { prototype: "bag", in: "hall" },
        empty: { prototype: "bag", in: "hall" }, key: { name: "a key", description: "x", in: "full" },
    } }"#;
    let founded = worldfile::read(text, 1).unwrap();
    let mut world = as_founded_first(text, 1);
    assert_eq!(world.pending(), 0);
    world.note_containers();
    assert_eq!((world.digest(), world.pending()), (founded.digest(), 4));
    world.note_containers();
    assert_eq!(world.pending(), 4);
}

/// Stored digests, and when things happen, hang on the numbers of kinds, verbs and weathers and on the order of events.
/// The numbers here are those of the first engine: a world that was founded by it must live on as it would have.
#[test]
fn the_same_seed_lives_the_life_that_it_has_always_lived() {
    for (file, seed, founded, later, heard) in [
        (BUILTIN, 1, 0xf7b8_f99d_c8d1_0593, 0x2a19_0b3e_20a2_2a46, 0x25e6_58ae_c7f0_4d80),
        (RESTLESS, 7, 0xab6e_b2b3_5c73_787b, 0x725d_8e11_a190_1183, 0x39a1_af53_75f1_f3fc),
        (SMALL_WORLD, 1, 0x8cf1_24a1_2a24_93ec, 0x416d_f647_14fe_8231, 0x3b7c_3cfc_a0a4_cbf3),
    ] {
        let mut world = as_founded_first(file, seed);
        assert_eq!(world.digest(), founded, "{}", &world.id);
        let mut text = Hasher::new(9);
        for tick in 0..30_000 {
            told(|hear| world.tick(hear)).iter().for_each(|effect| _ = text.text(&effect.text));
            if tick % 7 == 0 {
                world.cut(|_| ());
                world.acknowledged();
            }
        }
        assert_eq!((world.digest(), text.finish()), (later, heard), "{}", &world.id);
    }
    fn numbers<T: Copy>(all: &[T], number: fn(T) -> u64) -> bool {
        all.iter().map(|one| number(*one)).eq(0..all.len() as u64)
    }
    assert!(numbers(Kind::ALL, |kind| kind as u64) && numbers(Active::ALL, |active| active as u64));
    assert!(numbers(Verb::ALL, |verb| verb as u64) && numbers(Weather::ALL, |sky| sky as u64));
}

#[test]
fn the_built_in_world_lives_for_a_month_and_stays_sound() {
    let mut world = worldfile::read(BUILTIN, 3).unwrap();
    let (mut weathers, mut busy) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..30 * DAY {
        busy.extend(told(|hear| world.tick(hear)).iter().filter_map(|effect| effect.actor));
        weathers.insert(world.weather.label());
    }
    assert_eq!(world.violations(), Vec::<String>::new());
    assert_eq!(weathers.len(), 5);
    // Every creature that stands in the world did something, and nothing multiplied beyond its rule.
    let idle = world.entities().filter(|entity| entity.kind == Kind::Creature && !entity.is_prototype());
    let idle: Vec<_> = idle.filter(|entity| entity.tag.is_some() && !busy.contains(&entity.id)).collect();
    assert!(idle.is_empty(), "{idle:?}");
    for spawn in &world.spawns {
        let copies = world.entities().filter(|e| e.prototype == Some(spawn.prototype) && e.home == Some(spawn.room));
        assert!(copies.count() as u64 <= spawn.at_most);
    }
}

#[test]
fn the_digest_kept_up_to_date_is_the_one_computed_afresh() {
    let mut world = worldfile::read(BUILTIN, 5).unwrap();
    for round in 0..200_u64 {
        (0..round % 37).for_each(|_| world.tick(&mut unheard));
        // What is in flight counts as it is now, whether it is acknowledged or fails.
        match round % 6 {
            0 => world.cut(|_| ()),
            2 => world.acknowledged(),
            3 => world.cut(|_| ()),
            5 => world.cut_failed(),
            _ => (),
        }
        let parts = aqevia_engine::world::Parts {
            id: world.id.clone(),
            name: world.name.clone(),
            tick: world.now(),
            random: world.random,
            weather: world.weather,
            next_id: world.next_id,
            entities: world.entities.clone(),
            habits: world.habits.clone(),
            spawns: world.spawns.to_vec(),
            players: world.players.clone(),
            bans: world.bans.clone(),
            keepsakes: world.keepsakes.clone(),
        };
        assert_eq!(World::restore(parts).unwrap().digest(), world.digest());
    }
}

#[test]
fn a_wanderer_keeps_within_its_bounds_and_its_pace() {
    let mut world = habit(r#"wander: { every_minutes: 5, within: ["a", "b"] }"#, "");
    let it = id(&world, "it");
    let mut moves = 0;
    for _ in 0..DAY {
        moves += told(|hear| world.tick(hear)).iter().filter(|effect| effect.text.starts_with("It goes")).count();
        assert_ne!(world.entity(it).unwrap().location, Some(id(&world, "c")));
    }
    assert_eq!(moves as u64, DAY / 50);
}

#[test]
fn a_route_is_walked_in_order_and_a_locked_door_is_waited_at() {
    let mut world = habit(r#"route: { every_minutes: 1, stops: ["a", "b", "c", "b"] }"#, "");
    let it = id(&world, "it");
    let mut path = Vec::new();
    for _ in 0..400 {
        world.tick(&mut unheard);
        let here = world.entity(it).unwrap().location.map(|room| world.name_of(room).to_owned());
        if path.last() != Some(&here) {
            path.push(here);
        }
    }
    let expected = ["A", "B", "C", "B"].iter().cycle().map(|name| Some((*name).to_owned())).take(path.len());
    assert!(path.len() > 30 && path.iter().cloned().eq(expected), "{path:?}");
}

#[test]
fn creatures_of_the_day_sleep_at_night_and_do_nothing_then() {
    let text = SMALL_WORLD.replace("gait: \"struts\"", "active: \"day\"");
    let mut world = world(&text);
    let hen = id(&world, "hen");
    let (mut slept, mut woke) = (0, 0);
    for _ in 0..10 * DAY {
        let mut asleep = world.entity(hen).unwrap().asleep;
        for effect in told(|hear| world.tick(hear)) {
            slept += u32::from(effect.text == "A hen falls asleep.");
            woke += u32::from(effect.text == "A hen wakes up.");
            asleep &= effect.text != "A hen wakes up.";
            assert!(!asleep || effect.actor != Some(hen), "{}", effect.text);
        }
        let minute = world.time().minute_of_day();
        let asleep = world.entity(hen).unwrap().asleep;
        assert!(
            (6 * 60..20 * 60).contains(&minute) != asleep
                || (300..360).contains(&minute)
                || (1200..1260).contains(&minute)
        );
    }
    assert_eq!((slept, woke), (10, 10));
}

#[test]
fn a_carrier_moves_things_about_and_leaves_fixed_ones() {
    let mut world = habit(
        r#"wander: { every_minutes: 2 }, carry: { every_minutes: 3, things: ["cup", "rock"] }"#,
        r#"things: { rock: { name: "a rock", description: "-", in: "a", fixed: true },
                     cup: { name: "a cup", description: "-", in: "a" } }"#,
    );
    let (cup, rock, start) = (id(&world, "cup"), id(&world, "rock"), id(&world, "a"));
    let mut places = BTreeSet::new();
    for _ in 0..DAY {
        world.tick(&mut unheard);
        places.insert(world.entity(cup).unwrap().location);
        assert_eq!(world.entity(rock).unwrap().location, Some(start));
    }
    // Three rooms and the carrier itself.
    assert_eq!(places.len(), 4);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[test]
fn no_habit_may_name_what_can_be_eaten() {
    let file = r#"{ id: "h", name: "H", rooms: { a: { name: "A", description: "-" } },
        things: { cress: { name: "cress", description: "-" }, mine: { prototype: "cress", in: "a" } },
        creatures: { crow: { name: "a crow", description: "-", in: "a",
                             habits: { carry: { every_minutes: 1, things: ["mine"] } } } } }"#;
    let problems = worldfile::read(file, 1).unwrap_err();
    assert!(problems[0].contains("carry.things[0]: \"mine\" is a thing, and here a thing (of a copy"), "{problems:?}");
    assert!(worldfile::read(file.replace("[\"mine\"]", "[\"cress\"]"), 1).is_ok());
}

#[test]
fn a_carrier_keeps_what_is_no_business_of_its_habit() {
    let mut world = habit(
        r#"carry: { every_minutes: 1, things: ["cup"] }"#,
        r#"things: { apron: { name: "an apron", description: "-", in: "it", fixed: true },
                     hat: { name: "a hat", description: "-", in: "it" }, cup: { name: "a cup", description: "-", in: "a" } }"#,
    );
    let it = id(&world, "it");
    for _ in 0..DAY / 10 {
        world.tick(&mut unheard);
        assert_eq!((find(&world, "apron").location, find(&world, "hat").location), (Some(it), Some(it)));
    }
}

#[test]
fn things_may_hold_one_another_as_deep_as_the_limit_says() {
    let nested = |depth: usize| {
        let things: String =
            (1..depth).map(|n| format!("t{n}: {{ name: \"t\", description: \"-\", in: \"t{}\" }},", n - 1)).collect();
        let file = format!(
            r#"{{ id: "n", name: "N", rooms: {{ a: {{ name: "A", description: "-" }} }},
            creatures: {{ it: {{ name: "it", description: "-", in: "a" }} }},
            things: {{ t0: {{ name: "t", description: "-", in: "it" }}, {things} }} }}"#
        );
        worldfile::read(&file, 1)
    };
    let world = nested(CONTAINMENT_DEPTH_MAX).unwrap();
    let room = id(&world, "a");
    // The innermost belongs to the room in which its creature stands.
    assert!(world.entities().all(|entity| entity.kind == Kind::Room || entity.home == Some(room)));
    assert!(nested(CONTAINMENT_DEPTH_MAX + 1).is_err());
}

#[test]
fn a_world_in_which_all_of_something_was_eaten_can_be_exported_and_read_back() {
    let mut world = habit(
        r#"eat: { every_minutes: 1, prey: ["cress"] }"#,
        r#"things: { cress: { name: "cress", description: "-" }, tuft: { prototype: "cress", in: "a" } }"#,
    );
    (0..DAY).for_each(|_| world.tick(&mut unheard));
    assert_eq!(world.counts()[Kind::Thing as usize], 0);
    assert_eq!(worldfile::read(export(&world), 1).map(|again| again.counts()), Ok(world.counts()));
}

#[test]
fn exits_that_differ_in_white_space_alone_are_one_exit_given_twice() {
    let file = r#"{ id: "e", name: "E", rooms: { a: { name: "A", description: "-", exits: { "a hole": "a", "a  hole": "a" } } } }"#;
    let problems = worldfile::read(file, 1).unwrap_err();
    assert!(problems[0].contains("is given twice"), "{problems:?}");
}

#[test]
fn what_is_eaten_grows_back_up_to_its_rule_and_ids_are_never_used_again() {
    let mut world = habit(
        r#"eat: { every_minutes: 20, prey: ["berry"] }"#,
        r#"things: { berry: { name: "a berry", description: "-" } },
           spawns: [{ prototype: "berry", room: "a", at_most: 3, every_minutes: 10, text: "A berry ripens." }]"#,
    );
    let berry = id(&world, "berry");
    let (mut eaten, mut grown, mut seen, mut most) = (0, 0, BTreeSet::new(), 0);
    for _ in 0..DAY {
        let effects = told(|hear| world.tick(hear));
        eaten += texts(&effects).iter().filter(|text| **text == "It eats a berry.").count();
        grown += texts(&effects).iter().filter(|text| **text == "A berry ripens.").count();
        let berries: Vec<EntityId> = world.entities().filter(|e| e.prototype == Some(berry)).map(|e| e.id).collect();
        most = most.max(berries.len());
        seen.extend(berries);
    }
    assert!(eaten > 50 && most == 3, "{eaten} eaten, {most} at most");
    assert_eq!(seen.len(), grown);
    assert_eq!(world.counts()[Kind::Thing as usize] as usize, grown - eaten);
    assert!(world.next_id > seen.last().unwrap().get());
}

#[test]
fn commands_do_what_they_say_and_tell_who_is_there() {
    let mut world = world(SMALL_WORLD);
    let (hen, bucket, yard, barn) = (id(&world, "hen"), id(&world, "bucket"), id(&world, "yard"), id(&world, "barn"));
    let north = world.contents(yard, Kind::Exit).next().unwrap().id;
    let mut apply = |action| told(|hear| world.apply(Command { actor: hen, action }, hear).unwrap());
    assert_eq!(texts(&apply(Action::Take(bucket))), ["A hen picks up a bucket."]);
    let effects = apply(Action::Go(north));
    assert_eq!(texts(&effects), ["A hen struts north.", "A hen arrives."]);
    assert_eq!(effects.iter().map(|e| e.audience).collect::<Vec<_>>(), [Audience::Room(yard), Audience::Room(barn)]);
    assert_eq!(texts(&apply(Action::Drop(bucket))), ["A hen puts down a bucket."]);
    assert_eq!(texts(&apply(Action::Say("Tuk."))), ["A hen says, \"Tuk.\""]);
    assert_eq!(texts(&apply(Action::Act("preens."))), ["A hen preens."]);
    assert_eq!(find(&world, "bucket").location, Some(barn));
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[test]
fn refused_commands_change_nothing() {
    let text = SMALL_WORLD
        .replace("in: \"yard\" }", "in: \"yard\", fixed: true }")
        .replace("south: \"yard\"", "south: \"yard\", down: { locked: true }");
    let mut world = world(&text);
    let (hen, bucket, yard, barn) = (id(&world, "hen"), id(&world, "bucket"), id(&world, "yard"), id(&world, "barn"));
    let out = world.contents(barn, Kind::Exit).next().unwrap().id;
    let before = (world.digest(), world.pending());
    for (actor, action, refusal) in [
        (yard, Action::Say("x"), Refusal::NoActor),
        (EntityId::new(999).unwrap(), Action::Say("x"), Refusal::NoActor),
        (hen, Action::Go(out), Refusal::NotHere),
        (hen, Action::Go(bucket), Refusal::NotHere),
        (hen, Action::Take(bucket), Refusal::Fixed),
        (hen, Action::Drop(bucket), Refusal::NotHere),
        (hen, Action::Eat(bucket), Refusal::Inedible),
        (hen, Action::Eat(hen), Refusal::Inedible),
    ] {
        assert_eq!(world.apply(Command { actor, action }, &mut unheard), Err(refusal), "{action:?}");
        assert_eq!((world.digest(), world.pending()), before, "{action:?}");
    }
    let inside = world.contents(yard, Kind::Exit).next().unwrap().id;
    world.apply(Command { actor: hen, action: Action::Go(inside) }, &mut unheard).unwrap();
    let down = world.contents(barn, Kind::Exit).nth(1).unwrap().id;
    assert_eq!(world.apply(Command { actor: hen, action: Action::Go(down) }, &mut unheard), Err(Refusal::Locked));
}

#[test]
fn what_is_born_has_from_its_prototype_whether_it_is_fixed_and_whether_it_sleeps() {
    let mut world = habit(
        "",
        r#"things: { moss: { name: "moss", description: "-", fixed: true } },
           spawns: [{ prototype: "moss", room: "a", at_most: 9, every_minutes: 60 },
                    { prototype: "bat", room: "a", at_most: 9, every_minutes: 60 },
                    { prototype: "wren", room: "a", at_most: 9, every_minutes: 60 }]"#,
    );
    assert_eq!(world.counts()[Kind::Thing as usize], 0);
    let born = |world: &World, tag: &str| -> Vec<Entity> {
        world.entities().filter(|entity| entity.prototype == Some(id(world, tag))).cloned().collect()
    };
    // It begins at six in the morning; what is born before noon is born by day.
    (0..DAY / 4).for_each(|_| world.tick(&mut unheard));
    for (tag, asleep, fixed) in [("moss", false, true), ("bat", true, false), ("wren", false, false)] {
        let born = born(&world, tag);
        assert!(born.len() >= 5 && born.iter().all(|it| (it.asleep, it.fixed) == (asleep, fixed)), "{tag}: {born:?}");
    }
}

#[test]
fn what_storage_has_never_seen_and_is_gone_is_not_pending() {
    let mut world = worldfile::read(RESTLESS, 2).unwrap();
    let founded = world.entities().count();
    // The ids of the dead in a cut that fails.
    let dead_in_cut = |world: &mut World| {
        let mut dead = BTreeSet::new();
        world.cut(|record| {
            if let Record::Gone(id) = record {
                dead.insert(id);
            }
        });
        world.cut_failed();
        dead
    };
    // While flushes fail, each of them is handed the changes.
    for handed_out in [false, true] {
        let mut gone: BTreeSet<EntityId> = BTreeSet::new();
        for tick in 0..40_000 {
            world.tick(&mut unheard);
            if handed_out && tick % 100 == 0 {
                gone.extend(dead_in_cut(&mut world));
            }
        }
        let living = world.entities().count();
        if !handed_out {
            assert!(world.next_id > 1_000 && world.pending() <= living + founded + 1, "{}", world.pending());
        }
        // What was handed out may be stored although the flush failed, so its end must be told.
        let told = dead_in_cut(&mut world);
        assert!(gone.is_subset(&told));
        assert_eq!(handed_out, !gone.is_empty());
    }
}

/// What a cut hands out: the living and the dead.
fn cut(world: &mut World) -> BTreeMap<EntityId, bool> {
    let mut records = BTreeMap::new();
    world.cut(|record| match record {
        Record::Entity(entity) => _ = records.insert(entity.id, true),
        Record::Gone(id) => _ = records.insert(id, false),
        _ => panic!("neither habits nor rules ever change"),
    });
    records
}

/// Beside the world runs a naive model of what storage holds: cuts that were acknowledged, each record as of the last.
#[test]
fn whatever_becomes_of_cuts_what_storage_lacks_is_pending_and_nothing_is_pending_twice() {
    let mut random = Random(11);
    let mut world = worldfile::read(RESTLESS, 5).unwrap();
    let all = |world: &World| world.entities().map(|it| (it.id, it.clone())).collect::<BTreeMap<_, _>>();
    let (mut stored, mut in_flight) = (all(&world), None);
    let mut failed = 0;
    for _ in 0..4_000 {
        (0..random.below(9)).for_each(|_| world.tick(&mut unheard));
        match (&in_flight, random.below(4)) {
            (None, 0 | 1) => {
                let handed_out = cut(&mut world);
                assert_eq!(world.pending_since_cut(), 0);
                in_flight = Some((handed_out, all(&world)));
            }
            (Some(_), 0) => {
                world.acknowledged();
                let (handed_out, then) = in_flight.take().unwrap();
                for (id, lives) in handed_out {
                    if lives {
                        stored.insert(id, then[&id].clone())
                    } else {
                        stored.remove(&id)
                    };
                }
                assert_eq!(stored, then, "an acknowledged cut is all that storage lacked");
            }
            (Some(_), 1) => {
                world.cut_failed();
                in_flight = None;
                failed += 1;
            }
            _ => (),
        }
        let now = all(&world);
        let differs = |id: &EntityId| stored.get(id) != now.get(id);
        let ids: BTreeSet<EntityId> = stored.keys().chain(now.keys()).copied().collect();
        let lacking = ids.iter().filter(|id| differs(id)).count();
        assert!(world.pending() >= lacking, "{} are pending, and storage lacks {lacking}", world.pending());
        assert!(world.pending_since_cut() <= world.pending());
        let offered = in_flight.as_ref().map_or(0, |(handed_out, _): &(BTreeMap<EntityId, bool>, _)| handed_out.len());
        assert!(world.pending() <= ids.len() + offered + 1);
    }
    assert!(failed > 100);
    world.cut_failed();
    let all_that_is_left: Vec<EntityId> = cut(&mut world).into_keys().collect();
    let again = world.pending();
    world.cut_failed();
    assert_eq!((world.pending(), again), (all_that_is_left.len() + 1, all_that_is_left.len() + 1));
}
