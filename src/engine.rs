//! The loop: wait, read, tick, flush, write. Everything the engine does, it does here, in this order, on one thread, and
//! it waits for nothing but the next event: what storage does is done by the writer, a process of its own.
//!
//! `Engine::start` reads in the order in which things happen; `Engine::run` is one turn after the other until a signal
//! comes. A panic anywhere ends the process (see `cli.rs`): a half-changed world is never flushed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::clock::{self, Monotonic, Wall};
use crate::config::{Config, OBSERVABILITY_ADDR, TELNET_ADDR};
use crate::exit::{Exit, FAILED, LISTEN, refused};
use crate::http::server::Server;
use crate::http::{Snapshot, StorageView};
use crate::limits::{
    DESCRIPTORS_RESERVED, DESCRIPTORS_WANTED, HTTP_CONNECTIONS_MAX, HTTP_STOP_MS_MAX, POLL_PAUSE_MS,
    SHUTDOWN_FLUSH_MS_MAX, SHUTDOWN_MS_MAX, TELNET_CONNECTIONS_MAX, WARNING_INTERVAL_MS,
};
use crate::log::{Fields, Level, Log};
use crate::metrics::Metrics;
use crate::net::{Net, connection};
use crate::schedule::{Flusher, Ticker, Trigger};
use crate::session::{Moment, People, words};
use crate::storage::{Failure, Stamp, StorageError};
use crate::sys::{self, Poller, Readiness, Signals, Token};
use crate::telnet::port::Port;
use crate::world::{Audience, Gathering, World};
use crate::writer::State;
use crate::writer::ledger::Ledger;
use crate::writer::link::{self, Link};
use crate::writer::serve::Wanted;
use crate::writer::wire::{Rescued, Said, ToEngine, ToWriter, View};

/// One World, its writer and its listener.
pub struct Engine {
    config: Config,
    log: Log,
    metrics: Metrics,
    poller: Poller,
    /// What is ready in this turn.
    ready: Vec<Token>,
    /// Not there before the world is: until then a signal ends the process at once, since there is nothing to save.
    signals: Option<Signals>,
    net: Net,
    server: Server,
    /// Where people come in, once the world is there.
    telnet: Option<TcpListener>,
    doors: Option<Port>,
    people: People,
    writer: Option<Link>,
    /// The writer has what it needs to take flushes.
    is_attached: bool,
    /// The world as it comes in, and when it is whole what becomes of that, with as of when it is stored.
    gathering: Gathering,
    built: Option<(Result<World, Vec<String>>, Stamp)>,
    /// The digest of the world file that it was founded from.
    source: String,
    life: Option<Life>,
    /// What the writer has said last of all.
    last_word: Option<ToEngine>,
    started: (Monotonic, Wall),
    warned_at: BTreeMap<&'static str, Monotonic>,
}

/// Listens where a variable says.
fn listen(what: &str, variable: &str, address: SocketAddr) -> Result<TcpListener, Exit> {
    connection::listen(address).map_err(|error| Exit {
        code: LISTEN,
        problems: vec![format!("cannot listen on {address}: {error}")],
        advice: format!(
            "{variable} sets where {what} listens: choose an address of this machine and a port that nobody else has, such as \
             127.0.0.1:7879, or port 0 for any that is free."
        ),
    })
}

/// A signal has come.
const SIGNAL: Token = Token(0);
/// The writer has said something, or has room. Greater numbers are those of the network.
const WRITER: Token = Token(1);

/// A world that lives.
struct Life {
    world: World,
    ledger: Ledger,
    ticker: Ticker,
    /// What was rescued of this world and is later than what was loaded.
    rescue: Option<Rescued>,
}

