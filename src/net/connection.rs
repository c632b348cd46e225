//! One non-blocking connection: its buffers, how it ends, and until when it may stay as it is.
//!
//! Buffers grow with what they hold and are given back with it, so a connection that waits costs next to nothing. It
//! knows no protocol. Nothing here waits: a read or write that would block is simply over. As no stream ever blocks, it is
//! enough to know that one is ready: whoever has it tries. What it needs of TCP sockets stands in two traits, so that what
//! is built on it can also be run on streams that break wherever a seed says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::Limit;
use crate::clock::Monotonic;
use crate::limits::{BUFFER_BYTES_KEPT, LINGER_MS_MAX, LOST_PEER_SECONDS, SOCKET_SEND_BYTES};
use crate::sys;

/// Later than anything.
pub const NEVER: Monotonic = Monotonic(Duration::MAX);

/// A stream of bytes in both directions that never blocks.
pub trait Stream: Read + Write + AsRawFd {
    /// Tells the peer that no more will come.
    fn finish(&mut self);

    /// Where the peer is, if it is on a network.
    fn peer(&self) -> Option<IpAddr> {
        None
    }
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

/// Listens on `address`, without ever blocking.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit it: a peer that does not read must not fill the kernel's memory.
    sys::set_send_buffer(&listener, SOCKET_SEND_BYTES)?;
    sys::notice_lost_peers(&listener, LOST_PEER_SECONDS)?;
    Ok(listener)
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        // A connection that is already gone needs no telling.
        let _ = self.shutdown(Shutdown::Write);
    }

    fn peer(&self) -> Option<IpAddr> {
        // One of this machine has no such address, and is an error.
        self.peer_addr().ok().map(|address| address.ip())
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self)?;
        // Output is written whole; waiting for more to send would only delay it. A stream that cannot be set up so is as
        // good as gone.
        let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        ready.map(|()| stream).map_err(|_| ErrorKind::ConnectionAborted.into())
    }

    fn refuse(&self) {
        // Where that cannot be done, whoever comes in the last moment is reset.
        let _ = sys::refuse_connections(self);
    }
}

/// A listener on the network, or on this machine alone.
pub enum Door {
    /// On the network.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

impl AsRawFd for Door {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Door::Tcp(listener) => listener.as_raw_fd(),
            Door::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

impl Listener for Door {
    /// Once it is connected, whatever is done with a socket is done by the same calls for both.
    type Stream = TcpStream;

    fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Door::Tcp(listener) => Listener::accept(listener),
            Door::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(OwnedFd::from(stream).into())
            }
        }
    }

    fn refuse(&self) {
        match self {
            Door::Tcp(listener) => listener.refuse(),
            // Its name is taken away.
            Door::Unix(_) => (),
        }
    }
}

/// A connection and its buffers, as its protocol sees it.
#[derive(Default)]
pub struct Connection {
    /// The bytes received and not consumed.
    pub input: Vec<u8>,
    /// The bytes to be sent; whatever is appended goes out at the end of the turn.
    pub output: Vec<u8>,
    /// The peer sends no more.
    pub ended: bool,
    /// There is more to be done with the input, in another turn. Nothing is received until then.
    pub waiting: bool,
    /// When its protocol has a turn even if nothing has come. While the peer does not take its output this rests, as what
    /// the peer sends is not received either.
    pub due: Monotonic,
    /// Since when nothing has come of it that counts; for one that holds its place, that is yet to come. Of those that
    /// came by the same port the least makes way first, and one for which it is `NEVER` makes way for nobody.
    pub idle_since: Monotonic,
    pub(super) phase: Phase,
    /// Since when the kernel has not taken all of the output.
    pub(super) unsent_since: Option<Monotonic>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its protocol is told what comes.
    #[default]
    Open,
    /// The last output is being sent.
    Closing,
    /// All is sent, since then; what the peer still sends is dropped.
    Lingering(Monotonic),
}

impl Connection {
    /// Whether its protocol is not done with it.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Ends it in order: nothing is received any more, and when the output is sent the peer is told.
    pub fn close(&mut self) {
        self.phase = Phase::Closing;
        self.waiting = false;
        self.consume(self.input.len());
    }

    /// Drops the first `count` bytes of the input.
    pub fn consume(&mut self, count: usize) {
        self.input.drain(..count);
        self.input.shrink_to(BUFFER_BYTES_KEPT);
    }

    /// Whether its protocol can do something with it. A peer that does not take its output is not heard.
    pub(super) fn is_heard(&self) -> bool {
        self.phase == Phase::Open && self.unsent_since.is_none()
    }

    /// Until when it may stay as it is, and the limit that this is, unless that is its protocol's. The peer must take all
    /// output within `write_ms_max`.
    pub(super) fn deadline(&self, write_ms_max: u64) -> (Monotonic, Option<Limit>) {
        let (since, milliseconds, limit) = match (self.phase, self.unsent_since) {
            (Phase::Lingering(since), _) => (since, LINGER_MS_MAX, Limit::Linger),
            (_, Some(since)) => (since, write_ms_max, Limit::WriteDeadline),
            (_, None) => return (self.due, None),
        };
        (since.after(Duration::from_millis(milliseconds)), Some(limit))
    }

    /// What is awaited: bytes, if there is room for them, or else room for the output. While it waits for its turn nobody
    /// sleeps, so it may be either.
    pub(super) fn interest(&self, input_bytes_max: usize) -> (bool, bool) {
        let sends = !self.output.is_empty();
        let has_room = self.waiting || self.input.len() < input_bytes_max;
        (!sends && !self.ended && has_room, sends)
    }

    /// Receives what has come, by way of `scratch`, until as much as fits there is held.
    pub(super) fn receive(&mut self, stream: &mut impl Stream, scratch: &mut [u8]) {
        let room = scratch.len() - self.input.len();
        let is_lingering = matches!(self.phase, Phase::Lingering(_));
        if self.ended || self.waiting || room == 0 || !self.is_heard() && !is_lingering {
            return;
        }
        match stream.read(&mut scratch[..room]) {
            Ok(count) => {
                self.ended = count == 0;
                self.input.extend_from_slice(&scratch[..count]);
            }
            Err(error) => self.fail(&error),
        }
        if is_lingering {
            self.input.clear();
        }
    }

    /// Writes once, as much as the peer takes; ends what is closing when all is sent.
    pub(super) fn send(&mut self, stream: &mut impl Stream, now: Monotonic) {
        if !self.output.is_empty() {
            let since = *self.unsent_since.get_or_insert(now);
            match stream.write(&self.output) {
                Ok(count) => _ = self.output.drain(..count),
                Err(error) => self.fail(&error),
            }
            if self.output.is_empty() {
                self.output.shrink_to(BUFFER_BYTES_KEPT);
                self.unsent_since = None;
                self.due = self.due.after(now.since(since));
            }
        }
        // Closing while unread bytes lie here, or still come, would reset the connection and could take the last output
        // with it.
        if self.phase == Phase::Closing && self.output.is_empty() {
            stream.finish();
            self.phase = Phase::Lingering(now);
        }
    }

    /// Whether there is nothing to wait for any more.
    pub(super) fn is_over(&self) -> bool {
        self.phase != Phase::Open && self.ended && self.output.is_empty()
    }

    fn fail(&mut self, error: &io::Error) {
        // A call that would have blocked, or was interrupted, may be made again.
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            self.close();
            self.ended = true;
            self.output.clear();
        }
    }
}
