//! The yardstick for loops: wakes at every tick and does nothing then, reads whatever comes and answers the same bytes
//! to it, without parsing. It shows what poll(2), the sockets and this machine cost by themselves.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use aqevia_engine::metrics::{Exposition, Histogram};
use aqevia_engine::sys::{self, PollFd};

use crate::process::{Core, Helper, pin};

/// The name under which it tells how late its ticks were.
pub const LATENESS: &str = "lateness";

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

    let (mut clients, mut lateness, mut buffer) = (Vec::new(), Histogram::default(), [0; 8 * 1024]);
    let mut descriptors = vec![PollFd::new(&io::stdin(), true, false), PollFd::new(&listener, true, false)];
    let mut next = Instant::now() + interval;
    while !descriptors[0].readable() {
        sys::poll(&mut descriptors, Some(next.saturating_duration_since(Instant::now()))).unwrap();
        let before = clients.len();
        let mut ready = descriptors[2..].iter();
        clients.retain_mut(|client| !ready.next().is_some_and(PollFd::readable) || serve(client, &mut buffer, &answer));
        let now = Instant::now();
        if now >= next {
            lateness.observe(now - next);
            next += interval;
        }
        if descriptors[1].readable() {
            clients.extend(std::iter::from_fn(|| accept(&listener)));
        }
        if clients.len() != before {
            descriptors.truncate(2);
            descriptors.extend(clients.iter().map(|client| PollFd::new(client, true, false)));
        }
    }
    let mut text = Exposition::default();
    text.histogram(LATENESS, "How late ticks began.", &lateness);
    print!("{}", text.0);
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    Some(stream)
}

/// Answers whatever has come; false if nothing more will.
fn serve(client: &mut TcpStream, buffer: &mut [u8], answer: &[u8]) -> bool {
    match client.read(buffer) {
        Ok(0) => false,
        Ok(_) => client.write(answer).is_ok_and(|count| count == answer.len()),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
