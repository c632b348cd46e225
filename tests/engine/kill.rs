//! kill -9, again and again: at random moments, and in the middle of chosen calls of a flush, a checkpoint and a stop.
//! What /status has called persisted comes back, whole: the very world that lived as long without any interruption.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::clock;
use aqevia_engine::storage::{self, Storage};
use aqevia_engine::world::random::Random;
use aqevia_engine::world::{World, unheard};

use crate::preload::Preload;
use crate::support::{Engine, Folder, PATIENCE, command, json, output, query, seed, send_signal, wait_for, wal_frames};
use crate::worlds;

const WAL: &str = "storage.sqlite-wal";

/// Calls in which a kill can be aimed to fall, and how many of the kind may pass before it.
const AIMS: [(&str, &str, u64); 7] = [
    // In a flush: halfway through a write, or with everything written and nothing synced.
    ("write", WAL, 500),
    ("sync", WAL, 10),
    // In a checkpoint, which alone touches the database itself.
    ("write", "storage.sqlite", 200),
    ("truncate", "storage.sqlite", 3),
    ("sync", "storage.sqlite", 3),
    // In a stop, after the final flush.
    ("truncate", WAL, 1),
    ("unlink", WAL, 1),
];

/// Flush interval and batch capacity: a flush after each tick, or one of several ticks.
const PACES: [(&str, &str); 3] = [("1000", "10"), ("20", "1000000"), ("50", "1000000")];

#[test]
fn killed_at_any_moment_it_comes_back_at_persisted_tick_or_later_and_whole() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(50, |rounds| rounds.parse().unwrap());
    let seed = seed();
    let mut random = Random(seed);
    let preload = Preload::new();
    let folder = Folder::new();
    let text = worlds::restless(200, 2_000);
    let (mut undisturbed, world) = (worlds::world(&text, seed), worlds::world(&text, seed));
    let (mut storage, _) = Storage::open(&folder.database(), clock::wall()).unwrap();
    storage.found(&world, "test", clock::wall()).unwrap();
    drop(storage);

    let mut cut_short = 0;
    for round in 0..rounds {
        let (interval, capacity) = PACES[random.below(PACES.len() as u64) as usize];
        let mut start = command(&folder, &[]);
        start.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", interval);
        start.env("PERSIST_BATCH_CAPACITY", capacity);
        let moment = Duration::from_micros(random.below(200_000));
        let pause = Duration::from_micros(random.below(20_000));
        let (call, file, calls_max) = AIMS[round / 2 % AIMS.len()];
        let order = format!("{call} {file} {}", 1 + random.below(calls_max));
        let aimed = preload.as_ref().filter(|_| round % 2 == 1);
        let manner = if aimed.is_some() { &order } else { "at random" };
        let context = format!("TEST_SEED={seed}, round {round}, pace {interval}/{capacity}, {manner}");

        aimed.into_iter().for_each(|preload| _ = preload.load_into(&mut start));
        let engine = Engine::spawn(&mut start);
        // Not before: a start writes the log again that the last kill has left.
        aimed.into_iter().for_each(|preload| preload.order("kill", &order));
        let (log, tick) = (engine.log(), undisturbed.now().0);
        assert!(log.contains(&format!(" tick={tick} ")), "{context}: {tick} was left; {log}");
        // A stop is begun from outside; flushes and checkpoints come by themselves.
        let stop_after = (calls_max == 1).then_some(moment);
        let promised =
            if aimed.is_some() { await_death(engine, stop_after, &context) } else { kill_after(moment, pause, engine) };
        aimed.into_iter().for_each(|preload| preload.withdraw("kill"));
        let wal = fs::read(folder.join(WAL)).unwrap_or_default();
        cut_short += u32::from(wal_frames(&wal).last().is_some_and(|(_, commits)| !commits));
        let tick = examine_copy(&folder, &mut undisturbed, round % 10 == 0, &context);
        assert!(tick >= promised, "{context}: tick {tick} is left, and {promised} was promised");
    }
    // Every fourteenth round aims at a write of a flush, and next to none meets the very first.
    assert!(preload.is_none() || cut_short >= rounds as u32 / 20, "of {rounds} kills {cut_short} cut a flush short");
    Engine::start(&folder).stop();
}

