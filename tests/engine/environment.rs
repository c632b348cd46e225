//! The machine as it should not be: a full disk, a volume that turns read-only, no descriptors, a wall clock that jumps,
//! ten seconds without the processor, a stop in the middle of a flush.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::clock::{self, Wall};
use rusqlite::Connection;

use crate::preload::Preload;
use crate::support::{
    Engine, Folder, PATIENCE, by_way_of, command, json, limit_process, output, query, refused, skip, wait_for,
};
use crate::trouble::{expect_recovery, expect_unready, stop_and_check};

const HEAD: &str = "GET /health HTTP/1.1\r\nHost: test\r\n";

/// A small disk of its own in the place of a folder, for those that its holder's mount namespace is given to.
struct Disk {
    holder: Child,
    folder: Folder,
}

impl Disk {
    fn new() -> Option<Disk> {
        let folder = Folder::new();
        let script = "mount -t tmpfs -o size=300k tmpfs \"$0\" && echo mounted && read end";
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(folder.join(""));
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let disk = unshare.spawn().ok().and_then(|mut holder| {
            let mut line = String::new();
            BufReader::new(holder.stdout.take()?).read_line(&mut line).ok()?;
            let disk = Disk { holder, folder };
            (line == "mounted\n").then_some(disk)
        });
        if disk.is_none() {
            skip("no mount namespaces here, so no disk that fills up");
        }
        disk
    }

    /// The engine with its database on this disk.
    fn command(&self, arguments: &[&str]) -> Command {
        let holder = self.holder.id().to_string();
        let enter = ["--target", &holder, "--user", "--preserve-credentials", "--mount"];
        by_way_of("nsenter", &enter, &command(&self.folder, arguments))
    }

