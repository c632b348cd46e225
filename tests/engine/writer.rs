//! The two processes from outside: whatever becomes of the writer, or of the disk that it waits for, the World goes on, and
//! what was promised comes back; and the writer outlives its engine by moments only.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use aqevia_engine::clock::Wall;
use aqevia_engine::limits::{ACKNOWLEDGEMENT_MS_MAX, SHUTDOWN_MS_MAX};
use aqevia_engine::world::random::Random;
use aqevia_engine::writer::serve::Wanted;
use aqevia_engine::writer::wire::{Frames, Task, ToWriter};

use crate::preload::Preload;
use crate::rescue::{field, rescues};
use crate::signals::{AS_PROCESS_ONE, may_have_process_one};
use crate::slow::{PROMPT, STARVED};
use crate::support::{
    Engine, Folder, by_way_of, command, limit_process, output, query, refused, seed, send_signal, skip, wait_for,
};
use crate::trouble::{expect_recovery, expect_unready, stop_and_check};
use crate::worlds;

/// What a dying disk says.
const EIO: &str = "5";

/// An engine that ticks and flushes fast, into which trouble can be ordered.
fn start(preload: &Preload, folder: &Folder) -> Engine {
    let mut command = command(folder, &[]);
    command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
    Engine::spawn(preload.load_into(&mut command))
}

/// Lets the next sync hang, of such files if `name` says which, and waits until one does.
fn hold(preload: &Preload, name: &str) {
    preload.order("hold", name);
    wait_for("a sync that hangs", || preload.given("syncing").then_some(()));
}

fn persisted(engine: &Engine) -> u64 {
    engine.status_number("$.storage.persisted_tick")
}

/// How many of those that a histogram counts took more than a second.
fn over_a_second(engine: &Engine, histogram: &str) -> u64 {
    let metrics = engine.get("/metrics").1;
    let value = |name: &str| -> u64 {
        let value = |line: &str| line.strip_prefix(histogram)?.strip_prefix(name)?.trim().parse().ok();
        metrics.lines().find_map(value).unwrap()
    };
    value("_count") - value("_bucket{le=\"1\"}")
}

