//! A running engine in trouble with others: who holds, moves or overwrites its database, and who does not read its log.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use rusqlite::Connection;

use crate::support::{Engine, Folder, PATIENCE, by_way_of, command, output, query, send_signal, wait_for};

/// Waits until flushes fail, checks all that must show it, and returns the reason.
pub fn expect_unready(engine: &Engine) -> String {
    let reason = wait_for("the engine to be unready", || {
        let (code, body) = engine.get("/ready");
        (code == 503).then(|| crate::support::json(&body, "$.reason"))
    });
    assert_eq!(engine.get("/health").0, 200);
    assert_eq!(engine.status("$.ready"), "0");
    assert_eq!(engine.status("$.storage.last_error"), reason);
    assert_eq!(engine.status("$.unready.reason"), reason);
    let since = engine.status("$.unready.since");
    assert_eq!(engine.metric("aqevia_ready"), 0.0);
    // Its life goes on, long enough for creatures to move, and everything stays pending.
    let (tick, persisted) = (engine.status_number("$.world.tick"), engine.status("$.storage.persisted_tick"));
    engine.wait_for_tick(tick + 100);
    assert_eq!(engine.status("$.storage.persisted_tick"), persisted);
    assert!(engine.status_number("$.storage.pending_records") > 1);
    // However often it is tried again, it has been so since the first failure.
    wait_for("a second of that", || (engine.status_number("$.unready.seconds") >= 1).then_some(()));
    assert_eq!(engine.status("$.unready.since"), since);
    // A reason is logged when it is new, not again with every attempt.
    let log = engine.log();
    let log = log.split("flushes succeed again").last().unwrap();
    let reasons = log.lines().filter_map(|line| line.split("flush failed").nth(1)?.split(" pending_records").next());
    let reasons: Vec<&str> = reasons.collect();
    assert!(!reasons.is_empty() && reasons.windows(2).all(|pair| pair[0] != pair[1]), "{reasons:?}");
    reason
}

pub fn expect_recovery(engine: &Engine) {
    let tick = engine.status_number("$.world.tick");
    wait_for("the engine to be ready again", || (engine.get("/ready").0 == 200).then_some(()));
    assert_eq!(engine.status("$.unready"), "");
    wait_for("what was pending to be flushed", || {
        (engine.status_number("$.storage.persisted_tick") >= tick).then_some(())
    });
    wait_for("that to be logged", || engine.log().contains("flushes succeed again").then_some(()));
}

/// Stops the engine and makes sure that every change of the time of trouble is in the database: the digest would show
/// a single one that is not.
pub fn stop_and_check(engine: Engine, folder: &Folder) {
    engine.stop();
    let (code, _, stderr) = output(&mut command(folder, &["check", "storage.sqlite"]));
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn while_somebody_else_holds_the_database_everything_stays_pending() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    let other = Connection::open(folder.database()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reason = expect_unready(&engine);
    assert!(reason.contains("database is locked"), "{reason}");
    assert!(engine.status_number("$.storage.flush_failures") > 0);
    // No attempt waits for the lock: the world would stand still meanwhile.
    let durations = |which: &str| engine.metric(&format!("aqevia_flush_duration_seconds_{which}"));
    assert_eq!(durations("bucket{le=\"3\"}"), durations("count"));
    other.execute_batch("ROLLBACK").unwrap();
    expect_recovery(&engine);
    drop(other);
    stop_and_check(engine, &folder);
}

#[test]
fn readers_are_welcome_and_hold_nothing_up() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let reader = Connection::open(folder.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entity").unwrap();
    let tick = |reader: &Connection| {
        reader.query_row("SELECT tick FROM world", [], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    let seen = tick(&reader);
    let persisted = || engine.status_number("$.storage.persisted_tick");
    wait_for("flushes to go on", || (persisted() > seen + 20).then_some(()));
    assert_eq!(tick(&reader), seen);
    assert_eq!(engine.get("/ready").0, 200);
    engine.stop();
}

#[test]
fn a_file_that_may_not_grow_is_survived() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    // SIGXFSZ would end a process that does not expect it.
    engine.limit("--fsize=1024:");
    expect_unready(&engine);
    engine.limit("--fsize=unlimited:");
    expect_recovery(&engine);
    stop_and_check(engine, &folder);
    assert_eq!(query(&folder.database(), "PRAGMA integrity_check"), "ok");
}

#[test]
fn a_database_moved_away_is_missed_and_taken_back() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    fs::rename(folder.database(), folder.join("elsewhere")).unwrap();
    let reason = expect_unready(&engine);
    assert!(reason.contains("it has gone: put it back"), "{reason}");
    assert_eq!(engine.status("$.storage.persisted_tick"), "", "nobody can promise anything now");
    assert!(!engine.get("/metrics").1.contains("\naqevia_persisted_tick "));
    assert!(!folder.database().exists());
    fs::rename(folder.join("elsewhere"), folder.database()).unwrap();
    expect_recovery(&engine);
    stop_and_check(engine, &folder);
}

#[test]
fn a_write_ahead_log_that_is_deleted_costs_nothing() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    fs::remove_file(folder.join("storage.sqlite-wal")).unwrap();
    let tick = engine.status_number("$.world.tick");
    engine.wait_for_tick(tick + 20);
    assert_eq!(engine.get("/ready").0, 200);
    let promised = engine.status_number("$.storage.persisted_tick");
    engine.kill();
    assert!(Engine::start(&folder).status_number("$.world.tick") >= promised);
}

