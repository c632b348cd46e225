//! Everything that an operator or builder can get wrong: a clear error, the documented exit code, nothing changed.

use std::fs;
use std::net::TcpListener;

use rusqlite::Connection;

use crate::support::{Engine, Folder, SMALL_WORLD, command, output, refusal, refused, sanitizer_options, skip};

#[test]
fn bad_variables_are_all_named_at_once() {
    let folder = Folder::new();
    let (code, stderr) = refusal(
        &folder,
        &[
            ("AQEVIA_SQLITE_PATH", "/no/such/folder/storage.sqlite"),
            ("AQEVIA_OBSERVABILITY_ADDR", "localhost"),
            ("PERSIST_FLUSH_INTERVAL_MS", "5"),
            ("PERSIST_BATCH_CAPACITY", "0"),
            ("AQEVIA_TICK_INTERVAL_MS", "fast"),
            ("AQEVIA_WORLD_PATH", "/no/such/world.json5"),
            ("AQEVIA_LOG_LEVEL", "loud"),
        ],
    );
    assert_eq!((code, stderr.lines().count()), (2, 7), "{stderr}");
    assert!(stderr.contains("PERSIST_BATCH_CAPACITY=\"0\": accepted is a whole number from 1 to 1000000 (records)"));
    assert!(!folder.database().exists());
}

#[test]
fn empty_variables_count_as_unset_and_unknown_ones_get_a_warning() {
    let folder = Folder::new();
    let engine = Engine::start_with(&folder, &[("PERSIST_BATCH_CAPACITY", ""), ("AQEVIA_LOG_LEVLE", "debug")]);
    let expected =
        "level=warn msg=\"an unknown variable is ignored\" variable=AQEVIA_LOG_LEVLE nearest=AQEVIA_LOG_LEVEL";
    assert!(engine.log().contains(expected), "{}", engine.log());
    engine.stop();
    // What resembles nothing has nothing to name.
    let log = Engine::start_with(&folder, &[("AQEVIA_QUITE_ANOTHER_THING", "1"), ("AQEVIA_LOG_LEVEL", "Info")]).stop();
    assert!(log.contains("msg=\"an unknown variable is ignored\" variable=AQEVIA_QUITE_ANOTHER_THING\n"), "{log}");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_storage_error() {
    // Not even root can make files in /proc.
    let (code, stderr) = refusal(&Folder::new(), &[("AQEVIA_SQLITE_PATH", "/proc/storage.sqlite")]);
    assert_eq!(code, 3);
    assert!(stderr.contains("/proc/storage.sqlite.lock") && stderr.contains("the path is right"), "{stderr}");
}

#[test]
fn what_is_not_ours_is_refused_and_not_changed() {
    let ours = Folder::new();
    Engine::start(&ours).stop();
    let ours = fs::read(ours.database()).unwrap();
    let made = |sql: &str| {
        let folder = Folder::new();
        fs::write(folder.join("x"), &ours).unwrap();
        Connection::open(folder.join("x")).unwrap().execute_batch(sql).unwrap();
        fs::read(folder.join("x")).unwrap()
    };
    let foreign = {
        let folder = Folder::new();
        Connection::open(folder.join("x"))
            .unwrap()
            .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
            .unwrap();
        fs::read(folder.join("x")).unwrap()
    };
    let mut flipped = ours.clone();
    // Every copy of it, because some may lie in space that is no longer used.
    let places: Vec<usize> = (5..flipped.len()).filter(|at| flipped[at - 5..*at] == *b"Stait").collect();
    places.into_iter().for_each(|at| flipped[at] ^= 1);
    let mut torn = ours.clone();
    torn[8192..12_288].fill(0xa5);
    let with_byte = |at: usize, byte: u8| {
        let mut bytes = ours.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes, expected) in [
        ("text", b"Dear diary,\n".repeat(100), "no SQLite database"),
        ("half a header", ours[..60].to_vec(), "no SQLite database"),
        ("half a file", ours[..ours.len() / 2].to_vec(), "damaged"),
        ("a torn page", torn, "damaged"),
        ("one changed letter", flipped, "digest"),
        ("a format of schemas to come", with_byte(47, 9), "unsupported file format"),
        ("another program's", foreign, "another program"),
        ("another program's number", made("PRAGMA application_id = 7"), "application_id"),
        ("a newer schema", made("PRAGMA user_version = 4"), "newer engine"),
        (
            "a trigger",
            made("CREATE TRIGGER t AFTER UPDATE ON world BEGIN SELECT 1; END"),
            "the trigger `t` on the engine's table `world`",
        ),
        ("a missing table", made("DROP TABLE spawn"), "\"spawn\" is missing"),
        ("a missing world", made("DELETE FROM world"), "record is missing"),
        ("a broken invariant", made("UPDATE entity SET location = 999 WHERE tag = 'heron'"), "heron"),
        ("a nonsense kind", made("UPDATE entity SET kind = 'dragon' WHERE id = 3"), "dragon"),
        ("a negative tick", made("UPDATE world SET tick = -1"), "damaged"),
        ("a far future", made("UPDATE world SET tick = 9223372036854775807, digest = NULL"), "is accepted"),
    ] {
        let folder = Folder::new();
        fs::write(folder.database(), &bytes).unwrap();
        let (code, stderr) = refusal(&folder, &[]);
        assert_eq!(code, 3, "{what}: {stderr}");
        assert!(stderr.contains(expected), "{what}: {stderr}");
        assert!(stderr.contains("Nothing was changed.") && !stderr.contains("docker volume rm"), "{what}: {stderr}");
        assert!(fs::read(folder.database()).unwrap() == bytes, "{what} was changed");
    }
}

#[test]
fn a_database_that_says_it_may_only_be_read_is_refused_at_the_start() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let mut bytes = fs::read(folder.database()).unwrap();
    // The write version (SQLite, "Database File Format", section 1.3.3): one that only a later SQLite can write.
    bytes[18] = 3;
    fs::write(folder.database(), &bytes).unwrap();
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("may not be written"), "{stderr}");
    assert!(fs::read(folder.database()).unwrap() == bytes);
}

