//! Deadlines of HTTP connections, with real sockets and a clock that is moved by hand.

use std::cell::{LazyCell, OnceCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use aqevia_engine::clock::{self, Monotonic, Wall};
use aqevia_engine::http::map::Map;
use aqevia_engine::http::server::Server;
use aqevia_engine::http::{PeopleView, Snapshot, StorageView};
use aqevia_engine::limits::{
    HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX, HTTP_OUTPUT_BYTES_HIGH, HTTP_WRITE_MS_MAX, LINGER_MS_MAX,
};
use aqevia_engine::metrics::Metrics;
use aqevia_engine::net::{Net, connection};
use aqevia_engine::storage::worldfile;
use aqevia_engine::sys;
use aqevia_engine::sys::{Poller, Token};
use aqevia_engine::world::World;

use crate::support::{PATIENCE, SMALL_WORLD};

/// A server whose turns are taken one by one.
struct Stand {
    server: Server,
    net: Net<TcpListener>,
    address: SocketAddr,
    poller: Poller,
    world: World,
    metrics: Metrics,
    map: Map,
    now: Monotonic,
}

impl Stand {
    fn new() -> Stand {
        let mut poller = Poller::new().unwrap();
        let mut net = Net::new(256, 1);
        let listener = connection::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::open(listener, 256, &mut net, &mut poller).unwrap();
        let world = worldfile::read(SMALL_WORLD, 1).unwrap();
        Stand {
            server,
            net,
            address,
            poller,
            world,
            metrics: Metrics::default(),
            map: Map::default(),
            now: Monotonic::default(),
        }
    }

    /// Lets time pass, then takes turns until nothing comes in any more.
    fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
        for turn in 0.. {
            assert!(turn < 10_000, "it does not come to rest");
            let (mut ready, now) = (Vec::new(), clock::monotonic());
            self.poller.wait(Some(now.after(Duration::from_millis(20))), now, &mut ready).unwrap();
            self.turn(&ready);
            if ready.is_empty() {
                return;
            }
        }
    }

    fn turn(&mut self, ready: &[Token]) {
        let snapshot = Snapshot {
            wall: Wall(Duration::ZERO),
            started: Wall(Duration::ZERO),
            now: self.now,
            uptime: Duration::ZERO,
            world: Some(&self.world),
            storage: StorageView::default(),
            people: PeopleView::default(),
            tick_interval: Duration::ZERO,
            metrics: &self.metrics,
            log_lines_dropped: 0,
            map: &self.map,
            usage: LazyCell::new(sys::usage),
            status: OnceCell::new(),
            exposition: OnceCell::new(),
        };
        self.net.hear(ready, self.now);
        self.server.serve(&mut self.net, self.now, snapshot.wall, &mut &snapshot);
        self.net.send(self.now, &mut self.poller);
    }

    fn connect(&mut self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.pass(0);
        stream
    }

    /// How often a limit was reached, as /metrics tells.
    fn limit(&mut self, name: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        self.pass(0);
        let answer = read_to_end(&mut stream);
        let line = answer.lines().find(|line| line.contains(&format!("limit=\"{name}\""))).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().to_owned()
    }
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return String::from_utf8(bytes).unwrap(),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return String::from_utf8(bytes).unwrap(),
            Err(error) => panic!("{error} after {bytes:?}"),
        }
    }
}

#[test]
fn who_sends_nothing_is_closed_without_a_word() {
    let mut stand = Stand::new();
    let mut silent = stand.connect();
    stand.pass(HTTP_IDLE_MS_MAX - 1);
    assert!(is_open(&silent));
    stand.pass(1);
    assert_eq!(read_to_end(&mut silent), "");
    assert_eq!(stand.limit("idle"), "1");
}

#[test]
fn an_answered_request_begins_a_new_idle_time() {
    let mut stand = Stand::new();
    let mut client = stand.connect();
    for _ in 0..3 {
        stand.pass(HTTP_IDLE_MS_MAX - 1);
        client.write_all(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        stand.pass(0);
        let mut answer = [0; 4096];
        let count = client.read(&mut answer).unwrap();
        assert!(answer[..count].ends_with(b"{\"status\":\"ok\"}"));
    }
    stand.pass(HTTP_IDLE_MS_MAX);
    assert_eq!(read_to_end(&mut client), "");
}

#[test]
fn dripping_bytes_buy_no_time_and_an_overdue_head_is_told() {
    let mut stand = Stand::new();
    let mut slow = stand.connect();
    stand.pass(20_000);
    // The time of a head runs from its own first byte.
    for _ in 0..HTTP_HEAD_MS_MAX / 1_000 {
        slow.write_all(b"G").unwrap();
        stand.pass(0);
        stand.pass(999);
    }
    assert!(is_open(&slow));
    stand.pass(HTTP_HEAD_MS_MAX / 1_000);
    let answer = read_to_end(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(stand.limit("head_deadline"), "1");
}

#[test]
fn after_its_last_answer_a_peer_may_go_on_sending_for_a_moment_only() {
    let mut stand = Stand::new();
    let mut client = stand.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n").unwrap();
    stand.pass(0);
    for _ in 0..9 {
        client.write_all(&[b'x'; 1000]).unwrap();
        stand.pass(LINGER_MS_MAX / 10);
    }
    assert_eq!(stand.limit("linger"), "0");
    stand.pass(LINGER_MS_MAX / 10);
    assert_eq!(stand.limit("linger"), "1");
    assert!(read_to_end(&mut client).starts_with("HTTP/1.1 405 "));
}

#[test]
fn who_does_not_take_answers_is_neither_read_on_nor_kept() {
    let mut stand = Stand::new();
    let mut deaf = stand.connect();
    deaf.set_nonblocking(true).unwrap();
    let requests = b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n".repeat(100);
    // Until the engine takes no more, because the kernel takes no more from the engine.
    let mut refused = 0;
    while refused < 5 {
        refused = if deaf.write(&requests).is_ok() { 0 } else { refused + 1 };
        stand.pass(0);
    }
    assert_ne!(stand.limit("output"), "0");
    stand.pass(HTTP_WRITE_MS_MAX - 1);
    assert_eq!(stand.limit("write_deadline"), "0");
    stand.pass(1);
    assert_eq!(stand.limit("write_deadline"), "1");
    deaf.set_nonblocking(false).unwrap();
    let taken = read_to_end(&mut deaf).len();
    assert!(taken > HTTP_OUTPUT_BYTES_HIGH, "{taken}");
}

#[test]
fn who_ends_its_side_or_breaks_off_wakes_nobody_over_and_over() {
    let mut stand = Stand::new();
    let [mut deaf, lost] = std::array::from_fn(|_| stand.connect());
    deaf.write_all(&b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n".repeat(400)).unwrap();
    stand.pass(0);
    // Its answers still wait.
    assert_ne!(stand.limit("output"), "0");
    deaf.shutdown(Shutdown::Write).unwrap();
    // What comes and is not read makes closing a reset.
    (&lost).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    stand.pass(0);
    drop(lost);
    stand.pass(0);
    let (mut ready, now) = (Vec::new(), clock::monotonic());
    let until = now.after(Duration::from_millis(20));
    stand.poller.wait(Some(until), now, &mut ready).unwrap();
    assert!(ready.is_empty() && clock::monotonic() >= until, "{ready:?}");
    stand.pass(HTTP_WRITE_MS_MAX);
    assert_eq!(stand.limit("write_deadline"), "1");
}
