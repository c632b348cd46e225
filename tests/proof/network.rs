//! A network in memory: streams that are cut, stall and break wherever their owner says, and what tells which of them are
//! ready. No sockets, no waiting. It counts what the server does with it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use aqevia_engine::net::connection::{Listener, Stream};
use aqevia_engine::sys::{Readiness, Token};

/// What lies between a client and the server.
#[derive(Default)]
struct Line {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// How many bytes more the way to the client takes.
    room: usize,
    /// The client sends no more.
    client_ended: bool,
    /// The server sends no more.
    server_ended: bool,
    /// The server has let go of it.
    dropped: bool,
    broken: bool,
}

/// The client's end.
#[derive(Clone)]
pub struct Client(Rc<RefCell<Line>>);

/// The server's end.
pub struct ServerStream {
    line: Rc<RefCell<Line>>,
    name: RawFd,
    peer: Option<IpAddr>,
    calls: Rc<Cell<u64>>,
}

/// Where the server accepts, and what tells it what is ready.
#[derive(Clone, Default)]
pub struct Network {
    exchange: Rc<RefCell<Exchange>>,
    /// The descriptor that the listener claims to have. Descriptors are names here, and nothing else.
    listener: RawFd,
}

#[derive(Default)]
struct Exchange {
    /// Who waits to be accepted, by listener.
    waiting: BTreeMap<RawFd, VecDeque<ServerStream>>,
    lines: BTreeMap<RawFd, Rc<RefCell<Line>>>,
    watched: BTreeMap<RawFd, (Token, bool, bool)>,
    last_name: RawFd,
    /// How often the server has read from a stream, written to one or ended one.
    calls: Rc<Cell<u64>>,
    /// How often it has said what it waits for.
    changes: u64,
    /// Nothing more can be watched.
    is_full: bool,
    /// The number of the error with which nobody can be accepted.
    refusal: Option<i32>,
}

impl Network {
    /// Another listener on the same network.
    pub fn another(&self) -> Network {
        let mut exchange = self.exchange.borrow_mut();
        exchange.last_name += 1;
        Network { exchange: self.exchange.clone(), listener: exchange.last_name }
    }

    /// Connects a client, to which `room` bytes can be sent until it takes them.
    pub fn connect(&self, room: usize) -> Client {
        self.connect_from(None, room)
    }

    /// The same from an address.
    pub fn connect_from(&self, peer: Option<IpAddr>, room: usize) -> Client {
        let mut exchange = self.exchange.borrow_mut();
        exchange.last_name += 1;
        let name = exchange.last_name;
        let line = Rc::new(RefCell::new(Line { room, ..Line::default() }));
        exchange.lines.insert(name, line.clone());
        let calls = exchange.calls.clone();
        let waiting = exchange.waiting.entry(self.listener).or_default();
        waiting.push_back(ServerStream { line: line.clone(), name, peer, calls });
        Client(line)
    }

    /// What is ready, as epoll(7) tells it.
    pub fn ready(&self) -> Vec<Token> {
        let mut exchange = self.exchange.borrow_mut();
        let Exchange { lines, watched, waiting, .. } = &mut *exchange;
        let waits = |name: &RawFd| waiting.get(name).is_some_and(|waiting| !waiting.is_empty());
        // What is closed is not watched any more.
        watched.retain(|name, _| lines.get(name).is_none_or(|line| !line.borrow().dropped));
        lines.retain(|_, line| !line.borrow().dropped);
        let ready = watched.iter().filter_map(|(name, (token, read, write))| {
            let (readable, writable, broken) = lines.get(name).map_or((waits(name), false, false), |line| {
                let line = line.borrow();
                (!line.to_server.is_empty() || line.client_ended, line.room > 0, line.broken)
            });
            (*read && readable || *write && writable || broken).then_some(*token)
        });
        ready.collect()
    }

    /// How often the server has called a stream, and how often it has said what it waits for.
    pub fn counts(&self) -> (u64, u64) {
        let exchange = self.exchange.borrow();
        (exchange.calls.get(), exchange.changes)
    }

    /// From now on nobody can be accepted, for an error of this number, or again.
    pub fn refuse(&self, refusal: Option<i32>) {
        self.exchange.borrow_mut().refusal = refusal;
    }

    /// From now on nothing more can be watched, or again.
    pub fn fill(&self, is_full: bool) {
        self.exchange.borrow_mut().is_full = is_full;
    }
}

impl Readiness for Network {
    fn watch(&mut self, stream: &impl AsRawFd, token: Token, read: bool, write: bool) -> io::Result<()> {
        let mut exchange = self.exchange.borrow_mut();
        exchange.changes += 1;
        let before = exchange.watched.get(&stream.as_raw_fd()).copied();
        if before.is_none() && exchange.is_full {
            return Err(ErrorKind::StorageFull.into());
        }
        let is_news = before.is_none_or(|before| before.0 == token && before != (token, read, write));
        assert!(is_news, "it is watched so already");
        exchange.watched.insert(stream.as_raw_fd(), (token, read, write));
        Ok(())
    }
}

impl Client {
    pub fn send(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_server.extend(bytes);
    }

    /// Takes what has come, and makes as much room again.
    pub fn take(&self) -> Vec<u8> {
        let mut line = self.0.borrow_mut();
        line.room += line.to_client.len();
        std::mem::take(&mut line.to_client)
    }

    pub fn end(&self) {
        self.0.borrow_mut().client_ended = true;
    }

    pub fn break_off(&self) {
        self.0.borrow_mut().broken = true;
    }

    /// Whether no more will come: the server has ended its side or let go.
    pub fn is_over(&self) -> bool {
        let line = self.0.borrow();
        line.server_ended || line.dropped
    }

    /// Whether the server has let go of it.
    pub fn is_forgotten(&self) -> bool {
        self.0.borrow().dropped
    }
}

impl AsRawFd for Network {
    fn as_raw_fd(&self) -> RawFd {
        self.listener
    }
}

impl Listener for Network {
    type Stream = ServerStream;

    fn accept(&self) -> io::Result<ServerStream> {
        let mut exchange = self.exchange.borrow_mut();
        match exchange.refusal {
            Some(number) => Err(io::Error::from_raw_os_error(number)),
            None => {
                let next = exchange.waiting.get_mut(&self.listener).and_then(VecDeque::pop_front);
                next.ok_or(ErrorKind::WouldBlock.into())
            }
        }
    }
}

impl AsRawFd for ServerStream {
    fn as_raw_fd(&self) -> RawFd {
        self.name
    }
}

impl Read for ServerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.update(|calls| calls + 1);
        let mut line = self.line.borrow_mut();
        if line.broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if line.to_server.is_empty() && !line.client_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        line.to_server.read(buffer)
    }
}

impl Write for ServerStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.update(|calls| calls + 1);
        let mut line = self.line.borrow_mut();
        if line.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        assert!(!line.server_ended, "nothing may follow the end");
        let taken = bytes.len().min(line.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        line.room -= taken;
        line.to_client.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for ServerStream {
    fn finish(&mut self) {
        self.calls.update(|calls| calls + 1);
        self.line.borrow_mut().server_ended = true;
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        self.line.borrow_mut().dropped = true;
    }
}