#[test]
fn no_stored_state_can_change_unnoticed() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let ours = fs::read(folder.database()).unwrap();
    let creature = "kind = 'creature' AND location IS NOT NULL";
    let entity = |set: &str, of: &str| {
        format!("UPDATE entity SET {set} WHERE id = (SELECT id FROM entity WHERE {of} ORDER BY id LIMIT 1)")
    };
    for edit in [
        entity("tag = 'zz'", "kind = 'room'"),
        entity("name = name || '.'", "kind = 'exit'"),
        entity("description = NULL", "kind = 'thing'"),
        entity("location = 1 + location % 2", creature),
        entity("home = 1 + home % 2", creature),
        entity("destination = 1 + destination % 2", "kind = 'exit' AND destination IS NOT NULL"),
        entity("gait = 'x'", creature),
        entity("active = 'night'", "kind = 'creature' AND active = 'day'"),
        entity("asleep = 1 - asleep", "kind = 'creature' AND active = 'day' AND location IS NOT NULL"),
        entity("step = step + 1", creature),
        entity("indoors = 1 - indoors", "kind = 'room'"),
        entity("locked = 1 - locked", "kind = 'exit' AND destination IS NOT NULL"),
        entity("fixed = 1 - fixed", "kind = 'thing' AND location IS NOT NULL AND prototype IS NULL AND fixed = 1"),
        "UPDATE world SET tick = tick + 1".to_owned(),
        "UPDATE world SET random = random + 1".to_owned(),
        "UPDATE world SET weather = 'storm'".to_owned(),
        "UPDATE world SET next_id = next_id + 1".to_owned(),
        "UPDATE world SET name = 'x'".to_owned(),
        "UPDATE habit SET every_minutes = every_minutes + 1".to_owned(),
        "UPDATE habit_item SET line = line || '.' WHERE line IS NOT NULL".to_owned(),
        "UPDATE habit_item SET position = -position WHERE verb = 'route'".to_owned(),
        "UPDATE spawn SET position = -position".to_owned(),
        "UPDATE spawn SET at_most = at_most + 1".to_owned(),
        "UPDATE spawn SET text = NULL WHERE position = 0".to_owned(),
    ] {
        fs::write(folder.database(), &ours).unwrap();
        let connection = Connection::open(folder.database()).unwrap();
        assert!(connection.execute(&edit, []).unwrap() > 0, "{edit}");
        drop(connection);
        let (code, stderr) = refusal(&folder, &[]);
        assert!(code == 3 && stderr.contains("not those of the last flush"), "{edit}: {code} {stderr}");
    }
}