/// Makes trouble while /health is asked all the time: each answer comes at once, and no tick is left out.
fn undisturbed(engine: &Engine, trouble: impl FnOnce()) {
    let (skipped, waited) = (engine.metric("aqevia_ticks_skipped_total"), engine.waited_for_a_core());
    let slowest = thread::scope(|scope| {
        let (until, over) = channel::<()>();
        let asking = scope.spawn(move || {
            let mut slowest = Duration::ZERO;
            while over.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                assert_eq!(engine.get("/health").0, 200);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
        trouble();
        drop(until);
        asking.join().unwrap()
    });
    let skipped = engine.metric("aqevia_ticks_skipped_total") - skipped;
    let late = over_a_second(engine, "aqevia_tick_lateness_seconds");
    let what = format!("/health took {slowest:?} at most, {late} ticks were late, {skipped} left out");
    let is_undisturbed = slowest < PROMPT && late == 0 && skipped == 0.0;
    if !is_undisturbed && engine.waited_for_a_core() - waited > STARVED {
        skip(&format!("this machine is too busy to tell who makes an engine late: {what}"));
    } else {
        assert!(is_undisturbed, "{what}");
    }
}

/// Waits until an acknowledgement is out for too long. Until then, and then, nothing new is promised.
fn expect_late_acknowledgement(engine: &Engine, folder: &Folder, begun: Instant) {
    let promised = persisted(engine);
    assert_eq!(engine.get("/ready").0, 200, "a slow disk is no trouble yet");
    let reason = wait_for("the engine to be unready", || {
        let (code, body) = engine.get("/ready");
        (code == 503).then_some(body)
    });
    assert!(reason.contains("storage has not acknowledged a flush for 10 s"), "{reason}");
    assert!(begun.elapsed() + Duration::from_secs(1) > Duration::from_millis(ACKNOWLEDGEMENT_MS_MAX));
    engine.logs("storage has not acknowledged a flush");
    assert_eq!(persisted(engine), promised);
    // Others see what was committed, and what is only written they do not.
    let committed: u64 = query(&folder.database(), "SELECT tick FROM world").parse().unwrap();
    assert!(promised <= committed, "{promised} is promised, and {committed} was committed");
    assert_eq!(engine.status("$.storage.writer.state"), "flushing");
    assert!(engine.status_number("$.storage.pending_records") > 1);
}

/// Waits until everything up to now is acknowledged.
fn expect_acknowledgement(engine: &Engine) {
    let tick = engine.status_number("$.world.tick");
    wait_for("what is pending to be acknowledged", || (persisted(engine) >= tick).then_some(()));
    wait_for("the engine to be ready", || (engine.get("/ready").0 == 200).then_some(()));
}

/// Whether a process has ended, if not yet to the knowledge of whoever waits for it.
fn is_gone(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

fn expect_gone(process: u32) {
    wait_for("a process to be gone", || is_gone(process).then_some(()));
}

fn kill(process: u32) {
    send_signal(&process.to_string(), "KILL");
}

/// The same to a process that may be gone by then.
fn try_signal(process: u32, name: &str) {
    let _ = Command::new("sh").args(["-c", "kill -s $0 $1 2>&-", name, &process.to_string()]).status();
}

#[test]
fn a_disk_that_is_slow_then_stands_still_then_fails_holds_up_nothing_but_flushes() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let engine = start(&preload, &folder);
    undisturbed(&engine, || {
        let flushes = || engine.status_number("$.storage.flush_count");
        let slow = || over_a_second(&engine, "aqevia_flush_duration_seconds");
        preload.order("delay", "2");
        wait_for("flushes that take their time", || (slow() >= 2).then_some(()));
        preload.withdraw("delay");
        let before = flushes();
        wait_for("fast flushes", || (flushes() > before + 5).then_some(()));
        assert!(engine.metric("aqevia_flushes_waited_total") > 0.0);
        assert!(over_a_second(&engine, "aqevia_commit_duration_seconds") >= 2);

        hold(&preload, "");
        expect_late_acknowledgement(&engine, &folder, Instant::now());
        preload.withdraw("hold");
        expect_acknowledgement(&engine);
        assert!(!engine.log().contains("flush failed"), "{}", engine.log());

        preload.order("errors", EIO);
        let reason = expect_unready(&engine);
        assert!(reason.contains("disk I/O error"), "{reason}");
        preload.withdraw("errors");
        expect_recovery(&engine);
    });
    assert_eq!(engine.metric("aqevia_writer_restarts_total"), 0.0);
    stop_and_check(engine, &folder);
}

#[test]
fn a_writer_that_is_stopped_holds_up_nothing_but_flushes_and_goes_on_where_it_was() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let writer = engine.writer();
    undisturbed(&engine, || {
        send_signal(&writer.to_string(), "STOP");
        wait_for("a flush", || (engine.status("$.storage.writer.state") == "flushing").then_some(()));
        expect_late_acknowledgement(&engine, &folder, Instant::now());
        send_signal(&writer.to_string(), "CONT");
        expect_acknowledgement(&engine);
    });
    assert_eq!(engine.writer(), writer);
    stop_and_check(engine, &folder);
}

#[test]
fn while_a_sync_hangs_a_kill_of_either_or_both_costs_nothing_that_was_promised() {
    let Some(preload) = Preload::new() else { return };
    for (kills_writer, kills_engine) in [(true, false), (false, true), (true, true)] {
        let folder = Folder::new();
        let engine = start(&preload, &folder);
        engine.wait_for_tick(20);
        hold(&preload, "");
        let promised = persisted(&engine);
        engine.wait_for_tick(promised + 50);
        if kills_writer && !kills_engine {
            undisturbed(&engine, || {
                // Each of them meets the same disk.
                for restarts in 1..4 {
                    kill(engine.writer());
                    let counted = || engine.metric("aqevia_writer_restarts_total");
                    wait_for("another writer", || (counted() >= f64::from(restarts)).then_some(()));
                }
            });
            let log = engine.log();
            let killed = log.lines().filter(|line| line.contains("the writer has ended: signal: 9 (SIGKILL)"));
            assert_eq!(killed.count(), 1, "the same again is no news: {log}");
            assert_eq!(engine.get("/ready").0, 503);
            assert_eq!(engine.status("$.storage.persisted_tick").parse().unwrap_or(promised), promised);
            preload.withdraw("hold");
            expect_recovery(&engine);
            stop_and_check(engine, &folder);
            continue;
        }
        let writer = engine.writer();
        if kills_writer {
            kill(writer);
        }
        let mut engine = engine;
        engine.child.kill().unwrap();
        engine.child.wait().unwrap();
        preload.withdraw("hold");
        expect_gone(writer);
        let engine = Engine::start(&folder);
        let tick: u64 = engine.told("msg=running", " tick=").unwrap().parse().unwrap();
        assert!(tick >= promised, "{tick} {promised}");
        stop_and_check(engine, &folder);
    }
}

#[test]
fn a_writer_killed_at_any_moment_again_and_again_costs_nothing() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(30, |rounds| rounds.parse().unwrap());
    let seed = seed();
    let mut random = Random(seed);
    let folder = Folder::new();
    let world = folder.write("world.json5", worlds::restless(100, 1_000));
    let variables = [("AQEVIA_WORLD_PATH", world.to_str().unwrap()), ("PERSIST_FLUSH_INTERVAL_MS", "10")];
    let engine = Engine::start_with(&folder, &variables);
    let mut promised = 0;
    for round in 1..=rounds {
        // After a success the pauses begin anew, so that each of many kills is mended as fast as the first.
        let flushes = engine.status_number("$.storage.flush_count");
        wait_for("a flush", || (engine.status_number("$.storage.flush_count") > flushes).then_some(()));
        thread::sleep(Duration::from_micros(random.below(20_000)));
        let now = engine.status("$.storage.persisted_tick");
        let now: u64 = now.parse().unwrap_or_else(|_| panic!("seed {seed}, round {round}: {now:?}"));
        assert!(now >= promised, "seed {seed}, round {round}: {now} after {promised}");
        promised = now;
        kill(engine.writer());
        let restarts = || engine.metric("aqevia_writer_restarts_total");
        wait_for("another writer", || (restarts() == f64::from(round)).then_some(()));
    }
    expect_recovery(&engine);
    assert!(persisted(&engine) >= promised);
    engine.logs("the writer has ended: signal: 9 (SIGKILL)");
    stop_and_check(engine, &folder);
}

