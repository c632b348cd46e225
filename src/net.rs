//! One non-blocking connection: bounded buffers on both sides and a note of since when bytes wait to be sent.
//!
//! It knows no protocol. Nothing here waits: a read or write that would block is simply over. What it needs of a TCP
//! socket stands in two traits, so that what is built on it can also be run on streams that break wherever a seed says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use crate::clock::Monotonic;

/// A stream of bytes in both directions that never blocks.
pub trait Stream: Read + Write + AsRawFd {
    /// Tells the peer that no more will come.
    fn finish(&mut self);
}

/// Where streams come from.
pub trait Listener: AsRawFd {
    /// What comes from it.
    type Stream: Stream;

    /// Takes the next stream; `WouldBlock` if none waits.
    fn accept(&self) -> io::Result<Self::Stream>;
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        // A connection that is already gone needs no telling.
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self)?;
        // Answers are written whole; waiting for more to send would only delay them. A stream that cannot be set up so
        // is as good as gone.
        let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        ready.map(|()| stream).map_err(|_| ErrorKind::ConnectionAborted.into())
    }
}

/// A connection and its buffers.
pub struct Connection<S> {
    stream: S,
    input: Box<[u8]>,
    filled: usize,
    output: Vec<u8>,
    sent: usize,
    unsent_since: Option<Monotonic>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Some bytes more.
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The peer sends no more.
    End,
    /// The connection is broken.
    Broken,
}

impl<S: Stream> Connection<S> {
    /// Takes a new connection; at most `input_bytes_max` received bytes are held.
    pub fn new(stream: S, input_bytes_max: usize) -> Connection<S> {
        let input = vec![0; input_bytes_max].into_boxed_slice();
        Connection { stream, input, filled: 0, output: Vec::new(), sent: 0, unsent_since: None }
    }

    /// Reads once, as much as fits.
    pub fn receive(&mut self) -> Received {
        let (received, count) = receive(&mut self.stream, &mut self.input[self.filled..]);
        self.filled += count;
        received
    }

    /// Reads once and drops what comes.
    pub fn discard(&mut self) -> Received {
        self.filled = 0;
        receive(&mut self.stream, &mut self.input).0
    }

    /// The bytes received and not consumed.
    pub fn input(&self) -> &[u8] {
        &self.input[..self.filled]
    }

    /// Whether the input buffer can take more.
    pub fn has_room(&self) -> bool {
        self.filled < self.input.len()
    }

    /// Drops the first `count` bytes of the input.
    pub fn consume(&mut self, count: usize) {
        self.input.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// The bytes to be sent; whatever is appended goes out with the next `send`.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// How many bytes wait to be sent.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Since when the kernel has not taken all of them.
    pub fn unsent_since(&self) -> Option<Monotonic> {
        self.unsent_since
    }

    /// Writes once, as much as the peer takes; false if the connection is broken.
    pub fn send(&mut self, now: Monotonic) -> bool {
        self.unsent_since.get_or_insert(now);
        match self.stream.write(&self.output[self.sent..]) {
            Ok(count) => self.sent += count,
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            self.unsent_since = None;
        }
        true
    }

    /// Tells the peer that no more will come.
    pub fn finish(&mut self) {
        self.stream.finish();
    }
}

impl<S: Stream> AsRawFd for Connection<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

fn receive(stream: &mut impl Read, buffer: &mut [u8]) -> (Received, usize) {
    match stream.read(buffer) {
        Ok(0) => (Received::End, 0),
        Ok(count) => (Received::Bytes, count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (Received::Nothing, 0),
        Err(_) => (Received::Broken, 0),
    }
}
