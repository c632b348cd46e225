//! The loop: wait, read, tick, flush, write. Everything the engine does, it does here, in this order, on one thread, and
//! it waits for nothing but the next event: what storage does is done by the writer, a process of its own.
//!
//! `Engine::start` reads in the order in which things happen; `Engine::run` is one turn after the other, to the last of
//! the end that a signal begins. Who listens opens a port in `start`, has a turn in `serve` and is told of the end in
//! `take_signals`. A panic anywhere ends the process (see `cli.rs`): a half-changed world is never flushed.

use std::cell::{LazyCell, OnceCell};
use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use crate::clock::{self, Monotonic, Wall};
use crate::config::{Config, OBSERVABILITY_ADDR};
use crate::control::{Around, Control};
use crate::exit::{Exit, FAILED, refused};
use crate::http::map::Map;
use crate::http::server::Server;
use crate::http::{PeopleView, Snapshot, StorageView};
use crate::limits::{
    DESCRIPTORS_RESERVED, DESCRIPTORS_WANTED, HTTP_CONNECTIONS_MAX, HTTP_STOP_MS_MAX, POLL_PAUSE_MS,
    SHUTDOWN_FLUSH_MS_MAX, SHUTDOWN_MS_MAX, WARNING_INTERVAL_MS,
};
use crate::log::{Fields, Level, Log};
use crate::metrics::Metrics;
use crate::net::Net;
use crate::net::connection::Door;
use crate::schedule::{Flusher, Ticker};
use crate::session::{Moment, People, mssp, words};
use crate::storage::{Failure, Stamp, StorageError};
use crate::sys::{self, Poller, Readiness, Signals, Token};
use crate::ways::{self, Ways};
use crate::world::{Audience, Gathering, World};
use crate::writer::State;
use crate::writer::ledger::Ledger;
use crate::writer::link::Link;
use crate::writer::serve::Wanted;
use crate::writer::wire::{Said, Task, ToEngine, ToWriter};

/// One World, its writer and its listeners.
pub struct Engine {
    config: Config,
    log: Log,
    metrics: Metrics,
    poller: Poller,
    /// What is ready in this turn.
    ready: Vec<Token>,
    net: Net,
    server: Server,
    map: Map,
    /// Where people come in.
    ways: Ways,
    /// Where operators come in, unless no socket can be made beside the database.
    control: Option<Control>,
    people: People,
    writer: Option<Link>,
    load: Load,
    life: Option<Life>,
    started: (Monotonic, Wall),
    /// When each warning was last given that may come up again and again.
    warned: BTreeMap<&'static str, Monotonic>,
}

/// A signal has come.
const SIGNAL: Token = Token(0);
/// The writer has said something, or has room. Greater numbers are those of the network.
const WRITER: Token = Token(1);

/// What comes of a world that is loaded.
#[derive(Default)]
struct Load {
    /// What has come in so far.
    gathering: Gathering,
    /// What has become of that, when it was whole, and as of when it is stored.
    built: Option<(Result<World, Vec<String>>, Stamp)>,
    /// The digest of the world file that it was founded from.
    source: String,
}

/// A world that lives.
struct Life {
    world: World,
    ledger: Ledger,
    ticker: Ticker,
    /// Not there before the world is: until then a signal ends the process at once, since there is nothing to save.
    signals: Signals,
    /// The end, once it has begun: since when, and how far it is.
    end: Option<(Monotonic, End)>,
    /// What the writer has said last of all.
    last_word: Option<ToEngine>,
}

impl Life {
    /// Whether it is flushed, which it is until all is saved or cannot be.
    fn flushes(&self) -> bool {
        matches!(self.end, None | Some((_, End::Saving)))
    }
}

/// How far the end is.
#[derive(Clone, Copy)]
enum End {
    /// Who has connected is answered, and everything pending is flushed, again and again if need be.
    Saving,
    /// The write-ahead log is emptied, and what was flushed is read back.
    Closing,
    /// The world is saved beside the database.
    Rescuing,
}

