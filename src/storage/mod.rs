//! SQLite: open, lock, check, load, flush, checkpoint. Knows the world's types; nothing above knows SQLite.
//!
//! A flush is one transaction that holds one cut of the world between two ticks. Until it has succeeded the world
//! keeps every change pending, so a failure loses nothing while the process lives. After a failure the connection is
//! given up and the next attempt begins with a fresh one, because what a failed write or sync has left behind in the
//! old one is not to be trusted. Nor is the write-ahead log then: Linux takes pages that it could not write for written,
//! and the next sync succeeds without them. So the log is written again before anything builds on it. Next: `schema.rs`
//! for what is accepted as ours, `records.rs` for rows.

pub mod backup;
mod error;
pub mod export;
pub mod files;
mod lock;
mod reader;
mod records;
pub mod rescue;
pub mod schema;
mod steps;
pub mod worldfile;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior};

use crate::clock::Wall;
use crate::limits::{READER_BUSY_MS_MAX, STATES_MAX, WAL_BYTES_KEPT};
use crate::world::{Gathering, Head, Record, Tick, World};
use error::EMPTIED;
pub use error::{Failure, StorageError};
use files::{FileId, Partial, beside, bytes_beside, file_id, leads_to, log_of, sync_folder};
use lock::Lock;
pub use reader::head_at;
use schema::{APPLICATION_ID, Found, SCHEMA_VERSION, STEPS};
pub use steps::Raised;

/// How it is disturbed if it, or its log, does not hold any more what was put there.
const SPOILT: &str = "somebody has written over it or its -wal file";

/// The database of a running engine. Nobody else writes it while this lives.
pub struct Storage {
    path: PathBuf,
    lock: Lock,
    /// Whose tables are expected.
    found: Found,
    /// The database that the world was loaded from. Another file at the same path is not ours, and opening it would mix
    /// it with the write-ahead log of this one. It stays open as long as a connection to it is.
    file: Option<File>,
    state: State,
    /// The id of the world, and the digest of the world file that it was founded from.
    world: String,
    source: String,
    /// The state that is stored, as far as is known.
    persisted: Stamp,
    /// The states that flushes tried to store since: a commit that failed may have succeeded all the same, and what it has
    /// left in the log may be found there until another has written over it.
    attempted: Vec<Stamp>,
    /// Whether what stands at our path is, as far as can be seen, what was put there.
    sound: bool,
}

/// How far the connection can be trusted. Only `Open` is written to; from every other state but the last a fresh
/// connection leads back to it.
enum State {
    /// There is none yet.
    Closed,
    /// All is well.
    Open(Open),
    /// Something has failed on it, or its log or the index of it has lost its name. It stays until there is a fresh one,
    /// because what stands in a log without a name can only be read by it.
    Failed(Open),
    /// Somebody has written into its files by other means than SQLite's. Nothing leads from here.
    Spoilt,
}

/// A connection, and what goes with it.
struct Open {
    connection: Connection,
    /// The write-ahead log and its index.
    log: [FileId; 2],
    /// The log as it was left.
    left: Log,
    /// What was committed to it last.
    committed: Committed,
    /// SQLite's number of the schema that was found to be ours.
    schema_version: i64,
}

/// How the header of a log begins.
const LOG_MAGIC: [u8; 3] = [0x37, 0x7f, 0x06];

/// What is seen of a write-ahead log from outside: its size, and its header, which is another one whenever it begins anew.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Log {
    bytes: u64,
    header: [u8; 32],
}

/// The last transaction in a log (SQLite, "Database File Format", section 4.1): the header of the log, where the last frame
/// ends, and the header of that frame. Until the log begins anew nobody writes there again.
#[derive(Default)]
struct Committed {
    header: [u8; 32],
    end: u64,
    frame: [u8; 24],
}

/// As of when a world is stored: its tick, and its digest then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its tick.
    pub tick: Tick,
    /// Its digest; `None` if somebody has cleared it.
    pub digest: Option<String>,
}