#[test]
fn a_founding_that_a_kill_cuts_short_leaves_nothing_that_counts() {
    let Some(preload) = Preload::new() else { return };
    // An engine that has founded its world is stopped at once.
    let found = |folder: &Folder, prepare: &dyn Fn(&mut Command)| {
        let mut command = command(folder, &[]);
        prepare(&mut command);
        let mut child = command.stdout(fs::File::create(folder.join("log")).unwrap()).spawn().unwrap();
        let (process, mut is_stopped) = (child.id().to_string(), false);
        wait_for("an end", || {
            if !is_stopped && fs::read_to_string(folder.join("log")).unwrap().contains("msg=running") {
                send_signal(&process, "TERM");
                is_stopped = true;
            }
            child.try_wait().unwrap()
        })
        .code()
        .unwrap_or(-1)
    };
    for (call, calls_min) in [("write", 5), ("sync", 1)] {
        let mut calls = 0;
        let folder = loop {
            calls += 1;
            let folder = Folder::new();
            preload.order("kill", &format!("{call} storage.sqlite.partial-* {calls}"));
            let code = found(&folder, &|command| _ = preload.load_into(command));
            if code == 0 {
                break folder;
            }
            assert_eq!(code, -1, "{call} {calls}");
            assert!(!folder.database().exists(), "{call} {calls}");
            assert_eq!(found(&folder, &|_| ()), 0, "{call} {calls}");
            storage::examine(&folder.database()).unwrap();
        };
        assert!(calls > calls_min, "{call} {calls}");
        storage::examine(&folder.database()).unwrap();
    }
}

#[test]
fn a_database_of_version_0_1_is_brought_up_with_a_copy_beside_it_whenever_a_kill_falls_into_that() {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/databases/0.1.0.sqlite");
    let begun = storage::examine(&first).unwrap().0;
    let copy_in = |folder: &Folder| folder.join(&format!("storage.sqlite.schema-1-{}", begun.now().0));
    // What is left is the one or the other, and never the other without a copy of the one.
    let expect_either = |folder: &Folder, context: &str| {
        let copy = copy_in(folder);
        if copy.exists() {
            assert_eq!(storage::examine(&copy).unwrap().0.digest(), begun.digest(), "{context}");
            assert_eq!(query(&copy, "PRAGMA user_version"), "1", "{context}");
        }
        let version = query(&folder.database(), "PRAGMA user_version");
        let left = storage::examine(&folder.database()).unwrap_or_else(|error| panic!("{context}: {error}")).0;
        assert!(version == "1" && left.digest() == begun.digest() || copy.exists(), "{context}");
        version
    };
    let folder = Folder::new();
    fs::copy(&first, folder.database()).unwrap();
    let log = Engine::start(&folder).stop();
    let told = log.lines().find(|line| line.contains("brought the database of an earlier engine up")).unwrap();
    let copy = copy_in(&folder);
    assert!(told.contains(&format!(" from=1 to=3 copy={}", copy.display())), "{told}");
    assert!(log.contains(&format!(" tick={} ", begun.now().0)), "{log}");
    assert_eq!(expect_either(&folder, "without a kill"), "3");
    // Once is enough.
    assert!(!Engine::start(&folder).stop().contains("brought the database"));

    let Some(preload) = Preload::new() else { return };
    for (call, file, calls_min) in [
        ("write", "storage.sqlite.schema-*", 20),
        ("sync", "storage.sqlite.schema-*", 1),
        ("write", "storage.sqlite-wal", 4),
        ("sync", "storage.sqlite-wal", 2),
    ] {
        let mut calls = 0;
        loop {
            calls += 1;
            let (folder, context) = (Folder::new(), format!("{call} {file} {calls}"));
            fs::copy(&first, folder.database()).unwrap();
            preload.order("kill", &context);
            let mut command = command(&folder, &[]);
            // Nothing is flushed of itself: only what brings the database up is met.
            command.env("PERSIST_FLUSH_INTERVAL_MS", "3600000").env("PERSIST_BATCH_CAPACITY", "1000000");
            let mut child =
                preload.load_into(&mut command).stdout(fs::File::create(folder.join("log")).unwrap()).spawn().unwrap();
            let runs = || fs::read_to_string(folder.join("log")).unwrap().contains("msg=running");
            let ended = wait_for("an end or a world", || {
                child.try_wait().unwrap().map(Some).or_else(|| runs().then_some(None))
            });
            let _ = child.kill().and_then(|()| child.wait());
            // Whoever holds the lock ends by its pipe.
            wait_for("the end of the writer", || Storage::open(&folder.database(), clock::wall()).ok());
            let version = expect_either(&folder, &context);
            if ended.is_none() {
                assert_eq!(version, "3");
                break;
            }
            Engine::start(&folder).stop();
            assert_eq!(expect_either(&folder, &context), "3");
        }
        assert!(calls > calls_min, "{call} {file} {calls}");
    }
}