#[test]
fn an_edit_by_hand_can_be_confirmed_by_clearing_the_digest() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let edit = "UPDATE entity SET name = 'The Muddy Quay' WHERE id = 1";
    Connection::open(folder.database()).unwrap().execute_batch(edit).unwrap();
    assert_eq!(refusal(&folder, &[]).0, 3);
    Connection::open(folder.database()).unwrap().execute_batch("UPDATE world SET digest = NULL").unwrap();
    Engine::start(&folder).stop();
    assert_eq!(crate::support::query(&folder.database(), "SELECT name FROM entity WHERE id = 1"), "The Muddy Quay");
}

#[test]
fn an_empty_file_is_an_empty_database() {
    let folder = Folder::new();
    folder.write("storage.sqlite", "");
    let log = Engine::start(&folder).stop();
    assert!(log.contains("founded a new world"), "{log}");
}

#[test]
fn a_log_without_its_database_is_not_thrown_away() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    let promised = engine.status_number("$.storage.persisted_tick");
    engine.kill();
    fs::rename(folder.database(), folder.join("moved.sqlite")).unwrap();
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("Put the two together again"), "{code}: {stderr}");
    fs::rename(folder.join("moved.sqlite"), folder.database()).unwrap();
    assert!(Engine::start(&folder).status_number("$.world.tick") >= promised);
}

#[test]
fn a_second_engine_is_refused_and_told_who_was_first() {
    let folder = Folder::new();
    let first = Engine::start(&folder);
    let (code, stderr) = refusal(&folder, &[]);
    assert_eq!(code, 3);
    assert!(stderr.contains(&format!("in use by another engine: process {} on ", first.child.id())), "{stderr}");
    // A link to the same file is the same database.
    std::os::unix::fs::symlink(folder.database(), folder.join("link.sqlite")).unwrap();
    let (code, stderr) = refusal(&folder, &[("AQEVIA_SQLITE_PATH", "link.sqlite")]);
    assert_eq!(code, 3, "{stderr}");
    assert_eq!(first.get("/ready").0, 200);
}

#[test]
fn one_file_has_one_name_and_one_lock() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let lock = folder.join("storage.sqlite.lock");

    fs::hard_link(folder.database(), folder.join("second.sqlite")).unwrap();
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("more than one name"), "{stderr}");
    fs::remove_file(folder.join("second.sqlite")).unwrap();

    symlink("nowhere/yet.sqlite", folder.join("dangling.sqlite")).unwrap();
    let (code, stderr) = refusal(&folder, &[("AQEVIA_SQLITE_PATH", "dangling.sqlite")]);
    assert!(code == 3 && stderr.contains("cannot find the folder"), "{stderr}");

    // What is no lock file is not written over.
    fs::write(&lock, "precious").unwrap();
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("holds something else"), "{stderr}");
    assert_eq!(fs::read(&lock).unwrap(), b"precious");
    fs::remove_file(&lock).unwrap();
    symlink(folder.write("victim", "precious"), &lock).unwrap();
    assert_eq!(refusal(&folder, &[]).0, 3);
    assert_eq!(fs::read(folder.join("victim")).unwrap(), b"precious");
}