impl From<&Head> for Stamp {
    fn from(head: &Head) -> Stamp {
        Stamp { tick: head.tick, digest: head.digest.clone() }
    }
}

/// Where a world is read to.
pub type Taker<'a> = &'a mut dyn FnMut(Record);

impl Storage {
    /// Takes the database at `path` for this process: locks it and makes sure that it is ours, or empty, and can be
    /// written. Changes nothing in it. `started` is told to others who want it.
    pub fn open(path: &Path, started: Wall) -> Result<(Storage, Found), StorageError> {
        let path = files::real_path(path)?;
        let lock = Lock::take(&path, started)?;
        files::require_writable(&path)?;
        let found = schema::inspect(&path)?;
        let (state, [world, source], (persisted, attempted)) = (State::Closed, Default::default(), Default::default());
        let storage =
            Storage { path, lock, found, file: None, state, world, source, persisted, attempted, sound: false };
        Ok((storage, found))
    }

    /// Goes on where another process has ended that wrote the same world, if what is stored is one of these states.
    pub fn resume(&mut self, world: &str, source: &str, states: Vec<Stamp>) -> Result<(), StorageError> {
        (self.world, self.source) = (world.to_owned(), source.to_owned());
        (self.persisted, self.attempted) = (states.first().cloned().unwrap_or_default(), states);
        self.found = Found::Ours;
        self.watch()?;
        // If it was emptied meanwhile, the next flush finds that.
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > 0) {
            self.state = State::Open(self.reopen(Duration::ZERO)?);
        }
        Ok(())
    }

    /// What speaks for a World that was here and is not any more. Asked where nothing was found.
    pub fn traces(&self) -> Vec<String> {
        let mut traces = Vec::new();
        if self.path.exists() {
            traces.push(format!("{:?} is there, with 0 bytes", self.path));
        }
        traces.extend(self.lock.before.iter().map(|holder| format!("its .lock tells of an engine before: {holder}")));
        traces.extend(rescue::all(&self.path).into_iter().map(|rescue| format!("{:?} lies beside it", rescue.path)));
        // In a container, what is no mount goes with it.
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        if std::process::id() == 1 && device(self.path.parent().unwrap_or(Path::new("/"))) == device(Path::new("/")) {
            traces.push("its folder is no volume: what is stored there goes with the container".to_owned());
        }
        traces
    }

    /// Writes a new world where no database is.
    pub fn found(&mut self, world: &World, source: &str, wall: Wall) -> Result<(), StorageError> {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > 0) {
            let what = "it is a database without tables, which another program may be about to fill";
            return Err(StorageError::unfit(&self.path, what, "Nothing was changed. Remove it to found a World here."));
        }
        source.clone_into(&mut self.source);
        files::remove_leftovers(&self.path);
        let feed = |take: Taker| {
            world.records(take);
            true
        };
        self.put(&world.head(), wall, feed).map(drop)
    }

    /// Puts the whole world where nothing is, or a file without content. It is made under another name and gets its own
    /// when it is whole and synced, so what is cut short leaves nothing behind that counts.
    fn put(&mut self, head: &Head, wall: Wall, feed: impl FnOnce(Taker) -> bool) -> Result<u64, StorageError> {
        let partial = Partial::create(&self.path)?;
        let count = write_new(partial.path(), head, &self.source, wall, "WAL", feed)?;
        (self.state, self.found) = (State::Closed, Found::Ours);
        let placed = if self.path.exists() { self.replace_with(partial) } else { partial.publish(&self.path) };
        placed.map(|()| count)
    }

    /// Puts the whole world where our own file has lost its content.
    /// Returns the number of records written, the head included.
    pub fn replace(&mut self, head: &Head, wall: Wall, feed: impl FnOnce(Taker) -> bool) -> Result<u64, StorageError> {
        let looked = self.look();
        if !looked.as_ref().is_err_and(StorageError::is_emptied) {
            return looked.and(Err(StorageError::disturbed(&self.path, "it has a content again")));
        }
        let count = self.put(head, wall, feed)?;
        self.attach(head).map(|()| count)
    }

    /// Reads the world out of a database that is ours, without changing anything, and checks the database.
    /// Returns its head, its source, and what an operator should know of the database that is no obstacle.
    pub fn load(&mut self, take: Taker) -> Result<(Head, String, Option<String>), StorageError> {
        let (head, source, warning) = reader::read_world(&self.path, take)?;
        source.clone_into(&mut self.source);
        Ok((head, source, warning))
    }

    /// Begins to write for the world that is stored here. Waits for a reader of a database that was just put in place,
    /// which SQLite must have for itself once.
    pub fn attach(&mut self, head: &Head) -> Result<(), StorageError> {
        head.id.clone_into(&mut self.world);
        (self.persisted, self.attempted) = (head.into(), Vec::new());
        files::remove_leftovers(&self.path);
        self.watch()?;
        self.sound = true;
        self.state = State::Open(self.reopen(Duration::from_millis(READER_BUSY_MS_MAX))?);
        Ok(())
    }

    /// Writes what `feed` hands out, all or nothing: changed records, then the head. It says whether that was all. Returns
    /// the number of records written, the head included.
    pub fn flush(&mut self, wall: Wall, feed: impl FnOnce(Taker) -> bool) -> Result<u64, StorageError> {
        self.look()?;
        let mut open = self.connect()?;
        let written = self.write(&mut open, wall, feed);
        match &written {
            Ok(_) => {
                // Twice, as somebody's checkpoint may cut it in the middle of a look.
                let look = || self.committed(&open);
                let Some(committed) = look().or_else(look) else {
                    (self.sound, self.state) = (false, State::Spoilt);
                    return Err(StorageError::disturbed(&self.path, SPOILT));
                };
                if !self.has_lost_log(&open) {
                    open.left = self.log();
                    // One that is empty again is judged by what was there before.
                    open.committed = if committed.end > 0 { committed } else { open.committed };
                    self.state = State::Open(open);
                } else {
                    // It has lost its log since it was looked at: only this connection sees what it has just stored there.
                    self.sound = false;
                    self.give_up(open)?;
                    self.state = State::Open(self.reopen(Duration::ZERO)?);
                }
                self.persisted = self.attempted.drain(..).next_back().unwrap_or_default();
                self.sound = true;
            }
            Err(error) => {
                self.state = State::Failed(open);
                self.sound &= !matches!(error.failure, Failure::Disturbed(_) | Failure::Damaged(_));
            }
        }
        written
    }

    fn write(&mut self, open: &mut Open, wall: Wall, feed: impl FnOnce(Taker) -> bool) -> Result<u64, StorageError> {
        let (path, failed) = (&self.path, StorageError::sqlite("flush to", &self.path));
        let transaction = open.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let schema_version = schema::version(&transaction, path)?;
        if schema_version != open.schema_version {
            // Somebody has made or dropped something. Only what is not ours may differ.
            schema::identify(&transaction, path)?;
            open.schema_version = schema_version;
        }
        let mut is_as_left = false;
        let written = records::write_all(&transaction, feed, |head| {
            self.attempted.truncate(STATES_MAX - 1);
            self.attempted.push(Stamp::from(head));
            is_as_left = records::update_head(&transaction, head, self.persisted.tick, wall)?;
            Ok(())
        });
        let count = written.map_err(&failed)?.ok_or_else(|| incomplete(path))?;
        if !is_as_left {
            return Err(StorageError::disturbed(path, "somebody else has written to it"));
        }
        transaction.commit().map_err(&failed)?;
        Ok(count)
    }

    /// Makes sure that what stands at our path is still ours alone. What can be seen from outside is seen here, so it is
    /// to be called before each flush and often enough between them.
    pub fn look(&mut self) -> Result<(), StorageError> {
        let looked = self.lock.hold().and_then(|()| {
            let is_ours = self.leads_to_ours();
            if is_ours && !self.is_overwritten() {
                return Ok(());
            }
            let what = match fs::metadata(&self.path) {
                Err(_) => "it has gone: put it back",
                Ok(_) if !is_ours => "another file has taken its place",
                Ok(metadata) if metadata.len() == 0 => EMPTIED,
                Ok(_) => "it has been overwritten",
            };
            Err(StorageError::disturbed(&self.path, what))
        });
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(open) if self.has_lost_log(&open) => State::Failed(open),
            state => state,
        };
        self.sound &= looked.is_ok() && !matches!(&self.state, State::Failed(open) if self.has_lost_log(open));
        looked?;
        let log = self.log();
        match &self.state {
            // Others may checkpoint, and so cut it or let it begin anew. Then all of it is in the database.
            State::Open(open) if log.bytes < open.left.bytes || log.header != open.left.header => self.read_back(),
            _ => Ok(()),
        }
    }

    fn log(&self) -> Log {
        let mut log = Log::default();
        if let Ok(file) = File::open(beside(&self.path, "-wal")) {
            log.bytes = file.metadata().map_or(0, |metadata| metadata.len());
            // What is shorter has none.
            let _ = file.read_exact_at(&mut log.header, 0);
        }
        log
    }

    /// What a flush has left in the log. `None`: what was committed before is gone from there. Whoever empties or replaces a
    /// log in place does not know how far a connection is in it, and leaves a hole before what is written next.
    fn committed(&self, open: &Open) -> Option<Committed> {
        let (mut now, before) = (Committed::default(), &open.committed);
        let Ok(file) = File::open(beside(&self.path, "-wal")) else { return Some(now) };
        // What is not there stays zero.
        let is_unreadable = Cell::new(false);
        let read = |bytes: &mut [u8], at: u64| {
            let error = file.read_exact_at(bytes, at).err();
            is_unreadable.set(is_unreadable.get() || error.is_some_and(|it| it.kind() != ErrorKind::UnexpectedEof));
        };
        read(&mut now.header, 0);
        let frame_bytes = now.header[8..12].iter().fold(0, |size, byte| size << 8 | u64::from(*byte)) + 24;
        let frame_before = |end: u64| {
            let mut frame = [0; 24];
            read(&mut frame, end.saturating_sub(frame_bytes));
            frame
        };
        let is_gone = now.header == before.header && frame_before(before.end) != before.frame;
        // SQLite, "PRAGMA wal_checkpoint": this moves nothing and tells how many frames count.
        let count = |row: &Row| row.get::<_, u32>(1);
        let frames = open.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], count).unwrap_or(0);
        if frames > 0 {
            now.end = 32 + u64::from(frames) * frame_bytes;
            now.frame = frame_before(now.end);
        }
        let is_empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        let begins = is_empty || now.header.starts_with(&LOG_MAGIC);
        // The last frame of a transaction tells how large the database is after it.
        let ends = is_empty || frames == 0 || now.frame[4..8] != [0; 4];
        if is_unreadable.get() {
            // Whatever keeps it from being read is no sign.
            return Some(Committed::default());
        }
        Some(now).filter(|_| begins && ends && !is_gone)
    }

    /// Reads back, by another connection, that what stands at our path is what was put there last. To be called now and
    /// then: it finds what was written over the files by other means than SQLite's.
    pub fn read_back(&mut self) -> Result<(), StorageError> {
        let read = head_at(&self.path).and_then(|head| self.own(&head));
        let log = self.log();
        let State::Open(open) = &mut self.state else { return Ok(()) };
        match read {
            Ok(stamp) if stamp == self.persisted => open.left = log,
            // Whatever else keeps it from being read is no sign.
            Err(error) if !error.is_of_the_content() => (),
            _ => {
                (self.sound, self.state) = (false, State::Spoilt);
                return Err(StorageError::disturbed(&self.path, SPOILT));
            }
        }
        Ok(())
    }

    /// Whether the file does not even begin as one of ours any more. It is read by a descriptor that stays: to close one
    /// gives up the locks of fcntl(2) that SQLite has by any other.
    fn is_overwritten(&self) -> bool {
        let mut header = [0; 100];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut header, 0).ok());
        read.is_some_and(|bytes| schema::is_surely_not_ours(&header[..bytes]))
    }

    fn leads_to_ours(&self) -> bool {
        self.file.as_ref().is_some_and(|file| leads_to(&self.path, file))
    }

    /// Takes what stands at our path for ours.
    fn watch(&mut self) -> Result<(), StorageError> {
        self.file = Some(File::open(&self.path).map_err(StorageError::io("open", &self.path))?);
        Ok(())
    }

    /// The tick at which the world comes back after a crash, or a later one; `None` while that cannot be promised.
    pub fn persisted(&self) -> Option<Tick> {
        self.sound.then_some(self.persisted.tick)
    }

    /// The connection that is at hand, or after a failure a fresh one.
    fn connect(&mut self) -> Result<Open, StorageError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => (),
            State::Open(open) => return Ok(open),
            State::Failed(open) if self.has_lost_log(&open) => self.give_up(open)?,
            State::Failed(open) => {
                let fresh = self.reopen(Duration::ZERO);
                if fresh.is_err() {
                    self.state = State::Failed(open);
                }
                return fresh;
            }
            State::Spoilt => {
                self.state = State::Spoilt;
                return Err(StorageError::disturbed(&self.path, SPOILT));
            }
        }
        self.reopen(Duration::ZERO)
    }

    /// Closes a connection whose log has no name any more. The database is replaced before by a copy of what this
    /// connection sees: whoever else still has the old log would remove the new one by its name when they close, if they
    /// found themselves the last at the same file.
    fn give_up(&mut self, open: Open) -> Result<(), StorageError> {
        let copied = Partial::create(&self.path).and_then(|partial| {
            backup::copy_pages(&open.connection, partial.path())?;
            Ok(partial)
        });
        // It stays open until its content is elsewhere.
        let replaced = copied.and_then(|copy| self.replace_with(copy));
        if replaced.is_err() {
            self.state = State::Failed(open);
        }
        replaced
    }

    /// Puts a whole database in the place of the one that is ours.
    fn replace_with(&mut self, partial: Partial) -> Result<(), StorageError> {
        // A log of what stood there before: SQLite would read it into the new file.
        self.remove_log();
        sync_folder(&self.path)?;
        partial.replace(&self.path)?;
        self.watch()
    }

    /// A fresh connection, to what this engine has put there. The process or the connection that wrote the log may have
    /// ended after a sync that failed, so the log is written again before anything is read or built on it.
    fn reopen(&mut self, busy: Duration) -> Result<Open, StorageError> {
        let connection = open_writer(&self.path, busy)?;
        let failed = StorageError::sqlite("write again the log of", &self.path);
        // Others write too. While this holds SQLite's lock for writers, nobody does.
        let locked = connection.execute_batch("BEGIN IMMEDIATE").map_err(&failed);
        // From here on nothing waits for a lock: a flush that cannot have it fails and is tried again.
        let at_once = connection.busy_timeout(Duration::ZERO).map_err(&failed);
        locked.and(at_once)?;
        let written = write_again(&beside(&self.path, "-wal"));
        connection.execute_batch("ROLLBACK").map_err(&failed).and(written)?;
        match schema::identify(&connection, &self.path)? {
            Found::Empty => return Err(StorageError::disturbed(&self.path, EMPTIED)),
            found if found == self.found => (),
            _ => return Err(StorageError::disturbed(&self.path, "its tables are those of another engine")),
        }
        self.sound = false;
        let read = records::read_head(&connection).map_err(StorageError::sqlite("read the tick of", &self.path));
        self.persisted = self.own(&read?.0)?;
        self.sound = true;
        let schema_version = schema::version(&connection, &self.path)?;
        let gone = || StorageError::disturbed(&self.path, "its -wal file has gone while it was opened");
        Ok(Open {
            connection,
            log: self.log_names().ok_or_else(gone)?,
            left: self.log(),
            committed: Committed::default(),
            schema_version,
        })
    }

    fn has_lost_log(&self, open: &Open) -> bool {
        self.log_names() != Some(open.log)
    }

    fn log_names(&self) -> Option<[FileId; 2]> {
        let [log, index] = log_of(&self.path).map(|path| file_id(&path));
        Some([log?, index?])
    }

    /// As of when a world is stored, if this engine has put it there.
    fn own(&self, head: &Head) -> Result<Stamp, StorageError> {
        let stamp = Stamp::from(head);
        if head.id == self.world && (stamp == self.persisted || self.attempted.contains(&stamp)) {
            return Ok(stamp);
        }
        let what = format!("it holds tick {} of {:?}, which this engine did not put there", head.tick.0, head.id);
        Err(StorageError::disturbed(&self.path, what))
    }

    /// To be called once the world is rescued: if another's database stands at our path, our log must not stay beside it,
    /// because the next to open that would read the one into the other.
    pub fn withdraw(&mut self) {
        if let State::Open(open) | State::Failed(open) = &self.state
            && !self.has_lost_log(open)
            && self.path.exists()
            && !self.leads_to_ours()
        {
            self.remove_log();
        }
    }

    /// Where it is, with all links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn remove_log(&self) {
        log_of(&self.path).iter().for_each(|path| _ = fs::remove_file(path));
    }

    /// Moves what flushes left in the write-ahead log into the database itself; false if somebody reads what could not be
    /// moved. Without a connection there is nothing to do. `mode` is SQLite's word: "PASSIVE" goes as far as is possible
    /// without waiting for anybody; "TRUNCATE" moves all of it and cuts the log to nothing.
    pub fn checkpoint(&mut self, mode: &str) -> Result<bool, StorageError> {
        let State::Open(Open { connection, .. }) = &self.state else { return Ok(true) };
        // SQLite, "PRAGMA wal_checkpoint": whether it was blocked, frames in the log, frames of it that were moved.
        let moved = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok(!row.get::<_, bool>(0)? && row.get::<_, i64>(1)? == row.get(2)?)
        });
        moved.map_err(StorageError::sqlite("checkpoint", &self.path))
    }

    /// Ends writing, and reads back by another connection, record by record, that the file at our path holds the world
    /// with this head.
    pub fn close(&mut self, head: &Head) -> Result<(), StorageError> {
        // The reader goes first, because only a writer removes the empty log when it is the last to close.
        let failed = StorageError::sqlite("read back", &self.path);
        let is_there = reader::read(&self.path, |connection| {
            let transaction = connection.transaction().map_err(&failed)?;
            let (found, mut sum) = (records::read_head(&transaction).map_err(&failed)?.0, 0_u64);
            records::read_records(&transaction, |record| sum = sum.wrapping_add(record.digest())).map_err(&failed)?;
            Ok(found == *head && found.digest == Some(found.digest_with(sum)))
        })?;
        if let State::Open(Open { connection, .. }) = &self.state {
            // Whoever is the last to close a log that holds nothing more removes it.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(&failed)?;
        }
        self.state = State::Closed;
        if is_there { Ok(()) } else { Err(StorageError::disturbed(&self.path, "it does not hold what was flushed")) }
    }

    /// Bytes of the write-ahead log; none if there is no such file.
    pub fn wal_bytes(&self) -> u64 {
        bytes_beside(&self.path, "-wal")
    }
}

