//! The loop: wait, read, tick, flush, write. Everything the engine does, it does here, in this order, on one thread.
//!
//! `Engine::start` reads in the order in which things happen; `Engine::run` is one turn after the other until a signal
//! comes. A panic anywhere ends the process (see `cli.rs`): a half-changed world is never flushed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{self, Monotonic, Wall};
use crate::config::Config;
use crate::http::server::Server;
use crate::http::{Snapshot, StorageView};
use crate::limits::{
    CHECKPOINT_INTERVAL_MS, CHECKPOINT_RECORDS, DESCRIPTORS_RESERVED, DESCRIPTORS_WANTED, HTTP_STOP_MS_MAX,
    LOOK_INTERVAL_MS, POLL_PAUSE_MS, SHUTDOWN_RETRIES_MS, WAL_BYTES_KEPT, WARNING_INTERVAL_MS, WORLD_FILE_BYTES_MAX,
};
use crate::log::{Fields, Level, Log};
use crate::metrics::{Metrics, Outcome};
use crate::schedule::{Flusher, Ticker, Trigger};
use crate::storage::schema::Found;
use crate::storage::{Failure, Storage, StorageError, worldfile};
use crate::sys::{self, PollFd, Signals};
use crate::world::{Audience, Effect, Gathering, Record, Tick, World};

/// One World, its storage and its listener.
pub struct Engine {
    config: Config,
    log: Log,
    metrics: Metrics,
    signals: Signals,
    world: World,
    storage: Storage,
    server: Server,
    ticker: Ticker,
    flusher: Flusher,
    started: (Monotonic, Wall),
    last_flush_at: Option<Wall>,
    last_error: Option<String>,
    warned_at: BTreeMap<&'static str, Monotonic>,
    looked_at: Monotonic,
    checkpointed_at: Monotonic,
    records_since_checkpoint: u64,
    wal_bytes: u64,
    /// Since when readers keep the write-ahead log from being emptied, and its size at which the next warning is due.
    held_up: Option<(Monotonic, u64)>,
    /// What was rescued of this world and is later than what was loaded: where, its tick, what puts it in place.
    rescue: Option<(PathBuf, Tick, String)>,
}

/// Why the process ends otherwise than it should.
pub struct Exit {
    /// Its exit code: one of those below.
    pub code: u8,
    /// What is wrong, one thing each.
    pub problems: Vec<String>,
    /// What to do about it; may be empty.
    pub advice: String,
}

/// The exit code of what has failed.
pub const FAILED: u8 = 1;
/// The exit code of a usage, a configuration or a world file that is wrong.
pub const USAGE: u8 = 2;
/// The exit code of a database that cannot be used.
pub const STORAGE: u8 = 3;
/// The exit code of an address that cannot be listened on.
pub const LISTEN: u8 = 4;

impl Exit {
    /// Something that the system refused, or that came to nothing.
    pub fn failed(problem: String) -> Exit {
        Exit { code: FAILED, problems: vec![problem], advice: String::new() }
    }

    /// What is wrong with a world file.
    pub fn world_file(path: &Path, problems: Vec<String>) -> Exit {
        let problems = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        Exit { code: USAGE, problems, advice: String::new() }
    }
}

impl From<StorageError> for Exit {
    fn from(error: StorageError) -> Exit {
        Exit { code: STORAGE, problems: vec![error.to_string()], advice: error.advice() }
    }
}

impl Engine {
    /// Gets everything ready, in the order in which mistakes are best reported.
    pub fn start(config: Config, mut log: Log) -> Result<Engine, Exit> {
        let started = (clock::monotonic(), clock::wall());
        sys::prepare_signals().map_err(refused("handle signals"))?;
        let descriptors =
            sys::raise_descriptors_max(DESCRIPTORS_WANTED).map_err(refused("learn the limit on descriptors"))?;
        let (mut storage, found) = Storage::open(&config.sqlite_path, started.1)?;
        let (world, last_error) = match found {
            Found::Empty => (found_world(&config, &mut storage, &mut log)?, None),
            Found::Ours => load_world(&config, &mut storage, &mut log)?,
        };
        let rescue = warn_of_rescue(&storage, &world, &mut log);
        // Until here a signal has ended the process at once: there was nothing to save.
        let signals = Signals::install().map_err(refused("handle signals"))?;
        let clients_max = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX);
        let bound =
            Server::bind(config.observability_addr, clients_max).and_then(|server| Ok((server.address()?, server)));
        let (address, server) = bound.map_err(|error| {
            let advice = "AQEVIA_OBSERVABILITY_ADDR sets where HTTP listens: choose an address of this machine and a port \
                          that nobody else has, such as 127.0.0.1:7879, or port 0 for any that is free.";
            let problem = format!("cannot listen on {}: {error}", config.observability_addr);
            Exit { code: LISTEN, problems: vec![problem], advice: advice.to_owned() }
        })?;

