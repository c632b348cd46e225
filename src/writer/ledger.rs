//! What the engine knows of storage: what is sent, acknowledged or failed, and when the next flush is due. No I/O and no
//! clock: it turns the world into frames, and what the writer says into what can be promised.

use std::time::Duration;

use super::wire::{Frames, Rescued, ToEngine, ToWriter, View};
use super::{Flush, State, StorageView};
use crate::clock::{Monotonic, Wall};
use crate::limits::{ACKNOWLEDGEMENT_MS_MAX, STATES_MAX, WAL_BYTES_KEPT};
use crate::log::{Fields, Level, Line};
use crate::metrics::{Metrics, Outcome};
use crate::schedule::{Flusher, Trigger};
use crate::storage::Stamp;
use crate::world::{Record, World};

/// What is known of storage.
pub struct Ledger {
    /// When flushes are due.
    pub flusher: Flusher,
    /// What the writer does.
    pub state: State,
    /// The last cut that was made.
    cut: Cut,
    /// The end of the engine has begun, after so many cuts: one more is to be made.
    end: Option<u64>,
    /// The cut that somebody waits for.
    asked: u64,
    /// The states that may be stored: the one that was acknowledged, and those that were cut since.
    pub states: Vec<Stamp>,
    /// The database has lost its content.
    wants_all: bool,
    /// What the writer sees.
    pub view: View,
    rescue: Option<Rescued>,
    /// The last flush that was acknowledged.
    pub last_flush: Option<Flush>,
    /// Why nothing can be stored, if that is so.
    pub last_error: Option<String>,
    /// Since when.
    failing_since: Option<Monotonic>,
    /// Since when readers keep the write-ahead log from being emptied, and its size at which the next warning is due.
    held_up: Option<(Monotonic, u64)>,
    /// What is to be logged of all this.
    pub news: Vec<Line>,
}

/// A cut: neither acknowledged nor failed while the writer flushes.
#[derive(Default)]
struct Cut {
    /// Cuts are numbered from 1.
    number: u64,
    since: Monotonic,
    wall: Wall,
    trigger: Trigger,
    /// The next one would be due.
    is_waited_for: bool,
}

impl Ledger {
    /// Of a world that is stored as `stamp` says, and a writer that has yet to say that it goes on from there.
    pub fn new(flusher: Flusher, stamp: Stamp) -> Ledger {
        let (state, states) = (State::Restarting, vec![stamp]);
        let (cut, end, asked, wants_all, view, rescue) = Default::default();
        let (last_flush, last_error, failing_since, held_up, news) = Default::default();
        Ledger {
            flusher,
            state,
            cut,
            end,
            asked,
            states,
            wants_all,
            view,
            rescue,
            last_flush,
            last_error,
            failing_since,
            held_up,
            news,
        }
    }

    /// Since when an acknowledgement is out.
    pub fn out_since(&self) -> Option<Monotonic> {
        (self.state == State::Flushing).then_some(self.cut.since)
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

    /// For how long the engine has not been ready.
    fn unready(&self, now: Monotonic) -> Duration {
        let late = self.late(now).map(|out| out.saturating_sub(Duration::from_millis(ACKNOWLEDGEMENT_MS_MAX)));
        self.failing_since.map(|since| now.since(since)).or(late).unwrap_or_default()
    }

    /// What is to be told of storage.
    pub fn status(&self, world: &World, now: Monotonic) -> StorageView<'_> {
        StorageView {
            trouble: self.trouble(now),
            unready: self.unready(now),
            pending: world.pending(),
            persisted_tick: self.view.persisted,
            last_flush: self.last_flush,
            last_error: self.last_error.as_deref(),
            wal_bytes: self.view.wal_bytes,
            held_up: self.held_up.map(|(since, _)| now.since(since)),
            rescue: self.rescue.as_ref(),
            writer: self.state,
            flushing: self.out_since().map(|since| now.since(since)),
            unsent_bytes: 0,
        }
    }