impl Engine {
    /// Begins to start: the writer, which loads the world, and the listener, which tells how far that is.
    pub fn start(config: Config, mut log: Log) -> Result<Engine, Exit> {
        let started = (clock::monotonic(), clock::wall());
        sys::prepare_signals().map_err(refused("handle signals"))?;
        let descriptors =
            sys::raise_descriptors_max(DESCRIPTORS_WANTED).map_err(refused("learn the limit on descriptors"))?;
        let mut writer = Link::spawn().map_err(refused("start the writer"))?;
        let (build, database) = (link::build(), config.sqlite_path.clone());
        let wanted = Wanted { file: config.world_path.clone(), id: config.world_id.clone() };
        writer.out.message(&ToWriter::Start { build, started: started.1, database, wanted });
        let mut poller = Poller::new().map_err(refused("wait for events"))?;
        let places = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX);
        let mut net = Net::new(places, WRITER.0);
        // The first to open is the first to have its places kept.
        let listener = listen("HTTP", OBSERVABILITY_ADDR, config.observability_addr)?;
        let opened = listener
            .local_addr()
            .and_then(|address| Ok((address, Server::open(listener, HTTP_CONNECTIONS_MAX, &mut net, &mut poller)?)));
        let (address, server) = opened.map_err(refused("wait for connections"))?;
        let telnet = config.telnet_addr.map(|address| listen("telnet", TELNET_ADDR, address)).transpose()?;
        let telnet_addr = telnet.as_ref().and_then(|listener| listener.local_addr().ok());
        let telnet_addr = telnet_addr.map_or(String::new(), |address| address.to_string());
        let (database, version) = (config.sqlite_path.display(), env!("CARGO_PKG_VERSION"));
        log.info(
            "listening",
            &[("addr", &address), ("telnet", &telnet_addr), ("database", &database), ("version", &version)],
        );
        Ok(Engine {
            config,
            log,
            metrics: Metrics::default(),
            poller,
            ready: Vec::new(),
            signals: None,
            net,
            server,
            telnet,
            doors: None,
            people: People::default(),
            writer: Some(writer),
            is_attached: false,
            gathering: Gathering::default(),
            built: None,
            source: String::new(),
            life: None,
            last_word: None,
            started,
            warned_at: BTreeMap::new(),
        })
    }

    /// Runs until a signal comes. Returns the exit code: `FAILED` if not everything is saved, and the log says what. An
    /// error is one of the start.
    pub fn run(mut self) -> Result<u8, Exit> {
        loop {
            self.send();
            self.wait(None);
            let signals = self.signals.as_mut().filter(|_| self.ready.contains(&SIGNAL));
            if let Some(signal) = signals.and_then(Signals::take) {
                self.log.info("stopping", &[("signal", &signal)]);
                return Ok(self.stop());
            }
            let now = clock::monotonic();
            self.hear(now)?;
            self.serve(now);
            self.meet(now);
            self.tick(now);
            self.restart_if_due(now);
            self.flush_if_due(now);
            self.answer(now);
        }
    }

    /// Sleeps until something comes in or is due, or until `last` at most. Then `ready` tells what came in.
    fn wait(&mut self, last: Option<Monotonic>) {
        let due = self.life.as_ref().map(|Life { world, ledger, ticker, .. }| {
            let flush = match self.is_attached {
                true => ledger.next(world),
                false => ledger.flusher.retry_at().filter(|_| self.writer.is_none()),
            };
            flush.map_or(ticker.next, |flush| flush.min(ticker.next))
        });
        let next = last.or(due).into_iter().chain(self.people.next_due()).chain(self.net.next_deadline()).min();
        if let Err(error) = self.poller.wait(next, clock::monotonic(), &mut self.ready) {
            // The world goes on, is stored, and must still be stopped by a signal.
            self.ready.extend([SIGNAL, WRITER]);
            self.warn_rarely("cannot wait for events", &[("error", &error)]);
            sys::pause(Duration::from_millis(POLL_PAUSE_MS));
        }
        self.metrics.wakeups += 1;
    }

    /// Takes what the writer has said. An error ends a start.
    fn hear(&mut self, now: Monotonic) -> Result<(), Exit> {
        if let Some(writer) = self.writer.as_mut().filter(|_| self.ready.contains(&WRITER)) {
            writer.inlet.read();
        }
        loop {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            match writer.inlet.next(&mut |record| self.gathering.take(record)) {
                Some(Said::Message(said)) => self.act_on(said, now)?,
                Some(Said::Records) if self.gathering.is_whole => {
                    // The writer checks the database meanwhile.
                    let gathering = mem::take(&mut self.gathering);
                    let stamp = gathering.head.as_ref().map(Stamp::from).unwrap_or_default();
                    self.built = Some((gathering.finish(), stamp));
                }
                Some(Said::Records) => (),
                None if writer.inlet.is_over => return self.lose_writer(now),
                None => return Ok(()),
            }
        }
    }

    fn act_on(&mut self, said: ToEngine, now: Monotonic) -> Result<(), Exit> {
        match (said, &mut self.life) {
            (ToEngine::Note { line }, _) => self.log.line(&line),
            (ToEngine::Refused { exit }, _) => return Err(exit),
            (ToEngine::Loaded { source }, _) => {
                self.source = source;
                if let Some((Err(problems), _)) = &mut self.built {
                    let damaged = Failure::Damaged(mem::take(problems));
                    return Err(StorageError::new(&self.config.sqlite_path, damaged).into());
                }
                self.writer.iter_mut().for_each(|writer| writer.out.message(&ToWriter::Accept {}));
            }
            (said @ (ToEngine::Closed { .. } | ToEngine::Rescued { .. }), _) => self.last_word = Some(said),
            (ToEngine::Attached { view, error, rescue }, None) => return self.begin_to_live(view, error, rescue),
            (said, Some(Life { world, ledger, .. })) => {
                self.is_attached |= matches!(said, ToEngine::Attached { .. });
                let line = ledger.hear(said, world, now, &mut self.metrics);
                line.iter().for_each(|line| self.log.line(line));
                sys::reap(self.writer.as_ref().map_or(0, Link::id));
            }
            (_, None) => (),
        }
        Ok(())
    }

    /// The world is loaded and may be written.
    fn begin_to_live(&mut self, view: View, error: Option<String>, rescue: Option<Rescued>) -> Result<(), Exit> {
        let Some((Ok(mut world), stamp)) = self.built.take() else { return Ok(()) };
        for excess in world.excesses() {
            self.log.warn("the world is larger than any founded today may become", &[("excess", &excess)]);
        }
        if let Some(Rescued { path, tick, command }) = &rescue {
            let message = "a later state of this world was rescued and never put in place; with the engine stopped, the \
                           command does it";
            let (now, path) = (world.now().0, path.display());
            let fields: Fields =
                &[("tick", &now), ("rescued_tick", &tick.0), ("rescued", &path), ("put_in_place", &command)];
            self.log.warn(message, fields);
        }
        let signals = Signals::install().map_err(refused("handle signals"))?;
        self.poller.watch(&signals.0, SIGNAL, true, false).map_err(refused("wait for signals"))?;
        self.signals = Some(signals);
        let now = clock::monotonic();
        let flusher = Flusher::new(self.config.flush_interval, self.config.batch_capacity, now);
        let mut ledger = Ledger::new(flusher, stamp, View::default());
        let (start_ms, tick) = (now.since(self.started.0).as_millis(), world.now().0);
        self.log.info("running", &[("world", &world.id), ("tick", &tick), ("start_ms", &start_ms)]);
        let line = ledger.hear(ToEngine::Attached { view, error, rescue: None }, &mut world, now, &mut self.metrics);
        line.iter().for_each(|line| self.log.line(line));
        let ticker = Ticker::new(self.config.tick_interval, now);
        // Nobody is there when an engine starts.
        world.rest_all();
        if let Some(listener) = self.telnet.take() {
            let doors = Port::open(listener, TELNET_CONNECTIONS_MAX, &mut self.net, &mut self.poller);
            self.doors = Some(doors.map_err(refused("wait for players"))?);
        }
        self.life = Some(Life { world, ledger, ticker, rescue });
        self.is_attached = true;
        Ok(())
    }

    /// The writer has ended. What it has not acknowledged is pending again.
    fn lose_writer(&mut self, now: Monotonic) -> Result<(), Exit> {
        self.is_attached = false;
        let how = self.writer.take().and_then(Link::end);
        let Some(Life { world, ledger, .. }) = &mut self.life else {
            let how = how.unwrap_or_default();
            return Err(Exit::failed(format!("the writer has ended while it loaded the world: {how}")));
        };
        // One that ends well has said why, so that a pause has begun, or has said its last word.
        let pauses = ledger.flusher.retry_at().is_some_and(|at| at > now);
        let has_said = ledger.out_since().is_none() && (pauses || self.last_word.is_some());
        if how.is_some() || !has_said {
            let error = format!("the writer has ended: {}", how.as_deref().unwrap_or("without a word"));
            let line = ledger.fail(error, world, now, &mut self.metrics);
            line.iter().for_each(|line| self.log.line(line));
        }
        Ok(())
    }

    /// Starts another writer in place of one that has ended.
    fn restart_if_due(&mut self, now: Monotonic) {
        let is_due = |life: &&mut Life| life.ledger.flusher.retry_at().is_none_or(|at| at <= now);
        let life = self.life.as_mut().filter(|_| self.writer.is_none()).filter(is_due);
        let Some(Life { world, ledger, .. }) = life else { return };
        self.metrics.writer_restarts += 1;
        match Link::spawn() {
            Ok(mut writer) => {
                writer.out.message(&ToWriter::Resume {
                    build: link::build(),
                    started: self.started.1,
                    database: self.config.sqlite_path.clone(),
                    world: world.id.clone(),
                    source: self.source.clone(),
                    states: ledger.states.clone(),
                });
                self.writer = Some(writer);
            }
            Err(error) => {
                let line = ledger.fail(format!("cannot start a writer: {error}"), world, now, &mut self.metrics);
                line.iter().for_each(|line| self.log.line(line));
            }
        }
    }

    /// Gives the writer what it takes at once.
    fn send(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.write();
            let watched = writer.watch(|stream, for_room| self.poller.watch(stream, WRITER, true, for_room));
            if let Err(error) = watched {
                self.warn_rarely("cannot wait for the writer", &[("error", &error)]);
            }
        }
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

    fn serve(&mut self, now: Monotonic) {
        let life = self.life.as_ref();
        let ledger = life.map(|life| &life.ledger);
        let state = match ledger {
            None => State::Loading,
            Some(ledger) if ledger.out_since().is_some() => State::Flushing,
            Some(_) if self.is_attached => State::Idle,
            Some(_) => State::Restarting,
        };
        let so_far = || if self.built.is_some() { "all".to_owned() } else { self.gathering.entities().to_string() };
        let loading = || format!("loading: {} entities so far", so_far());
        let snapshot = Snapshot {
            wall: clock::wall(),
            started: self.started.1,
            uptime: now.since(self.started.0),
            world: life.map(|life| &life.world),
            storage: StorageView {
                trouble: ledger.map_or_else(|| Some(loading()), |ledger| ledger.trouble(now)),
                pending: life.map_or(0, |life| life.world.pending()),
                persisted_tick: ledger.and_then(|ledger| ledger.view.persisted),
                last_flush_at: ledger.and_then(|ledger| ledger.last_flush_at),
                last_error: ledger.and_then(|ledger| ledger.last_error.as_deref()),
                wal_bytes: ledger.map_or(0, |ledger| ledger.view.wal_bytes),
                held_up: ledger.and_then(|ledger| ledger.held_up).map(|(since, _)| now.since(since)),
                rescue: life.and_then(|life| life.rescue.as_ref()),
                writer: state,
                flushing: ledger.and_then(Ledger::out_since).map(|since| now.since(since)),
                unsent_bytes: self.writer.as_ref().map_or(0, Link::unsent),
            },
            tick_interval: self.config.tick_interval,
            metrics: &self.metrics,
            log_lines_dropped: self.log.dropped,
            usage: sys::usage,
            exposition: OnceCell::new(),
        };
        self.net.hear(&self.ready, now);
        self.server.serve(&mut self.net, now, &snapshot);
        if self.net.is_exhausted {
            self.warn_rarely("no descriptor is free for a new connection", &[]);
        }
    }

    /// Hears people, and lets new ones in.
    fn meet(&mut self, now: Monotonic) {
        let Some((Life { world, .. }, doors)) = self.life.as_mut().zip(self.doors.as_mut()) else { return };
        let mut random = || sys::random().expect("getrandom(2) gives so few bytes whole, once the system has booted");
        let mut moment = Moment { world, now, wall: clock::wall(), random: &mut random };
        let quiet = self.people.pass(&mut moment);
        doors.keep_alive(&mut self.net, &quiet);
        doors.serve(&mut self.net, &mut self.people, &mut moment);
        self.people.notes.drain(..).for_each(|line| self.log.line(&line));
    }

    /// Gives people what there is for them to read, and ends the turn of the network.
    fn answer(&mut self, now: Monotonic) {
        if let Some((Life { world, .. }, doors)) = self.life.as_mut().zip(self.doors.as_mut()) {
            doors.send(&mut self.net, &mut self.people, world, now);
        }
        self.net.send(clock::monotonic(), &mut self.poller);
    }

    fn tick(&mut self, now: Monotonic) {
        let Some(Life { world, ticker, .. }) = &mut self.life else { return };
        let Some(due) = ticker.take(now) else { return };
        if due.skipped > 0 {
            self.metrics.ticks_skipped += due.skipped;
            self.log.warn("the loop was late and left out ticks", &[("ticks", &due.skipped)]);
        }
        let begun = clock::monotonic();
        let shows = self.log.shows(Level::Debug);
        let (log, people) = (&mut self.log, &mut self.people);
        world.tick(&mut |world, effect| {
            people.hear(world, effect);
            if let Some(sentence) = shows.then(|| words::sentence(world, effect, None)).flatten() {
                let place = match effect.audience {
                    Audience::Room(room) | Audience::One(room) => world.name_of(room),
                    Audience::Outdoors => "outdoors",
                    Audience::World => "everywhere",
                };
                log.debug(&sentence, &[("at", &place), ("tick", &world.now().0)]);
            }
        });
        self.metrics.tick_duration.observe(clock::monotonic().since(begun));
        self.metrics.tick_lateness.observe(due.lateness);
        self.metrics.ticks += 1;
    }

    fn flush_if_due(&mut self, now: Monotonic) {
        let Some(Life { world, ledger, .. }) = self.life.as_mut().filter(|_| self.is_attached) else { return };
        if let Some(trigger) = ledger.due(world, now, &mut self.metrics) {
            self.flush(trigger, now);
        } else if let Some(late) = ledger.late(now) {
            self.warn_rarely("storage has not acknowledged a flush", &[("seconds", &late.as_secs())]);
        }
    }

    /// Cuts the world and hands it to the writer.
    fn flush(&mut self, trigger: Trigger, now: Monotonic) {
        if let (Some(Life { world, ledger, .. }), Some(writer)) = (&mut self.life, &mut self.writer) {
            ledger.cut(world, trigger, now, clock::wall(), &mut writer.out);
        }
    }

    /// Serves whoever has connected, each for the last time.
    fn serve_last(&mut self) {
        self.server.stop(&mut self.net);
        self.people.end_all("The world stops, and saves all that you did. Come again when it is back.");
        self.doors.iter_mut().for_each(|doors| doors.stop(&mut self.net));
        let mut now = clock::monotonic();
        let until = now.after(Duration::from_millis(HTTP_STOP_MS_MAX));
        while !self.net.is_done(self.server.port) && now < until {
            now = self.wait_for_writer(until);
            self.serve(now);
            self.answer(now);
        }
        // Storage may need the descriptors of who is left.
        self.net = Net::new(0, WRITER.0);
    }

    /// Waits until something comes or is due, no longer than `until`, and takes what the writer has said. Returns the time.
    fn wait_for_writer(&mut self, until: Monotonic) -> Monotonic {
        self.send();
        self.wait(Some(until));
        // One more is no news, and would wake the loop for as long as it is not taken.
        while self.signals.as_mut().and_then(Signals::take).is_some() {}
        let now = clock::monotonic();
        // There is nothing left that could be refused.
        let _ = self.hear(now);
        now
    }

    /// The end: nobody new is accepted, who has asked is answered, everything pending is flushed, the write-ahead log
    /// emptied.
    fn stop(mut self) -> u8 {
        let begun = clock::monotonic();
        let end = begun.after(Duration::from_millis(SHUTDOWN_MS_MAX));
        self.serve_last();
        let last_flush = begun.after(Duration::from_millis(SHUTDOWN_FLUSH_MS_MAX));
        if self.flush_last(last_flush) {
            let (Some(life), Some(writer)) = (&self.life, &mut self.writer) else { return FAILED };
            writer.out.message(&ToWriter::Close { head: life.world.head() });
            let tick = life.world.now().0;
            match self.hear_last(end) {
                Some(ToEngine::Closed { error: Some(error) }) => {
                    self.log.error("what was saved cannot be read back", &[("error", &error)]);
                    self.life.iter_mut().for_each(|life| life.ledger.last_error = Some(error.clone()));
                    self.is_attached = false;
                }
                closed => {
                    if closed.is_none() {
                        self.log.warn("all is saved, and was not read back in time", &[]);
                    }
                    self.log.info("stopped", &[("tick", &tick)]);
                    return 0;
                }
            }
        }
        self.rescue(end);
        FAILED
    }

    /// Flushes what is pending, again and again if need be; false if it is not acknowledged in time.
    fn flush_last(&mut self, until: Monotonic) -> bool {
        let (mut now, mut has_flushed) = (clock::monotonic(), false);
        // Whatever is in the way may be gone in a moment, and time is short.
        self.life.iter_mut().filter(|life| life.ledger.out_since().is_none()).for_each(|life| life.ledger.hurry(now));
        while now < until {
            self.restart_if_due(now);
            let Some(Life { world, ledger, .. }) = &self.life else { return false };
            if self.is_attached && ledger.out_since().is_none() {
                if has_flushed && world.pending() == 0 && !ledger.flusher.is_failing() {
                    return true;
                }
                has_flushed = true;
                if ledger.flusher.retry_at().is_none_or(|at| at <= now) {
                    self.flush(Trigger::Shutdown, now);
                }
            }
            let retry = self.life.as_ref().and_then(|life| life.ledger.flusher.retry_at()).filter(|at| *at > now);
            now = self.wait_for_writer(retry.unwrap_or(until).min(until));
        }
        false
    }

    /// The writer's last word, if it comes in time.
    fn hear_last(&mut self, until: Monotonic) -> Option<ToEngine> {
        let mut now = clock::monotonic();
        while self.last_word.is_none() && self.writer.is_some() && now < until {
            now = self.wait_for_writer(until);
        }
        self.last_word.take()
    }

    /// Saves the whole world beside the database that it cannot be saved into, and says how to go on from there.
    fn rescue(mut self, until: Monotonic) {
        // A writer that does not answer is left to itself: what it has is whole, and it ends with its pipe.
        if !self.is_attached || self.life.as_ref().is_some_and(|life| life.ledger.out_since().is_some()) {
            self.writer = Link::spawn().ok();
        }
        let Some(Life { world, ledger, .. }) = self.life.take() else { return };
        if let Some(writer) = &mut self.writer {
            let (build, database) = (link::build(), self.config.sqlite_path.clone());
            let (head, source, wall) = (world.head(), self.source.clone(), clock::wall());
            writer.out.message(&ToWriter::Rescue { build, database, head, source, wall });
            world.records(|record| _ = writer.out.record(&record));
            writer.out.message(&ToWriter::End {});
        }
        let said = self.hear_last(until);
        let (rescued, why, persisted) = match said {
            Some(ToEngine::Rescued { rescued, error, persisted }) => (rescued, error, persisted),
            _ if self.writer.is_none() => (None, "there was no writer to do it".to_owned(), None),
            _ => (None, "there was no time left for it".to_owned(), None),
        };
        let pending = world.pending();
        let error = ledger.trouble(clock::monotonic()).unwrap_or_else(|| "it took too long".to_owned());
        let persisted = persisted.map_or("unknown".to_owned(), |tick| tick.0.to_string());
        let mut fields: Vec<(&str, &dyn fmt::Display)> =
            vec![("tick", &world.tick.0), ("pending_records", &pending), ("persisted_tick", &persisted)];
        let path;
        let message = match &rescued {
            Some(Rescued { path: place, command, .. }) => {
                path = place.display();
                fields.extend([("rescued", &path as &dyn fmt::Display), ("put_in_place", command)]);
                "stopped without saving into the database: the whole world is in a file of its own, without what others \
                 may have stored in the database"
            }
            None => {
                fields.push(("rescue_error", &why));
                "stopped without saving: the world comes back as the database has it"
            }
        };
        // What may be long comes last: a line that is too long is cut.
        fields.push(("error", &error));
        self.log.error(message, &fields);
    }
}