        let now = clock::monotonic();
        log.info(
            "listening",
            &[
                ("addr", &address),
                ("world", &world.id),
                ("tick", &world.now().0),
                ("database", &config.sqlite_path.display()),
                ("version", &env!("CARGO_PKG_VERSION")),
                ("start_ms", &now.since(started.0).as_millis()),
            ],
        );
        Ok(Engine {
            ticker: Ticker::new(config.tick_interval, now),
            flusher: Flusher::new(config.flush_interval, config.batch_capacity, now),
            metrics: Metrics::default(),
            last_flush_at: None,
            last_error,
            warned_at: BTreeMap::new(),
            looked_at: now,
            checkpointed_at: now,
            records_since_checkpoint: 0,
            wal_bytes: storage.wal_bytes(),
            held_up: None,
            rescue,
            config,
            log,
            signals,
            world,
            storage,
            server,
            started,
        })
    }

    /// Runs until a signal comes. Returns the exit code: `FAILED` if not everything is saved, and the log says what.
    pub fn run(mut self) -> u8 {
        let mut descriptors = Vec::new();
        loop {
            self.wait(&mut descriptors, None);
            if let Some(signal) = self.signals.take() {
                self.log.info("stopping", &[("signal", &signal)]);
                return self.stop(descriptors);
            }
            let now = clock::monotonic();
            self.serve(&descriptors[1..], now);
            self.tick(now);
            self.look_if_due(now);
            self.flush_if_due(now);
            self.server.write(now, clock::monotonic());
        }
    }

    /// Sleeps until something comes in or is due, or until `timeout`. Then `descriptors` tells what came in: the
    /// first is that of the signals, the others are the server's.
    fn wait(&mut self, descriptors: &mut Vec<PollFd>, timeout: Option<Duration>) {
        descriptors.clear();
        descriptors.push(PollFd::new(&self.signals, true, false));
        self.server.wait_for(descriptors);
        let flush = self.flusher.next(self.world.pending());
        let look = self.looked_at.after(Duration::from_millis(LOOK_INTERVAL_MS));
        let timers = [Some(self.ticker.next), Some(look), flush, self.server.next_deadline()];
        let now = clock::monotonic();
        let next = timers.into_iter().flatten().min().map(|next| next.since(now));
        if let Err(error) = sys::poll(descriptors, timeout.or(next)) {
            // No memory, or fewer descriptors allowed than are open: the world goes on, and nothing is ready.
            self.warn_rarely("cannot wait for events", &[("error", &error)]);
            let _ = sys::poll(&mut [], Some(Duration::from_millis(POLL_PAUSE_MS)));
        }
        self.metrics.wakeups += 1;
    }

    /// Logs a warning that may come up again and again. It hides itself for a while, and no other.
    fn warn_rarely(&mut self, message: &'static str, fields: Fields) {
        let now = clock::monotonic();
        let warned_at = self.warned_at.get(message);
        if warned_at.is_none_or(|at| now.since(*at) >= Duration::from_millis(WARNING_INTERVAL_MS)) {
            self.warned_at.insert(message, now);
            self.log.warn(message, fields);
        }
    }

    fn serve(&mut self, ready: &[PollFd], now: Monotonic) {
        let snapshot = Snapshot {
            wall: clock::wall(),
            started: self.started.1,
            uptime: now.since(self.started.0),
            world: &self.world,
            storage: StorageView {
                pending: self.world.pending(),
                persisted_tick: self.storage.persisted(),
                last_flush_at: self.last_flush_at,
                last_error: self.last_error.as_deref(),
                wal_bytes: self.wal_bytes,
                held_up: self.held_up.map(|(since, _)| now.since(since)),
                rescue: self.rescue.as_ref(),
            },
            tick_interval: self.config.tick_interval,
            metrics: &self.metrics,
            log_lines_dropped: self.log.dropped,
            usage: sys::usage,
            exposition: OnceCell::new(),
        };
        if self.server.read(ready, now, &snapshot) {
            self.warn_rarely("no descriptor is free for a new connection", &[]);
        }
    }

    fn tick(&mut self, now: Monotonic) {
        let Some(due) = self.ticker.take(now) else { return };
        if due.skipped > 0 {
            self.metrics.ticks_skipped += due.skipped;
            self.log.warn("the loop was late and left out ticks", &[("ticks", &due.skipped)]);
        }
        let begun = clock::monotonic();
        let effects = self.world.tick();
        self.metrics.tick_duration.observe(clock::monotonic().since(begun));
        self.metrics.tick_lateness.observe(due.lateness);
        self.metrics.ticks += 1;
        if self.log.shows(Level::Debug) {
            let tick = self.world.now().0;
            for Effect { audience, text, .. } in &effects {
                let place = match audience {
                    Audience::Room(room) => self.world.name_of(*room),
                    Audience::Outdoors => "outdoors",
                };
                self.log.debug(text, &[("at", &place), ("tick", &tick)]);
            }
        }
    }

    /// Looks whether the database is still in its place and still ours, however long no flush is due.
    fn look_if_due(&mut self, now: Monotonic) {
        if now.since(self.looked_at) >= Duration::from_millis(LOOK_INTERVAL_MS) {
            self.looked_at = now;
            if let Err(error) = self.storage.look().and_then(|()| self.storage.read_back())
                && !self.flusher.is_failing()
            {
                self.failed(&error);
            }
        }
    }

    fn flush_if_due(&mut self, now: Monotonic) {
        let Some(trigger) = self.flusher.due(now, self.world.pending()) else { return };
        let saved = self.flush(trigger);
        // The write-ahead log is kept short: by records, and by the time since it was last emptied.
        let aged = now.since(self.checkpointed_at) >= Duration::from_millis(CHECKPOINT_INTERVAL_MS);
        if saved && (aged || self.records_since_checkpoint >= CHECKPOINT_RECORDS) {
            self.checkpoint("PASSIVE");
        }
        self.wal_bytes = self.storage.wal_bytes();
    }

    /// Makes everything that is pending durable, or notes why that failed and when to try again.
    fn flush(&mut self, trigger: Trigger) -> bool {
        let begun = clock::monotonic();
        let wall = clock::wall();
        let flushed = self.store(wall);
        let now = clock::monotonic();
        self.metrics.flush_duration.observe(now.since(begun));
        let outcome = if flushed.is_ok() { Outcome::Success } else { Outcome::Failure };
        self.metrics.flushes[trigger as usize][outcome as usize] += 1;
        match flushed {
            Ok(records) => {
                self.world.acknowledged();
                self.flusher.succeeded(now);
                self.last_flush_at = Some(wall);
                self.metrics.records_flushed += records;
                self.records_since_checkpoint += records;
                if self.last_error.take().is_some() {
                    self.log.info("flushes succeed again", &[("records", &records)]);
                }
                true
            }
            Err(error) => {
                self.world.cut_failed();
                self.failed(&error);
                false
            }
        }
    }

    /// Hands storage one cut of the world, or all of it if the database has lost its content. Returns how many records.
    fn store(&mut self, wall: Wall) -> Result<u64, StorageError> {
        let world = &mut self.world;
        let flushed = self.storage.flush(wall, |take| {
            world.cut(&mut *take);
            take(Record::Head(&world.head()));
            true
        });
        match flushed {
            Err(error) if error.is_emptied() => {
                world.cut(|_| ());
                self.storage.replace(&world.head(), wall, |take| {
                    world.records(take);
                    true
                })?;
                Ok(self.world.entities().count() as u64 + 1)
            }
            flushed => flushed,
        }
    }

    /// Notes that nothing can be flushed just now, and why.
    fn failed(&mut self, error: &StorageError) {
        let pause = self.flusher.failed(clock::monotonic());
        let error = error.to_string();
        if self.last_error.as_ref() != Some(&error) {
            let (pending, retry_ms) = (self.world.pending(), pause.as_millis());
            let fields: Fields = &[("error", &error), ("pending_records", &pending), ("retry_ms", &retry_ms)];
            self.log.error("flush failed: everything stays pending and is tried again", fields);
        }
        self.last_error = Some(error);
    }

    fn checkpoint(&mut self, mode: &str) {
        let begun = clock::monotonic();
        let checkpointed = self.storage.checkpoint(mode);
        self.checkpointed_at = clock::monotonic();
        self.records_since_checkpoint = 0;
        self.metrics.checkpoint_duration.observe(self.checkpointed_at.since(begun));
        match checkpointed {
            Ok(true) => self.held_up = None,
            Ok(false) => self.note_readers(),
            Err(error) => {
                // Nothing is lost: the log keeps what could not be moved.
                self.metrics.checkpoint_failures += 1;
                self.log.warn("checkpoint failed", &[("error", &error)]);
            }
        }
    }

    /// Counts checkpoints that readers have held up, and warns while the log grows for that.
    fn note_readers(&mut self) {
        self.metrics.checkpoints_held_up += 1;
        let (since, warn_bytes) = self.held_up.unwrap_or((self.checkpointed_at, WAL_BYTES_KEPT));
        let wal_bytes = self.storage.wal_bytes();
        self.held_up = Some((since, if wal_bytes < warn_bytes { warn_bytes } else { 2 * wal_bytes }));
        if wal_bytes >= warn_bytes {
            let seconds = self.checkpointed_at.since(since).as_secs();
            let message = "a reader of the database keeps its write-ahead log from being emptied, and it grows";
            self.log.warn(message, &[("seconds", &seconds), ("wal_bytes", &wal_bytes)]);
        }
    }

    /// Serves whoever has connected, each for the last time.
    fn serve_last(&mut self, descriptors: &mut Vec<PollFd>) {
        self.server.stop();
        let mut now = clock::monotonic();
        let until = now.after(Duration::from_millis(HTTP_STOP_MS_MAX));
        while !self.server.is_done() && now < until {
            let next = self.server.next_deadline().map_or(until, |next| next.min(until));
            self.wait(descriptors, Some(next.since(now)));
            // One more is no news, and would wake the loop for as long as it is not taken.
            while self.signals.take().is_some() {}
            now = clock::monotonic();
            self.serve(&descriptors[1..], now);
            self.server.write(now, clock::monotonic());
        }
        // Storage may need their descriptors.
        self.server.hang_up();
    }

    /// The end: nobody new is accepted, who has asked is answered, everything pending is flushed, the write-ahead log
    /// emptied.
    fn stop(mut self, mut descriptors: Vec<PollFd>) -> u8 {
        self.serve_last(&mut descriptors);
        // More attempts, on fresh connections, in case whatever is in the way is gone in a moment.
        let mut retries = SHUTDOWN_RETRIES_MS.into_iter().map(Duration::from_millis);
        let saved = self.flush(Trigger::Shutdown)
            || retries.any(|pause| {
                let _ = sys::poll(&mut [], Some(pause));
                self.flush(Trigger::Shutdown)
            });
        if saved {
            self.checkpoint("TRUNCATE");
            let Err(error) = self.storage.close(&self.world.head()) else {
                self.log.info("stopped", &[("tick", &self.world.now().0)]);
                return 0;
            };
            self.log.error("what was saved cannot be read back", &[("error", &error)]);
            self.last_error = Some(error.to_string());
        }
        self.rescue();
        FAILED
    }

    /// Saves the whole world beside the database that it cannot be saved into, and says how to go on from there.
    fn rescue(mut self) {
        let (tick, pending) = (self.world.now(), self.world.pending());
        let error = self.last_error.take().unwrap_or_default();
        let persisted = self.storage.tick_at_a_start();
        let persisted = persisted.map_or("unknown".to_owned(), |tick| tick.0.to_string());
        let rescued = self.storage.rescue(self.world.head(), clock::wall(), |take| {
            self.world.records(take);
            true
        });
        let mut fields: Vec<(&str, &dyn fmt::Display)> =
            vec![("tick", &tick.0), ("pending_records", &pending), ("persisted_tick", &persisted)];
        let (path, command);
        let message = match &rescued {
            Ok(rescue) => {
                (path, command) = (rescue.path.display(), rescue.command());
                fields.extend([("rescued", &path as &dyn fmt::Display), ("put_in_place", &command)]);
                "stopped without saving into the database: the whole world is in a file of its own, without what others \
                 may have stored in the database"
            }
            Err(why) => {
                fields.push(("rescue_error", why));
                "stopped without saving: the world comes back as the database has it"
            }
        };
        // What may be long comes last: a line that is too long is cut.
        fields.push(("error", &error));
        self.log.error(message, &fields);
    }
}