#[test]
fn a_lock_whose_name_is_removed_is_taken_again() {
    let folder = Folder::new();
    // No flush is due, so nothing but the look of each second finds it.
    let engine =
        Engine::start_with(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "1000000")]);
    let lock = folder.join("storage.sqlite.lock");
    for _ in 0..2 {
        fs::remove_file(&lock).unwrap();
        wait_for("the lock to be there again", || {
            fs::read_to_string(&lock).ok().filter(|holder| holder.contains("process "))
        });
        // Who may open it, if only for reading, could hold it.
        assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
        assert_eq!(engine.get("/ready").0, 200);
        let (code, _, log) = second_engine(&folder);
        assert_eq!(code, 3, "{log}");
    }
    stop_and_check(engine, &folder);

    // With flushes all the time it is found before the next one.
    let engine = Engine::start(&folder);
    fs::remove_file(&lock).unwrap();
    wait_for("the lock to be there again", || lock.exists().then_some(()));
    let tick = engine.status_number("$.world.tick");
    wait_for("flushes to go on", || (engine.status_number("$.storage.persisted_tick") > tick + 5).then_some(()));
    assert!(!engine.log().contains("flush failed"), "{}", engine.log());
    stop_and_check(engine, &folder);
}

/// What a second engine on the same database says: exit code, log and the rest.
fn second_engine(folder: &Folder) -> (i32, String, String) {
    let (code, stdout, stderr) = output(&mut command(folder, &[]));
    (code, stdout.clone(), stdout + &stderr)
}

#[test]
fn who_finds_another_holding_the_lock_never_writes_again() {
    let folder = Folder::new();
    let mut first = command(&folder, &[]);
    first.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
    let engine = Engine::spawn(first.stderr(fs::File::create(folder.join("stderr")).unwrap()));
    engine.wait_for_tick(5);
    let other = fs::File::create(folder.join("theirs")).unwrap();
    (&other).write_all(b"process 1 on elsewhere, since yesterday\n").unwrap();
    other.try_lock().unwrap();
    fs::rename(folder.join("theirs"), folder.join("storage.sqlite.lock")).unwrap();
    let reason = expect_unready(&engine);
    assert!(reason.contains("in use by another engine: process 1 on elsewhere"), "{reason}");
    assert_eq!(engine.status("$.storage.persisted_tick"), "");
    // Whoever had it may have written. That it is free again changes nothing.
    drop(other);
    fs::remove_file(folder.join("storage.sqlite.lock")).unwrap();
    let failures = || engine.metric("aqevia_flushes_total{trigger=\"capacity\",outcome=\"failure\"}");
    let before = failures();
    wait_for("further attempts", || (failures() >= before + 2.0).then_some(()));
    let written = query(&folder.database(), "SELECT tick FROM world");
    let second = Engine::start(&folder);
    assert!(second.log().contains(&format!(" tick={written} ")), "{}", second.log());
    second.stop();
    let (status, log) = engine.end("TERM");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("stopped without saving") && log.contains("rescued="), "{log}");
    // To its last word all of it is log.
    assert!(log.lines().all(|line| line.starts_with("ts=")), "{log}");
    assert_eq!(fs::read_to_string(folder.join("stderr")).unwrap(), "");
}