#[test]
fn writers_that_end_without_a_word_are_not_started_again_without_a_pause() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let engine = start(&preload, &folder);
    expect_acknowledgement(&engine);
    preload.order("quit", "");
    let restarts = || engine.metric("aqevia_writer_restarts_total");
    wait_for("several writers", || (restarts() >= 3.0).then_some(()));
    let (begun, before) = (Instant::now(), restarts());
    thread::sleep(Duration::from_millis(300));
    // The next pauses are of 1, 2, 4 s.
    let (after, took) = (restarts(), begun.elapsed());
    assert!(after - before <= 1.0 + took.as_secs_f64(), "{} in {took:?}", after - before);
    assert!(expect_unready(&engine).contains("the writer has ended: without a word"), "{}", engine.log());
    preload.withdraw("quit");
    expect_recovery(&engine);
    stop_and_check(engine, &folder);
}

#[test]
fn a_writer_is_replaced_although_the_file_of_the_program_was_touched_and_then_removed() {
    let folder = Folder::new();
    let (ordinary, program) = (command(&folder, &[]), folder.join("engine"));
    // Not by this process: what another thread starts meanwhile would have it open for writing (execve(2), ETXTBSY).
    assert!(Command::new("cp").arg(ordinary.get_program()).arg(&program).status().unwrap().success());
    let mut command = Command::new(&program);
    command.env_clear().envs(ordinary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let engine = Engine::spawn(command.current_dir(folder.join(".")).env("AQEVIA_TICK_INTERVAL_MS", "10"));
    fs::File::open(&program).unwrap().set_modified(UNIX_EPOCH).unwrap();
    for restarts in [1.0, 2.0] {
        kill(engine.writer());
        expect_recovery(&engine);
        assert_eq!(engine.metric("aqevia_writer_restarts_total"), restarts);
        fs::remove_file(&program).ok();
    }
    stop_and_check(engine, &folder);
}

#[test]
fn a_writer_whose_end_is_kept_by_a_debugger_holds_nothing_up_and_is_reaped_later() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let engine = start(&preload, &folder);
    let writer = engine.writer();
    undisturbed(&engine, || {
        preload.order("debugged", "");
        kill(writer);
        expect_recovery(&engine);
    });
    assert!(children(engine.child.id()).contains(&writer));
    preload.withdraw("debugged");
    wait_for("it to be reaped", || (!children(engine.child.id()).contains(&writer)).then_some(()));
    stop_and_check(engine, &folder);
}

#[test]
fn an_index_of_the_log_that_is_cut_short_ends_the_writer_alone() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    for _ in 0..3 {
        expect_acknowledgement(&engine);
        let writer = engine.writer();
        undisturbed(&engine, || {
            fs::File::create(folder.join("storage.sqlite-shm")).unwrap();
            expect_gone(writer);
            wait_for("another writer", || (engine.writer() != writer).then_some(()));
            expect_acknowledgement(&engine);
        });
    }
    engine.logs("the writer has ended: signal: 7 (SIGBUS)");
    stop_and_check(engine, &folder);
}

