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
mod records;
pub mod schema;
pub mod worldfile;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::mem::ManuallyDrop;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::clock::Wall;
use crate::world::{Tick, World};
pub use error::{Failure, StorageError};
use records::Stored;
use schema::{APPLICATION_ID, Found, SCHEMA_VERSION, TABLES};

/// The database of a running engine. Nobody else writes it while this lives.
pub struct Storage {
    path: PathBuf,
    /// `<database>.lock`, held for life; the lock goes with it.
    lock: File,
    /// Device and inode of the database that the world was loaded from. Another file at the same path is not ours, and
    /// opening it would mix it with the write-ahead log of this one.
    file: Option<FileId>,
    connection: Option<Connection>,
    /// The connection whose log a failing disk may have lost in part. To close it would move the log into the database,
    /// so it stays open until the log is written again; if that never succeeds, for ever.
    doubtful: Option<ManuallyDrop<Connection>>,
    /// The write-ahead log after the last flush.
    wal: Option<FileId>,
    /// The tick that the stored world has, as far as is known.
    persisted: Tick,
    /// The latest tick that a flush tried to store: a commit that failed may have succeeded all the same.
    attempted: Tick,
}

/// Device and inode.
type FileId = (u64, u64);

/// A world as it came from a database.
pub struct Loaded {
    /// The world.
    pub world: World,
    /// The digest of the world file it was founded from.
    pub source: String,
}

impl Storage {
    /// Takes the database at `path` for this process: locks it and makes sure that it is ours, or empty. Changes
    /// nothing in it, but lets SQLite undo a transaction that a crash cut short. `started` is told to others who want it.
    pub fn open(path: &Path, started: Wall) -> Result<(Storage, Found), StorageError> {
        let path = real_path(path)?;
        let lock = lock(&path, started)?;
        let found = match schema::inspect(&path) {
            Err(error) if error.has_code(rusqlite::ffi::SQLITE_READONLY_ROLLBACK) => {
                schema::roll_back(&path)?;
                schema::inspect(&path)?
            }
            inspected => inspected?,
        };
        let (persisted, attempted) = (Tick(0), Tick(0));
        Ok((
            Storage { path, lock, file: None, connection: None, doubtful: None, wal: None, persisted, attempted },
            found,
        ))
    }

    /// Writes a new world where no database is. It is made under another name and gets its own when it is whole and
    /// synced, so a founding that is cut short leaves nothing behind that counts.
    pub fn found(&mut self, world: &mut World, source: &str, wall: Wall) -> Result<(), StorageError> {
        let new = schema::beside(&self.path, ".new");
        // What an earlier founding, or an empty database, left of these.
        for file in
            [&new, &schema::beside(&new, "-wal"), &schema::beside(&new, "-shm"), &schema::beside(&self.path, "-wal")]
        {
            let _ = fs::remove_file(file);
        }
        write_new(&new, world, source, wall)?;
        publish(&new, &self.path)?;
        world.flushed();
        self.attach(world)
    }

    /// Reads the world out of a database that is ours, without changing anything.
    pub fn load(&mut self) -> Result<Loaded, StorageError> {
        load_from(&mut schema::open_reader(&self.path)?, &self.path)
    }

    /// Begins to write for `world`, which is the one stored here.
    pub fn attach(&mut self, world: &World) -> Result<(), StorageError> {
        (self.persisted, self.attempted) = (world.now(), world.now());
        self.file = Some(file_id(&self.path)?);
        // The process that wrote the log may have ended after a sync that failed.
        write_again(&schema::beside(&self.path, "-wal"))?;
        self.connection = Some(self.connect(world)?);
        Ok(())
    }

    /// Writes everything that is pending in `world`, all or nothing. The caller tells the world afterwards.
    /// Returns the number of records written, the world's own included.
    pub fn flush(&mut self, world: &World, wall: Wall) -> Result<u64, StorageError> {
        let mut connection = self.connect(world)?;
        self.attempted = world.now();
        let count = match write(&mut connection, &self.path, world, self.persisted, wall) {
            Ok(count) => count,
            Err(error) => {
                if error.is_of_the_disk() {
                    self.doubtful = Some(ManuallyDrop::new(connection));
                }
                return Err(error);
            }
        };
        self.persisted = world.now();
        self.connection = Some(connection);
        self.wal = file_id(&schema::beside(&self.path, "-wal")).ok();
        Ok(count)
    }

