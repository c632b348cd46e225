//! What the engine knows of storage: what is sent, acknowledged or failed, and when the next flush is due. No I/O and no
//! clock: it turns the world into frames, and what the writer says into what can be promised.

use std::time::Duration;

use super::wire::{Frames, ToEngine, ToWriter, View};
use crate::clock::{Monotonic, Wall};
use crate::limits::{ACKNOWLEDGEMENT_MS_MAX, STATES_MAX, WAL_BYTES_KEPT};
use crate::log::{Level, Line};
use crate::metrics::{Metrics, Outcome};
use crate::schedule::{Flusher, Trigger};
use crate::storage::Stamp;
use crate::world::{Record, World};

/// What is known of storage.
pub struct Ledger {
    /// When flushes are due.
    pub flusher: Flusher,
    out: Option<Out>,
    /// How many cuts were made.
    cuts: u64,
    /// The states that may be stored: the one that was acknowledged, and those that were cut since.
    pub states: Vec<Stamp>,
    /// The database has lost its content.
    wants_all: bool,
    /// What the writer sees.
    pub view: View,
    /// When the last acknowledged cut was made.
    pub last_flush_at: Option<Wall>,
    /// Why nothing can be stored, if that is so.
    pub last_error: Option<String>,
    /// Since when readers keep the write-ahead log from being emptied, and its size at which the next warning is due.
    pub held_up: Option<(Monotonic, u64)>,
}

/// A cut that is neither acknowledged nor has failed.
struct Out {
    since: Monotonic,
    wall: Wall,
    trigger: Trigger,
    /// The next one would be due.
    is_waited_for: bool,
}

impl Ledger {
    /// Of a world that is stored as `stamp` says.
    pub fn new(flusher: Flusher, stamp: Stamp, view: View) -> Ledger {
        let (out, cuts, last_flush_at, last_error, held_up) = Default::default();
        Ledger { flusher, out, cuts, states: vec![stamp], wants_all: false, view, last_flush_at, last_error, held_up }
    }

    /// Since when an acknowledgement is out.
    pub fn out_since(&self) -> Option<Monotonic> {
        self.out.as_ref().map(|out| out.since)
    }

    /// For how long an acknowledgement has been out, once that is too long.
    pub fn late(&self, now: Monotonic) -> Option<Duration> {
        let out = self.out_since().map(|since| now.since(since));
        out.filter(|out| *out >= Duration::from_millis(ACKNOWLEDGEMENT_MS_MAX))
    }

    /// Why the engine is not ready, if it is not.
    pub fn trouble(&self, now: Monotonic) -> Option<String> {
        let late = self.late(now).map(|out| format!("storage has not acknowledged a flush for {} s", out.as_secs()));
        late.or_else(|| self.last_error.clone())
    }

    /// What has failed is tried again at once, and with short pauses.
    pub fn hurry(&mut self, now: Monotonic) {
        if self.flusher.is_failing() {
            self.flusher.succeeded(now);
            self.flusher.failed(now);
        }
    }

    /// Whether a flush is due, and why. There is one at a time.
    pub fn due(&mut self, world: &World, now: Monotonic, metrics: &mut Metrics) -> Option<Trigger> {
        let due = self.flusher.due(now, world.pending_since_cut());
        let Some(out) = &mut self.out else { return due };
        metrics.flushes_waited += u64::from(due.is_some() && !out.is_waited_for);
        out.is_waited_for |= due.is_some();
        None
    }

    /// When the next flush is due, if none is out.
    pub fn next(&self, world: &World) -> Option<Monotonic> {
        if self.out.is_none() { self.flusher.next(world.pending()) } else { None }
    }

    /// Cuts the world and writes what is pending into frames.
    pub fn cut(&mut self, world: &mut World, trigger: Trigger, now: Monotonic, wall: Wall, frames: &mut Frames) {
        self.cuts += 1;
        let cut = self.cuts;
        // Whatever was loaded came in a frame, and what is made since is bounded.
        let put = |frames: &mut Frames, record: Record| assert!(frames.record(&record), "a record fits into a frame");
        if self.wants_all {
            world.cut(|_| ());
            frames.message(&ToWriter::Replace { cut, head: world.head(), wall });
            world.records(|record| put(frames, record));
        } else {
            frames.message(&ToWriter::Flush { cut, wall });
            world.cut(|record| put(frames, record));
            put(frames, Record::Head(&world.head()));
        }
        frames.message(&ToWriter::End {});
        self.states.truncate(STATES_MAX - 1);
        self.states.push(Stamp::from(&world.head()));
        self.out = Some(Out { since: now, wall, trigger, is_waited_for: false });
    }