    fn start(&self) -> Engine {
        let mut command = self.command(&[]);
        Engine::spawn(command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20"))
    }

    fn filler(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.folder.join("filler").display()))
    }

    fn fill(&self) {
        let mut filler = fs::File::options().append(true).create(true).open(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    /// Fills it so that flushes fail.
    fn fill_up(&self, engine: &Engine) {
        self.fill();
        // Giving up a connection removes its write-ahead log, which frees some room once.
        wait_for("a flush to fail", || (engine.get("/ready").0 == 503).then_some(()));
        self.fill();
        let reason = expect_unready(engine);
        assert!(reason.contains("full") || reason.contains("disk"), "{reason}");
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn check(&self) {
        let (code, _, stderr) = output(&mut self.command(&["check", self.folder.database().to_str().unwrap()]));
        assert_eq!(code, 0, "{stderr}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_is_survived_and_so_is_a_stop_on_it() {
    let Some(disk) = Disk::new() else { return };
    let engine = disk.start();
    engine.wait_for_tick(5);
    disk.fill_up(&engine);
    disk.free();
    expect_recovery(&engine);
    engine.stop();
    disk.check();

    let engine = disk.start();
    disk.fill_up(&engine);
    let persisted = engine.status_number("$.storage.persisted_tick");
    let (status, log) = engine.end("TERM");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped without saving") && log.contains(&format!("persisted_tick={persisted}")), "{log}");
    disk.free();
    disk.check();
    let engine = disk.start();
    assert!(engine.log().contains(&format!(" tick={persisted} ")), "{}", engine.log());
    engine.stop();
    disk.check();
}

#[test]
fn a_full_disk_keeps_no_world_from_being_loaded() {
    let Some(disk) = Disk::new() else { return };
    let engine = disk.start();
    engine.wait_for_tick(5);
    let log = engine.stop();
    let tick: u64 = log.rsplit("tick=").next().unwrap().trim().parse().unwrap();
    disk.fill();
    let engine = disk.start();
    assert!(engine.log().contains(&format!(" tick={tick} ")), "{}", engine.log());
    assert_eq!(engine.status_number("$.storage.persisted_tick"), tick);
    expect_unready(&engine);
    disk.free();
    expect_recovery(&engine);
    engine.stop();
    disk.check();
}

#[test]
fn without_room_for_a_copy_a_database_of_version_0_1_is_left_as_it_is_and_the_start_says_what_is_needed() {
    let Some(disk) = Disk::new() else { return };
    let first = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/databases/0.1.0.sqlite")).unwrap();
    let database = disk.filler().with_file_name("storage.sqlite");
    fs::write(&database, &first).unwrap();
    disk.fill();
    let (code, stdout, _) = output(&mut disk.command(&[]));
    let said = refused(&stdout);
    assert_eq!(code, 3, "{stdout}");
    assert!(said.contains("there is no room for the copy") && said.contains("Make room for 81920 bytes"), "{said}");
    assert_eq!(fs::read(&database).unwrap(), first);
    disk.free();
    let log = disk.start().stop();
    assert!(log.contains("brought the database of an earlier engine up"), "{log}");
    disk.check();
}

#[test]
fn a_volume_that_turns_read_only_is_survived_and_so_is_a_stop_on_it() {
    // A mount in which files are open for writing cannot be turned (EBUSY): a file system does this by itself, after an
    // error, and no test can talk it out of that again.
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let start = || {
        let mut command = command(&folder, &[]);
        command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
        Engine::spawn(preload.load_into(&mut command))
    };
    let engine = start();
    engine.wait_for_tick(50);
    preload.order("read_only", "");
    expect_unready(&engine);
    // What the first write met is "disk I/O error"; who opens the log again learns more.
    let reason = || engine.status("$.storage.last_error").contains("Read-only file system");
    wait_for("the reason", || reason().then_some(()));
    preload.withdraw("read_only");
    expect_recovery(&engine);
    stop_and_check(engine, &folder);

    let engine = start();
    engine.wait_for_tick(engine.status_number("$.world.tick") + 50);
    preload.order("read_only", "");
    expect_unready(&engine);
    let persisted = engine.status_number("$.storage.persisted_tick");
    let (status, log) = engine.end("TERM");
    assert_eq!(status.code(), Some(1), "{log}");
    preload.withdraw("read_only");
    let engine = start();
    assert!(engine.log().contains(&format!(" tick={persisted} ")), "{}", engine.log());
    stop_and_check(engine, &folder);
}

#[test]
fn an_engine_with_few_descriptors_still_answers_health_checks() {
    let folder = Folder::new();
    let mut limited = by_way_of("sh", &["-c", "ulimit -n 40 && exec \"$0\""], &command(&folder, &[]));
    let engine = Engine::spawn(limited.env("AQEVIA_TICK_INTERVAL_MS", "10"));
    let idle: Vec<_> = (0..60).map(|_| engine.connect()).collect();
    assert_eq!(engine.get("/health").0, 200);
    let tick = engine.status_number("$.world.tick");
    engine.wait_for_tick(tick + 5);
    assert_eq!(engine.get("/ready").0, 200);
    drop(idle);
    engine.stop();
}

/// Asks on a connection that stays open; code and body.
fn ask(stream: &mut TcpStream, path: &str) -> (u16, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    read_answer(stream).unwrap()
}

/// Reads one answer; nothing if the connection is closed before.
fn read_answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut length = 0;
    reader.read_line(&mut line).unwrap();
    let code = line.split(' ').nth(1)?.parse().unwrap();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some((code, String::from_utf8(body).unwrap()))
}

#[test]
fn without_a_descriptor_to_spare_the_world_goes_on_and_with_one_everything_does() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let mut kept = engine.connect();
    let mut number = |path: &str| json(&ask(&mut kept, "/status").1, path);
    number("$.world.tick");
    // Fewer than are open. What is open stays so: flushes need no more.
    engine.limit("--nofile=4:");
    let tick: u64 = number("$.world.tick").parse().unwrap();
    wait_for("flushes to go on", || {
        (number("$.storage.persisted_tick").parse::<u64>().unwrap() > tick + 20).then_some(())
    });
    // A flush that fails gives its connection up, and a fresh one cannot be had.
    let other = Connection::open(folder.database()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    wait_for("a flush to fail", || (!number("$.storage.last_error").is_empty()).then_some(()));
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    wait_for("the reason", || number("$.storage.last_error").contains("unable to open").then_some(()));
    let tick: u64 = number("$.world.tick").parse().unwrap();
    wait_for("life to go on", || (number("$.world.tick").parse::<u64>().unwrap() > tick + 50).then_some(()));
    assert_eq!(number("$.ready"), "0");

    // Nobody new can be accepted; who came meanwhile is, as soon as there are descriptors again.
    let mut waiting = engine.connect();
    write!(waiting, "{HEAD}\r\n").unwrap();
    wait_for("a warning", || engine.log().contains("no descriptor is free").then_some(()));
    engine.limit("--nofile=1024:");
    assert_eq!(read_answer(&mut waiting).unwrap().0, 200);
    expect_recovery(&engine);
    stop_and_check(engine, &folder);
}

#[test]
fn with_more_connections_than_the_limit_now_allows_the_world_goes_on_and_can_be_stopped() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let mut clients: Vec<TcpStream> = (0..30).map(|_| engine.connect()).collect();
    wait_for("all to be accepted", || (engine.metric("aqevia_http_connections") > 30.0).then_some(()));
    // Some numbers below the limit are free then, so that storage is not what is in trouble.
    clients.drain(..10);
    wait_for("some to be closed", || (engine.metric("aqevia_http_connections") <= 21.0).then_some(()));
    // Fewer than are open, and whoever is connected is served all the same.
    limit_process(engine.child.id(), "--nofile=16:");
    clients.iter_mut().for_each(|client| assert_eq!(ask(client, "/health").0, 200));
    let stored = || query(&folder.database(), "SELECT tick FROM world").parse::<u64>().unwrap();
    let tick = stored();
    wait_for("life and flushes to go on", || (stored() > tick + 20).then_some(()));
    limit_process(engine.child.id(), "--nofile=1024:");
    assert_eq!(engine.get("/ready").0, 200);
    limit_process(engine.child.id(), "--nofile=16:");
    stop_and_check(engine, &folder);
}

#[test]
fn a_wall_clock_that_jumps_an_hour_either_way_changes_dates_and_nothing_else() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let start = || {
        let mut command = command(&folder, &[]);
        command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
        Engine::spawn(preload.load_into(&mut command))
    };
    let engine = start();
    let mut kept = engine.connect();
    for offset in [3_600, -3_600, 0] {
        let (flushes, before) = (engine.status_number("$.storage.flush_count"), Pace::of(&engine));
        let shifted = || clock::wall().0.as_secs().strict_add_signed(offset);
        preload.order("clock", &offset.to_string());
        let from = shifted();
        let flushed_again = || engine.status_number("$.storage.flush_count") >= flushes + 2;
        wait_for("flushes to go on", || flushed_again().then_some(()));
        let flushed_at = engine.status("$.storage.last_flush_at");
        let answer = engine.send(format!("{HEAD}Connection: close\r\n\r\n"));
        let seconds: Vec<Wall> = (from..=shifted()).map(|second| Wall(Duration::from_secs(second))).collect();
        assert!(seconds.iter().any(|second| second.rfc3339() == flushed_at), "{flushed_at} after {offset}");
        assert!(seconds.iter().any(|second| answer.contains(&second.imf_fixdate())), "{answer} after {offset}");
        // Nobody's deadline was moved.
        assert_eq!(ask(&mut kept, "/health").0, 200);
        engine.wait_for_tick(engine.status_number("$.world.tick") + 100);
        let skipped = before.check(&engine);
        // An hour is 360,000 ticks; a machine in trouble of its own may cost a few.
        assert!(skipped < 1_000, "{skipped} after {offset}");
    }
    preload.order("clock", "3600");
    engine.stop();
    preload.order("clock", "-3600");
    let engine = start();
    engine.wait_for_tick(engine.status_number("$.world.tick") + 20);
    stop_and_check(engine, &folder);
}

/// Ticks made and ticks left out at a moment.
struct Pace(Instant, u64, u64);

impl Pace {
    fn of(engine: &Engine) -> Pace {
        let metrics = engine.get("/metrics").1;
        let number = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        Pace(Instant::now(), number("aqevia_ticks_total "), number("aqevia_ticks_skipped_total "))
    }

    /// Makes sure that since then each ten milliseconds had their tick or were counted as left out; returns how many
    /// were left out.
    fn check(&self, engine: &Engine) -> u64 {
        let Pace(end, ticks, skipped) = Pace::of(engine);
        let (made, skipped) = (ticks - self.1, skipped - self.2);
        let due = (end - self.0).as_millis() as u64 / 10;
        // At either end the loop may have had up to a second of ticks to catch up with.
        assert!((made + skipped).abs_diff(due) <= 150, "{made} ticks and {skipped} left out, where {due} were due");
        skipped
    }
}

#[test]
fn after_ten_seconds_without_the_processor_it_skips_what_it_missed_and_serves_who_has_waited() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let [mut idle, mut half, mut never] = std::array::from_fn(|_| engine.connect());
    assert_eq!(ask(&mut idle, "/health").0, 200);
    [&mut half, &mut never].iter_mut().for_each(|stream| stream.write_all(HEAD.as_bytes()).unwrap());
    wait_for("all to be accepted", || (engine.metric("aqevia_http_connections") > 3.0).then_some(()));
    let before = Pace::of(&engine);
    let promised = engine.status_number("$.storage.persisted_tick");
    engine.signal("STOP");
    let [mut waiting, gone] = std::array::from_fn(|_| engine.connect());
    [&waiting, &gone].iter_mut().for_each(|stream| write!(stream, "{HEAD}\r\n").unwrap());
    drop(gone);
    half.write_all(b"\r\n").unwrap();
    thread::sleep(Duration::from_secs(10));
    engine.signal("CONT");
    assert_eq!(engine.get("/health").0, 200);
    assert_eq!(read_answer(&mut waiting).unwrap().0, 200);
    assert_eq!(read_answer(&mut half).unwrap().0, 200);
    assert_eq!(ask(&mut idle, "/health").0, 200);
    // Its deadline has passed, and it is told.
    assert_eq!(read_answer(&mut never).unwrap().0, 408);
    assert!(read_answer(&mut never).is_none());
    engine.wait_for_tick(promised + 100);
    let skipped = before.check(&engine);
    assert!(skipped >= 990 && skipped == engine.status_number("$.loop.ticks_skipped"), "{skipped}");
    wait_for("that to be logged", || engine.log().contains("left out ticks").then_some(()));
    assert_eq!(engine.get("/ready").0, 200);
    stop_and_check(engine, &folder);
}

