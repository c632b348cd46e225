//! The load: keep-alive connections with one outstanding request each, from one thread that never rests.
//!
//! It looks at no more of an answer than at its code and its length, and takes the time once for each, so that it costs
//! less than any server that it measures.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aqevia_engine::clock::monotonic;
use aqevia_engine::sys::{Poller, Readiness, Token};

use crate::process::{Core, Helper, pin};
use crate::support::PATIENCE;

/// How long a load runs before anything counts.
pub const WARM_UP: Duration = Duration::from_millis(200);

/// What a load has measured.
#[derive(Clone, Copy)]
pub struct Load {
    pub requests_per_second: f64,
    /// Seconds within which 99 of 100 answers were there.
    pub p99: f64,
}

/// Puts a load on a server from a process of its own.
pub fn load(address: SocketAddr, path: &str, connections: usize, measured: Duration) -> Load {
    let (connections, milliseconds) = (connections.to_string(), measured.as_millis().to_string());
    let helper = Helper::spawn("client", &[&address.to_string(), path, &connections, &milliseconds]);
    pin(helper.id(), Core::Client);
    let text = helper.end();
    let (rate, p99) = text.trim_end().split_once(' ').unwrap();
    Load { requests_per_second: rate.parse().unwrap(), p99: p99.parse().unwrap() }
}

/// One request and its answer on a connection that stays open.
pub fn ask_for_health(stream: &mut TcpStream) {
    let mut answer = [0; 4_096];
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n").unwrap();
    let count = stream.read(&mut answer).unwrap();
    assert!(answer[..count].ends_with(b"{\"status\":\"ok\"}"));
}

struct Connection {
    stream: TcpStream,
    asked_at: Instant,
    /// Bytes of the present answer that have not come yet; 0 before its first ones.
    missing: usize,
}

/// The process: `client ADDRESS PATH CONNECTIONS MILLISECONDS`.
pub fn run(arguments: &[String]) {
    let [address, path, connections, milliseconds] = arguments else { panic!("{arguments:?}") };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
    let mut connections: Vec<Connection> = (0..connections.parse().unwrap()).map(|_| connect(address)).collect();
    let (mut poller, mut ready) = (Poller::new().unwrap(), Vec::new());
    for (number, connection) in connections.iter().enumerate() {
        let token = Token(number as u64);
        poller.watch(&connection.stream, token, true, false).unwrap();
    }
    // Set once: a timer that is set anew for each wait would cost more than the wait.
    let give_up = monotonic().after(PATIENCE + WARM_UP + Duration::from_millis(milliseconds.parse().unwrap()));

    let (mut buffer, mut shape) = (vec![0; 64 * 1024], Shape::default());
    let mut latencies: Vec<Duration> = Vec::with_capacity(1_000_000);
    let (mut now, mut begun, mut is_warm) = (Instant::now(), Instant::now() + WARM_UP, false);
    let end = begun + Duration::from_millis(milliseconds.parse().unwrap());
    connections.iter_mut().for_each(|connection| ask(connection, &request, now));
    while now < end {
        poller.wait(Some(give_up), monotonic(), &mut ready).unwrap();
        assert!(!ready.is_empty(), "the server does not answer");
        for token in &ready {
            let connection = &mut connections[token.0 as usize];
            if is_answered(connection, &mut buffer, &mut shape) {
                now = Instant::now();
                latencies.push(now - connection.asked_at);
                ask(connection, &request, now);
            }
        }
        if !is_warm && now >= begun {
            (is_warm, begun) = (true, now);
            latencies.clear();
        }
    }
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100].as_secs_f64();
    println!("{} {p99}", latencies.len() as f64 / (now - begun).as_secs_f64());
}

fn connect(address: &str) -> Connection {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    Connection { stream, asked_at: Instant::now(), missing: 0 }
}

fn ask(connection: &mut Connection, request: &[u8], now: Instant) {
    connection.asked_at = now;
    assert_eq!(connection.stream.write(request).unwrap(), request.len());
}

/// Reads once; true if the answer is whole now.
fn is_answered(connection: &mut Connection, buffer: &mut [u8], shape: &mut Shape) -> bool {
    let count = match connection.stream.read(buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
        count => count.unwrap(),
    };
    let expected = if connection.missing > 0 { connection.missing } else { shape.length(&buffer[..count]) };
    assert!(0 < count && count <= expected, "the server has closed the connection or answers what nobody asked");
    connection.missing = expected - count;
    connection.missing == 0
}

/// Where things stand in the answers of a server: mostly in the same places as in the last one.
#[derive(Default)]
struct Shape {
    length_at: usize,
    body_at: usize,
}

impl Shape {
    /// Bytes of a whole answer, of which the head is here.
    fn length(&mut self, answer: &[u8]) -> usize {
        const FIELD: &[u8] = b"\r\nContent-Length: ";
        const END: &[u8] = b"\r\n\r\n";
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(answer));
        let find = |what: &[u8], at: usize| match answer.get(at..at + what.len()) {
            Some(there) if there == what => at,
            _ => answer.windows(what.len()).position(|window| window == what).unwrap(),
        };
        self.length_at = find(FIELD, self.length_at);
        self.body_at = find(END, self.body_at);
        let digits = answer[self.length_at + FIELD.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        self.body_at + END.len() + digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
    }
}
