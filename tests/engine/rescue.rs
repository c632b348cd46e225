//! A database that is spoilt under a running engine: what can heal heals, and what a stop cannot save into the database it
//! saves beside it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;

use crate::support::{Engine, Folder, PATIENCE, SMALL_WORLD, command, json, output, query, refusal, wait_for};
use crate::trouble::{expect_unready, stop_and_check};

pub fn rescues(folder: &Folder) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_str().unwrap().contains(".rescued-")).collect();
    found.sort();
    found
}

/// A field of the last line of a log that has it, unquoted.
pub fn field(log: &str, name: &str) -> String {
    let line = log.lines().rfind(|line| line.contains(&format!(" {name}="))).unwrap_or_else(|| panic!("{name}: {log}"));
    let value = line.split(&format!(" {name}=")).nth(1).unwrap();
    let Some(quoted) = value.strip_prefix('"') else { return value.split(' ').next().unwrap().to_owned() };
    let (mut text, mut characters) = (String::new(), quoted.chars());
    while let Some(character) = characters.next().filter(|character| *character != '"') {
        text.push(if character == '\\' { characters.next().unwrap() } else { character });
    }
    text
}

/// Stops an engine that cannot save. The one file that it leaves holds the whole world as of the end; returns its tick.
fn expect_rescue(engine: Engine, folder: &Folder) -> u64 {
    let (status, log) = engine.end("TERM");
    assert_eq!(status.code(), Some(1), "{log}");
    let end = log.lines().rfind(|line| line.contains("stopped without saving")).unwrap();
    let tick: u64 = field(end, "tick").parse().unwrap();
    let [rescue] = &rescues(folder)[..] else { panic!("{:?}", rescues(folder)) };
    assert_eq!(*rescue, folder.join(&format!("storage.sqlite.rescued-{tick}")));
    let (code, stdout, stderr) = output(&mut command(folder, &["check", rescue.to_str().unwrap()]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(&format!("tick {tick},")), "{stdout}");
    tick
}

/// Runs the command that the log tells, as printed, and sees the world go on from there.
fn put_in_place(folder: &Folder, log: &str, tick: u64) {
    let command = field(log, "put_in_place");
    assert!(Command::new("sh").args(["-ec", &command]).status().unwrap().success(), "{command}");
    let engine = Engine::start(folder);
    assert!(engine.log().contains(&format!(" tick={tick} ")), "{}", engine.log());
    assert!(!engine.log().contains("rescued"), "{}", engine.log());
    assert_eq!(engine.status("$.storage.rescued"), "");
    stop_and_check(engine, folder);
}

/// Removes a database and what belongs to it, and puts another file in its place.
fn put(folder: &Folder, file: PathBuf) {
    let copy = fs::read(file).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(&format!("storage.sqlite{suffix}")));
    }
    folder.write("storage.sqlite", copy);
}

#[test]
fn a_log_that_is_deleted_while_somebody_reads_costs_nothing() {
    for suffixes in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        engine.wait_for_tick(20);
        let persisted = || engine.status("$.storage.persisted_tick").parse::<u64>().unwrap_or(0);
        // Theirs too must outlive it: others' tables lie in the same file.
        let reader = Connection::open(folder.database()).unwrap();
        reader.busy_timeout(PATIENCE).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM entity").unwrap();
        let before = persisted();
        wait_for("a log that the reader holds", || (persisted() > before + 5).then_some(()));
        for suffix in suffixes {
            fs::remove_file(folder.join(&format!("storage.sqlite{suffix}"))).unwrap();
        }
        let tick = engine.status_number("$.world.tick");
        wait_for("flushes to go on", || (persisted() > tick + 5).then_some(()));
        assert!(!engine.log().contains("flush failed"), "{}", engine.log());
        // Who closes last at the old file would take the new log for theirs and remove it.
        reader.execute_batch("ROLLBACK").unwrap();
        let promised = persisted();
        engine.kill();
        drop(reader);
        let (code, stdout, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
        assert_eq!(code, 0, "{stdout}{stderr}");
        let engine = Engine::start(&folder);
        assert!(engine.status_number("$.world.tick") >= promised, "{suffixes:?}");
        stop_and_check(engine, &folder);
    }
}

