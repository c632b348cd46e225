//! The yardstick for loops: wakes at every tick and does nothing then, reads whatever comes and answers the same bytes
//! to it, without parsing. It shows what epoll(7), the sockets and this machine cost by themselves.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use aqevia_engine::clock::monotonic;
use aqevia_engine::metrics::{Exposition, Histogram};
use aqevia_engine::sys::{Poller, Readiness, Token};

use crate::process::{Core, Helper, pin};

/// The name under which it tells how late its ticks were.
pub const LATENESS: &str = "lateness";

/// The numbers of its standard input and its listener; those of clients count from 0.
const STDIN: u64 = u32::MAX as u64;
const LISTENER: u64 = STDIN - 1;

/// A bare loop in a process of its own.
pub struct Bare {
    pub helper: Helper,
    pub address: SocketAddr,
}

impl Bare {
    /// Answers the content of the file `answer`.
    pub fn start(answer: &Path, tick_ms: u64) -> Bare {
        let mut helper = Helper::spawn("bare", &[answer.to_str().unwrap(), &tick_ms.to_string()]);
        pin(helper.id(), Core::Server);
        let address = helper.line().parse().unwrap();
        Bare { helper, address }
    }
}

/// The process: `bare ANSWER TICK_MS`. Ends with its standard input, and then tells how late its ticks were.
pub fn run(arguments: &[String]) {
    let answer = fs::read(&arguments[0]).unwrap();
    let interval = Duration::from_millis(arguments[1].parse().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    println!("{}", listener.local_addr().unwrap());

    let (mut poller, mut ready) = (Poller::new().unwrap(), Vec::new());
    poller.watch(&io::stdin(), token(STDIN), true, false).unwrap();
    poller.watch(&listener, token(LISTENER), true, false).unwrap();
    // By their number, which is never given to another; who is gone leaves its place empty.
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let (mut lateness, mut buffer) = (Histogram::default(), [0; 8 * 1024]);
    let mut next = monotonic().after(interval);
    while !ready.contains(&token(STDIN)) {
        poller.wait(Some(next), monotonic(), &mut ready).unwrap();
        for number in ready.iter().map(|token| token.0).filter(|number| *number < LISTENER) {
            let client = &mut clients[number as usize];
            *client = client.take().filter(|stream| serve(stream, &mut buffer, &answer));
        }
        let now = monotonic();
        if now >= next {
            lateness.observe(now.since(next));
            next = next.after(interval);
        }
        if ready.contains(&token(LISTENER)) {
            while let Some(stream) = accept(&listener) {
                poller.watch(&stream, token(clients.len() as u64), true, false).unwrap();
                clients.push(Some(stream));
            }
        }
    }
    let mut text = Exposition::default();
    text.histogram(LATENESS, "How late ticks began.", &lateness);
    print!("{}", text.0);
}

fn token(number: u64) -> Token {
    Token(number)
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    Some(stream)
}

/// Answers whatever has come; false if nothing more will.
fn serve(mut client: &TcpStream, buffer: &mut [u8], answer: &[u8]) -> bool {
    match client.read(buffer) {
        Ok(0) => false,
        Ok(_) => client.write(answer).is_ok_and(|count| count == answer.len()),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