    /// The end of the engine begins: whatever is pending is flushed at once, and after a failure with short pauses.
    pub fn hurry(&mut self, now: Monotonic) {
        let is_failing = self.flusher.is_failing();
        self.end = Some(self.cut.number);
        self.flusher = Flusher::new(Duration::ZERO, 1, now);
        if is_failing {
            self.flusher.failed(now);
        }
    }

    /// Whether everything is acknowledged, up to a flush since the end of the engine began.
    pub fn is_saved(&self, world: &World) -> bool {
        let is_tried = self.end.is_some_and(|before| before < self.cut.number);
        is_tried && world.pending() == 0 && !self.flusher.is_failing()
    }

    /// Asks for a flush of all that is there now, without a wait for the interval. Returns the number of its cut.
    pub fn ask(&mut self, now: Monotonic) -> u64 {
        if self.flusher.is_failing() {
            self.flusher.succeeded(now);
            self.flusher.failed(now);
        }
        self.asked = self.cut.number + 1;
        self.asked
    }

    /// Whether a cut is acknowledged, or one after it.
    pub fn holds(&self, cut: u64) -> bool {
        self.cut.number >= cut && self.state == State::Idle && !self.flusher.is_failing()
    }

    /// Whether a flush is due, and why. There is one at a time.
    pub fn due(&mut self, world: &World, now: Monotonic, metrics: &mut Metrics) -> Option<Trigger> {
        let is_asked = self.asked > self.cut.number && self.flusher.retry_at().is_none_or(|at| at <= now);
        let due = self.flusher.due(now, self.pending(world)).or(is_asked.then_some(Trigger::Operator));
        if self.state == State::Flushing && due.is_some() && !self.cut.is_waited_for {
            metrics.flushes_waited += 1;
            self.cut.is_waited_for = true;
        }
        let due = due.filter(|_| self.state == State::Idle);
        if self.end.is_some() { due.and(Some(Trigger::Shutdown)) } else { due }
    }

    /// When the next flush is due, or another writer, if that does not depend on the one that there is.
    pub fn next(&self, world: &World, has_writer: bool) -> Option<Monotonic> {
        match self.state {
            State::Idle => self.flusher.next(self.pending(world)),
            State::Restarting if !has_writer => self.flusher.retry_at(),
            _ => None,
        }
    }

    /// How much is there for another flush. At the end one is made in any case, and after a failure one more: a writer that
    /// is lost when all is stored leaves nobody to close the database.
    fn pending(&self, world: &World) -> usize {
        let is_last = self.end.is_some_and(|before| before == self.cut.number || self.flusher.is_failing());
        world.pending_since_cut().max(usize::from(is_last))
    }

    /// Cuts the world and writes what is pending into frames.
    pub fn cut(&mut self, world: &mut World, trigger: Trigger, now: Monotonic, wall: Wall, frames: &mut Frames) {
        let cut = self.cut.number + 1;
        self.cut = Cut { number: cut, since: now, wall, trigger, is_waited_for: false };
        self.state = State::Flushing;
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
    }

