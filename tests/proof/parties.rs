//! The real writer as a party of its own beside an engine, with pipes in memory between them and one clock for both.
//!
//! It runs in steps, in the engine's thread. That is as good as two threads: neither side sees anything of the other but
//! through the pipes, so whatever one does in the middle of a step of the other could as well come before or after it, if
//! what is sent may arrive late and in pieces, and either may end between any two operations on the disk.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::writer::serve::{Input, Writer};
use aqevia_engine::writer::wire::{Said, ToEngine, understand};

/// Which build both are.
pub const BUILD: &str = "proof";
/// More waits in one step than any has.
const WAITS_MAX: u32 = 10_000;

thread_local! {
    static NOW: Cell<Monotonic> = const { Cell::new(Monotonic(Duration::ZERO)) };
}

/// The time for both parties.
pub fn now() -> Monotonic {
    NOW.get()
}

/// Moves it.
pub fn set_now(now: Monotonic) {
    NOW.set(now);
}

/// One direction of a connection.
#[derive(Default)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    arrived: usize,
    is_closed: bool,
}

/// Either end of one direction.
pub type End = Rc<RefCell<Pipe>>;

impl Pipe {
    pub fn send(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Lets so many bytes more arrive, if there are.
    pub fn arrive(&mut self, count: usize) {
        self.arrived = self.arrived.saturating_add(count).min(self.bytes.len());
    }

    /// Bytes that nobody has read.
    pub fn unread(&self) -> usize {
        self.bytes.len()
    }

    /// Takes what has arrived, so much at most.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let count = self.arrived.min(most);
        self.arrived -= count;
        self.bytes.drain(..count).collect()
    }

    /// The sender is no more. What it has sent arrives all the same, but for what is behind the first `kept` bytes.
    pub fn close(&mut self, kept: usize) {
        self.bytes.truncate(kept);
        self.arrived = self.arrived.min(self.bytes.len());
        self.is_closed = true;
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        self.is_closed && self.bytes.is_empty()
    }
}

/// What happens around a writer.
pub trait Around {
    /// It waits in the middle of something that it does, for so long at most: for more of a cut, or for a lock.
    fn pass(&self, input: &End, pause: Duration);

    /// It says something. False: it is no more, and nobody hears that.
    fn say(&self, said: &ToEngine) -> bool;
}

/// Where the writer hears from.
pub struct Inlet {
    pipe: End,
    around: Rc<dyn Around>,
    /// How often it has waited in this step.
    waits: Rc<Cell<u32>>,
    pause: Cell<Duration>,
}

impl Read for Inlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let waits = self.waits.get();
        assert!(waits < WAITS_MAX, "it waits for ever");
        if self.pipe.borrow().arrived == 0 && waits > 0 {
            self.around.pass(&self.pipe, self.pause.get());
        }
        let mut pipe = self.pipe.borrow_mut();
        if pipe.is_closed {
            pipe.arrive(usize::MAX);
        }
        let bytes = pipe.take(buffer.len());
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.waits.set(waits + u32::from(bytes.is_empty()));
        if bytes.is_empty() && !pipe.is_closed {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(bytes.len())
    }
}

impl Input for Inlet {
    fn be_patient(&self, pause: Duration) {
        self.pause.set(pause);
    }
}

/// Where it speaks to.
pub struct Outlet {
    pipe: End,
    around: Rc<dyn Around>,
}

impl Write for Outlet {
    /// Takes whole frames, as the writer sends them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_heard = !self.pipe.borrow().is_closed
            && match understand(bytes, &mut |_| ()) {
                Some(Said::Message(said)) => self.around.say(&said),
                _ => true,
            };
        if !is_heard {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.pipe.borrow_mut().send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that lives.
pub struct Party {
    writer: Writer<Inlet, Outlet>,
    waits: Rc<Cell<u32>>,
    /// To it.
    pub to: End,
    /// From it.
    pub from: End,
}

impl Party {
    pub fn new(around: Rc<dyn Around>) -> Party {
        let (to, from, waits) = (End::default(), End::default(), Rc::new(Cell::new(0)));
        let pause = Cell::new(Duration::ZERO);
        let inlet = Inlet { pipe: to.clone(), around: around.clone(), waits: waits.clone(), pause };
        let outlet = Outlet { pipe: from.clone(), around };
        Party { writer: Writer::new(inlet, outlet, BUILD.to_owned(), now), waits, to, from }
    }

    /// Does one thing; false at its end.
    pub fn step(&mut self) -> bool {
        self.waits.set(0);
        let goes_on = self.writer.step();
        if !goes_on {
            self.from.borrow_mut().close(usize::MAX);
        }
        goes_on
    }
}