/// What a process has open.
fn descriptors(process: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

/// The engine has nothing of the database open, and the writer all of it and no port.
fn expect_apart(engine: &Engine) {
    let (ours, theirs) = (descriptors(engine.child.id()), descriptors(engine.writer()));
    assert!(ours.iter().all(|path| !path.contains("storage.sqlite")), "{ours:?}");
    // Or of whatever else the writer has: memory that is mapped, a file that has lost its name.
    let maps = fs::read_to_string(format!("/proc/{}/maps", engine.child.id())).unwrap();
    assert!(!maps.contains("storage.sqlite"), "{maps}");
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let name = format!("storage.sqlite{suffix}");
        assert!(theirs.iter().any(|path| path.ends_with(&name)), "{name}: {theirs:?}");
    }
    let port = format!(":{:04X} ", engine.address.port());
    let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", engine.child.id())).unwrap();
    // State 0A is LISTEN (Linux, "proc/net/tcp").
    let listener = sockets.lines().find(|line| line.contains(&port) && line.split_whitespace().nth(3) == Some("0A"));
    let listener = format!("socket:[{}]", listener.unwrap().split_whitespace().nth(9).unwrap());
    assert!(ours.contains(&listener), "{listener} {ours:?}");
    // Standard input is its pipe; whatever else could be talked through is a copy of it.
    let pipe = fs::read_link(format!("/proc/{}/fd/0", engine.writer())).unwrap().display().to_string();
    let sockets: BTreeSet<_> = theirs.into_iter().filter(|path| path.starts_with("socket:")).collect();
    assert_eq!(sockets, BTreeSet::from([pipe]));
}

#[test]
fn the_process_that_strangers_talk_to_never_has_the_database_open_and_the_writer_has_no_port() {
    let folder = Folder::new();
    let world = folder.write("world.json5", worlds::restless(300, 3_000));
    let mut first = command(&folder, &[]);
    first.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20").env("AQEVIA_WORLD_PATH", world);
    for start in [true, false] {
        // While a world is founded, and while it is loaded.
        let engine = Engine::begin(&mut first);
        wait_for("the world to run", || {
            let ours = descriptors(engine.child.id());
            assert!(ours.iter().all(|path| !path.contains("storage.sqlite")), "{ours:?}");
            engine.told("msg=running", " tick=")
        });
        let clients: Vec<_> = (0..20).map(|_| engine.connect()).collect();
        expect_acknowledgement(&engine);
        expect_apart(&engine);
        for _ in 0..2 {
            kill(engine.writer());
            expect_recovery(&engine);
            expect_acknowledgement(&engine);
            expect_apart(&engine);
        }
        drop(clients);
        if start {
            engine.kill();
        } else {
            engine.stop();
        }
    }
}

#[test]
fn a_signal_to_a_terminals_group_or_to_both_processes_saves_everything_and_one_to_the_writer_does_nothing() {
    let folder = Folder::new();
    let never = [("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "1000000")];
    let group = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        status.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap().to_owned()
    };
    for (to_group, signal) in [(true, "INT"), (true, "QUIT"), (true, "HUP"), (false, "TERM")] {
        let mut command = by_way_of("env", &["--default-signal"], &command(&folder, &[]));
        command.env("AQEVIA_TICK_INTERVAL_MS", "10").envs(never).process_group(0);
        let mut engine = Engine::spawn(&mut command);
        let (process, writer) = (engine.child.id(), engine.writer());
        let tick = engine.status_number("$.world.tick");
        engine.wait_for_tick(tick + 10);
        // To the writer alone, which has nothing to do just now and would end at once.
        for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "PIPE", "RTMIN"] {
            send_signal(&writer.to_string(), signal);
        }
        assert_ne!(group(writer), group(process));
        if to_group {
            send_signal(&format!("-{}", group(process)), signal);
        } else {
            [writer, process, writer].iter().for_each(|process| send_signal(&process.to_string(), signal));
        }
        let status = engine.child.wait().unwrap();
        engine.wait_for_writer();
        let log = engine.log();
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
        assert!(!log.contains("the writer has ended"), "{signal}: {log}");
        let tick = query(&folder.database(), "SELECT tick FROM world");
        assert!(log.contains(&format!("msg=stopped tick={tick}\n")), "{signal}: {log}");
    }
}