impl Engine {
    /// Begins to start: the writer, which loads the world, and the listener, which tells how far that is.
    pub fn start(config: Config, mut log: Log) -> Result<Engine, Exit> {
        let started = (clock::monotonic(), clock::wall());
        sys::prepare_signals().map_err(refused("handle signals"))?;
        let descriptors =
            sys::raise_descriptors_max(DESCRIPTORS_WANTED).map_err(refused("learn the limit on descriptors"))?;
        let mut writer = Link::spawn().map_err(refused("start the writer"))?;
        let wanted = Wanted { file: config.world_path.clone(), id: config.world_id.clone() };
        writer.begin(&config.sqlite_path, started.1, Task::Load { wanted });
        let mut poller = Poller::new().map_err(refused("wait for events"))?;
        let places = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX);
        let mut net = Net::new(places, WRITER.0);
        // The first to open is the first to have its places kept; where there are few, some are left for players.
        let are_people = config.telnet_addr.is_some() || config.web_addr.is_some();
        let for_http = if are_people { places / 2 } else { places }.min(HTTP_CONNECTIONS_MAX);
        let (listener, address) = ways::listen("HTTP", OBSERVABILITY_ADDR, config.observability_addr)?;
        let server = Server::open(Door::Tcp(listener), for_http, &mut net, &mut poller);
        let server = server.map_err(refused("wait for connections"))?;
        let ways = Ways::listen(&config)?;
        let [telnet, web] = ways.addresses();
        let (database, version) = (config.sqlite_path.display(), env!("CARGO_PKG_VERSION"));
        let fields: Fields =
            &[("addr", &address), ("telnet", &telnet), ("web", &web), ("database", &database), ("version", &version)];
        log.info("listening", fields);
        let writer = Some(writer);
        let mut people = People::default();
        people.fixed = mssp::fixed(&config, ways.telnet_port(), started.1);
        let (metrics, ready, map, control, load, life, warned) = Default::default();
        Ok(Engine {
            config,
            log,
            metrics,
            poller,
            ready,
            net,
            server,
            map,
            ways,
            control,
            people,
            writer,
            load,
            life,
            started,
            warned,
        })
    }

    /// Runs until a signal comes, and ends. Returns the exit code: `FAILED` if not everything is saved, and the log
    /// says what. An error is one of the start.
    pub fn run(mut self) -> Result<u8, Exit> {
        loop {
            self.send();
            self.wait();
            let now = clock::monotonic();
            self.take_signals(now);
            self.hear(now)?;
            self.serve(now);
            self.meet(now);
            self.tick(now);
            self.restart_if_due(now);
            self.flush_if_due(now);
            self.log_news();
            self.answer(now);
            if let Some(code) = self.go_on_with_end(now) {
                return Ok(code);
            }
        }
    }

    /// Sleeps until something comes in or is due. Then `ready` tells what came in.
    fn wait(&mut self) {
        let control = self.control.as_ref().and_then(Control::next_due);
        let own = self.life.as_ref().map(|life| match life.end {
            None => self.people.next_due().map_or(life.ticker.next, |due| due.min(life.ticker.next)),
            Some((begun, End::Saving)) if !self.has_answered() => after(begun, HTTP_STOP_MS_MAX),
            Some((begun, End::Saving)) => after(begun, SHUTDOWN_FLUSH_MS_MAX),
            Some((begun, End::Closing | End::Rescuing)) => after(begun, SHUTDOWN_MS_MAX),
        });
        let life = self.life.as_ref().filter(|life| life.flushes());
        let flush = life.and_then(|life| life.ledger.next(&life.world, self.writer.is_some()));
        let next = [own, flush, control, self.net.next_deadline()].into_iter().flatten().min();
        if let Err(error) = self.poller.wait(next, clock::monotonic(), &mut self.ready) {
            // The world goes on, is stored, and must still be stopped by a signal.
            self.ready.extend([SIGNAL, WRITER]);
            self.warn_rarely("cannot wait for events", &[("error", &error)]);
            sys::pause(Duration::from_millis(POLL_PAUSE_MS));
        }
        self.metrics.wakeups += 1;
    }

    /// The first signal begins the end. One more is no news.
    fn take_signals(&mut self, now: Monotonic) {
        while let Some(life) = self.life.as_mut().filter(|_| self.ready.contains(&SIGNAL))
            && let Some(signal) = life.signals.take()
        {
            self.begin_end(&[("signal", &signal)], now);
        }
    }

    /// Begins the end, unless it has begun: nobody new is accepted.
    fn begin_end(&mut self, why: Fields, now: Monotonic) {
        let Some(life) = self.life.as_mut().filter(|life| life.end.is_none()) else { return };
        self.log.info("stopping", why);
        life.end = Some((now, End::Saving));
        life.ledger.hurry(now);
        self.server.stop(&mut self.net);
        self.people.is_closed = true;
        self.people.end_all("The world stops, and saves all that you did. Come again when it is back.");
        self.ways.stop(&mut self.net);
        self.control.iter_mut().for_each(|control| control.stop(&mut self.net));
    }

    /// Takes what the writer has said. An error ends a start.
    fn hear(&mut self, now: Monotonic) -> Result<(), Exit> {
        if let Some(writer) = self.writer.as_mut().filter(|_| self.ready.contains(&WRITER)) {
            writer.inlet.read();
        }
        loop {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            match writer.inlet.next(&mut |record| self.load.gathering.take(record)) {
                Some(Said::Message(said)) => self.act_on(said, now)?,
                Some(Said::Records) if self.load.gathering.is_whole => {
                    // The writer checks the database meanwhile.
                    let gathering = mem::take(&mut self.load.gathering);
                    let stamp = gathering.head.as_ref().map(Stamp::from).unwrap_or_default();
                    self.load.built = Some((gathering.finish(), stamp));
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
            (ToEngine::Refused { exit }, None) => return Err(exit),
            (ToEngine::Loaded { source }, _) => {
                self.load.source = source;
                if let Some((Err(problems), _)) = &mut self.load.built {
                    let damaged = Failure::Damaged(mem::take(problems));
                    return Err(StorageError::new(&self.config.sqlite_path, damaged).into());
                }
                self.writer.iter_mut().for_each(|writer| writer.out.message(&ToWriter::Accept {}));
            }
            // The first that is said once the world may be written.
            (said, None) => {
                self.begin_to_live()?;
                if self.life.is_some() {
                    return self.act_on(said, now);
                }
            }
            (said @ (ToEngine::Closed { .. } | ToEngine::Rescued { .. }), Some(life)) => life.last_word = Some(said),
            (said, Some(Life { world, ledger, .. })) => {
                ledger.hear(said, world, now, &mut self.metrics);
                sys::reap(self.writer.as_ref().map_or(0, Link::id));
            }
        }
        Ok(())
    }

    /// The world is loaded and may be written.
    fn begin_to_live(&mut self) -> Result<(), Exit> {
        let Some((Ok(mut world), stamp)) = self.load.built.take() else { return Ok(()) };
        for excess in world.excesses() {
            self.log.warn("the world is larger than any founded today may become", &[("excess", &excess)]);
        }
        let signals = Signals::install().map_err(refused("handle signals"))?;
        self.poller.watch(&signals.0, SIGNAL, true, false).map_err(refused("wait for signals"))?;
        let now = clock::monotonic();
        let flusher = Flusher::new(self.config.flush_interval, self.config.batch_capacity, now);
        let (ledger, ticker) = (Ledger::new(flusher, stamp), Ticker::new(self.config.tick_interval, now));
        // Nobody is there when an engine starts.
        world.rest_all();
        world.note_containers();
        self.ways.open(&mut self.net, &mut self.poller).map_err(refused("wait for players"))?;
        match Control::open(&self.config.sqlite_path, &mut self.net, &mut self.poller) {
            Ok(control) => self.control = Some(control),
            Err(error) => self.log.warn("there is no socket for operators: `ctl` does not work", &[("error", &error)]),
        }
        let (start_ms, tick) = (now.since(self.started.0).as_millis(), world.now().0);
        self.log.info("running", &[("world", &world.id), ("tick", &tick), ("start_ms", &start_ms)]);
        self.life = Some(Life { world, ledger, ticker, signals, end: None, last_word: None });
        Ok(())
    }

    /// The writer has ended. What it has not acknowledged is pending again.
    fn lose_writer(&mut self, now: Monotonic) -> Result<(), Exit> {
        let how = self.writer.take().and_then(Link::end);
        let Some(Life { world, ledger, last_word, .. }) = &mut self.life else {
            let how = how.unwrap_or_default();
            return Err(Exit::failed(format!("the writer has ended while it loaded the world: {how}")));
        };
        if last_word.is_none() {
            ledger.lose(how.map(|how| format!("the writer has ended: {how}")), world, now, &mut self.metrics);
        }
        Ok(())
    }

    /// Starts another writer in place of one that has ended.
    fn restart_if_due(&mut self, now: Monotonic) {
        let is_due = |life: &&mut Life| life.flushes() && life.ledger.flusher.retry_at().is_none_or(|at| at <= now);
        let life = self.life.as_mut().filter(|_| self.writer.is_none()).filter(is_due);
        let Some(Life { world, ledger, .. }) = life else { return };
        self.metrics.writer_restarts += 1;
        match Link::spawn() {
            Ok(mut writer) => {
                let (world, source, states) = (world.id.clone(), self.load.source.clone(), ledger.states.clone());
                writer.begin(&self.config.sqlite_path, self.started.1, Task::Resume { world, source, states });
                self.writer = Some(writer);
            }
            Err(error) => {
                ledger.lose(Some(format!("cannot start a writer: {error}")), world, now, &mut self.metrics);
            }
        }
    }

    /// Logs what is new of storage.
    fn log_news(&mut self) {
        let news = self.life.iter_mut().flat_map(|life| life.ledger.news.drain(..));
        news.for_each(|line| self.log.line(&line));
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
        let warned_at = self.warned.get(message);
        if warned_at.is_none_or(|at| now.since(*at) >= Duration::from_millis(WARNING_INTERVAL_MS)) {
            self.warned.insert(message, now);
            self.log.warn(message, fields);
        }
    }

    fn serve(&mut self, now: Monotonic) {
        let unsent_bytes = self.writer.as_ref().map_or(0, Link::unsent);
        let storage = match &self.life {
            Some(Life { world, ledger, .. }) => StorageView { unsent_bytes, ..ledger.status(world, now) },
            None => {
                let so_far =
                    if self.load.built.is_some() { "all" } else { &*self.load.gathering.entities().to_string() };
                let (trouble, unready) = (format!("loading: {so_far} entities so far"), now.since(self.started.0));
                StorageView { trouble: Some(trouble), unready, ..StorageView::default() }
            }
        };
        let [telnet, web] = self.ways.counters(&self.net);
        let control = self.control.as_ref().map(|control| self.net.counters(control.port)).unwrap_or_default();
        let ports = [("telnet", telnet), ("web", web), ("control", control)];
        self.map.age(now);
        let snapshot = Snapshot {
            wall: clock::wall(),
            started: self.started.1,
            now,
            uptime: now.since(self.started.0),
            world: self.life.as_ref().map(|life| &life.world),
            storage,
            people: PeopleView { people: Some(&self.people), ports, web: self.ways.http_counters() },
            tick_interval: self.config.tick_interval,
            metrics: &self.metrics,
            log_lines_dropped: self.log.dropped,
            map: &self.map,
            usage: LazyCell::new(sys::usage),
            status: OnceCell::new(),
            exposition: OnceCell::new(),
        };
        self.net.hear(&self.ready, now);
        self.server.serve(&mut self.net, now, snapshot.wall, &mut &snapshot);
        if let Some(control) = &mut self.control {
            control.show(&mut self.net, || self.server.status(&snapshot));
        }
        if self.net.is_exhausted {
            self.warn_rarely("no descriptor is free for a new connection", &[]);
        }
    }

    /// Hears people and operators, and lets new ones in.
    fn meet(&mut self, now: Monotonic) {
        let Some(Life { world, ledger, end, .. }) = &mut self.life else { return };
        let mut random = || sys::random().expect("getrandom(2) gives so few bytes whole, once the system has booted");
        let mut moment = Moment { world, now, wall: clock::wall(), random: &mut random };
        let quiet = if end.is_none() { self.people.pass(&mut moment) } else { Vec::new() };
        self.ways.serve(&quiet, &mut self.net, &mut self.people, &mut moment);
        let mut ends = false;
        if let Some(control) = &mut self.control {
            control.serve(&mut self.net, &mut Around { people: &mut self.people, moment: &mut moment, ledger });
            ends = control.ends(now);
        }
        self.people.notes.drain(..).for_each(|line| self.log.line(&line));
        if let Some(proxy) = self.net.silent_proxy.take() {
            let fields: Fields = &[("proxy", &proxy), ("help", &"it must speak the PROXY protocol, or not be trusted")];
            self.warn_rarely("a trusted proxy did not say where somebody comes from", fields);
        }
        if ends {
            self.begin_end(&[("told_by", &"an operator")], now);
        }
    }

    /// Gives people what there is for them to read, and ends the turn of the network.
    fn answer(&mut self, now: Monotonic) {
        if let Some(life) = &self.life {
            self.ways.send(&mut self.net, &mut self.people, &life.world, now);
        }
        self.net.send(clock::monotonic(), &mut self.poller);
    }

    /// Whether, after the last who could come, everybody has been answered and has gone.
    fn has_answered(&self) -> bool {
        self.net.is_done(self.server.port) && self.ways.are_done(&self.net)
    }

    fn tick(&mut self, now: Monotonic) {
        let Some(Life { world, ticker, .. }) = self.life.as_mut().filter(|life| life.end.is_none()) else { return };
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
        self.metrics.lately.observe(now, due.lateness);
        self.metrics.ticks += 1;
    }

    /// Cuts the world and hands it to the writer, if it is time.
    fn flush_if_due(&mut self, now: Monotonic) {
        let life = self.life.as_mut().filter(|life| life.flushes());
        let Some(Life { world, ledger, .. }) = life else { return };
        if let (Some(trigger), Some(writer)) = (ledger.due(world, now, &mut self.metrics), &mut self.writer) {
            ledger.cut(world, trigger, now, clock::wall(), &mut writer.out);
        } else if let Some(late) = ledger.late(now) {
            self.warn_rarely("storage has not acknowledged a flush", &[("seconds", &late.as_secs())]);
        }
    }

    /// Takes the end a step further, if it has begun. Returns the exit code once it is there.
    fn go_on_with_end(&mut self, now: Monotonic) -> Option<u8> {
        let has_answered = self.has_answered();
        let Life { world, ledger, end, last_word, .. } = self.life.as_mut()?;
        let (begun, stage) = (*end)?;
        let is_over = |after_ms| now >= after(begun, after_ms);
        match stage {
            End::Saving => {
                if is_over(HTTP_STOP_MS_MAX) {
                    self.net.hang_up();
                }
                if ledger.is_saved(world) && (has_answered || is_over(HTTP_STOP_MS_MAX)) {
                    *end = Some((begun, End::Closing));
                    let close = ToWriter::Close { head: world.head() };
                    self.writer.iter_mut().for_each(|writer| writer.out.message(&close));
                } else if is_over(SHUTDOWN_FLUSH_MS_MAX) {
                    self.begin_rescue(begun);
                }
            }
            End::Closing => match last_word.take() {
                None if self.writer.is_some() && !is_over(SHUTDOWN_MS_MAX) => (),
                Some(ToEngine::Closed { error: Some(error) }) => {
                    self.log.error("what was saved cannot be read back", &[("error", &error)]);
                    ledger.last_error = Some(error);
                    // It has nothing more to do.
                    self.writer = None;
                    self.begin_rescue(begun);
                }
                closed => {
                    if closed.is_none() {
                        self.log.warn("all is saved, and was not read back in time", &[]);
                    }
                    self.log.info("stopped", &[("tick", &world.now().0)]);
                    return Some(0);
                }
            },
            End::Rescuing if last_word.is_some() || self.writer.is_none() || is_over(SHUTDOWN_MS_MAX) => {
                self.tell_of_rescue(now);
                return Some(FAILED);
            }
            End::Rescuing => (),
        }
        None
    }

    /// Has the whole world saved beside the database that it cannot be saved into.
    fn begin_rescue(&mut self, begun: Monotonic) {
        let Some(Life { world, ledger, end, .. }) = &mut self.life else { return };
        *end = Some((begun, End::Rescuing));
        // A writer that does not answer is left to itself: what it has is whole, and it ends with its pipe.
        if self.writer.is_none() || ledger.state != State::Idle {
            self.writer = Link::spawn().ok();
        }
        if let Some(writer) = &mut self.writer {
            let (head, source, wall) = (world.head(), self.load.source.clone(), clock::wall());
            writer.begin(&self.config.sqlite_path, self.started.1, Task::Rescue { head, source, wall });
            world.records(|record| _ = writer.out.record(&record));
            writer.out.message(&ToWriter::End {});
        }
    }

    /// Says what was not saved, and how to go on from there.
    fn tell_of_rescue(&mut self, now: Monotonic) {
        let Some(Life { world, ledger, last_word, .. }) = &mut self.life else { return };
        let (rescued, rescue_error, persisted) = match last_word.take() {
            Some(ToEngine::Rescued { rescued, error, persisted }) => (rescued, error, persisted),
            _ if self.writer.is_none() => (None, "there was no writer to do it".to_owned(), None),
            _ => (None, "there was no time left for it".to_owned(), None),
        };
        let message = match &rescued {
            Some(_) => {
                "stopped without saving into the database: the whole world is in a file of its own, without what others \
                 may have stored in the database"
            }
            None => "stopped without saving: the world comes back as the database has it",
        };
        let persisted = persisted.map_or("unknown".to_owned(), |tick| tick.0.to_string());
        let error = ledger.trouble(now).unwrap_or_else(|| "it took too long".to_owned());
        let (place, command) =
            rescued.map(|rescued| (rescued.path.display().to_string(), rescued.command)).unwrap_or_default();
        // What may be long comes last: a line that is too long is cut.
        let fields: Fields = &[
            ("tick", &world.tick.0),
            ("pending_records", &world.pending()),
            ("persisted_tick", &persisted),
            ("rescued", &place),
            ("put_in_place", &command),
            ("rescue_error", &rescue_error),
            ("error", &error),
        ];
        self.log.error(message, fields);
    }
}

fn after(begun: Monotonic, milliseconds: u64) -> Monotonic {
    begun.after(Duration::from_millis(milliseconds))
}