#[test]
fn what_is_no_file_is_no_database() {
    let folder = Folder::new();
    assert!(std::process::Command::new("mkfifo").arg(folder.database()).status().unwrap().success());
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("it is no file"), "{stderr}");
}

#[test]
fn a_database_that_may_only_be_read_is_refused_at_once() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let mut nobody = std::process::Command::new("setpriv");
    nobody.args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_aqevia-engine")]);
    nobody.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).envs(sanitizer_options());
    nobody.env("AQEVIA_SQLITE_PATH", folder.database()).env("AQEVIA_OBSERVABILITY_ADDR", "127.0.0.1:0");
    let all = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(folder.join(""), all(0o777)).unwrap();
    fs::set_permissions(folder.join("storage.sqlite.lock"), all(0o666)).unwrap();
    let (code, stdout, stderr) = output(&mut nobody);
    if stderr.contains("setpriv:") || code == 127 || code == 126 {
        skip(&format!("this user cannot become another, or that one cannot run the engine: {stderr}"));
        return;
    }
    let stderr = refused(&stdout);
    assert!(code == 3 && stderr.contains("Permission denied"), "{code}: {stderr}");
    assert!(stderr.contains("This runs as user 65534, and ") && stderr.contains("belongs to user 0"), "{stderr}");
}

#[test]
fn a_refused_database_keeps_its_write_ahead_log_too() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    engine.kill();
    let edit = Connection::open(folder.database()).unwrap();
    edit.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE entity SET name = 'X' WHERE id = 1").unwrap();
    let read = || (fs::read(folder.database()).unwrap(), fs::read(folder.join("storage.sqlite-wal")).unwrap());
    // As a crash would leave them: closing the connection would empty the log.
    let left = read();
    drop(edit);
    fs::write(folder.database(), &left.0).unwrap();
    fs::write(folder.join("storage.sqlite-wal"), &left.1).unwrap();
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("digest"), "{stderr}");
    assert!(read() == left, "the database or its log was changed");
}

#[test]
fn no_object_hides_behind_a_name_of_sqlites_own() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let connection = Connection::open(folder.database()).unwrap();
    let trigger =
        "CREATE TRIGGER evil AFTER UPDATE ON world BEGIN DELETE FROM entity; END; PRAGMA writable_schema = ON;
                   UPDATE sqlite_schema SET name = 'sqlite_evil' WHERE name = 'evil'";
    connection.execute_batch(trigger).unwrap();
    drop(connection);
    let (code, stderr) = refusal(&folder, &[]);
    assert!(code == 3 && stderr.contains("sqlite_evil"), "{stderr}");
}

#[test]
fn a_port_in_use_is_an_error_of_its_own() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = refusal(&folder, &[("AQEVIA_OBSERVABILITY_ADDR", &address)]);
    assert_eq!(code, 4);
    assert!(stderr.contains(&format!("cannot listen on {address}: Address already in use")), "{stderr}");
    assert!(stderr.contains("AQEVIA_OBSERVABILITY_ADDR"), "{stderr}");
}

#[test]
fn all_that_a_refused_start_says_is_log_and_on_standard_output() {
    let folder = Folder::new();
    let world = folder.write("world.json5", "{}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for (code, lines, variable, value) in [
        (2, 1, "PERSIST_BATCH_CAPACITY", "many\n"),
        (2, 2, "AQEVIA_WORLD_PATH", world.to_str().unwrap()),
        (3, 1, "AQEVIA_SQLITE_PATH", "/proc/storage.sqlite"),
        (4, 1, "AQEVIA_OBSERVABILITY_ADDR", &taken.local_addr().unwrap().to_string()),
    ] {
        let (exit, stdout, stderr) =
            output(command(&folder, &[]).env(variable, value).env("AQEVIA_LOG_LEVEL", "error"));
        assert_eq!((exit, stderr.as_str()), (code, ""), "{stdout}");
        assert!(stdout.lines().count() >= lines, "{stdout}");
        for line in stdout.lines() {
            let (time, rest) = line.strip_prefix("ts=").unwrap().split_once(' ').unwrap();
            assert_eq!(time.len(), "2026-11-23T08:00:00.000Z".len());
            assert!(rest.starts_with(&format!("level=error msg=\"cannot start\" exit_code={code} ")), "{line}");
            assert!(rest.contains(" error=\""), "{line}");
            assert!(!line.contains("=\"\"") && !line.contains("=none"), "{line}");
            assert!(!line.contains("\\n") || variable.contains("CAPACITY"), "one thing a line: {line}");
        }
    }
}