#[test]
fn a_writer_that_no_engine_has_started_ends_at_once_and_touches_nothing() {
    let folder = Folder::new();
    let writer = || {
        let mut command = command(&folder, &["writer"]);
        command.stdin(Stdio::null());
        command
    };
    let file = folder.write("input", "hello");
    let (reader, pipe) = std::io::pipe().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let network = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut inputs = vec![
        ("nothing", writer()),
        ("a file", writer()),
        ("a pipe that stays open", writer()),
        ("the network", writer()),
        ("none", by_way_of("sh", &["-c", "exec \"$@\" <&-", "sh"], &writer())),
    ];
    inputs[1].1.stdin(fs::File::open(&file).unwrap());
    inputs[2].1.stdin(reader);
    inputs[3].1.stdin(OwnedFd::from(network));
    for (input, mut command) in inputs {
        let (code, stdout, stderr) = output(command.current_dir(folder.join(".")));
        assert_eq!((code, &*stdout), (2, ""), "{input}: {stderr}");
        assert!(stderr.starts_with("aqevia-engine: an engine starts its writer itself: "), "{input}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{input}: {stderr}");
    }
    drop(pipe);
    if Command::new("script").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let line = format!("'{}' writer", env!("CARGO_BIN_EXE_aqevia-engine"));
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).current_dir(folder.join("."));
        let (code, stdout, _) = output(&mut terminal);
        assert!(code == 2 && stdout.contains("an engine starts its writer itself"), "{code} {stdout}");
    } else {
        skip("script(1) is missing, so no terminal is tried");
    }
    assert_eq!(output(&mut command(&folder, &["writer", "storage.sqlite"])).0, 2);

    // A socket that no engine of the same build is at the other end of.
    let mut frames = Frames::default();
    frames.message(&ToWriter::Begin {
        build: "another".to_owned(),
        started: Wall(Duration::ZERO),
        database: folder.database(),
        task: Task::Load { wanted: Wanted::default() },
    });
    for bytes in [&b""[..], b"hello, who is there?", &[0xff; 4_096], &[0; 4_096], &frames.bytes] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut child = writer().stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).spawn().unwrap();
        let _ = ours.write_all(bytes);
        if bytes.is_empty() {
            ours.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let status = wait_for("the writer to end", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{bytes:?}");
        let mut said = Vec::new();
        ours.read_to_end(&mut said).unwrap_or_default();
        assert_eq!(said, b"", "{bytes:?}");
    }
    let left: Vec<_> = fs::read_dir(folder.join(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["input"]);
}

#[test]
fn an_engine_that_is_killed_takes_its_writer_along_also_in_the_middle_of_a_cut() {
    let folder = Folder::new();
    let world = folder.write("world.json5", worlds::restless(300, 3_000));
    let variables = [
        ("AQEVIA_WORLD_PATH", world.to_str().unwrap()),
        ("PERSIST_FLUSH_INTERVAL_MS", "500"),
        ("PERSIST_BATCH_CAPACITY", "1000000"),
    ];
    for goes_on_before in [false, true] {
        let mut engine = Engine::start_with(&folder, &variables);
        expect_acknowledgement(&engine);
        let (writer, promised) = (engine.writer(), persisted(&engine));
        send_signal(&writer.to_string(), "STOP");
        let unsent = || engine.status_number("$.storage.writer.unsent_bytes");
        wait_for("a cut of which a part waits", || (unsent() > 0).then_some(()));
        if goes_on_before {
            // Whatever has come through by then, it is not the whole.
            send_signal(&writer.to_string(), "CONT");
        }
        engine.child.kill().unwrap();
        engine.child.wait().unwrap();
        // As a rule the kernel lets go on what is stopped and left alone.
        try_signal(writer, "CONT");
        expect_gone(writer);
        let engine = Engine::start_with(&folder, &variables);
        let tick: u64 = engine.told("msg=running", " tick=").unwrap().parse().unwrap();
        assert!(tick >= promised, "{tick} {promised}");
        stop_and_check(engine, &folder);
    }
}

#[test]
fn a_start_right_after_a_kill_waits_for_the_writer_that_is_left() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let mut engine = start(&preload, &folder);
    engine.wait_for_tick(20);
    hold(&preload, "");
    let promised = persisted(&engine);
    engine.child.kill().unwrap();
    engine.child.wait().unwrap();
    let next = Engine::begin(&mut command(&folder, &[]));
    undisturbed(&next, || thread::sleep(Duration::from_secs(1)));
    assert_eq!(next.get("/ready").0, 503);
    assert_eq!(next.status("$.world"), "");
    preload.withdraw("hold");
    engine.wait_for_writer();
    let tick: u64 = wait_for("the world to run", || next.told("msg=running", " tick=")).parse().unwrap();
    assert!(tick >= promised, "{tick} {promised}");
    stop_and_check(next, &folder);
}

