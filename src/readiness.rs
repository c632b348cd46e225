//! Who can be read or written now: one thing for everything that the loop waits for.
//!
//! Each stream is watched by a number that is never given to another, so nothing that is told of one reaches one that came
//! later. As no stream ever blocks, it is enough to know that one is ready: whoever has it tries. Being told stands in a
//! trait, so that what waits can also be run on streams in memory. See `net/mod.rs` for the streams.

use std::io;
use std::os::fd::AsRawFd;

use crate::clock::Monotonic;
use crate::sys::Epoll;

/// A stream that may be ready, by its number: any but the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What tells of streams that are ready, again and again for as long as they are.
pub trait Readiness {
    /// Watches a stream, from now on until it is closed, for bytes (or the end) to `read`, or for room to `write`. Errors
    /// and hang-ups are always told.
    fn watch(&mut self, stream: &impl AsRawFd, token: Token, read: bool, write: bool) -> io::Result<()>;
}

/// The kernel's.
pub struct Poller {
    epoll: Epoll,
    /// For when the timer was last set.
    timer: Option<Monotonic>,
}

impl Poller {
    /// Watches nothing yet. Takes two descriptors.
    pub fn new() -> io::Result<Poller> {
        Ok(Poller { epoll: Epoll::new()?, timer: None })
    }

    /// Sleeps until a stream is ready or it is `until`, which it is not before; `None`: for ever. Then `ready` holds all
    /// that are, none if that fails.
    pub fn wait(&mut self, until: Option<Monotonic>, now: Monotonic, ready: &mut Vec<Token>) -> io::Result<()> {
        ready.clear();
        let sleeps = until.is_none_or(|until| until > now);
        if sleeps && until != self.timer {
            self.epoll.set_timer(until.map(|until| until.since(now)))?;
            self.timer = until;
        }
        ready.extend(self.epoll.wait(sleeps)?.map(Token));
        Ok(())
    }
}

impl Readiness for Poller {
    fn watch(&mut self, stream: &impl AsRawFd, token: Token, read: bool, write: bool) -> io::Result<()> {
        self.epoll.watch(stream, token.0, read, write)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::clock::monotonic;

    #[test]
    fn a_wait_ends_at_its_own_time_whatever_was_waited_for_before() {
        let (mut poller, mut ready, begun) = (Poller::new().unwrap(), Vec::new(), monotonic());
        // Of these times some come earlier than what was waited for before, one is the same again, one is over.
        for milliseconds in [3, 1, 6, 6, 2, 8] {
            let until = begun.after(Duration::from_millis(milliseconds));
            poller.wait(Some(until), monotonic(), &mut ready).unwrap();
            assert!(ready.is_empty() && monotonic() >= until, "{milliseconds}");
        }
        let (one, mut other) = UnixStream::pair().unwrap();
        let token = Token(u64::MAX - 1);
        poller.watch(&one, token, true, false).unwrap();
        // What is ready needs no time.
        other.write_all(b"x").unwrap();
        poller.wait(None, monotonic(), &mut ready).unwrap();
        assert_eq!(ready, [token]);
        poller.wait(Some(begun), monotonic(), &mut ready).unwrap();
        assert_eq!(ready, [token]);
    }
}
