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
    /// The bytes received and not consumed.
    pub input: Vec<u8>,
    /// The bytes to be sent; whatever is appended goes out with the next `send`.
    pub output: Vec<u8>,
    /// Since when the kernel has not taken all of the output.
    pub unsent_since: Option<Monotonic>,
    /// The peer sends no more.
    pub ended: bool,
}

impl<S: Stream> Connection<S> {
    /// Takes a new connection.
    pub fn new(stream: S) -> Connection<S> {
        Connection { stream, input: Vec::new(), output: Vec::new(), unsent_since: None, ended: false }
    }

    /// Reads once, by way of `scratch`, until as much as fits there is held. Returns whether bytes came; an error if the
    /// connection is broken.
    pub fn receive(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let room = scratch.len() - self.input.len();
        let count = match self.stream.read(&mut scratch[..room]) {
            Err(error) if is_passing(&error) => return Ok(false),
            count => count?,
        };
        self.input.extend_from_slice(&scratch[..count]);
        self.ended |= count == 0;
        Ok(count > 0)
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

    /// Writes once, as much as the peer takes; an error if the connection is broken.
    pub fn send(&mut self, now: Monotonic) -> io::Result<()> {
        self.unsent_since.get_or_insert(now);
        let count = match self.stream.write(&self.output) {
            Err(error) if is_passing(&error) => return Ok(()),
            count => count?,
        };
        self.output.drain(..count);
        if self.output.is_empty() {
            self.output.shrink_to(BUFFER_BYTES_KEPT);
            self.unsent_since = None;
        }
        Ok(())
    }
}

/// Whether a call has failed that may be made again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