#[test]
fn a_start_after_a_kill_says_which_writer_is_left_if_that_does_not_end_in_time() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    let mut engine = start(&preload, &folder);
    engine.wait_for_tick(20);
    hold(&preload, "");
    let (process, writer) = (engine.child.id(), engine.writer());
    engine.child.kill().unwrap();
    engine.child.wait().unwrap();
    let (code, stdout, _) = output(&mut command(&folder, &[]));
    assert_eq!(code, 3, "{stdout}");
    let said = refused(&stdout);
    assert!(said.contains(&format!("in use by another engine: process {process} on ")), "{said}");
    assert!(said.contains(&format!("; its writer: process {writer}\n")), "{said}");
    preload.withdraw("hold");
    engine.wait_for_writer();
    stop_and_check(Engine::start(&folder), &folder);
}

#[test]
fn of_two_engines_that_found_a_world_at_once_one_waits_and_takes_over_what_the_other_has_made() {
    let folder = Folder::new();
    let [first, second] = std::array::from_fn(|_| Engine::begin(&mut command(&folder, &[])));
    let runs = |engine: &Engine| engine.told("msg=running", " tick=");
    wait_for("one of them to run", || runs(&first).or(runs(&second)));
    let (one, other) = if runs(&first).is_some() { (first, second) } else { (second, first) };
    one.logs("founded a new world");
    one.wait_for_tick(3);
    assert_eq!((other.get("/health").0, other.get("/ready").0, runs(&other)), (200, 503, None));
    let tick = field(&one.stop(), "tick");
    assert_eq!(wait_for("the other to run", || runs(&other)), tick);
    assert!(!other.log().contains("founded a new world"), "{}", other.log());
    stop_and_check(other, &folder);
}

/// A world at rest whose load takes a while, because each read of its database does.
fn loading(preload: &Preload) -> (Folder, Vec<u8>, Command) {
    let folder = Folder::new();
    let world = folder.write("world.json5", worlds::restless(300, 3_000));
    Engine::start_with(&folder, &[("AQEVIA_WORLD_PATH", world.to_str().unwrap())]).stop();
    let mut command = by_way_of("env", &["--default-signal"], &command(&folder, &[]));
    preload.load_into(&mut command).current_dir(folder.join("."));
    preload.order("reads", "3");
    let database = fs::read(folder.database()).unwrap();
    (folder, database, command)
}

/// How many entities have come in, while the world is loaded.
fn entities_so_far(engine: &Engine) -> Option<u64> {
    let reason = engine.get("/ready").1;
    reason.split("loading: ").nth(1)?.split(' ').next()?.parse().ok()
}

#[test]
fn while_a_large_world_is_loaded_it_answers_and_tells_how_far_that_is() {
    let Some(preload) = Preload::new() else { return };
    let (folder, _, mut command) = loading(&preload);
    let begun = Instant::now();
    let engine = Engine::begin(&mut command);
    assert!(begun.elapsed() < PROMPT);
    let mut seen = BTreeSet::new();
    undisturbed(&engine, || {
        let mut last = 0;
        wait_for("numbers that grow", || {
            let number = entities_so_far(&engine).unwrap();
            assert!(number >= last, "{number} after {last}");
            last = number;
            seen.insert(number);
            (seen.len() > 5).then_some(())
        });
        let status = engine.get("/status").1;
        let of = |path: &str| crate::support::json(&status, path);
        assert_eq!((of("$.world"), of("$.storage.persisted_tick"), of("$.ready")), ("".into(), "".into(), "0".into()));
        assert_eq!(of("$.storage.writer.state"), "loading");
        // Since the start.
        assert_eq!((of("$.unready.seconds"), of("$.storage.last_flush")), (of("$.uptime_seconds"), "".into()));
        assert!(of("$.unready.reason").starts_with("loading: "), "{status}");
        assert_eq!((engine.get("/map").0, engine.get("/").0), (503, 200));
        assert_eq!(engine.metric("aqevia_writer_state{state=\"loading\"}"), 1.0);
        assert_eq!(engine.metric("aqevia_ready"), 0.0);
        assert!(engine.told("msg=running", " tick=").is_none());
        // Once they are all there, only the check of the database may go on for a while.
        wait_for("all of it", || engine.get("/ready").1.contains("loading: all entities").then_some(()));
    });
    preload.withdraw("reads");
    wait_for("the engine to be ready", || (engine.get("/ready").0 == 200).then_some(()));
    stop_and_check(engine, &folder);
}