#[test]
fn a_database_of_version_0_1_whose_world_is_refused_is_not_brought_up() {
    let first = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/databases/0.1.0.sqlite")).unwrap();
    for (edit, wanted, expected) in [
        ("", "another", "AQEVIA_WORLD_ID"),
        ("UPDATE entity SET name = 'x' WHERE id = 1", "", "the records are not those of the last flush"),
        ("UPDATE entity SET home = 999999; UPDATE world SET digest = NULL", "", "has a home that is no room"),
        ("CREATE INDEX mine ON entity (name)", "", "others have put the index"),
    ] {
        let folder = Folder::new();
        folder.write("storage.sqlite", &first);
        Connection::open(folder.database()).unwrap().execute_batch(edit).unwrap();
        let before = fs::read(folder.database()).unwrap();
        let (code, said) = refusal(&folder, &[("AQEVIA_WORLD_ID", wanted)]);
        assert!(code == 3 && said.contains(expected), "{edit}: {said}");
        assert_eq!(fs::read(folder.database()).unwrap(), before);
        let names = fs::read_dir(folder.join("")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_str().unwrap().contains(".schema-")), "{edit}");
    }
}

#[test]
fn the_database_wins_over_a_changed_world_file_and_another_worlds_file_is_refused() {
    let folder = Folder::new();
    let path = folder.write("world.json5", SMALL_WORLD);
    let variables = [("AQEVIA_WORLD_PATH", path.to_str().unwrap())];
    let log = Engine::start_with(&folder, &variables).stop();
    assert!(log.contains("founded a new world") && log.contains("world=small"), "{log}");
    let log = Engine::start_with(&folder, &variables).stop();
    assert!(!log.contains("level=warn"), "{log}");

    folder.write("world.json5", SMALL_WORLD.replace("Gravel.", "Mud."));
    let engine = Engine::start_with(&folder, &variables);
    assert!(engine.log().contains("level=warn msg=\"the world file has changed"), "{}", engine.log());
    assert!(!engine.log().contains("mistake="), "there is none: {}", engine.log());
    engine.stop();
    assert_eq!(crate::support::query(&folder.database(), "SELECT description FROM entity WHERE id = 1"), "Gravel.");

    folder.write("world.json5", SMALL_WORLD.replace("\"small\"", "\"other\""));
    let (code, stderr) = refusal(&folder, &variables);
    assert_eq!(code, 3);
    assert!(stderr.contains("holds the world \"small\", and the world file is of \"other\""), "{stderr}");

    // A founded world does not depend on its file.
    folder.write("world.json5", "{");
    let log = Engine::start_with(&folder, &variables).stop();
    assert!(log.contains("level=warn msg=\"the world file has changed") && log.contains("this is not JSON5"), "{log}");
}

