//! HTTP from outside: what clients get, however many they are. What a single one may send: `vectors.rs`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::limits::HTTP_CONNECTIONS_MAX;
use aqevia_engine::sys;

use crate::support::{Engine, Folder, PATIENCE, json, skip, wait_for};

#[test]
fn every_path_answers_as_designed() {
    let engine_folder = Folder::new();
    let engine = Engine::start(&engine_folder);
    assert_eq!(engine.get("/health"), (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(engine.get("/ready"), (200, r#"{"status":"ready"}"#.to_owned()));
    let page = engine.send("GET / HTTP/1.0\r\n\r\n");
    let (head, page) = page.split_once("\r\n\r\n").unwrap();
    for field in [
        "HTTP/1.1 200 OK\r\n",
        "\r\nContent-Security-Policy: default-src 'none'; script-src 'sha256-",
        "\r\nReferrer-Policy: no-referrer\r\n",
        "\r\nX-Frame-Options: DENY\r\n",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    // All of it is in it: nothing is asked of anybody but this engine.
    assert!(page.contains("href=\"status\"") && !page.contains(" src=") && !page.contains("@import"));
    assert_eq!(page.matches("://").count(), 1, "the name of SVG");
    let map = engine.get("/map");
    assert_eq!((map.0, json(&map.1, "$.rooms_total"), json(&map.1, "$.rooms[0].id")), (200, "26".into(), "1".into()));
    wait_for("a flush", || (engine.status_number("$.storage.flush_count") > 0).then_some(()));
    engine.wait_for_tick(10);
    let (code, status) = engine.get("/status");
    assert_eq!(code, 200);
    let version = include_str!("../../VERSION").trim();
    for (path, expected) in [
        ("$.version", version),
        ("$.ready", "1"),
        ("$.world.id", "saltmarsh"),
        ("$.world.players_online", "0"),
        ("$.storage.backend", "sqlite"),
        ("$.storage.last_error", ""),
        ("$.loop.tick_interval_ms", "10"),
        ("$.loop.http_connections", "1"),
        ("$.unready", ""),
        ("$.storage.flush_failures", "0"),
        ("$.storage.last_flush.trigger", "interval"),
        ("$.loop.sessions", "0"),
        ("$.loop.connections.http", "1"),
        ("$.loop.connections.telnet", "0"),
        ("$.loop.connections.control", "0"),
    ] {
        assert_eq!(json(&status, path), expected, "{path} in {status}");
    }
    for path in ["uptime_seconds", "world.rooms", "world.time", "world.weather", "storage.pending_records"] {
        assert!(!json(&status, &format!("$.{path}")).is_empty(), "{path} in {status}");
    }
    let measured = |path: &str| json(&status, path).parse::<f64>().unwrap();
    assert!(measured("$.storage.last_flush.records") >= 1.0 && measured("$.loop.ticks") >= 10.0);
    let (whole, commit) = (measured("$.storage.last_flush.duration_ms"), measured("$.storage.last_flush.commit_ms"));
    assert!(0.0 < commit && commit < whole && whole < PATIENCE.as_millis() as f64, "{commit} of {whole}");
    assert!((1e6..1e9).contains(&measured("$.loop.resident_memory_bytes")), "{status}");
    // From the second of the first tick on.
    let first = json(&status, "$.loop.lateness_ms[0]").parse::<u64>();
    assert!(first.is_ok() && json(&status, "$.loop.lateness_ms[100]").is_empty(), "{status}");
}

#[test]
fn promtool_finds_nothing_in_the_metrics() {
    let folder = Folder::new();
    let engine = Engine::start_with(&folder, &[("PERSIST_BATCH_CAPACITY", "1")]);
    engine.get("/nope");
    engine.send("x\r\n");
    engine.wait_for_tick(20);
    let (_, metrics) = engine.get("/metrics");
    for name in [
        "aqevia_build_info{version=",
        "aqevia_ready 1",
        "aqevia_ticks_total ",
        "aqevia_tick_duration_seconds_bucket{le=\"0.001\"}",
        "aqevia_flushes_total{trigger=\"capacity\",outcome=\"success\"}",
        "aqevia_http_requests_total{path=\"other\",code=\"404\"} 1",
        "aqevia_http_rejects_total{reason=\"request_line\"} 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_max_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        skip("promtool (Debian package prometheus) is not installed");
        return;
    };
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn pipelined_requests_are_all_answered_in_their_order() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    // More than one turn's worth, and answers far larger than the output buffer, so that both bounds are met.
    const COUNT: usize = 3_000;
    let mut stream = engine.connect();
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        for index in 0..COUNT {
            let path = ["/health", "/metrics", "/nope"][index % 3];
            write!(writer, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answers = BufReader::new(&mut stream);
    for index in 0..COUNT {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert_eq!(&line[..12], ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 404"][index % 3], "answer {index}");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line).unwrap();
            length = line.strip_prefix("Content-Length: ").map_or(length, |value| value.trim().parse().unwrap());
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body).unwrap();
        assert_eq!(index % 3 == 1, body.starts_with(b"# HELP"), "answer {index}");
    }
    let mut rest = Vec::new();
    answers.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    sender.join().unwrap();
    assert!(engine.metric("aqevia_http_limits_total{limit=\"output\"}") > 0.0);
}

#[test]
fn requests_in_pieces_half_closed_or_abandoned_do_no_harm() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let request = b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n";
    let mut stream = engine.connect();
    for byte in request {
        stream.write_all(&[*byte]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    let abandoned: Vec<_> = (0..10).map(|_| engine.connect()).collect();
    abandoned.iter().for_each(|mut stream| stream.write_all(&request[..20]).unwrap());
    drop(abandoned);
    wait_for("abandoned connections to be closed", || {
        (engine.status_number("$.loop.http_connections") == 1).then_some(())
    });
}

#[test]
fn a_health_check_gets_through_a_full_table() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    // As many descriptors are needed on this side.
    sys::raise_descriptors_max(4_096).unwrap();
    let idle: Vec<_> = (0..HTTP_CONNECTIONS_MAX + 50).map(|_| engine.connect()).collect();
    let full = HTTP_CONNECTIONS_MAX as u64;
    wait_for("the table to be full", || (engine.status_number("$.loop.http_connections") == full).then_some(()));
    assert_eq!(engine.get("/health").0, 200);
    assert!(engine.metric("aqevia_http_evictions_total") >= 50.0);
    drop(idle);
    wait_for("the table to be empty", || (engine.status_number("$.loop.http_connections") == 1).then_some(()));
}

#[test]
fn a_flood_of_pipelined_requests_does_not_stop_the_world() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    // HEAD has no body, so the output never fills up; metrics cost the most.
    let requests = "HEAD /metrics HTTP/1.1\r\nHost: t\r\n\r\n".repeat(200);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut streams: Vec<_> = (0..16).map(|_| engine.connect()).collect();
                let mut answers = vec![0; 1 << 20];
                while !stop.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                    for stream in &mut streams {
                        stream.write_all(requests.as_bytes()).unwrap();
                        assert!(stream.read(&mut answers).unwrap() > 0);
                    }
                }
            });
        }
        let limit = || engine.metric("aqevia_http_limits_total{limit=\"answers_per_turn\"}");
        wait_for("a turn to be full", || (limit() > 0.0).then_some(()));
        let tick = engine.status_number("$.world.tick");
        engine.wait_for_tick(tick + 50);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(engine.get("/health").0, 200);
}

#[test]
fn many_clients_at_once_are_all_served() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(engine.get("/ready").0, 200)));
        }
    });
    assert_eq!(engine.metric("aqevia_http_requests_total{path=\"/ready\",code=\"200\"}"), 200.0);
}