#[test]
fn a_stop_waits_a_moment_for_whoever_holds_the_database() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    let other = Connection::open(folder.database()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    engine.signal("TERM");
    wait_for("the final flush to fail", || engine.log().contains("flush failed").then_some(()));
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let (status, log) = engine.end("TERM");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_database_overwritten_in_place_is_not_called_saved() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    fs::write(folder.database(), b"not a database any more".repeat(1_000)).unwrap();
    let (status, log) = engine.end("TERM");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped without saving"), "{log}");
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().unwrap();
    // Enough voices to fill a pipe in a moment.
    let hens: String = (0..200)
        .map(|n| {
            let line = "Tuk. ".repeat(40);
            format!("hen{n}: {{ name: \"a hen\", description: \"-\", in: \"a\", habits: {{ say: {{ every_minutes: 1, lines: [\"{line}\"] }} }} }},")
        })
        .collect();
    let yard = r#"{ id: "yard", name: "Y", rooms: { a: { name: "A", description: "-" } }, creatures: {"#;
    let world = folder.write("world.json5", format!("{yard} {hens} }} }}"));
    // A port of its own cannot be read from a log that nobody reads: take one that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = command(&folder, &[]);
    command.env("AQEVIA_OBSERVABILITY_ADDR", address.to_string()).env("AQEVIA_LOG_LEVEL", "debug");
    command.env("AQEVIA_WORLD_PATH", world);
    command.env("AQEVIA_TICK_INTERVAL_MS", "10").stdout(writer).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let answers = || std::net::TcpStream::connect(address).is_ok();
    wait_for("the engine to listen", || answers().then_some(()));
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    let dropped = || {
        let metrics = get("/metrics");
        let line = metrics.lines().find(|line| line.starts_with("aqevia_log_lines_dropped_total ")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    wait_for("the pipe to be full and lines to be dropped", || (dropped() > 10).then_some(()));
    assert!(get("/health").starts_with("HTTP/1.1 200"));
    drop(reader);
    let before = dropped();
    wait_for("lines to be dropped because nobody is there", || (dropped() > before).then_some(()));
    assert!(get("/health").starts_with("HTTP/1.1 200"));
    send_signal(&child.id().to_string(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn nohup_keeps_its_word_and_blocked_signals_are_not_inherited() {
    let folder = Folder::new();
    let engine =
        Engine::spawn(&mut by_way_of("env", &["--ignore-signal=HUP", "--block-signal=TERM"], &command(&folder, &[])));
    engine.signal("HUP");
    let tick = engine.status_number("$.world.tick");
    engine.wait_for_tick(tick + 3);
    engine.stop();
}

#[test]
fn an_idle_loop_wakes_for_ticks_and_flushes_alone() {
    let folder = Folder::new();
    let engine =
        Engine::start_with(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", "1000"), ("PERSIST_BATCH_CAPACITY", "1000")]);
    let work = || {
        let metrics = engine.get("/metrics").1;
        let value = |name: &str| -> f64 {
            metrics
                .lines()
                .filter(|line| line.starts_with(name))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        (value("aqevia_loop_wakeups_total "), value("aqevia_ticks_total ") + value("aqevia_flushes_total{"))
    };
    let (wakeups, due) = work();
    let tick = engine.status_number("$.world.tick");
    // One request more, so that waiting itself does not wake the loop all the time.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    engine.wait_for_tick(tick + 100);
    let (wakeups_after, due_after) = work();
    // A handful for the three or so connections made here, each accepted, read and closed.
    let surplus = (wakeups_after - wakeups) - (due_after - due);
    assert!(surplus <= 30.0, "{surplus} wake-ups beyond {} ticks and flushes", due_after - due);
}