#[test]
fn what_a_stop_has_rescued_is_told_of_at_each_start_until_it_is_put_in_place() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    let old = folder.join("old.sqlite");
    assert_eq!(output(&mut command(&folder, &["backup", old.to_str().unwrap()])).0, 0);
    let tick = engine.status_number("$.world.tick");
    // Further than those that go on from the backup get.
    engine.wait_for_tick(tick + 200);
    fs::remove_file(folder.database()).unwrap();
    let tick = expect_rescue(engine, &folder);
    put(&folder, old);
    let mut log = String::new();
    for _ in 0..2 {
        let engine = Engine::start(&folder);
        log = engine.log();
        assert!(log.contains("rescued and never put in place"), "{log}");
        assert_eq!(field(&log, "rescued_tick"), tick.to_string());
        let status = engine.get("/status").1;
        assert_eq!(json(&status, "$.storage.rescued.tick"), tick.to_string());
        assert_eq!(json(&status, "$.storage.rescued.command"), field(&log, "put_in_place"));
        engine.stop();
        assert_eq!(rescues(&folder).len(), 1);
    }
    put_in_place(&folder, &log, tick);
    assert!(rescues(&folder).is_empty());
    assert!(folder.join(&format!("storage.sqlite.replaced-{tick}")).exists());
}

#[test]
fn an_emptied_database_is_made_anew_from_memory() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    let emptied = fs::metadata(folder.database()).unwrap().ino();
    fs::File::create(folder.database()).unwrap();
    wait_for("a whole database", || (fs::metadata(folder.database()).unwrap().ino() != emptied).then_some(()));
    let tick = engine.status_number("$.world.tick");
    wait_for("flushes to go on", || {
        let persisted = engine.status("$.storage.persisted_tick").parse::<u64>();
        persisted.is_ok_and(|persisted| persisted > tick).then_some(())
    });
    assert_eq!(engine.get("/ready").0, 200);
    assert!(rescues(&folder).is_empty());
    let promised = engine.status_number("$.storage.persisted_tick");
    engine.kill();
    let engine = Engine::start(&folder);
    assert!(engine.status_number("$.world.tick") >= promised);
    assert_eq!(engine.status("$.world.id"), "saltmarsh");
    stop_and_check(engine, &folder);
}