    /// Takes what the writer says of flushes and files. Returns what is to be logged.
    pub fn hear(&mut self, said: ToEngine, world: &mut World, now: Monotonic, metrics: &mut Metrics) -> Option<Line> {
        match said {
            // What has failed meanwhile is pending again, and stays so.
            ToEngine::Flushed { cut, .. } | ToEngine::Failed { cut, .. } if self.out.is_some() && cut != self.cuts => {
                None
            }
            ToEngine::Flushed { view, records, commit, .. } => {
                self.view = view;
                let out = self.end(now, Outcome::Success, metrics)?;
                world.acknowledged();
                self.states.drain(..self.states.len() - 1);
                (self.last_flush_at, self.wants_all) = (Some(out.wall), false);
                metrics.commit_duration.observe(commit);
                metrics.records_flushed += records;
                self.flusher.succeeded(out.since);
                self.last_error.take()?;
                let fields = [("records", &*records.to_string())];
                Some(Line::new(Level::Info, "flushes succeed again", &fields))
            }
            ToEngine::Failed { view, error, wants_all, .. } => {
                (self.view, self.wants_all) = (view, wants_all);
                self.fail(error, world, now, metrics)
            }
            ToEngine::Attached { view, error, .. } | ToEngine::Seen { view, error } => {
                self.view = view;
                // The flush that is out will tell, or one that has failed has told.
                error
                    .filter(|_| self.out.is_none() && !self.flusher.is_failing())
                    .and_then(|error| self.fail(error, world, now, metrics))
            }
            ToEngine::Checkpointed { view, took, trouble } => {
                self.view = view;
                metrics.checkpoint_duration.observe(took);
                match trouble {
                    None => self.held_up = None,
                    Some(None) => return self.note_readers(now, metrics),
                    Some(Some(error)) => {
                        // Nothing is lost: the log keeps what could not be moved.
                        metrics.checkpoint_failures += 1;
                        return Some(Line::new(Level::Warn, "checkpoint failed", &[("error", &error)]));
                    }
                }
                None
            }
            _ => None,
        }
    }

    /// Ends the cut that is out, if one is.
    fn end(&mut self, now: Monotonic, outcome: Outcome, metrics: &mut Metrics) -> Option<Out> {
        let out = self.out.take()?;
        metrics.flush_duration.observe(now.since(out.since));
        metrics.flushes[out.trigger as usize][outcome as usize] += 1;
        Some(out)
    }

    /// Nothing can be stored just now: what is not acknowledged is pending again, and is tried again.
    pub fn fail(&mut self, error: String, world: &mut World, now: Monotonic, metrics: &mut Metrics) -> Option<Line> {
        self.end(now, Outcome::Failure, metrics);
        world.cut_failed();
        let pause = self.flusher.failed(now);
        let is_news = self.last_error.as_ref() != Some(&error);
        let (pending, retry_ms) = (world.pending().to_string(), pause.as_millis().to_string());
        let fields = [("error", &*error), ("pending_records", &pending), ("retry_ms", &retry_ms)];
        let message = "flush failed: everything stays pending and is tried again";
        let line = is_news.then(|| Line::new(Level::Error, message, &fields));
        self.last_error = Some(error);
        line
    }

    /// Counts checkpoints that readers have held up, and warns while the log grows for that.
    fn note_readers(&mut self, now: Monotonic, metrics: &mut Metrics) -> Option<Line> {
        metrics.checkpoints_held_up += 1;
        let wal_bytes = self.view.wal_bytes;
        let (since, warn_bytes) = self.held_up.unwrap_or((now, WAL_BYTES_KEPT));
        self.held_up = Some((since, if wal_bytes < warn_bytes { warn_bytes } else { 2 * wal_bytes }));
        let seconds = now.since(since).as_secs().to_string();
        let message = "a reader of the database keeps its write-ahead log from being emptied, and it grows";
        let fields = [("seconds", &*seconds), ("wal_bytes", &wal_bytes.to_string())];
        (wal_bytes >= warn_bytes).then(|| Line::new(Level::Warn, message, &fields))
    }
}
