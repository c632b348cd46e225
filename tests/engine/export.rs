//! A world as a world file, there and back; and what `check` says of a file that is accepted.

use std::fmt::Write;
use std::fs;

use aqevia_engine::limits::{HABIT_ITEMS_MAX, NAME_BYTES_MAX, PROBLEMS_LISTED_MAX, ROOM_EXITS_MAX, SPAWNS_MAX};
use aqevia_engine::storage;
use aqevia_engine::storage::export::{export, export_within};
use aqevia_engine::storage::worldfile::{self, BUILTIN};
use aqevia_engine::world::{World, unheard};

use crate::support::{Engine, Folder, SMALL_WORLD, command, output, query};
use crate::world::RESTLESS;

/// The file as it came back, and all that it holds.
fn again(world: &World, text: &str) -> World {
    let again = worldfile::read(text, 1).unwrap_or_else(|problems| panic!("{}\n{text:.2000}", problems.join("\n")));
    assert_eq!(again.counts(), world.counts());
    assert_eq!(export(&again), export(world));
    again
}

#[test]
fn an_export_reads_as_a_builder_would_write_it() {
    let world = worldfile::read(SMALL_WORLD, 1).unwrap();
    let expected = r#"{
  id: "small",
  name: "A Small World",
  rooms: {
    yard: { name: "The Yard", description: "Gravel.", exits: { north: "barn", east: "lane" } },
    barn: { name: "The Barn", description: "Straw.", indoors: true, exits: { south: "yard" } },
    lane: { name: "The Lane", description: "Mud.", exits: { west: "yard" } }
  },
  things: {
    bucket: { name: "a bucket", description: "Tin.", in: "yard" }
  },
  creatures: {
    hen: { name: "a hen", description: "Brown.", gait: "struts", in: "yard", habits: { wander: { every_minutes: 1 }, say: { every_minutes: 1, lines: [ "Tuk." ] } } }
  }
}
"#;
    assert_eq!(export(&world), expected);
    // What comes back is the very same world.
    assert_eq!(again(&world, expected).digest(), world.digest());
}

#[test]
fn whatever_is_founded_can_be_exported_checked_and_founded_again_without_becoming_larger() {
    let texts = [
        r#"'"both" and \'single\''"#,
        r#"'it\'s'"#,
        r#""back\\slash\\""#,
        "'\\u2028 \\u00e9 \u{1f987}'",
        r#""// no comment /* none */""#,
        r#""{ a: [1, ] }""#,
        r#"'a, "b'"#,
        r#""$&<>\/""#,
    ]
    .map(str::to_owned);
    let mut file = String::from("{id:\"odd\",name:\"Odd\",rooms:{");
    for (n, text) in texts.iter().enumerate() {
        let exits =
            format!("{{{text}:\"r{n}\",\"true_{n}\":{{locked:true}},nan_x:\"r0\"}}").replace("nan_x", "\"nan_x\"");
        write!(file, "r{n}:{{name:{text},description:{text},exits:{exits}}},").unwrap();
    }
    file += "},things:{\"null\":{name:\"n\",description:\"n\",in:\"it\"},spare:{name:\"n\",description:\"n\"},\
             copy:{prototype:\"spare\",in:\"null\",name:\"mine\",home:\"r1\"}},\
             creatures:{it:{name:\"n\",description:\"n\",in:\"r0\",home:\"r1\",active:\"day\",gait:\"'s\",habits:{say:{every_minutes:1,lines:[";
    file += &texts.join(",");
    file += "]}}}},spawns:[{prototype:\"spare\",room:\"r0\",at_most:1,every_minutes:1,text:\"\\\"'\"}]}";
    for source in [file.as_str(), SMALL_WORLD, BUILTIN, RESTLESS] {
        let world = worldfile::read(source, 1).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
        assert_eq!(again(&world, &export(&world)).digest(), world.digest());
        // Without white space it is no larger than what it was founded from, so the limit of a file cannot be in its way.
        let tight = export_within(&world, 0);
        assert!(tight.len() <= source.len(), "{} {}\n{tight}", tight.len(), source.len());
        assert_eq!(again(&world, &tight).digest(), world.digest());
        let mut later = world;
        (0..20_000).for_each(|_| later.tick(&mut unheard));
        again(&later, &export(&later));
        again(&later, &export_within(&later, 0));
    }
}