#[test]
fn a_load_that_is_cut_short_ends_both_processes_at_once_and_changes_nothing() {
    let Some(preload) = Preload::new() else { return };
    let (folder, database, mut command) = loading(&preload);
    for signal in ["TERM", "INT", "KILL", "writer KILL", "writer TERM"] {
        let mut engine = Engine::begin(&mut command);
        let writer = engine.writer();
        wait_for("a part of it", || entities_so_far(&engine).filter(|number| *number > 0));
        let begun = Instant::now();
        match signal.strip_prefix("writer ") {
            None => {
                engine.signal(signal);
                let number = if signal == "KILL" {
                    9
                } else if signal == "INT" {
                    2
                } else {
                    15
                };
                let status = wait_for("an end", || engine.child.try_wait().unwrap());
                assert_eq!(status.signal(), Some(number));
                assert!(begun.elapsed() < PROMPT, "{signal}");
            }
            Some("TERM") => {
                send_signal(&writer.to_string(), "TERM");
                preload.withdraw("reads");
                wait_for("the world to run", || engine.told("msg=running", " tick="));
                stop_and_check(engine, &folder);
                continue;
            }
            Some(signal) => {
                send_signal(&writer.to_string(), signal);
                assert_eq!(engine.child.wait().unwrap().code(), Some(1));
                engine.wait_for_writer();
                let log = engine.log();
                let said = refused(&log);
                assert_eq!(said, "the writer has ended while it loaded the world: signal: 9 (SIGKILL)\n", "{log}");
            }
        }
        expect_gone(writer);
        engine.wait_for_writer();
        assert_eq!(fs::read(folder.database()).unwrap(), database, "{signal}");
        let left = fs::read_dir(folder.join(".")).unwrap().map(|entry| entry.unwrap().path());
        let left: Vec<PathBuf> = left.filter(|path| path.to_str().unwrap().contains(".partial-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Stops an engine whose writer does not do as it is told: it ends in time, and says what it could not save. Returns its
/// log. `release` lets go on whatever hangs, once the engine is gone.
fn stop_in_vain(mut engine: Engine, release: impl FnOnce()) -> String {
    let begun = Instant::now();
    engine.signal("TERM");
    let status = engine.child.wait().unwrap();
    let took = begun.elapsed();
    release();
    engine.wait_for_writer();
    let log = engine.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(took < Duration::from_millis(SHUTDOWN_MS_MAX) + PROMPT, "{took:?}");
    log
}

/// The world that was saved beside the database is the one that the log tells of.
fn expect_rescued(folder: &Folder, log: &str) {
    let [rescue] = &rescues(folder)[..] else { panic!("{log}") };
    let tick = field(log.lines().rfind(|line| line.contains("stopped without saving")).unwrap(), "tick");
    assert_eq!(
        (rescue, &*field(log, "rescued")),
        (&folder.join(&format!("storage.sqlite.rescued-{tick}")), rescue.to_str().unwrap())
    );
    let (code, stdout, stderr) = output(&mut command(folder, &["check", rescue.to_str().unwrap()]));
    assert!(code == 0 && stdout.contains(&format!("tick {tick},")), "{stdout}{stderr}");
}

#[test]
fn a_stop_whose_last_flush_hangs_rescues_the_world_in_time_or_says_that_it_could_not() {
    // The log of the database alone, everything, a writer that is stopped, and none that can be started.
    let log_hangs = || {
        let Some(preload) = Preload::new() else { return };
        let folder = Folder::new();
        let engine = start(&preload, &folder);
        engine.wait_for_tick(20);
        hold(&preload, "storage.sqlite-wal");
        let promised = persisted(&engine);
        let log = stop_in_vain(engine, || preload.withdraw("hold"));
        expect_rescued(&folder, &log);
        let engine = Engine::start(&folder);
        assert!(engine.status_number("$.world.tick") >= promised);
        stop_and_check(engine, &folder);
    };
    let all_hangs = || {
        let Some(preload) = Preload::new() else { return };
        let folder = Folder::new();
        let engine = start(&preload, &folder);
        engine.wait_for_tick(20);
        hold(&preload, "");
        let promised = persisted(&engine);
        let log = stop_in_vain(engine, || preload.withdraw("hold"));
        let last = log.lines().last().unwrap();
        assert!(last.contains("stopped without saving: the world comes back as the database has it"), "{log}");
        assert_eq!(field(last, "rescue_error"), "there was no time left for it");
        wait_for("all writers to be gone", || (!preload.given("syncing")).then_some(()));
        let engine = Engine::start(&folder);
        assert!(engine.status_number("$.world.tick") >= promised);
        stop_and_check(engine, &folder);
    };
    let stopped = || {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        engine.wait_for_tick(20);
        let (writer, promised) = (engine.writer(), persisted(&engine));
        send_signal(&writer.to_string(), "STOP");
        let log = stop_in_vain(engine, || try_signal(writer, "CONT"));
        expect_rescued(&folder, &log);
        let engine = Engine::start(&folder);
        assert!(engine.status_number("$.world.tick") >= promised);
        stop_and_check(engine, &folder);
    };
    let none = || {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        engine.wait_for_tick(20);
        let writer = engine.writer();
        limit_process(engine.child.id(), "--nofile=1:");
        kill(writer);
        let log = stop_in_vain(engine, || ());
        assert_eq!(field(log.lines().last().unwrap(), "rescue_error"), "there was no writer to do it", "{log}");
        assert!(log.contains("error=\"cannot start a writer: Too many open files"), "{log}");
        stop_and_check(Engine::start(&folder), &folder);
    };
    thread::scope(|scope| {
        scope.spawn(none);
        scope.spawn(log_hangs);
        scope.spawn(all_hangs);
        scope.spawn(stopped);
    });
}

#[test]
fn a_stop_whose_writer_was_just_killed_saves_everything() {
    for (pause_ms, again) in [(0, false), (5, false), (0, true)] {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        engine.wait_for_tick(20);
        kill(engine.writer());
        thread::sleep(Duration::from_millis(pause_ms));
        engine.signal("TERM");
        if again {
            engine.logs("msg=stopping");
            // The one that was to save it; if all is saved by then, that costs nothing either.
            children(engine.child.id()).iter().for_each(|writer| try_signal(*writer, "KILL"));
        }
        let log = engine.stop();
        assert_eq!(query(&folder.database(), "SELECT tick FROM world"), field(&log, "tick"));
        let (code, _, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
        assert_eq!(code, 0, "{stderr}");
        assert!(rescues(&folder).is_empty());
    }
}

/// The children of a process, the dead among them too.
fn children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn as_process_one_it_reaps_whatever_is_left_to_it_and_notices_the_end_of_its_writer() {
    if !may_have_process_one() {
        return;
    }
    let folder = Folder::new();
    let mut command = command(&folder, &[]);
    command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
    let mut engine = Engine::spawn(by_way_of("unshare", &AS_PROCESS_ONE, &command).current_dir(folder.join(".")));
    let [process] = children(engine.child.id())[..] else { panic!("one child") };
    let [writer] = children(process)[..] else { panic!("one writer") };
    let target = process.to_string();
    let mut inside = Command::new("nsenter");
    inside.args(["--target", &target, "--user", "--pid", "--preserve-credentials", "sh", "-c"]);
    if inside.arg("sleep 0.3 & sleep 0.2 & :").status().is_ok_and(|status| status.success()) {
        wait_for("orphans", || (children(process).len() == 3).then_some(()));
        wait_for("all but the writer to be reaped", || (children(process) == [writer]).then_some(()));
    } else {
        skip("nsenter(1) may not enter a namespace of processes here");
    }
    kill(writer);
    expect_recovery(&engine);
    let [other] = children(process)[..] else { panic!("{:?}", children(process)) };
    assert!(other != writer && !is_gone(other));
    assert_eq!(engine.metric("aqevia_writer_restarts_total"), 1.0);
    engine.logs("the writer has ended: signal: 9 (SIGKILL)");
    send_signal(&target, "TERM");
    assert_eq!(engine.child.wait().unwrap().code(), Some(0), "{}", engine.log());
    engine.wait_for_writer();
    assert_eq!(query(&folder.database(), "SELECT tick FROM world"), field(&engine.log(), "tick"));
}

#[test]
fn as_process_one_it_ends_at_once_while_it_loads() {
    let Some(preload) = Preload::new().filter(|_| may_have_process_one()) else { return };
    let (folder, database, command) = loading(&preload);
    let mut engine = Engine::begin(by_way_of("unshare", &AS_PROCESS_ONE, &command).current_dir(folder.join(".")));
    wait_for("a part of it", || entities_so_far(&engine).filter(|number| *number > 0));
    let [process] = children(engine.child.id())[..] else { panic!("one child") };
    send_signal(&process.to_string(), "TERM");
    assert_eq!(engine.child.wait().unwrap().code(), Some(143));
    engine.wait_for_writer();
    assert_eq!(fs::read(folder.database()).unwrap(), database);
}