/// Tells of a rescued world that is later than the one that was loaded.
fn warn_of_rescue(storage: &Storage, world: &World, log: &mut Log) -> Option<(PathBuf, Tick, String)> {
    let rescue = storage.later_rescue(&world.head())?;
    let (command, path) = (rescue.command(), rescue.path.display());
    let (now, then) = (world.now().0, rescue.head.tick.0);
    let message =
        "a later state of this world was rescued and never put in place; with the engine stopped, the command does it";
    log.warn(message, &[("tick", &now), ("rescued_tick", &then), ("rescued", &path), ("put_in_place", &command)]);
    Some((rescue.path, rescue.head.tick, command))
}

/// The world that the configuration names, in an empty database.
fn found_world(config: &Config, storage: &mut Storage, log: &mut Log) -> Result<World, Exit> {
    let path = config.world_path.as_deref();
    let text = path.map_or_else(|| Ok(worldfile::BUILTIN.to_owned()), read_world_file)?;
    let seed = sys::random_u64().map_err(refused("get random bytes"))?;
    let path = path.unwrap_or(Path::new("the built-in world"));
    let source = worldfile::source_digest(&text);
    let world = worldfile::read(text, seed).map_err(|problems| Exit::world_file(path, problems))?;
    require_wanted(config, &world, path)?;
    let traces = storage.traces().join("; ");
    storage.found(&world, &source, clock::wall())?;
    storage.attach(&world.head())?;
    for warning in worldfile::warnings(&world) {
        log.warn(&warning, &[("file", &path.display())]);
    }
    let fields: Fields = &[("world", &world.id), ("from", &path.display()), ("traces", &traces)];
    if traces.is_empty() {
        log.info("founded a new world", fields);
    } else {
        log.warn("founded a new world where there may have been one: is this the right place?", fields);
    }
    Ok(world)
}