#[test]
fn a_prototype_that_nothing_copies_is_a_warning() {
    let folder = Folder::new();
    let stock = "things: { spare: { name: \"a spare\", description: \"Dusty.\" },";
    let file = folder.write("world.json5", SMALL_WORLD.replace("things: {", stock));
    let warning = "things.spare: stands nowhere, and nothing makes copies of it";
    let (code, stdout, stderr) = output(&mut command(&folder, &["check", file.to_str().unwrap()]));
    assert!(
        code == 0 && stderr.contains(&format!("warning: {warning}")) && stdout.ends_with("ok\n"),
        "{stdout}{stderr}"
    );
    let log = Engine::start_with(&folder, &[("AQEVIA_WORLD_PATH", file.to_str().unwrap())]).stop();
    assert!(log.contains(&format!("level=warn msg=\"{warning}")) && log.contains("founded a new world"), "{log}");
    // Not once it is founded: stock may be kept.
    assert!(!Engine::start(&folder).stop().contains(warning));
}

#[test]
fn check_tells_how_far_spawn_rules_let_a_world_grow() {
    let folder = Folder::new();
    let rules = "spawns: [{ prototype: \"mite\", room: \"yard\", at_most: 7000, every_minutes: 1 },
                          { prototype: \"mite\", room: \"barn\", at_most: 10000, every_minutes: 1 }],
                 things: { mite: { name: \"a mite\", description: \"-\" }, one: { prototype: \"mite\", in: \"barn\" },";
    let file = folder.write("world.json5", SMALL_WORLD.replace("things: {", rules));
    let (code, stdout, stderr) = output(&mut command(&folder, &["check", file.to_str().unwrap()]));
    // Of 17,000 one is there, and so are eleven others.
    assert!(code == 0 && stdout.contains("its 2 spawn rules let it grow to 17010 entities\n"), "{stdout}{stderr}");
    let (_, stdout, _) = output(&mut command(&folder, &["check", folder.write("w", SMALL_WORLD).to_str().unwrap()]));
    assert!(!stdout.contains("spawn rules"), "{stdout}");
}

#[test]
fn of_many_mistakes_a_hundred_are_listed_and_the_others_counted() {
    let lines = |count: usize| (0..count).map(|n| format!("e{n}: \"nowhere\",")).collect::<String>();
    let file = |count| SMALL_WORLD.replace("exits: { west:", &format!("exits: {{ {} west:", lines(count)));
    for count in [PROBLEMS_LISTED_MAX, PROBLEMS_LISTED_MAX + 57] {
        let problems = worldfile::read(file(count), 1).unwrap_err();
        assert_eq!(problems[PROBLEMS_LISTED_MAX - 1], "rooms.lane.exits.e99: there is no \"nowhere\"");
        let more: &[String] = if count > PROBLEMS_LISTED_MAX { &["and 57 more".to_owned()] } else { &[] };
        assert_eq!(&problems[PROBLEMS_LISTED_MAX..], more);
    }
}

#[test]
fn a_room_has_no_more_exits_than_a_wanderer_can_look_at() {
    let exits = |count: usize| (1..count).map(|n| format!("e{n}: \"lane\",")).collect::<String>();
    let file = |count| SMALL_WORLD.replace("exits: { west:", &format!("exits: {{ {} west:", exits(count)));
    assert!(worldfile::read(file(ROOM_EXITS_MAX), 1).is_ok());
    let problems = worldfile::read(file(ROOM_EXITS_MAX + 1), 1).unwrap_err();
    assert_eq!(problems, ["rooms.lane.exits: has 257, and 256 are the most"]);
}

/// What is wrong with the small world when one of its words is another.
fn mistakes(word: &str, other: &str) -> Vec<String> {
    assert!(SMALL_WORLD.contains(word));
    worldfile::read(SMALL_WORLD.replacen(word, other, 1), 1).err().unwrap_or_default()
}

#[test]
fn what_a_limit_allows_is_kept_whole_and_one_more_is_refused() {
    let lines = |count| format!("lines: [{}]", vec!["\"Tuk.\""; count].join(","));
    let world = worldfile::read(SMALL_WORLD.replace("lines: [\"Tuk.\"]", &lines(HABIT_ITEMS_MAX)), 1).unwrap();
    let kept = world.habits.values().flat_map(|habits| habits.iter()).map(|habit| habit.lines.len()).max();
    assert_eq!(kept, Some(HABIT_ITEMS_MAX));
    let problems = mistakes("lines: [\"Tuk.\"]", &lines(HABIT_ITEMS_MAX + 1));
    assert_eq!(problems, ["creatures.hen.habits.say: `lines` must list 1 to 256"]);
    assert_eq!(mistakes("a hen", &"n".repeat(NAME_BYTES_MAX)), [""; 0]);
    assert_eq!(
        mistakes("a hen", &"n".repeat(NAME_BYTES_MAX + 1)),
        ["creatures.hen.name: has 81 bytes, and 80 are the most"]
    );
    let rule = "{ prototype: \"bucket\", room: \"yard\", at_most: 1, every_minutes: 1 },";
    let rules = |count| {
        let spawns = format!("spawns: [{}], things: {{", rule.repeat(count));
        let file = SMALL_WORLD.replace("things: {", &spawns).replace("Tin.\", in: \"yard\"", "Tin.\"");
        worldfile::read(file, 1).unwrap_err()
    };
    assert_eq!(rules(SPAWNS_MAX + 1), ["spawns: has 100001 rules, and 100000 are the most"]);
    assert!(rules(SPAWNS_MAX)[0].contains("same prototype and room"));
}

#[test]
fn single_mistakes_of_a_world_file_are_told_as_they_are() {
    let bell = "creatures.hen.name: holds a control character";
    assert_eq!(mistakes("a hen", "a \\u0007 hen"), [bell]);
    let nowhere = "things.second: a copy must stand somewhere: give it `in`";
    let copy = "things: { spare: { name: \"a\", description: \"b\" }, second: { prototype: \"spare\" },";
    assert_eq!(mistakes("things: {", copy), [nowhere]);
    // A stop may be waited at.
    assert_eq!(mistakes("wander: {", "route: { stops: [\"yard\", \"yard\", \"barn\"],"), [""; 0]);
}

#[test]
fn a_prototype_of_which_the_last_copy_was_eaten_is_no_warning() {
    let prey = "eat: { every_minutes: 1, prey: [\"corn\"] }, wander: {";
    let corn = "things: { corn: { name: \"corn\", description: \"-\" }, one: { prototype: \"corn\", in: \"yard\" },";
    let file = SMALL_WORLD.replace("wander: {", prey).replace("things: {", corn);
    let mut world = worldfile::read(file, 1).unwrap();
    (0..20_000).for_each(|_| world.tick(&mut unheard));
    assert_eq!(world.counts()[aqevia_engine::world::Kind::Thing as usize], 1);
    assert_eq!(worldfile::warnings(&world), [""; 0]);
}

#[test]
fn check_backup_and_export_take_a_database_of_version_0_1_as_it_is() {
    let first = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/databases/0.1.0.sqlite")).unwrap();
    let folder = Folder::new();
    folder.write("storage.sqlite", &first);
    for arguments in
        [&["check", "storage.sqlite"][..], &["backup", "copy.sqlite"], &["check", "copy.sqlite"], &["export"]]
    {
        let (code, stdout, stderr) = output(&mut command(&folder, arguments));
        assert_eq!((code, &*stderr), (0, ""), "{arguments:?}");
        if arguments == ["export"] {
            let world = storage::examine(&folder.database()).unwrap().0;
            assert_eq!(again(&world, &stdout).id, world.id);
        }
    }
    assert_eq!(query(&folder.join("copy.sqlite"), "PRAGMA user_version"), "1");
    let mut names: Vec<_> = fs::read_dir(folder.join("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["copy.sqlite", "storage.sqlite"]);
    assert_eq!(fs::read(folder.database()).unwrap(), first);
}
