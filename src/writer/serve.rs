//! The writer: does one thing after the other that it is told, and waits for the disk as long as that takes.
//!
//! It lives as long as its pipe. When that ends, what has not been heard to its end is dropped, and the lock goes last.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wire::{Frames, Inlet, Rescued, Said, Task, ToEngine, ToWriter, View};
use crate::clock::{Monotonic, Wall};
use crate::exit::{Exit, read_world_file, refused};
use crate::limits::{
    CHECKPOINT_INTERVAL_MS, CHECKPOINT_RECORDS, FRAME_BYTES_MAX, FRAME_RECORDS_BYTES, LOCK_RETRY_MS, LOCK_WAIT_MS_MAX,
    LOOK_INTERVAL_MS, TEXT_BYTES_MAX,
};
use crate::log::{Level, Line};
use crate::storage::rescue::Rescue;
use crate::storage::schema::{Found, SCHEMA_VERSION};
use crate::storage::{self, Failure, Raised, Storage, StorageError, Taker, worldfile};
use crate::sys;
use crate::world::{Head, Record};

/// Where the writer hears from.
pub trait Input: Read {
    /// Sets how long a read waits for bytes before it says `WouldBlock`.
    fn be_patient(&self, pause: Duration);
}

impl Input for UnixStream {
    fn be_patient(&self, pause: Duration) {
        // Where that fails, the files are looked at less often.
        let _ = self.set_read_timeout(Some(pause));
    }
}

impl<R: Input> Inlet<R> {
    /// The next frame; `None` if none comes for as long as the input has patience, or ever.
    fn hear(&mut self, take: Taker) -> Option<Said<ToWriter>> {
        loop {
            let said = self.next(take);
            if said.is_some() || self.is_over || !self.read() {
                return said;
            }
        }
    }

    /// Hands on all records up to the end that is said; false if that does not come.
    fn feed(&mut self, take: Taker) -> bool {
        while !self.is_over {
            match self.hear(take) {
                Some(Said::Message(ToWriter::End {})) => return true,
                Some(Said::Message(_)) => self.is_over = true,
                Some(Said::Records) | None => (),
            }
        }
        false
    }
}

/// Everything that the writer has.
pub struct Writer<R, W> {
    inlet: Inlet<R>,
    output: W,
    /// What is to be said.
    out: Frames,
    clock: fn() -> Monotonic,
    /// Who it is: the engine must be the same.
    build: String,
    storage: Option<Storage>,
    /// What is to be written once it is accepted: its head, its source, and what the engine was told of both.
    loaded: Option<(Head, String, Wanted)>,
    told: Option<View>,
    looked_at: Monotonic,
    checkpointed_at: Monotonic,
    /// Records flushed since then.
    unmoved: u64,
}

/// What the configuration says of the World.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The file that founds it in an empty database; `None`: the world built in.
    pub file: Option<PathBuf>,
    /// The only one that is to be run or founded; `None`: any.
    pub id: Option<String>,
}

impl<R: Input, W: Write> Writer<R, W> {
    /// One that has been told nothing yet. `clock` is to tell the time.
    pub fn new(input: R, output: W, build: String, clock: fn() -> Monotonic) -> Writer<R, W> {
        input.be_patient(Duration::from_millis(LOOK_INTERVAL_MS));
        let (inlet, looked_at) = (Inlet::new(input), clock());
        let (out, storage, loaded, told, checkpointed_at, unmoved) = Default::default();
        Writer { inlet, output, out, clock, build, storage, loaded, told, looked_at, checkpointed_at, unmoved }
    }

    /// Does one thing that it is told, or looks at the files if nothing comes; false at its end.
    pub fn step(&mut self) -> bool {
        match self.inlet.hear(&mut |_| ()) {
            Some(Said::Message(message)) => {
                if let Err(exit) = self.obey(message) {
                    self.say_last(&ToEngine::Refused { exit });
                }
            }
            // Nobody has asked for records.
            Some(Said::Records) => self.inlet.is_over = true,
            None => (),
        }
        if !self.inlet.is_over && (self.clock)().since(self.looked_at) >= Duration::from_millis(LOOK_INTERVAL_MS) {
            self.look();
        }
        !self.inlet.is_over
    }