    /// The connection that is at hand, or after a failure a fresh one. While the file is missing the old one stays
    /// open: it goes on if the file is put back, and until then a deleted file can still be copied out of `/proc`.
    fn connect(&mut self, world: &World) -> Result<Connection, StorageError> {
        if Some(file_id(&self.path)?) != self.file {
            return Err(self.disturbed("another file has taken its place"));
        }
        let lock = self.lock.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
        if file_id(&schema::beside(&self.path, ".lock")).ok() != lock {
            return Err(self.disturbed("its .lock file was removed, so another engine may have it"));
        }
        if self.doubtful.is_some() {
            write_again(&schema::beside(&self.path, "-wal"))?;
            self.doubtful.take().map(ManuallyDrop::into_inner);
        }
        // Closing a connection moves what its log holds into the database, even if the log has lost its name. Whether
        // that has succeeded shows below.
        let log_is_there = self.wal.is_none() || self.wal == file_id(&schema::beside(&self.path, "-wal")).ok();
        if let Some(connection) = self.connection.take().filter(|_| log_is_there) {
            return Ok(connection);
        }
        self.wal = None;
        let connection = open_writer(&self.path)?;
        if schema::identify(&connection, &self.path)? == Found::Empty {
            return Err(self.disturbed("it has been emptied"));
        }
        self.persisted = self.stored_tick(&connection, world)?;
        Ok(connection)
    }

    /// The tick of the stored world, if that is one that this engine has put there.
    fn stored_tick(&self, connection: &Connection, world: &World) -> Result<Tick, StorageError> {
        let failed = StorageError::sqlite("read the tick of", &self.path);
        let (id, tick) = records::read_tick(connection).map_err(failed)?;
        if id == world.id() && (self.persisted..=self.attempted).contains(&tick) {
            return Ok(tick);
        }
        Err(self.disturbed(&format!("it holds tick {} of {id:?}, which this engine did not put there", tick.0)))
    }

    fn disturbed(&self, what: &str) -> StorageError {
        StorageError::new(&self.path, Failure::Disturbed(what.to_owned()))
    }

    /// Moves what flushes left in the write-ahead log into the database itself. Without a connection there is
    /// nothing to do.
    pub fn checkpoint(&mut self, how: Checkpoint) -> Result<(), StorageError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let pragma = match how {
            Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        // The row says how far it came. A reader may hold it up; the next one then goes on from there.
        connection.query_row(pragma, [], |_| Ok(())).map_err(StorageError::sqlite("checkpoint", &self.path))
    }

    /// Ends writing, and reads back by another connection that the file at our path holds the last flush.
    pub fn close(&mut self, world: &World) -> Result<(), StorageError> {
        // The reader goes first, because only a writer removes the empty log when it is the last to close.
        let tick = self.stored_tick(&schema::open_reader(&self.path)?, world)?;
        self.connection = None;
        if tick == self.persisted { Ok(()) } else { Err(self.disturbed("the last flush is not in it")) }
    }

    /// Bytes of the write-ahead log; none if there is no such file.
    pub fn wal_bytes(&self) -> u64 {
        schema::wal_bytes(&self.path)
    }
}

/// How far a checkpoint goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// As far as is possible without waiting for anybody.
    Passive,
    /// All of it, and the log is cut to nothing.
    Truncate,
}

/// Reads and checks a database or backup that this process does not own: SQLite's integrity check, then the world's
/// own invariants and its digest.
pub fn examine(path: &Path) -> Result<Loaded, StorageError> {
    require_ours(path)?;
    load_from(&mut schema::open_reader(path)?, path)
}

fn require_ours(path: &Path) -> Result<(), StorageError> {
    fs::metadata(path).map_err(StorageError::io("read", path))?;
    match schema::inspect(path)? {
        Found::Ours => Ok(()),
        Found::Empty => Err(StorageError::new(path, Failure::Foreign("the database is empty".to_owned()))),
    }
}

fn load_from(connection: &mut Connection, path: &Path) -> Result<Loaded, StorageError> {
    let damaged = |problems| StorageError::new(path, Failure::Damaged(problems));
    let Stored { parts, source, digest } = records::read_world(connection).map_err(|source| match source {
        rusqlite::Error::SqliteFailure(..) => StorageError::sqlite("load the world from", path)(source),
        rusqlite::Error::QueryReturnedNoRows => damaged(vec!["the world's own record is missing".to_owned()]),
        other => damaged(vec![other.to_string()]),
    })?;
    let world = World::restore(parts).map_err(damaged)?;
    let found = records::hexadecimal(world.digest());
    match digest {
        Some(stored) if stored != found => Err(damaged(vec![format!(
            "the records are not those of the last flush: their digest is {found}, and {stored} was stored with them"
        )])),
        _ => Ok(Loaded { world, source }),
    }
}

