//! A network in memory: streams that are cut, stall and break wherever their owner says. No sockets, no waiting.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use aqevia_engine::net::{Listener, Stream};
use aqevia_engine::sys::{self, PollFd};

/// poll(2) reports a descriptor that is not open at once, which the engine takes for one that can be read and written,
/// and passes over a negative one. So a stream in memory says whether it is ready by the descriptor that it claims to have.
const READY: RawFd = i32::MAX;
const NOT_READY: RawFd = -1;

/// What lies between a client and the server.
#[derive(Default)]
struct Line {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// How many bytes more the way to the client takes.
    room: usize,
    /// It did not take all of the last write, so the server waits for room.
    full: bool,
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
pub struct ServerStream(Rc<RefCell<Line>>);

/// Where the server accepts.
#[derive(Clone, Default)]
pub struct Network(Rc<RefCell<VecDeque<ServerStream>>>);

impl Network {
    /// Connects a client, to which `room` bytes can be sent until it takes them.
    pub fn connect(&self, room: usize) -> Client {
        let line = Rc::new(RefCell::new(Line { room, ..Line::default() }));
        self.0.borrow_mut().push_back(ServerStream(line.clone()));
        Client(line)
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
        if self.0.borrow().is_empty() { NOT_READY } else { READY }
    }
}

impl Listener for Network {
    type Stream = ServerStream;

    fn accept(&self) -> io::Result<ServerStream> {
        self.0.borrow_mut().pop_front().ok_or(ErrorKind::WouldBlock.into())
    }
}

impl AsRawFd for ServerStream {
    fn as_raw_fd(&self) -> RawFd {
        let line = self.0.borrow();
        let writable = line.full && line.room > 0;
        let ready = !line.to_server.is_empty() || line.client_ended || line.broken || writable;
        if ready { READY } else { NOT_READY }
    }
}

impl Read for ServerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
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
        let mut line = self.0.borrow_mut();
        if line.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        assert!(!line.server_ended, "nothing may follow the end");
        let taken = bytes.len().min(line.room);
        line.full = taken < bytes.len();
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
        self.0.borrow_mut().server_ended = true;
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        self.0.borrow_mut().dropped = true;
    }
}

/// Asks which of `descriptors` are ready, without waiting.
pub fn poll(descriptors: &mut [PollFd]) {
    sys::poll(descriptors, Some(Duration::ZERO)).unwrap();
}