/// Asks again and again, each time on a new connection, until nobody listens; how often. Whoever was let in and has
/// asked must get a whole answer.
fn ask_on_new_connections(engine: &Engine, asked: &AtomicU32) {
    while let Ok(mut stream) = TcpStream::connect_timeout(&engine.address, Duration::from_millis(500)) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"status\":\"ok\"}"), "{answer:?}");
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks again and again on one connection, until an answer says that it is the last one.
fn ask_on_one_connection(engine: &Engine) {
    let mut stream = engine.connect();
    let mut answer = String::new();
    while !answer.contains("\r\nConnection: close\r\n") {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        answer.clear();
        while !answer.ends_with("{\"status\":\"ok\"}") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "{answer:?}");
            answer += str::from_utf8(&buffer[..count]).unwrap();
        }
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn whoever_asks_in_the_moment_of_a_stop_gets_a_whole_answer() {
    for _ in 0..5 {
        let folder = Folder::new();
        let engine = Engine::start(&folder);
        let asked = AtomicU32::new(0);
        thread::scope(|scope| {
            (0..8).for_each(|_| _ = scope.spawn(|| ask_on_new_connections(&engine, &asked)));
            (0..4).for_each(|_| _ = scope.spawn(|| ask_on_one_connection(&engine)));
            wait_for("many to have asked", || (asked.load(Ordering::Relaxed) > 200).then_some(()));
            engine.signal("TERM");
        });
        engine.stop();
    }
}

#[test]
fn among_thousands_of_connections_a_second_who_asks_a_moment_later_gets_in() {
    const TRIES: usize = 20;
    sys::raise_descriptors_max(4_096).unwrap();
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let (served, tried) = (AtomicU32::new(0), AtomicU32::new(0));
    let is_over = || tried.load(Ordering::Relaxed) == TRIES as u32;
    let flood = || {
        let mut streams = VecDeque::new();
        while !is_over() {
            // Together some 4,000 a second. One that finds no room to wait in comes to nothing.
            for _ in 0..2 {
                let stream = TcpStream::connect_timeout(&engine.address, Duration::from_millis(20));
                streams.extend(stream);
            }
            streams.drain(..streams.len().saturating_sub(600));
            thread::sleep(Duration::from_millis(1));
        }
    };
    let attempt = || {
        let mut stream = TcpStream::connect(engine.address).ok()?;
        thread::sleep(Duration::from_millis(100));
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.ends_with("{\"status\":\"ok\"}").then_some(())
    };
    thread::scope(|scope| {
        (0..2).for_each(|_| _ = scope.spawn(flood));
        wait_for("the table to be full", || (engine.metric("aqevia_http_evictions_total") > 500.0).then_some(()));
        for _ in 0..TRIES {
            scope.spawn(|| {
                let gets_in = (0..3).any(|_| attempt().is_some());
                served.fetch_add(u32::from(gets_in), Ordering::Relaxed);
                tried.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    // What is promised is more; a machine that is busy with other tests may be slow to send a request.
    assert!(served.load(Ordering::Relaxed) >= TRIES as u32 / 2, "{served:?} of {TRIES}");
}