fn write(
    connection: &mut Connection,
    path: &Path,
    world: &World,
    persisted: Tick,
    wall: Wall,
) -> Result<u64, StorageError> {
    let failed = StorageError::sqlite("flush to", path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let count = records::write_changes(&transaction, world).map_err(&failed)?;
    if !records::update_world(&transaction, world, persisted, wall).map_err(&failed)? {
        let what = "somebody else has written to it".to_owned();
        return Err(StorageError::new(path, Failure::Disturbed(what)));
    }
    transaction.commit().map_err(&failed)?;
    Ok(count + 1)
}

/// Makes a database of its own at `path`, all of it in one file.
fn write_new(path: &Path, world: &World, source: &str, wall: Wall) -> Result<(), StorageError> {
    let failed = StorageError::sqlite("found a world in", path);
    let mut connection = Connection::open(path).map_err(&failed)?;
    // Nobody looks at it before it is whole and synced, so it needs no journal.
    connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(())).map_err(&failed)?;
    let transaction = connection.transaction().map_err(&failed)?;
    for (_, table) in TABLES {
        transaction.execute_batch(table).map_err(&failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(&failed)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(&failed)?;
    records::insert_world(&transaction, world, source, wall).map_err(&failed)?;
    records::write_changes(&transaction, world).map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(&failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// Gives a finished file its name for good: both it and its folder are synced.
fn publish(from: &Path, to: &Path) -> Result<(), StorageError> {
    File::open(from).and_then(|file| file.sync_all()).map_err(StorageError::io("sync", from))?;
    fs::rename(from, to).map_err(StorageError::io("rename a file to", to))?;
    sync_folder(to)
}

fn sync_folder(path: &Path) -> Result<(), StorageError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StorageError::io("sync the folder", folder))
}

/// Writes a write-ahead log over itself and syncs it. Other connections do not notice: it holds the same bytes all the
/// time, and only the owner of the lock adds to it.
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

/// A connection that may write, set up as the engine's promises need it.
fn open_writer(path: &Path) -> Result<Connection, StorageError> {
    let failed = StorageError::sqlite("open", path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    // The loop never waits for a lock: a flush that cannot have it fails and is tried again.
    connection.busy_timeout(Duration::ZERO).map_err(&failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(&failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(&failed)?;
    let refused = |what: String| Err(StorageError::new(path, Failure::Disturbed(what)));
    // SQLite falls back to reading alone, without a word; one reason stands in the file, so it must be read first.
    connection.execute_batch("SELECT 1 FROM sqlite_schema").map_err(&failed)?;
    if connection.is_readonly("main").map_err(&failed)? {
        return refused("it may not be written by the user this engine runs as".to_owned());
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(&failed)?;
    if mode != "wal" {
        return refused(format!("SQLite refuses write-ahead logging here and uses {mode:?}"));
    }
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cell_size_check = ON")
        .map_err(&failed)?;
    Ok(connection)
}

/// The path with all links followed, so that one file has one lock however it is called.
fn real_path(path: &Path) -> Result<PathBuf, StorageError> {
    let metadata = fs::symlink_metadata(path);
    if let Ok(metadata) = &metadata {
        // A second name would come with a second lock and a second write-ahead log.
        if metadata.is_file() && metadata.nlink() > 1 {
            let what = "it has more than one name (a hard link)".to_owned();
            return Err(StorageError::new(path, Failure::Foreign(what)));
        }
        return fs::canonicalize(path).map_err(StorageError::io("follow", path));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = fs::canonicalize(folder).map_err(StorageError::io("find the folder", folder))?;
    Ok(real.join(path.file_name().unwrap_or_default()))
}

/// Takes `<database>.lock` for this process and writes into it who holds it.
fn lock(database: &Path, started: Wall) -> Result<File, StorageError> {
    let path = schema::beside(database, ".lock");
    let failed = |doing| StorageError::io(doing, &path);
    if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(StorageError::new(&path, Failure::Foreign("the lock file is no file".to_owned())));
    }
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed("open"))?;
    let mut holder = String::new();
    match file.try_lock() {
        Ok(()) => (),
        Err(TryLockError::WouldBlock) => {
            let _ = (&file).take(256).read_to_string(&mut holder);
            return Err(StorageError::new(database, Failure::Held(holder.trim().to_owned())));
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
    }
    let _ = (&file).take(256).read_to_string(&mut holder);
    let size = file.metadata().map_err(failed("read"))?.len();
    if size > 0 && !holder.starts_with(HOLDER) {
        return Err(StorageError::new(&path, Failure::Foreign("the lock file holds something else".to_owned())));
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let holder = format!("{HOLDER}{} on {}, since {}\n", std::process::id(), host.trim(), started.rfc3339());
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
    written.map_err(failed("write"))?;
    Ok(file)
}

/// How the content of a lock file begins.
const HOLDER: &str = "process ";

fn file_id(path: &Path) -> Result<FileId, StorageError> {
    let metadata = fs::metadata(path).map_err(StorageError::io("find", path))?;
    Ok((metadata.dev(), metadata.ino()))
}
