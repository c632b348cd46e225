//! One non-blocking connection: bounded buffers on both sides and a note of since when bytes wait to be sent.
//!
//! Buffers grow with what they hold and are given back with it, so a connection that waits costs next to nothing. It
//! knows no protocol. Nothing here waits: a read or write that would block is simply over. What it needs of a TCP
//! socket stands in two traits, so that what is built on it can also be run on streams that break wherever a seed says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use crate::clock::Monotonic;
use crate::limits::BUFFER_BYTES_KEPT;
use crate::sys;

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

    /// Keeps new ones from coming. Those that wait can still be taken.
    fn refuse(&self) {}
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

    fn refuse(&self) {
        // Where that cannot be done, whoever comes in the last moment is reset.
        let _ = sys::refuse_connections(self);
    }
}

/// A connection and its buffers.
pub struct Connection<S> {
    /// To wait for, and to be finished; its bytes go by way of the buffers.
    pub stream: S,
    input: Vec<u8>,
    /// The bytes to be sent; whatever is appended goes out with the next `send`.
    pub output: Vec<u8>,
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
    /// Takes a new connection.
    pub fn new(stream: S) -> Connection<S> {
        Connection { stream, input: Vec::new(), output: Vec::new(), unsent_since: None }
    }

    /// Reads once, by way of `scratch`, until as much as fits there is held.
    pub fn receive(&mut self, scratch: &mut [u8]) -> Received {
        let room = scratch.len() - self.input.len();
        match self.stream.read(&mut scratch[..room]) {
            Ok(0) => Received::End,
            Ok(count) => {
                self.input.extend_from_slice(&scratch[..count]);
                Received::Bytes
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Received::Nothing,
            Err(_) => Received::Broken,
        }
    }

    /// The bytes received and not consumed.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Drops the first `count` bytes of the input.
    pub fn consume(&mut self, count: usize) {
        self.input.drain(..count);
        self.input.shrink_to(BUFFER_BYTES_KEPT);
    }

    /// How much memory its buffers take, in bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// Since when the kernel has not taken all of the output.
    pub fn unsent_since(&self) -> Option<Monotonic> {
        self.unsent_since
    }

    /// Writes once, as much as the peer takes; false if the connection is broken.
    pub fn send(&mut self, now: Monotonic) -> bool {
        self.unsent_since.get_or_insert(now);
        match self.stream.write(&self.output) {
            Ok(count) => drop(self.output.drain(..count)),
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
        if self.output.is_empty() {
            self.output.shrink_to(BUFFER_BYTES_KEPT);
            self.unsent_since = None;
        }
        true
    }
}
