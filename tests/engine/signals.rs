//! Signals: each that would end the engine ends it well, and each command can be stopped, as process 1 of a container too.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use crate::support::{Engine, Folder, by_way_of, command, query, send_signal, skip, wait_for};

#[test]
fn every_signal_that_would_end_it_ends_it_well() {
    let first = libc::SIGRTMIN();
    let signals = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGSTKFLT, "SIGSTKFLT"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGVTALRM, "SIGVTALRM"),
        (libc::SIGPROF, "SIGPROF"),
        (libc::SIGIO, "SIGIO"),
        (libc::SIGPWR, "SIGPWR"),
        (first, "SIGRTMIN+0"),
        (libc::SIGRTMAX(), &format!("SIGRTMIN+{}", libc::SIGRTMAX() - first)),
    ];
    for (number, name) in signals {
        let folder = Folder::new();
        // Whatever the shell ignores that runs the tests.
        let mut command = by_way_of("env", &["--default-signal"], &command(&folder, &[]));
        let engine = Engine::spawn(command.env("PERSIST_FLUSH_INTERVAL_MS", "3600000"));
        let (status, log) = engine.end(&number.to_string());
        assert_eq!(status.code(), Some(0), "{name}: {log}");
        let tick = query(&folder.database(), "SELECT tick FROM world");
        assert!(log.contains(&format!("msg=stopping signal={name}\n")), "{name}: {log}");
        assert!(log.contains(&format!("msg=stopped tick={tick}\n")), "{name}: {log}");
    }
}

/// What makes a command process 1 of a namespace of its own.
pub const AS_PROCESS_ONE: [&str; 4] = ["--map-root-user", "--pid", "--fork", "--kill-child"];

/// Whether that can be done here.
pub fn may_have_process_one() -> bool {
    let probe = Command::new("unshare").args(AS_PROCESS_ONE).arg("true").output();
    let may = probe.is_ok_and(|output| output.status.success());
    if !may {
        skip("unshare(1) may not make a namespace of processes here");
    }
    may
}

/// A command as process 1 of a container, and its number outside.
fn as_process_one(command: &Command, folder: &Folder) -> (Child, String) {
    let mut unshare = by_way_of("unshare", &AS_PROCESS_ONE, command);
    let child = unshare.current_dir(folder.join(".")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    let inner = wait_for("the command to begin", || {
        fs::read_to_string(&path).ok().and_then(|text| Some(text.split_whitespace().next()?.to_owned()))
    });
    (child, inner)
}

#[test]
fn every_command_can_be_stopped_also_as_process_one() {
    if !may_have_process_one() {
        return;
    }
    let folder = Folder::new();
    // With a write-ahead log, which nobody can read past whoever has the database to himself: all wait for a while, as a
    // health check does for its answer.
    let engine = Engine::start(&folder);
    wait_for("a flush", || (engine.status_number("$.storage.flush_count") > 0).then_some(()));
    engine.kill();
    let other = Connection::open(folder.database()).unwrap();
    let hold = "PRAGMA locking_mode=EXCLUSIVE; BEGIN; CREATE TABLE theirs (a); COMMIT; BEGIN EXCLUSIVE";
    other.execute_batch(hold).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // And the engine itself, before it runs.
    for arguments in [&[][..], &["check", "storage.sqlite"], &["backup", "copy"], &["export"], &["healthcheck"]] {
        for (signal, code) in [("TERM", 143), ("INT", 130), ("QUIT", 131)] {
            let mut command = by_way_of("env", &["--default-signal"], &command(&folder, arguments));
            if arguments == ["healthcheck"] {
                command.env("AQEVIA_OBSERVABILITY_ADDR", silent.local_addr().unwrap().to_string());
            }
            let (mut child, inner) = as_process_one(&command, &folder);
            // Its handler is in place.
            let caught = || {
                let status = fs::read_to_string(format!("/proc/{inner}/status")).ok()?;
                let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"))?.to_owned();
                Some(u64::from_str_radix(&mask, 16).unwrap() & 1 << (libc::SIGTERM - 1) != 0)
            };
            wait_for("signals to be handled", || (caught() == Some(true)).then_some(()));
            send_signal(&inner, signal);
            assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?} {signal}");
        }
    }
}