    /// An error is the end.
    fn obey(&mut self, message: ToWriter) -> Result<(), Exit> {
        match message {
            ToWriter::Begin { build, started, database, task } if build == self.build => match task {
                Task::Load { wanted } => return self.load(&database, started, wanted),
                Task::Resume { world, source, states } => {
                    let (mut storage, _) = self.open(&database, started)?;
                    storage.resume(&world, &source, states)?;
                    self.storage = Some(storage);
                    self.say_attached(None, None);
                }
                Task::Rescue { head, source, wall } => self.rescue(&database, head, &source, wall),
            },
            ToWriter::Accept {} => return self.attach(),
            ToWriter::Flush { cut, wall } => self.flush(cut, wall, None),
            ToWriter::Replace { cut, head, wall } => self.flush(cut, wall, Some(head)),
            ToWriter::Close { head } => self.close(&head),
            // Another build, or an end of nothing.
            ToWriter::Begin { .. } | ToWriter::End {} => self.inlet.is_over = true,
        }
        Ok(())
    }

    fn say(&mut self, message: &ToEngine) {
        self.out.message(message);
        self.send();
    }

    fn send(&mut self) {
        self.inlet.is_over = self.inlet.is_over || self.output.write_all(&self.out.bytes).is_err();
        self.out.clear();
    }

    fn say_last(&mut self, message: &ToEngine) {
        self.say(message);
        self.inlet.is_over = true;
    }

    fn note(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.say(&ToEngine::Note { line: Line::new(level, message, fields) });
    }

    fn view(&mut self) -> View {
        let storage = self.storage.as_ref();
        let view =
            View { persisted: storage.and_then(Storage::persisted), wal_bytes: storage.map_or(0, Storage::wal_bytes) };
        self.told = Some(view.clone());
        view
    }

    /// Opens the database. Who has it may be about to end, such as the writer of an engine that was killed.
    fn open(&mut self, database: &Path, started: Wall) -> Result<(Storage, Found), StorageError> {
        let until = (self.clock)().after(Duration::from_millis(LOCK_WAIT_MS_MAX));
        self.inlet.input().be_patient(Duration::from_millis(LOCK_RETRY_MS));
        let opened = loop {
            match Storage::open(database, started) {
                Err(StorageError { failure: Failure::Held(_), .. })
                    if (self.clock)() < until && self.inlet.hear(&mut |_| ()).is_none() && !self.inlet.is_over => {}
                opened => break opened,
            }
        };
        self.inlet.input().be_patient(Duration::from_millis(LOOK_INTERVAL_MS));
        opened
    }

    /// Opens the database, founds a World in it if it is empty, and hands out what it holds.
    fn load(&mut self, database: &Path, started: Wall, wanted: Wanted) -> Result<(), Exit> {
        let (mut storage, found) = self.open(database, started)?;
        if found == Found::Empty {
            self.found(&mut storage, &wanted)?;
        }
        let mut too_large = false;
        let loaded = storage.load(&mut |record| {
            too_large |= !self.out.record(&record);
            // At the end at once: the world is put together while the file is checked.
            if self.out.bytes.len() >= FRAME_RECORDS_BYTES || matches!(record, Record::End) {
                self.send();
            }
        });
        let (head, source, warning) = loaded?;
        // What a message could not tell whole.
        too_large |= [&head.id, &head.name, &source].iter().any(|text| text.len() > TEXT_BYTES_MAX);
        if too_large {
            let most = format!("{FRAME_BYTES_MAX} bytes, or a text of the world itself of more than {TEXT_BYTES_MAX}");
            let problem = format!("it has a record of more than {most}");
            return Err(StorageError::new(database, Failure::Damaged(vec![problem])).into());
        }
        if let Some(found) = warning {
            let fields = [("database", &*database.display().to_string()), ("found", &found)];
            self.note(Level::Warn, "the database is not quite as it should be", &fields);
        }
        self.say(&ToEngine::Loaded { source: source.clone() });
        self.storage = Some(storage);
        self.loaded = Some((head, source, wanted));
        Ok(())
    }