#[test]
fn a_stop_in_the_middle_of_a_flush_saves_everything() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let mut command = command(&folder, &[]);
    command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "200");
    command.env("PERSIST_BATCH_CAPACITY", "1000000");
    let engine = Engine::spawn(preload.load_into(&mut command));
    engine.wait_for_tick(100);
    preload.order("hold", "");
    wait_for("a flush", || preload.given("syncing").then_some(()));
    engine.signal("TERM");
    assert!(preload.given("syncing"));
    preload.withdraw("hold");
    let log = engine.stop();
    let tick = query(&folder.database(), "SELECT tick FROM world");
    assert!(log.contains("msg=stopping") && log.contains(&format!("msg=stopped tick={tick}\n")), "{tick}: {log}");
    assert!(!folder.join("storage.sqlite-wal").exists());
    let (code, _, stderr) = output(&mut crate::support::command(&folder, &["check", "storage.sqlite"]));
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_warning_that_is_not_repeated_hides_no_other() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let mut command = command(&folder, &[]);
    command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
    let engine = Engine::spawn(preload.load_into(&mut command));
    let clients: Vec<TcpStream> = (0..20).map(|_| engine.connect()).collect();
    wait_for("all to be accepted", || (engine.metric("aqevia_http_connections") > 20.0).then_some(()));
    limit_process(engine.child.id(), "--nofile=24:");
    assert_eq!(engine.get("/health").0, 200);
    wait_for("the one", || engine.log().contains("no descriptor is free").then_some(()));
    // ENOMEM.
    preload.order("wait", "12");
    wait_for("the other", || engine.log().contains("cannot wait for events").then_some(()));
    let stored = || query(&folder.database(), "SELECT tick FROM world").parse::<u64>().unwrap();
    let tick = stored();
    wait_for("life and flushes to go on", || (stored() > tick + 20).then_some(()));
    preload.withdraw("wait");
    limit_process(engine.child.id(), "--nofile=1024:");
    drop(clients);
    assert_eq!(engine.get("/health").0, 200);
    // It can be stopped all the same.
    preload.order("wait", "12");
    stop_and_check(engine, &folder);
}
