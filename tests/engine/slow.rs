//! Clients that are slow, deaf, idle or too many: all the while a health check is answered and the world ticks in time.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::limits::HTTP_CONNECTIONS_MAX;
use aqevia_engine::sys;

use crate::support::{Engine, Folder, skip};

const LOAD: Duration = Duration::from_secs(10);
/// Many times what an answer takes, so that only an engine that is held up is slower, no machine that is merely busy.
pub const PROMPT: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);
/// Who waits so long in all for a core to run on is late for that, and not for what its clients do.
pub const STARVED: Duration = Duration::from_millis(500);

/// One way to be a burden, step by step: what clients do in one step with the connections they have.
struct Load {
    name: &'static str,
    step: fn(SocketAddr, &mut VecDeque<TcpStream>),
    /// What /metrics counts once it is a burden indeed.
    counted: &'static str,
}

const LOADS: [Load; 4] = [
    Load { name: "drip-fed heads", step: drip, counted: "aqevia_http_limits_total{limit=\"head_deadline\"}" },
    Load { name: "unread answers", step: ask_and_not_read, counted: "aqevia_http_limits_total{limit=\"output\"}" },
    Load { name: "idle connections", step: fill_the_table, counted: "aqevia_http_evictions_total" },
    Load { name: "too many connections", step: come_and_go, counted: "aqevia_http_evictions_total" },
];

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Sends `bytes` on each connection, as much as is taken. One that the engine has closed is given up.
fn send(streams: &mut VecDeque<TcpStream>, bytes: &[u8]) {
    streams.retain_mut(|stream| !stream.write(bytes).is_err_and(|error| error.kind() != ErrorKind::WouldBlock));
}

fn top_up(streams: &mut VecDeque<TcpStream>, count: usize, new: impl Fn() -> TcpStream) {
    streams.resize_with(count.max(streams.len()), new);
}

fn drip(address: SocketAddr, streams: &mut VecDeque<TcpStream>) {
    send(streams, b"x");
    top_up(streams, 100, || {
        let mut stream = connect(address);
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: test\r\nX: ").unwrap();
        stream
    });
}

fn ask_and_not_read(address: SocketAddr, streams: &mut VecDeque<TcpStream>) {
    // One more at a time: a test that all come at once would be one of how fast answers are made.
    top_up(streams, 40.min(streams.len() + 1), || connect(address));
    send(streams, &b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50));
}

fn fill_the_table(address: SocketAddr, streams: &mut VecDeque<TcpStream>) {
    streams.retain(|stream| stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    top_up(streams, HTTP_CONNECTIONS_MAX, || connect(address));
}

fn come_and_go(address: SocketAddr, streams: &mut VecDeque<TcpStream>) {
    for _ in 0..60 {
        streams.push_back(connect(address));
    }
    // The newest only: a test that thousands ask at once would be one of how fast answers are made.
    for stream in streams.iter_mut().rev().take(200) {
        let _ = stream.write(b"GET /status HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    while streams.len() > HTTP_CONNECTIONS_MAX + 20 {
        streams.pop_front();
    }
}

/// What was late, and for how long the engine waited for a core.
struct Late {
    what: String,
    waited: Duration,
}

/// Runs an engine under a load; tells what was late.
fn bear(load: &Load) -> Result<(), Late> {
    let folder = Folder::new();
    // The usual pace, because a histogram has a bucket that ends at its interval; no flush, because a disk that is slow
    // just now is no client's doing.
    let variables = [
        ("AQEVIA_TICK_INTERVAL_MS", "100"),
        ("PERSIST_FLUSH_INTERVAL_MS", "3600000"),
        ("PERSIST_BATCH_CAPACITY", "1000000"),
    ];
    let engine = Engine::start_with(&folder, &variables);
    let end = Instant::now() + LOAD;
    let slowest = thread::scope(|scope| {
        scope.spawn(|| {
            let mut streams = VecDeque::new();
            while Instant::now() < end {
                (load.step)(engine.address, &mut streams);
                thread::sleep(STEP);
            }
        });
        let mut slowest = Duration::ZERO;
        while Instant::now() < end {
            let begun = Instant::now();
            assert_eq!(engine.get("/health").0, 200, "{}", load.name);
            slowest = slowest.max(begun.elapsed());
            thread::sleep(STEP);
        }
        slowest
    });
    assert!(engine.metric(load.counted) > 0.0, "{}: no burden", load.name);
    let lateness = |which: &str| engine.metric(&format!("aqevia_tick_lateness_seconds_{which}"));
    let late = lateness("count") - lateness("bucket{le=\"0.1\"}");
    let skipped = engine.metric("aqevia_ticks_skipped_total");
    let (name, tick) = (load.name, engine.status_number("$.world.tick"));
    if slowest < PROMPT && late == 0.0 && skipped == 0.0 {
        return Ok(());
    }
    let what =
        format!("{name}: /health took {slowest:?} at most, {late} of {tick} ticks were late, {skipped} left out");
    Err(Late { what, waited: engine.waited_for_a_core() })
}

#[test]
fn no_client_holds_up_a_health_check_or_the_world() {
    sys::raise_descriptors_max(4_096).unwrap();
    thread::scope(|scope| {
        for load in &LOADS {
            scope.spawn(|| {
                // A machine that stands still for a moment makes anybody late. An engine at fault is so each time.
                let late: Vec<Late> = (0..3).map_while(|_| bear(load).err()).collect();
                if late.len() == 3 && late.iter().all(|late| late.waited > STARVED) {
                    skip(&format!("this machine is too busy to tell who makes an engine late: {}", late[0].what));
                } else {
                    assert!(late.len() < 3, "{:#?}", late.iter().map(|late| &late.what).collect::<Vec<_>>());
                }
            });
        }
    });
}