    /// Founds the world that the configuration names.
    fn found(&mut self, storage: &mut Storage, wanted: &Wanted) -> Result<(), Exit> {
        let path = wanted.file.as_deref();
        let text = path.map_or_else(|| Ok(worldfile::BUILTIN.to_owned()), read_world_file)?;
        let seed = u64::from_le_bytes(sys::random().map_err(refused("get random bytes"))?);
        let path = path.unwrap_or(Path::new("the built-in world"));
        let source = worldfile::source_digest(&text);
        let world = worldfile::read(text, seed).map_err(|problems| Exit::world_file(path, problems))?;
        require_wanted(wanted, &world.id, path)?;
        let traces = storage.traces().join("; ");
        storage.found(&world, &source, crate::clock::wall())?;
        let path = path.display().to_string();
        for warning in worldfile::warnings(&world) {
            self.note(Level::Warn, &warning, &[("file", &path)]);
        }
        let fields = [("world", &*world.id), ("from", &path), ("traces", &traces)];
        let (level, message) = match traces.is_empty() {
            true => (Level::Info, "founded a new world"),
            false => (Level::Warn, "founded a new world where there may have been one: is this the right place?"),
        };
        self.note(level, message, &fields);
        Ok(())
    }

    /// Begins to write. Only now that everything is accepted may anything be written.
    fn attach(&mut self) -> Result<(), Exit> {
        let (Some((head, source, wanted)), Some(mut storage)) = (self.loaded.take(), self.storage.take()) else {
            self.inlet.is_over = true;
            return Ok(());
        };
        require_wanted(&wanted, &head.id, storage.path())?;
        self.compare_with_file(&wanted, &head, &source, storage.path())?;
        let rescue = storage::rescue::later(storage.path(), &head).map(|rescue| told_of(&rescue));
        if let Some(Raised { from, copy }) = storage.bring_up(&head)? {
            let [from, to] = [from, SCHEMA_VERSION].map(|version| version.to_string());
            let fields = [("from", &*from), ("to", &to), ("copy", &copy.display().to_string())];
            self.note(Level::Info, "brought the database of an earlier engine up", &fields);
        }
        let error = match storage.attach(&head) {
            Err(error) if error.is_for_want_of_room() => Some(error.to_string()),
            attached => attached.map(|()| None)?,
        };
        self.storage = Some(storage);
        if let Some(Rescued { path, tick, command }) = &rescue {
            let message = "a later state of this world was rescued and never put in place; with the engine stopped, \
                           the command does it";
            let (now, tick, path) = (head.tick.0.to_string(), tick.0.to_string(), path.display().to_string());
            let fields = [("tick", &*now), ("rescued_tick", &tick), ("rescued", &path), ("put_in_place", command)];
            self.note(Level::Warn, message, &fields);
        }
        self.say_attached(error, rescue);
        Ok(())
    }

    fn say_attached(&mut self, error: Option<String>, rescue: Option<Rescued>) {
        self.checkpointed_at = (self.clock)();
        let view = self.view();
        self.say(&ToEngine::Attached { view, error, rescue });
    }

    /// A file is of no use to a database that holds a world; but the wrong file is a mistake, and a changed one is likely
    /// to be another.
    fn compare_with_file(&mut self, wanted: &Wanted, head: &Head, source: &str, database: &Path) -> Result<(), Exit> {
        let Some(path) = &wanted.file else { return Ok(()) };
        let text = read_world_file(path)?;
        if worldfile::source_digest(&text) == source {
            return Ok(());
        }
        let mistake = match worldfile::read(text, 0) {
            Ok(file) if file.id != head.id => {
                return Err(other_world(database, &head.id, format!("the world file is of {:?}", file.id)).into());
            }
            Ok(_) => String::new(),
            Err(problems) => problems.into_iter().next().unwrap_or_default(),
        };
        let message = "the world file has changed since the world was founded from it: the database wins";
        self.note(Level::Warn, message, &[("file", &path.display().to_string()), ("mistake", &mistake)]);
        Ok(())
    }