    /// Takes what the writer says of flushes and files.
    pub fn hear(&mut self, said: ToEngine, world: &mut World, now: Monotonic, metrics: &mut Metrics) {
        match said {
            // What has failed meanwhile is pending again, and stays so.
            ToEngine::Flushed { cut, .. } | ToEngine::Failed { cut, .. } if cut != self.cut.number => (),
            ToEngine::Flushed { view, records, commit, .. } => {
                self.view = view;
                if self.settle(now, Outcome::Success, metrics) {
                    world.acknowledged();
                    self.states.drain(..self.states.len() - 1);
                    let Cut { wall: at, trigger, since, .. } = self.cut;
                    self.last_flush = Some(Flush { at, trigger, records, took: now.since(since), commit });
                    (self.wants_all, self.failing_since) = (false, None);
                    metrics.commit_duration.observe(commit);
                    metrics.records_flushed += records;
                    self.flusher.succeeded(self.cut.since);
                    if self.last_error.take().is_some() {
                        self.tell(Level::Info, "flushes succeed again", &[("records", &records)]);
                    }
                }
            }
            ToEngine::Failed { view, error, wants_all, .. } => {
                (self.view, self.wants_all) = (view, wants_all);
                self.fail(error, world, now, metrics);
            }
            ToEngine::Attached { view, error, rescue } => {
                self.state = State::Idle;
                self.rescue = self.rescue.take().or(rescue);
                self.hear(ToEngine::Seen { view, error }, world, now, metrics);
            }
            ToEngine::Seen { view, error } => {
                self.view = view;
                // The flush that is out will tell, or one that has failed has told.
                let is_told = self.state == State::Flushing || self.flusher.is_failing();
                if let Some(error) = error.filter(|_| !is_told) {
                    self.fail(error, world, now, metrics);
                }
            }
            ToEngine::Refused { exit } => {
                self.view = View::default();
                self.fail(exit.problems.join("; "), world, now, metrics);
            }
            ToEngine::Checkpointed { view, took, trouble } => {
                self.view = view;
                metrics.checkpoint_duration.observe(took);
                match trouble {
                    None => self.held_up = None,
                    Some(None) => self.note_readers(now, metrics),
                    Some(Some(error)) => {
                        // Nothing is lost: the log keeps what could not be moved.
                        metrics.checkpoint_failures += 1;
                        self.tell(Level::Warn, "checkpoint failed", &[("error", &error)]);
                    }
                }
            }
            _ => (),
        }
    }

    /// There is no writer any more: why, unless it has ended well.
    pub fn lose(&mut self, why: Option<String>, world: &mut World, now: Monotonic, metrics: &mut Metrics) {
        // One that ends well has told why, if anything was wrong, so that a pause has begun.
        let has_told = self.state != State::Flushing && self.flusher.retry_at().is_some_and(|at| at > now);
        if why.is_some() || !has_told {
            let why = why.unwrap_or_else(|| "the writer has ended: without a word".to_owned());
            self.fail(why, world, now, metrics);
        }
        self.state = State::Restarting;
    }

    /// Ends the cut that is out; false if none is.
    fn settle(&mut self, now: Monotonic, outcome: Outcome, metrics: &mut Metrics) -> bool {
        let is_out = self.state == State::Flushing;
        if is_out {
            self.state = State::Idle;
            metrics.flush_duration.observe(now.since(self.cut.since));
            metrics.flushes[self.cut.trigger as usize][outcome as usize] += 1;
        }
        is_out
    }

    /// Nothing can be stored just now: what is not acknowledged is pending again, and is tried again.
    pub fn fail(&mut self, error: String, world: &mut World, now: Monotonic, metrics: &mut Metrics) {
        self.failing_since = Some(Monotonic(now.since(Monotonic(self.unready(now)))));
        self.settle(now, Outcome::Failure, metrics);
        world.cut_failed();
        let pause = self.flusher.failed(now);
        if self.last_error.as_ref() != Some(&error) {
            let fields: Fields =
                &[("error", &error), ("pending_records", &world.pending()), ("retry_ms", &pause.as_millis())];
            self.tell(Level::Error, "flush failed: everything stays pending and is tried again", fields);
        }
        self.last_error = Some(error);
    }

    /// Counts checkpoints that readers have held up, and warns while the log grows for that.
    fn note_readers(&mut self, now: Monotonic, metrics: &mut Metrics) {
        metrics.checkpoints_held_up += 1;
        let wal_bytes = self.view.wal_bytes;
        let (since, warn_bytes) = self.held_up.unwrap_or((now, WAL_BYTES_KEPT));
        self.held_up = Some((since, if wal_bytes < warn_bytes { warn_bytes } else { 2 * wal_bytes }));
        if wal_bytes >= warn_bytes {
            let message = "a reader of the database keeps its write-ahead log from being emptied, and it grows";
            let fields: Fields = &[("seconds", &now.since(since).as_secs()), ("wal_bytes", &wal_bytes)];
            self.tell(Level::Warn, message, fields);
        }
    }

    fn tell(&mut self, level: Level, message: &str, fields: Fields) {
        self.news.push(Line::new(level, message, fields));
    }
}