/// Asks an engine for a while and kills it a pause after the last time; returns what was promised then.
fn kill_after(moment: Duration, pause: Duration, engine: Engine) -> u64 {
    let begun = Instant::now();
    loop {
        let promised = engine.status_number("$.storage.persisted_tick");
        if begun.elapsed() >= moment {
            thread::sleep(pause);
            engine.kill();
            return promised;
        }
    }
}

/// Asks an engine until it dies by itself, in the call that it was ordered to die in.
fn await_death(mut engine: Engine, stop_after: Option<Duration>, context: &str) -> u64 {
    let begun = Instant::now();
    let (mut promised, mut stopping) = (0, false);
    while let Some((_, status)) = engine.try_get("/status") {
        promised = json(&status, "$.storage.persisted_tick").parse().unwrap();
        if !stopping && stop_after.is_some_and(|moment| begun.elapsed() >= moment) {
            engine.signal("TERM");
            stopping = true;
        }
        assert!(begun.elapsed() < PATIENCE, "{context}: the call did not come");
    }
    assert_eq!(engine.child.wait().unwrap().signal(), Some(9), "{context}: {}", engine.log());
    engine.wait_for_writer();
    promised
}

/// Makes sure that what a kill has left is the world that lives undisturbed, at the tick that it returns. A copy is
/// examined, so that the next start finds everything as the kill left it.
fn examine_copy(folder: &Folder, undisturbed: &mut World, by_command: bool, context: &str) -> u64 {
    let copy = Folder::new();
    fs::copy(folder.database(), copy.database()).unwrap();
    if folder.join(WAL).exists() {
        fs::copy(folder.join(WAL), copy.join(WAL)).unwrap();
    }
    let (left, _) = storage::examine(&copy.database()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let digest = format!("{:016x}", left.digest());
    if by_command {
        let (code, stdout, stderr) = output(&mut command(&copy, &["check", "storage.sqlite"]));
        assert!(code == 0 && stdout.contains(&format!("; digest {digest}\n")), "{context}: {stdout}{stderr}");
    }
    assert_eq!(query(&copy.database(), "SELECT digest FROM world"), digest, "{context}");
    while undisturbed.now() < left.now() {
        undisturbed.tick(&mut unheard);
    }
    assert_eq!((undisturbed.now(), undisturbed.digest()), (left.now(), left.digest()), "{context}");
    undisturbed.cut(|_| ());
    undisturbed.acknowledged();
    left.now().0
}
