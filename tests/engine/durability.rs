//! What was flushed is never lost, however the engine ends.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use aqevia_engine::clock;
use aqevia_engine::storage::Storage;
use aqevia_engine::storage::schema::Found;
use aqevia_engine::storage::worldfile::{self, BUILTIN};
use aqevia_engine::world::random::Random;

use crate::support::{Engine, Folder, command, output, query, skip, told, wait_for};
use crate::worlds;

#[test]
fn a_stopped_world_goes_on_where_it_stood() {
    let folder = Folder::new();
    let mut reached = 0;
    for signal in ["TERM", "INT", "HUP"] {
        let engine = Engine::start(&folder);
        let tick = engine.status_number("$.world.tick");
        assert!(tick >= reached, "{tick} after {reached}");
        engine.wait_for_tick(tick + 20);
        reached = engine.status_number("$.world.tick");
        let (status, log) = engine.end(signal);
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains(&format!("msg=stopping signal=SIG{signal}")) && log.contains("msg=stopped"), "{log}");
        // Everything is in the one file: the write-ahead log has been emptied and removed.
        assert!(!folder.join("storage.sqlite-wal").exists());
    }
    assert!(query(&folder.database(), "SELECT tick FROM world").parse::<u64>().unwrap() >= reached);
}

#[test]
fn every_database_that_an_engine_has_made_goes_on() {
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/databases");
    let mut tried = 0;
    for entry in fs::read_dir(kept).unwrap().map(|entry| entry.unwrap()) {
        let folder = Folder::new();
        fs::copy(entry.path(), folder.database()).unwrap();
        let (code, stdout, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
        assert_eq!(code, 0, "{entry:?}: {stderr}");
        let digest = query(&folder.database(), "SELECT digest FROM world");
        assert!(stdout.contains(&format!("digest {digest}")), "{entry:?}: {stdout}");
        let tick: u64 = query(&folder.database(), "SELECT tick FROM world").parse().unwrap();
        let engine = Engine::start(&folder);
        assert!(engine.log().contains(&format!(" tick={tick} ")), "{}", engine.log());
        engine.wait_for_tick(tick + 20);
        engine.stop();
        tried += 1;
    }
    assert!(tried >= 1);
}

#[test]
fn a_database_or_backup_is_synced_before_it_gets_its_name_and_its_folder_after() {
    let folder = Folder::new();
    let trace = folder.join("trace");
    let calls = "trace=write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat";
    let traced = |arguments: &[&str]| {
        let engine = command(&folder, arguments);
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-y", "-o"]).arg(&trace).args(["-e", calls]).arg(engine.get_program()).args(arguments);
        strace.envs(engine.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(folder.join("."));
        strace
    };
    if !traced(&["--version"]).output().is_ok_and(|output| output.status.success()) {
        skip("strace is not installed or may not trace, so the order of syncs is not looked at");
        return;
    }
    let assert_order = |temporary: &str, name: &str| {
        let trace = fs::read_to_string(&trace).unwrap();
        // Of the process that gives the name: the others write to the log at any time.
        let naming = trace.lines().find(|line| line.contains(&format!("{name}\"")) && line.contains(temporary));
        let process = naming.unwrap_or_else(|| panic!("{trace}")).split(' ').next().unwrap();
        let lines: Vec<&str> = trace.lines().filter(|line| line.starts_with(process)).collect();
        let named = lines.iter().position(|line| line.contains(&format!("{name}\"")) && line.contains(temporary));
        let named = named.unwrap_or_else(|| panic!("{trace}"));
        let last = lines[..named].iter().rfind(|line| line.contains(temporary));
        assert!(last.is_some_and(|line| line.contains("sync(")), "{trace}");
        // At once: what SQLite syncs later does not count.
        let its_folder = format!("{}>", folder.join("").display()).replace("/>", ">");
        assert!(lines[named + 1].contains("sync(") && lines[named + 1].contains(&its_folder), "{trace}");
    };
    Engine::spawn(&mut traced(&[])).stop();
    assert_order("storage.sqlite.partial-", "storage.sqlite");
    let (code, ..) = output(&mut traced(&["backup", "copy.sqlite"]));
    assert_eq!(code, 0);
    assert_order("copy.sqlite.partial-", "copy.sqlite");
}

#[test]
fn a_graceful_stop_saves_what_no_timer_would_have() {
    let folder = Folder::new();
    let never = [("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "1000000")];
    let engine = Engine::start_with(&folder, &never);
    engine.wait_for_tick(100);
    assert_eq!(engine.status_number("$.storage.persisted_tick"), 0);
    assert!(engine.status_number("$.storage.pending_records") > 1);
    engine.stop();
    assert!(query(&folder.database(), "SELECT tick FROM world").parse::<u64>().unwrap() >= 100);
}

#[test]
fn a_second_stop_signal_does_not_spoil_the_first() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.signal("STOP");
    ["TERM", "INT", "TERM"].iter().for_each(|signal| engine.signal(signal));
    let (status, log) = engine.end("CONT");
    assert_eq!((status.code(), status.signal()), (Some(0), None), "{log}");
}

#[test]
fn an_interruption_leaves_no_trace_in_the_life_of_the_world() {
    let folder = Folder::new();
    let mut random = Random(7);
    let mut undisturbed = worldfile::read(BUILTIN, 42).unwrap();
    let mut world = worldfile::read(BUILTIN, 42).unwrap();
    let (mut storage, found) = Storage::open(&folder.database(), clock::wall()).unwrap();
    assert_eq!(found, Found::Empty);
    storage.found(&world, "test", clock::wall()).unwrap();
    storage.attach(&world.head()).unwrap();
    for _ in 0..40 {
        for _ in 0..random.below(1_500) {
            assert_eq!(told(|hear| undisturbed.tick(hear)), told(|hear| world.tick(hear)));
            if random.below(50) == 0 {
                worlds::flush(&mut storage, &mut world).unwrap();
            }
        }
        worlds::flush(&mut storage, &mut world).unwrap();
        let before = world.digest();
        drop(storage);
        // Another test that starts a program right now holds the lock too, until that program runs.
        let open = || Storage::open(&folder.database(), clock::wall()).ok();
        let (reopened, found) = wait_for("the lock", open);
        assert_eq!(found, Found::Ours);
        storage = reopened;
        world = worlds::load(&mut storage).unwrap();
        storage.attach(&world.head()).unwrap();
        assert_eq!((world.digest(), undisturbed.digest()), (before, before));
        assert_eq!((world.pending(), world.violations()), (0, Vec::new()));
    }
}

#[test]
fn pending_records_coalesce_and_a_full_batch_is_flushed_at_once() {
    let folder = Folder::new();
    let variables = [("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "5")];
    let engine = Engine::start_with(&folder, &variables);
    wait_for("a flush by capacity", || {
        (engine.metric("aqevia_flushes_total{trigger=\"capacity\",outcome=\"success\"}") >= 3.0).then_some(())
    });
    assert!(engine.status_number("$.storage.pending_records") < 5);
    assert_eq!(engine.metric("aqevia_flushes_total{trigger=\"interval\",outcome=\"success\"}"), 0.0);
}