/// The world that the database holds, and why nothing can be flushed yet, if that is so.
fn load_world(config: &Config, storage: &mut Storage, log: &mut Log) -> Result<(World, Option<String>), Exit> {
    let mut gathering = Gathering::default();
    let (head, source, warnings) = storage.load(&mut |record| gathering.take(record))?;
    let damaged = |problems| StorageError::new(&config.sqlite_path, Failure::Damaged(problems));
    let world = gathering.finish().map_err(damaged)?;
    for warning in warnings {
        let database = config.sqlite_path.display();
        log.warn("the database is not quite as it should be", &[("database", &database), ("found", &warning)]);
    }
    require_wanted(config, &world, &config.sqlite_path)?;
    for excess in world.excesses() {
        log.warn("the world is larger than any founded today may become", &[("excess", &excess)]);
    }
    compare_with_file(config, &world, &source, log)?;
    // Only now that everything is accepted may anything be written.
    match storage.attach(&head) {
        Err(error) if error.is_for_want_of_room() => {
            let error = error.to_string();
            log.error("flush failed: there is no room yet, and it is tried again", &[("error", &error)]);
            Ok((world, Some(error)))
        }
        attached => Ok(attached.map(|()| (world, None))?),
    }
}

/// Refuses the world at `place` if the configuration names another.
fn require_wanted(config: &Config, world: &World, place: &Path) -> Result<(), StorageError> {
    match &config.world_id {
        Some(id) if *id != world.id => Err(other_world(place, world, format!("AQEVIA_WORLD_ID is {id:?}"))),
        _ => Ok(()),
    }
}