#[test]
fn another_database_in_its_place_is_not_written_to_and_the_world_is_rescued() {
    let (folder, other) = (Folder::new(), Folder::new());
    Engine::start(&other).stop();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(50);
    let stranger = fs::read(other.database()).unwrap();
    fs::write(folder.join("stranger"), &stranger).unwrap();
    fs::rename(folder.join("stranger"), folder.database()).unwrap();
    // Opening it would mix it with the write-ahead log of the file it has replaced.
    let failures = || engine.metric("aqevia_flushes_total{trigger=\"interval\",outcome=\"failure\"}");
    wait_for("several attempts", || (failures() >= 3.0).then_some(()));
    assert!(expect_unready(&engine).contains("another file has taken its place"));
    assert_eq!(engine.status("$.storage.persisted_tick"), "");
    let tick = expect_rescue(engine, &folder);
    // Nor is it mixed with what we had in our log.
    let (code, stdout, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
    assert_eq!((code, fs::read(folder.database()).unwrap()), (0, stranger), "{stdout}{stderr}");

    // An earlier one makes way for a later one, and a later one for none.
    let rescued = |tick| folder.join(&format!("storage.sqlite.rescued-{tick}"));
    let start_and_overwrite = || {
        let engine = Engine::start(&folder);
        let began = engine.status_number("$.world.tick");
        engine.wait_for_tick(began + 20);
        // In one write: who empties it first may be met in between.
        let file = fs::File::options().write(true).open(folder.database()).unwrap();
        file.write_all_at(&b"not a database any more".repeat(1_000), 0).unwrap();
        engine
    };
    put(&folder, rescued(tick));
    let engine = start_and_overwrite();
    assert!(expect_unready(&engine).contains("it has been overwritten"));
    let later = expect_rescue(engine, &folder);
    assert!(later > tick);
    // Who went back to an older state loses neither that nor the later one.
    let content = fs::read(rescued(later)).unwrap();
    put(&folder, other.database());
    let engine = start_and_overwrite();
    let (log, process) = (engine.log(), engine.child.id());
    let (status, end) = engine.end("TERM");
    assert_eq!(status.code(), Some(1), "{process} {end}");
    let branch: u64 =
        field(end.lines().rfind(|line| line.contains("stopped without saving")).unwrap(), "tick").parse().unwrap();
    assert!(branch < later);
    assert_eq!(BTreeSet::from_iter(rescues(&folder)), BTreeSet::from([rescued(branch), rescued(later)]));
    assert_eq!(fs::read(rescued(later)).unwrap(), content);
    fs::remove_file(rescued(branch)).unwrap();
    put_in_place(&folder, &log, later);
}

#[test]
fn what_puts_a_rescue_in_place_works_from_anywhere_and_keeps_what_was_there_with_its_log() {
    let folder = Folder::new();
    // A path of two words, and none that is absolute.
    fs::create_dir(folder.join("two words")).unwrap();
    let start = || {
        let mut command = command(&folder, &[]);
        command.env("AQEVIA_SQLITE_PATH", "two words/it's.sqlite").env("AQEVIA_TICK_INTERVAL_MS", "10");
        Engine::spawn(&mut command)
    };
    let (database, away) = (folder.join("two words/it's.sqlite"), folder.join("away"));
    let engine = start();
    engine.wait_for_tick(20);
    fs::rename(&database, &away).unwrap();
    wait_for("it to be missed", || (engine.get("/ready").0 == 503).then_some(()));
    let log = engine.end("TERM").1;
    let tick = field(&log, "rescued").rsplit('-').next().unwrap().to_owned();
    // It was put back meanwhile, and what counts in it stands in its log.
    fs::rename(&away, &database).unwrap();
    let stored = query(&database, "SELECT tick FROM world");
    let other = Folder::new();
    let elsewhere = other.write("it's.sqlite", "mine");
    let run =
        || Command::new("sh").args(["-c", &field(&log, "put_in_place")]).current_dir(other.join(".")).status().unwrap();
    assert!(run().success());
    assert_eq!(query(&database, "SELECT tick FROM world"), tick);
    let replaced = folder.join(&format!("two words/it's.sqlite.replaced-{tick}"));
    assert_eq!(query(&replaced, "SELECT tick FROM world"), stored);
    // A second time there is nothing to be put, and so nothing is put aside.
    assert!(!run().success());
    assert_eq!(query(&database, "SELECT tick FROM world"), tick);
    assert_eq!(fs::read(elsewhere).unwrap(), b"mine");
    let engine = start();
    assert!(engine.log().contains(&format!(" tick={tick} ")), "{}", engine.log());
    engine.stop();
}

#[test]
fn a_log_that_is_emptied_or_replaced_in_place_is_noticed_and_the_world_is_rescued() {
    for older_copy in [false, true] {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        let log = folder.join("storage.sqlite-wal");
        engine.wait_for_tick(20);
        let copy = fs::read(&log).unwrap();
        engine.wait_for_tick(100);
        if older_copy {
            fs::write(&log, copy).unwrap();
        } else {
            fs::File::create(&log).unwrap();
        }
        let reason = expect_unready(&engine);
        assert!(reason.contains("written over it or its -wal"), "{reason}");
        assert_eq!(engine.status("$.storage.persisted_tick"), "");
        expect_rescue(engine, &folder);
    }
}

#[test]
fn a_log_that_another_program_empties_by_a_checkpoint_is_none_of_that() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    for _ in 0..10 {
        let before = engine.status_number("$.storage.persisted_tick");
        let other = Connection::open(folder.database()).unwrap();
        other.busy_timeout(PATIENCE).unwrap();
        other.execute_batch("CREATE TABLE IF NOT EXISTS theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(other);
        wait_for("flushes to go on", || {
            let persisted = engine.status("$.storage.persisted_tick").parse::<u64>();
            persisted.is_ok_and(|persisted| persisted > before + 5).then_some(())
        });
    }
    assert!(!engine.log().contains("disturbed"), "{}", engine.log());
    stop_and_check(engine, &folder);
}

#[test]
fn what_a_stop_does_not_find_in_the_database_is_rescued() {
    // Another world of this engine written over it, and a row that somebody has changed.
    let other = Folder::new();
    let world = other.write("world.json5", SMALL_WORLD);
    Engine::start_with(&other, &[("AQEVIA_WORLD_PATH", world.to_str().unwrap())]).stop();
    let spoil: [&dyn Fn(&Folder); 2] =
        [&|folder| fs::write(folder.database(), fs::read(other.database()).unwrap()).unwrap(), &|folder| {
            let neighbour = Connection::open(folder.database()).unwrap();
            neighbour.busy_timeout(PATIENCE).unwrap();
            neighbour.execute_batch("UPDATE entity SET description = 'Changed.' WHERE id = 3").unwrap();
        }];
    for spoil in spoil {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        engine.wait_for_tick(50);
        spoil(&folder);
        expect_rescue(engine, &folder);
    }
}

#[test]
fn a_reader_that_stays_is_told_of_and_the_log_shrinks_when_it_ends() {
    let folder = Folder::new();
    let hens: String = (0..2_000)
        .map(|n| {
            format!(
                "h{n}: {{ name: \"h\", description: \"-\", in: \"a\", habits: {{ wander: {{ every_minutes: 1 }} }} }},"
            )
        })
        .collect();
    let rooms = r#"a: { name: "A", description: "-", exits: { n: "b" } }, b: { name: "B", description: "-", exits: { s: "a" } }"#;
    let world = folder
        .write("hens.json5", format!("{{ id: \"hens\", name: \"H\", rooms: {{ {rooms} }}, creatures: {{ {hens} }} }}"));
    let engine = Engine::start_with(&folder, &[("AQEVIA_WORLD_PATH", world.to_str().unwrap())]);
    let reader = Connection::open(folder.database()).unwrap();
    reader.busy_timeout(PATIENCE).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entity").unwrap();
    wait_for("a warning", || engine.log().contains("keeps its write-ahead log from being emptied").then_some(()));
    assert!(field(&engine.log(), "wal_bytes").parse::<u64>().unwrap() >= 4 * 1024 * 1024);
    assert!(!engine.status("$.storage.wal_held_up_seconds").is_empty());
    assert!(engine.metric("aqevia_checkpoints_held_up_total") >= 1.0);
    assert_eq!(engine.get("/ready").0, 200);
    reader.execute_batch("ROLLBACK").unwrap();
    wait_for("the log to shrink", || {
        let status = engine.get("/status").1;
        let small = json(&status, "$.storage.wal_bytes").parse::<u64>().unwrap() <= 4 * 1024 * 1024;
        (small && json(&status, "$.storage.wal_held_up_seconds").is_empty()).then_some(())
    });
    stop_and_check(engine, &folder);
}

#[test]
fn a_start_waits_its_time_for_whoever_reads_a_database_just_put_in_place() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    // As `.dump` or VACUUM INTO would leave it: not yet in write-ahead mode, which needs it alone for a moment.
    query(&folder.database(), "PRAGMA journal_mode = DELETE");
    let reader = Connection::open(folder.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entity").unwrap();
    let mut command = command(&folder, &[]);
    let started = std::thread::scope(|scope| {
        let starting = scope.spawn(|| Engine::spawn(&mut command));
        std::thread::sleep(std::time::Duration::from_millis(300));
        reader.execute_batch("ROLLBACK").unwrap();
        starting.join().unwrap()
    });
    stop_and_check(started, &folder);
}

#[test]
fn a_world_founded_where_there_may_have_been_one_is_warned_of() {
    let folder = Folder::new();
    let first = Engine::start(&folder);
    assert!(first.log().contains("level=info msg=\"founded a new world\""), "{}", first.log());
    first.stop();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(&format!("storage.sqlite{suffix}")));
    }
    let engine = Engine::start(&folder);
    let log = engine.log();
    assert!(log.contains("level=warn msg=\"founded a new world where there may have been one"), "{log}");
    assert!(field(&log, "traces").contains("an engine before: process"), "{log}");
    engine.stop();
    fs::File::create(folder.database()).unwrap();
    let engine = Engine::start(&folder);
    assert!(field(&engine.log(), "traces").contains("with 0 bytes"), "{}", engine.log());
    engine.stop();
}

