//! Stored numbers at the ends of their ranges, and beyond: what starts once must run, stop and start again.

use std::fs;
use std::sync::OnceLock;

use rusqlite::Connection;

use crate::support::{Engine, Folder, command, output, query, wait_for};

/// Everything stored is a number here: a route, a rule, a mate to be eaten.
const WORLD: &str = r#"{
  id: "ranges", name: "R",
  rooms: {
    a: { name: "A", description: "x", exits: { east: "b" } },
    b: { name: "B", description: "x", exits: { west: "a" } },
  },
  things: { berry: { name: "a berry", description: "x" } },
  creatures: {
    it: {
      name: "it", description: "x", in: "a", active: "day",
      habits: {
        route: { every_minutes: 1, stops: ["a", "b"] }, eat: { every_minutes: 1, prey: ["berry"] },
        say: { every_minutes: 1, lines: ["x"] },
      },
    },
  },
  spawns: [{ prototype: "berry", room: "a", at_most: 9, every_minutes: 1 }],
}"#;

/// A stopped World, changed by hand.
fn edited(edit: &str) -> Folder {
    static FOUNDED: OnceLock<Vec<u8>> = OnceLock::new();
    let founded = FOUNDED.get_or_init(|| {
        let folder = Folder::new();
        let file = folder.write("world.json5", WORLD);
        Engine::start_with(&folder, &[("AQEVIA_WORLD_PATH", file.to_str().unwrap())]).stop();
        fs::read(folder.database()).unwrap()
    });
    let folder = Folder::new();
    folder.write("storage.sqlite", founded);
    let connection = Connection::open(folder.database()).unwrap();
    connection.execute_batch(edit).unwrap();
    connection.execute_batch("UPDATE world SET digest = NULL").unwrap();
    folder
}

#[test]
fn a_number_at_the_end_of_its_range_runs_stops_and_starts_again() {
    for edit in [
        "UPDATE world SET tick = 4611686018427387904",
        "UPDATE world SET tick = 4611686018427387894",
        "UPDATE world SET next_id = 4611686018427387903",
        "UPDATE world SET next_id = 4611686018427387902",
        "UPDATE entity SET id = 4611686018427387902 WHERE tag = 'it'; UPDATE habit SET creature = 4611686018427387902;
         UPDATE habit_item SET creature = 4611686018427387902; UPDATE world SET next_id = 4611686018427387903",
        "UPDATE world SET random = -9223372036854775808",
        "UPDATE world SET random = 9223372036854775807",
        "UPDATE entity SET step = 255",
        "UPDATE habit SET every_minutes = 100000",
        "UPDATE spawn SET every_minutes = 100000, at_most = 10000, position = 9223372036854775807",
        "UPDATE habit_item SET position = 9223372036854775807 WHERE verb = 'say'",
    ] {
        let folder = edited(edit);
        let engine = Engine::start(&folder);
        wait_for("ticks", || (engine.metric("aqevia_ticks_total") >= 25.0).then_some(()));
        assert_eq!(engine.get("/ready").0, 200, "{edit}");
        engine.stop();
        let (code, stdout, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
        assert_eq!(code, 0, "{edit}: {stdout}{stderr}");
        Engine::start(&folder).stop();
    }
}

#[test]
fn at_its_last_tick_the_world_stands_still_and_after_its_last_id_nothing_is_born() {
    let folder = edited("UPDATE world SET tick = 4611686018427387894, next_id = 4611686018427387902");
    let engine = Engine::start(&folder);
    wait_for("ticks", || (engine.metric("aqevia_ticks_total") >= 30.0).then_some(()));
    assert_eq!(engine.status_number("$.world.tick"), 1 << 62);
    engine.stop();
    assert_eq!(query(&folder.database(), "SELECT tick FROM world"), "4611686018427387904");
    let folder =
        edited("UPDATE world SET next_id = 4611686018427387902; DELETE FROM entity WHERE prototype IS NOT NULL");
    let engine = Engine::start(&folder);
    engine.wait_for_tick(60);
    engine.stop();
    let born = "SELECT group_concat(id) FROM entity WHERE prototype IS NOT NULL OR id > 1000";
    assert!(["4611686018427387902", "Null"].contains(&query(&folder.database(), born).as_str()));
    assert_eq!(query(&folder.database(), "SELECT max(id) <= 4611686018427387902 FROM entity"), "1");
}

#[test]
fn a_number_beyond_its_range_is_refused_with_words() {
    for (edit, expected) in [
        ("UPDATE world SET tick = 4611686018427387905", "tick is 4611686018427387905, and 0 to 4611686018427387904"),
        ("UPDATE world SET tick = -1", "tick is -1"),
        (
            "UPDATE world SET next_id = 4611686018427387904",
            "next_id is 4611686018427387904, and 1 to 46116860184273879",
        ),
        ("UPDATE world SET next_id = 1", "the next id, 1, is not above all ids in use"),
        ("UPDATE world SET next_id = (SELECT max(id) FROM entity)", "is not above all ids in use"),
        ("UPDATE entity SET id = 4611686018427387903 WHERE id = 5", "id is 4611686018427387903, and 1 to"),
        ("UPDATE entity SET home = 0 WHERE tag = 'it'", "home is 0, and 1 to"),
        ("UPDATE entity SET step = 256 WHERE tag = 'it'", "step is 256, and 0 to 255"),
        ("UPDATE habit SET every_minutes = 0", "every_minutes is 0, and 1 to 100000"),
        ("UPDATE habit SET every_minutes = 100001", "every_minutes is 100001, and 1 to 100000"),
        ("UPDATE spawn SET every_minutes = 100001", "every_minutes is 100001, and 1 to 100000"),
        ("UPDATE spawn SET at_most = 0", "at_most is 0, and 1 to 10000"),
        ("UPDATE spawn SET at_most = 10001", "at_most is 10001, and 1 to 10000"),
        ("DELETE FROM habit_item WHERE verb = 'say'", "it names 0, and 1..=256 is accepted"),
    ] {
        let folder = edited(edit);
        for arguments in [&["check", "storage.sqlite"][..], &[]] {
            let (code, stdout, stderr) = output(&mut command(&folder, arguments));
            assert!(code == 3 && format!("{stdout}{stderr}").contains(expected), "{edit}: {code} {stdout}{stderr}");
        }
    }
}

#[test]
fn a_database_with_more_rules_than_any_may_have_today_opens_with_a_warning() {
    let folder = edited(
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 101000)
         INSERT INTO entity SELECT i, 'room', NULL, 'Room', 'x', NULL, NULL, NULL, NULL, NULL, NULL, 'always', 0, 0, 0, 0, 0, 0 FROM n;
         INSERT INTO spawn SELECT id, (SELECT prototype FROM spawn WHERE position = 0), id, 1, 100000, NULL FROM entity WHERE id >= 1000;
         UPDATE world SET next_id = 200000",
    );
    let (code, stdout, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
    assert!(code == 0 && stderr.contains("warning: 100002 spawn rules, and 100000 are the most"), "{stdout}{stderr}");
    assert!(stdout.contains("its 100002 spawn rules let it grow to "), "{stdout}");
    let engine = Engine::start(&folder);
    assert_eq!(engine.metric("aqevia_world_limits_total{limit=\"spawns\"}"), 1.0);
    assert_eq!(engine.metric("aqevia_world_limits_total{limit=\"entities\"}"), 0.0);
    let log = engine.stop();
    assert!(log.contains("level=warn") && log.contains("100002 spawn rules, and 100000 are the most"), "{log}");
}