/// Reads and checks a database or backup that this process does not own: SQLite's integrity check, then the world's
/// own invariants and its digest. Returns the world, and what an operator should know of the database that is no obstacle.
pub fn examine(path: &Path) -> Result<(World, Vec<String>), StorageError> {
    let path = &fs::canonicalize(path).map_err(StorageError::io("read", path))?;
    schema::inspect(path)?.require_ours(path)?;
    let apart = schema::log_is_apart(path)?;
    let mut gathering = Gathering::default();
    let (_, _, warning) = reader::read_world(path, &mut |record| gathering.take(record))?;
    let world = gathering.finish().map_err(|problems| StorageError::new(path, Failure::Damaged(problems)))?;
    Ok((world, apart.into_iter().chain(warning).collect()))
}

/// What is to be written has not come to its end.
fn incomplete(path: &Path) -> StorageError {
    StorageError::io("hear all that is to be written to", path)(ErrorKind::UnexpectedEof.into())
}

/// Makes a database of its own at `path`, all of it in one file. `journal_mode` is what it is left in: "WAL" if an engine
/// goes on with it at once, "DELETE" if others read it first, who would make files beside it otherwise. Returns the number
/// of records written, the head included.
fn write_new(
    path: &Path,
    head: &Head,
    source: &str,
    wall: Wall,
    journal_mode: &str,
    feed: impl FnOnce(Taker) -> bool,
) -> Result<u64, StorageError> {
    let failed = StorageError::sqlite("found a world in", path);
    let mut connection = Connection::open(path).map_err(&failed)?;
    // Nobody looks at it before it is whole and synced, so it needs no journal.
    connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(())).map_err(&failed)?;
    let transaction = connection.transaction().map_err(&failed)?;
    STEPS.iter().try_for_each(|step| transaction.execute_batch(step)).map_err(&failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(&failed)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(&failed)?;
    records::insert_head(&transaction, head, source, wall).map_err(&failed)?;
    let written = records::write_all(&transaction, feed, |_| Ok(()));
    let count = written.map_err(&failed)?.ok_or_else(|| incomplete(path))?;
    transaction.commit().map_err(&failed)?;
    connection.query_row(&format!("PRAGMA journal_mode = {journal_mode}"), [], |_| Ok(())).map_err(&failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok(count + 1)
}

/// Writes a write-ahead log over itself and syncs it. Readers do not notice: it holds the same bytes all the time. The
/// caller sees to it that nobody adds to it.
fn write_again(log: &Path) -> Result<(), StorageError> {
    let failed = StorageError::io("write again", log);
    let file = match OpenOptions::new().read(true).write(true).open(log) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(&failed)?,
    };
    let (mut at, mut buffer) = (0, [0; 64 * 1024]);
    loop {
        let count = file.read_at(&mut buffer, at).map_err(&failed)?;
        if count == 0 {
            return file.sync_all().map_err(failed);
        }
        file.write_all_at(&buffer[..count], at).map_err(&failed)?;
        at += count as u64;
    }
}