#[test]
fn only_the_world_that_is_named_is_run_or_founded() {
    let folder = Folder::new();
    let run = |id: &str| refusal(&folder, &[("AQEVIA_WORLD_ID", id)]);
    let (code, said) = run("elsewhere");
    assert_eq!(code, 3, "{said}");
    let expected = "\"the built-in world\" cannot be used: it holds the world \"saltmarsh\", \
                    and AQEVIA_WORLD_ID is \"elsewhere\"\n";
    assert!(said.starts_with(expected) && said.contains("AQEVIA_WORLD_ID to go on"), "{said}");
    assert!(!folder.database().exists(), "nothing is founded");
    Engine::start_with(&folder, &[("AQEVIA_WORLD_ID", "saltmarsh")]).stop();
    let before = fs::read(folder.database()).unwrap();
    assert_eq!(run("elsewhere").0, 3);
    assert_eq!(fs::read(folder.database()).unwrap(), before);
    assert_eq!(run("Not a tag").0, 2);
    Engine::start_with(&folder, &[("AQEVIA_WORLD_ID", "saltmarsh")]).stop();
}

#[test]
fn a_lock_of_zeros_is_taken_and_one_of_something_else_is_left_alone() {
    let folder = Folder::new();
    folder.write("storage.sqlite.lock", [0; 64]);
    Engine::start(&folder).stop();
    folder.write("storage.sqlite.lock", "a letter");
    let (code, stdout, stderr) = output(&mut command(&folder, &[]));
    assert_eq!(code, 3, "{stdout}{stderr}");
    assert_eq!(fs::read(folder.join("storage.sqlite.lock")).unwrap(), b"a letter");
}