fn other_world(place: &Path, held: &World, wanted: String) -> StorageError {
    StorageError::new(place, Failure::OtherWorld(format!("{:?}, and {wanted}", held.id)))
}

/// A file is of no use to a database that holds a world; but the wrong file is a mistake, and a changed one is likely
/// to be another.
fn compare_with_file(config: &Config, world: &World, source: &str, log: &mut Log) -> Result<(), Exit> {
    let Some(path) = &config.world_path else { return Ok(()) };
    let text = read_world_file(path)?;
    if worldfile::source_digest(&text) == source {
        return Ok(());
    }
    let problem = match worldfile::read(text, 0) {
        Ok(file) if file.id != world.id => {
            let wanted = format!("the world file is of {:?}", file.id);
            return Err(other_world(&config.sqlite_path, world, wanted).into());
        }
        Ok(_) => String::new(),
        Err(problems) => problems.into_iter().next().unwrap_or_default(),
    };
    let message = "the world file has changed since the world was founded from it: the database wins";
    log.warn(message, &[("file", &path.display()), ("mistake", &problem)]);
    Ok(())
}

/// Reads a world file.
pub fn read_world_file(path: &Path) -> Result<String, Exit> {
    let refused = |problem: String| Exit::world_file(path, vec![problem]);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(WORLD_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(format!("cannot read it: {error}")))?;
    if bytes.len() as u64 > WORLD_FILE_BYTES_MAX {
        return Err(refused(format!("it is larger than {WORLD_FILE_BYTES_MAX} bytes")));
    }
    if bytes.contains(&0) {
        return Err(refused("it holds a NUL byte".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        refused(format!("line {line}: it is not UTF-8"))
    })
}

/// Turns an error of the system into the end of a start.
pub fn refused(doing: &'static str) -> impl Fn(io::Error) -> Exit {
    move |error| Exit::failed(format!("cannot {doing}: {error}"))
}