/// A connection that may write, set up as the engine's promises need it. It waits for others as long as `busy` says.
fn open_writer(path: &Path, busy: Duration) -> Result<Connection, StorageError> {
    schema::refuse_journal(path)?;
    let failed = StorageError::sqlite("open", path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    connection.busy_timeout(busy).map_err(&failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(&failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(&failed)?;
    // A log is moved into the database when that is asked for alone: what stands in it may be what a failing disk has left.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&failed)?;
    // Others' tables may refer to ours: what leaves the world leaves it all the same.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false).map_err(&failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(&failed)?;
    // SQLite falls back to reading alone, without a word; one reason stands in the file, so it must be read first.
    connection.execute_batch("SELECT 1 FROM sqlite_schema").map_err(&failed)?;
    if connection.is_readonly("main").map_err(&failed)? {
        // The log may tell why. It has no locks that would be lost by closing it.
        let log = beside(path, "-wal");
        match File::options().write(true).open(&log) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(StorageError::io("write", &log)(error)),
            _ => (),
        }
        return Err(StorageError::disturbed(path, "it may not be written by the user this engine runs as"));
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(&failed)?;
    if mode != "wal" {
        let what = format!("SQLite refuses write-ahead logging here and uses {mode:?}");
        return Err(StorageError::disturbed(path, what));
    }
    // After a reader has held up checkpoints the log is large; it is cut when it begins anew.
    let pragmas = format!(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cell_size_check = ON;
         PRAGMA journal_size_limit = {WAL_BYTES_KEPT}"
    );
    connection.execute_batch(&pragmas).map_err(&failed)?;
    Ok(connection)
}