    /// Stores a cut, or all of a world where the database has lost its content.
    fn flush(&mut self, cut: u64, wall: Wall, all: Option<Head>) {
        let Some(storage) = &mut self.storage else { return self.inlet.is_over = true };
        let (inlet, clock) = (&mut self.inlet, self.clock);
        let mut heard_at = None;
        let mut feed = |take: Taker| {
            let is_whole = inlet.feed(take);
            heard_at = Some(clock());
            is_whole
        };
        let flushed = match &all {
            Some(head) => storage.replace(head, wall, &mut feed),
            None => storage.flush(wall, &mut feed),
        };
        let commit = heard_at.map(|heard_at| clock().since(heard_at));
        if commit.is_none() {
            // It has failed before anything was to be written.
            inlet.feed(&mut |_| ());
        }
        if inlet.is_over {
            return;
        }
        let view = self.view();
        match flushed {
            Ok(records) => {
                self.say(&ToEngine::Flushed { cut, view, records, commit: commit.unwrap_or_default() });
                self.unmoved += records;
                // The write-ahead log is kept short: by records, and by the time since it was last emptied.
                let aged = clock().since(self.checkpointed_at) >= Duration::from_millis(CHECKPOINT_INTERVAL_MS);
                if aged || self.unmoved >= CHECKPOINT_RECORDS {
                    self.checkpoint("PASSIVE");
                }
            }
            Err(error) => {
                let (wants_all, error) = (error.is_emptied(), error.to_string());
                self.say(&ToEngine::Failed { cut, view, error, wants_all });
            }
        }
    }

    fn checkpoint(&mut self, mode: &str) {
        let Some(storage) = &mut self.storage else { return };
        let begun = (self.clock)();
        let trouble = match storage.checkpoint(mode) {
            Ok(true) => None,
            Ok(false) => Some(None),
            Err(error) => Some(Some(error.to_string())),
        };
        self.checkpointed_at = (self.clock)();
        self.unmoved = 0;
        let (view, took) = (self.view(), self.checkpointed_at.since(begun));
        self.say(&ToEngine::Checkpointed { view, took, trouble });
    }

    /// Looks whether the database is still in its place and still ours, however long no flush is due.
    fn look(&mut self) {
        self.looked_at = (self.clock)();
        // While a world is loaded nothing is ours yet.
        let Some(storage) = self.storage.as_mut().filter(|_| self.loaded.is_none()) else { return };
        let error = storage.look().and_then(|()| storage.read_back()).err().map(|error| error.to_string());
        let told = self.told.take();
        let view = self.view();
        if error.is_some() || told.as_ref() != Some(&view) {
            self.say(&ToEngine::Seen { view, error });
        }
    }

    fn close(&mut self, head: &Head) {
        self.checkpoint("TRUNCATE");
        let Some(storage) = &mut self.storage else { return self.inlet.is_over = true };
        let error = storage.close(head).err().map(|error| error.to_string());
        self.say_last(&ToEngine::Closed { error });
    }

    /// Writes the whole world beside the database that it cannot be saved into.
    fn rescue(&mut self, database: &Path, head: Head, source: &str, wall: Wall) {
        let (inlet, id) = (&mut self.inlet, head.id.clone());
        let rescued = storage::rescue::write(database, head, source, wall, |take| inlet.feed(take));
        let known = self.storage.as_ref().and_then(Storage::persisted);
        let found = storage::head_at(database);
        let persisted = found.map_or(known, |found| (found.id == id).then_some(found.tick));
        if let (Ok(_), Some(storage)) = (&rescued, &mut self.storage) {
            storage.withdraw();
        }
        let (rescued, error) = match rescued {
            Ok(rescue) => (Some(told_of(&rescue)), String::new()),
            Err(error) => (None, error.to_string()),
        };
        self.say_last(&ToEngine::Rescued { rescued, error, persisted });
    }
}

fn told_of(rescue: &Rescue) -> Rescued {
    Rescued { path: rescue.path.clone(), tick: rescue.head.tick, command: rescue.command() }
}

/// Refuses the world at `place` if the configuration names another.
fn require_wanted(wanted: &Wanted, held: &str, place: &Path) -> Result<(), StorageError> {
    match &wanted.id {
        Some(id) if id != held => Err(other_world(place, held, format!("AQEVIA_WORLD_ID is {id:?}"))),
        _ => Ok(()),
    }
}

fn other_world(place: &Path, held: &str, wanted: String) -> StorageError {
    let remedy = "Nothing was changed. Unset AQEVIA_WORLD_PATH and AQEVIA_WORLD_ID to go on with the stored world, or give \
                  the other world a database of its own.";
    StorageError::unfit(place, format!("it holds the world {held:?}, and {wanted}"), remedy)
}