#[test]
fn a_world_file_with_every_kind_of_mistake_names_each_place() {
    let folder = Folder::new();
    let path = folder.write(
        "world.json5",
        r#"{
  id: "Bad Id", nam: "x",
  rooms: {
    a: { name: "A", description: "", exits: { north: "b", south: "c", up: { locked: "yes" }, down: {} } },
    b: { name: "B", description: "ok", indoors: 1, exits: "none" },
    b: { name: "B again", description: "ok" },
    Quay: { name: "Q", description: "ok", exitz: {} },
  },
  things: {
    cup: { name: "a cup", description: "ok", in: "bird" },
    box: { name: "a box", description: "ok", in: "crate", fixed: true },
    crate: { name: "a crate", description: "ok", in: "box" },
    lost: { name: "lost", description: "ok" },
    copy: { prototype: "cup", in: "a", fixed: true },
    b: { name: 5, description: "ok", in: "a" },
  },
  creatures: {
    bird: {
      name: "a bird", description: "ok", in: "cup", active: "noon",
      habits: {
        wander: { every_minutes: 0, within: ["b"] },
        route: { every_minutes: 5, stops: ["a", "b"] },
        say: { every_minutes: 5, lines: [] },
        carry: { every_minutes: 5, things: ["a"] },
        eat: { every_minutes: 5, prey: ["cup"] },
        sing: { every_minutes: 5 },
      },
    },
  },
  spawns: [{ prototype: "cup", room: "nowhere", at_most: 0 }, 7],
}"#,
    );
    let (code, stderr) = refusal(&folder, &[("AQEVIA_WORLD_PATH", path.to_str().unwrap())]);
    assert_eq!(code, 2, "{stderr}");
    for expected in [
        "id: \"Bad Id\" is no tag",
        "nam: is not known; perhaps `name` is meant",
        "the file: `name` is missing",
        "rooms.a.description: is empty",
        "rooms.a.exits.south: there is no \"c\"",
        "rooms.a.exits.up.locked: must be true or false",
        "rooms.a.exits.down: leads nowhere",
        "rooms.b.indoors: must be true or false",
        "rooms.b.exits: must be an object",
        "rooms.b: is given twice",
        "rooms.Quay: \"Quay\" is no tag",
        "rooms.Quay.exitz: is not known; perhaps `exits` is meant",
        "things.copy.prototype: \"cup\" is a thing, and here a prototype (a thing without `in`) is wanted",
        "things.copy.fixed: a copy has this from its prototype",
        "things.b: a room has this tag already",
        "creatures.bird.in: \"cup\" is a thing, and here a room is wanted",
        "creatures.bird.active: must be",
        "creatures.bird.habits.wander.every_minutes: must be a whole number from 1 to 100000",
        "creatures.bird.habits.say: `lines` must list 1 to 256",
        "creatures.bird.habits.carry.things[0]: \"a\" is a room, and here a thing",
        "creatures.bird.habits.eat.prey[0]: \"cup\" is a thing, and here a prototype",
        "creatures.bird.habits.sing: is not known; known here: wander, route, say, act, carry, eat",
        "creatures.bird.habits.route: no open exit leads from \"b\" to \"a\"",
        "spawns[0].room: there is no \"nowhere\"",
        "spawns[0].at_most: must be a whole number from 1 to 10000",
        "spawns[0]: `every_minutes` is missing",
        "spawns[1]: must be an object",
    ] {
        assert!(stderr.contains(expected), "missing: {expected}\nin:\n{stderr}");
    }
    assert!(!folder.database().exists());
}

#[test]
fn a_world_file_that_is_no_json5_names_line_and_column() {
    let folder = Folder::new();
    for (text, expected) in [
        ("", "line 1, column 1: this is not JSON5"),
        ("{\n  id: \"a\",\n  name: 'x' 'y'\n}", "line 3, column 13: this is not JSON5"),
        ("[]", "the file: must be an object"),
        ("{ id: \"a\", name: \"b\" }", "rooms: a world needs at least one"),
    ] {
        let path = folder.write("world.json5", text);
        let (code, stderr) = refusal(&folder, &[("AQEVIA_WORLD_PATH", path.to_str().unwrap())]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(expected), "{text:?}: {stderr}");
    }
    let path = folder.write("world.json5", b"{\n  id: \"\xff\"\n}");
    let (code, stderr) = refusal(&folder, &[("AQEVIA_WORLD_PATH", path.to_str().unwrap())]);
    assert!(code == 2 && stderr.contains("line 2: it is not UTF-8"), "{stderr}");
}
