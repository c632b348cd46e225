//! The tables, and the question whether a file is a database of this engine.
//!
//! A database of another program, of another schema or a damaged one is never changed: it is only ever opened
//! read-only until everything here has been answered. SQLite's file header is read by hand first, because even
//! opening a strange database can roll its journal back.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::{Failure, StorageError};
use super::files::beside;
use crate::limits::{PROBLEMS_LISTED_MAX, READER_BUSY_MS_MAX};

/// `PRAGMA application_id` of our databases: "Aqev" in ASCII.
pub const APPLICATION_ID: i32 = 0x4171_6576;
/// `PRAGMA user_version`: the version of the tables below.
pub const SCHEMA_VERSION: i32 = 1;

/// The tables. Every column has a type that SQLite enforces; references are checked by the world itself at load.
pub const TABLES: [(&str, &str); 5] = [
    (
        "entity",
        "CREATE TABLE entity (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  tag TEXT,
  name TEXT,
  description TEXT,
  location INTEGER,
  home INTEGER,
  owner INTEGER,
  prototype INTEGER,
  destination INTEGER,
  gait TEXT,
  active TEXT NOT NULL,
  step INTEGER NOT NULL,
  indoors INTEGER NOT NULL,
  locked INTEGER NOT NULL,
  fixed INTEGER NOT NULL,
  asleep INTEGER NOT NULL
) STRICT",
    ),
    (
        "habit",
        "CREATE TABLE habit (
  creature INTEGER NOT NULL,
  verb TEXT NOT NULL,
  every_minutes INTEGER NOT NULL,
  PRIMARY KEY (creature, verb)
) STRICT, WITHOUT ROWID",
    ),
    (
        "habit_item",
        "CREATE TABLE habit_item (
  creature INTEGER NOT NULL,
  verb TEXT NOT NULL,
  position INTEGER NOT NULL,
  target INTEGER,
  line TEXT,
  PRIMARY KEY (creature, verb, position)
) STRICT, WITHOUT ROWID",
    ),
    (
        "spawn",
        "CREATE TABLE spawn (
  position INTEGER PRIMARY KEY,
  prototype INTEGER NOT NULL,
  room INTEGER NOT NULL,
  at_most INTEGER NOT NULL,
  every_minutes INTEGER NOT NULL,
  text TEXT
) STRICT",
    ),
    (
        "world",
        "CREATE TABLE world (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  tick INTEGER NOT NULL,
  random INTEGER NOT NULL,
  weather TEXT NOT NULL,
  next_id INTEGER NOT NULL,
  source TEXT NOT NULL,
  digest TEXT,
  flushed_at TEXT NOT NULL
) STRICT",
    ),
];

/// What lies at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an empty database: a world can be founded here.
    Empty,
    /// A database of this engine.
    Ours,
}

/// True if this is a file that begins as every SQLite database does (SQLite, "Database File Format", section 1.3).
/// What is no file is left unread: a pipe could be read only once.
pub fn has_sqlite_magic(path: &Path) -> std::io::Result<bool> {
    Ok(fs::metadata(path)?.is_file() && header(path)?.starts_with(b"SQLite format 3\0"))
}

fn header(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(path)?.take(100).read_to_end(&mut header)?;
    Ok(header)
}

/// Finds out what lies at `path` without changing it.
pub fn inspect(path: &Path) -> Result<Found, StorageError> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(StorageError::new(path, Failure::Foreign("it is no file".to_owned())));
    }
    let header = match header(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        header => header.map_err(StorageError::io("read", path))?,
    };
    let foreign = |what: String| Err(StorageError::new(path, Failure::Foreign(what)));
    if header.is_empty() {
        // SQLite would delete the log unread, and with it the last flushes of a database that was moved without it.
        let what = "the -wal file beside it is another database's: put the two together again, or move it away";
        return if wal_bytes(path) > 0 { foreign(what.to_owned()) } else { Ok(Found::Empty) };
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return foreign("the file is no SQLite database".to_owned());
    }
    let field = |at: usize| i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // Zero is open: an empty database has it, and a program that never sets it.
    if field(68) != 0 && field(68) != APPLICATION_ID {
        return foreign(format!("its application_id is {:#010x}, and ours is {APPLICATION_ID:#010x}", field(68)));
    }
    let connection = open_reader(path)?;
    let found = identify(&connection, path)?;
    if found == Found::Ours {
        check_integrity(&connection, path)?;
    }
    Ok(found)
}

/// Lets SQLite undo what a crash left half done in a database of ours that is not in write-ahead mode, such as a
/// backup that was just put in place. Only for who holds the lock.
pub fn roll_back(path: &Path) -> Result<(), StorageError> {
    let header = header(path).map_err(StorageError::io("read", path))?;
    if header.get(68..72) != Some(&APPLICATION_ID.to_be_bytes()) {
        return Err(StorageError::new(
            path,
            Failure::Foreign("another program left a change in it half done".to_owned()),
        ));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let undone = connection.and_then(|connection| connection.execute_batch("SELECT 1 FROM sqlite_schema"));
    undone.map_err(StorageError::sqlite("recover", path))
}

/// Opens a database for reading only.
pub fn open_reader(path: &Path) -> Result<Connection, StorageError> {
    let failed = StorageError::sqlite("read", path);
    let open = |name: &Path, more: OpenFlags| -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(name, flags)?;
        connection.busy_timeout(Duration::from_millis(READER_BUSY_MS_MAX))?;
        connection
            .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; SELECT 1 FROM sqlite_schema")?;
        Ok(connection)
    };
    match open(path, OpenFlags::empty()) {
        // In a folder where no -shm file can be made, a database that nobody writes can still be read as it stands.
        Err(error) if cannot_make_files(&error) && wal_bytes(path) == 0 => {
            let absolute = fs::canonicalize(path).map_err(StorageError::io("read", path))?;
            open(Path::new(&immutable_uri(&absolute)), OpenFlags::SQLITE_OPEN_URI).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

fn cannot_make_files(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
        || extended == Some(rusqlite::ffi::SQLITE_READONLY_DIRECTORY)
}

/// Bytes of the write-ahead log that belongs to a database; none if there is no such file.
pub fn wal_bytes(path: &Path) -> u64 {
    fs::metadata(beside(path, "-wal")).map_or(0, |metadata| metadata.len())
}

/// SQLite's "Uniform Resource Identifiers": `%`, `?` and `#` in a path must be escaped.
fn immutable_uri(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

/// Tells whether a database is empty or ours, with the very tables that this engine makes.
pub fn identify(connection: &Connection, path: &Path) -> Result<Found, StorageError> {
    let failed = StorageError::sqlite("read the schema of", path);
    let foreign = |what: String| Err(StorageError::new(path, Failure::Foreign(what)));
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i32>(0)).map_err(&failed);
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let mut statement = connection
        .prepare(
            // Not counted: the indexes that come with a primary key, and what ANALYZE leaves.
            "SELECT name, coalesce(sql, '') FROM sqlite_schema
             WHERE NOT (type = 'index' AND sql IS NULL) AND NOT (type = 'table' AND name GLOB 'sqlite_stat[0-9]')",
        )
        .map_err(&failed)?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)?;
    let objects: Vec<(String, String)> = objects.collect::<Result<_, _>>().map_err(&failed)?;
    match (application, version) {
        (0, 0) if objects.is_empty() => return Ok(Found::Empty),
        (APPLICATION_ID, SCHEMA_VERSION) => (),
        (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => {
            return foreign(format!(
                "its schema is version {newer}, made by a newer engine; this one knows {SCHEMA_VERSION}"
            ));
        }
        (APPLICATION_ID, other) => return foreign(format!("its schema is version {other}, which no engine has made")),
        _ => return foreign(format!("it holds {} tables or other objects of another program", objects.len())),
    }
    if let Some((name, _)) = objects.iter().find(|(name, sql)| !TABLES.contains(&(name, sql))) {
        return foreign(format!("its {name:?} is not as this engine makes it"));
    }
    match TABLES.iter().find(|(table, _)| !objects.iter().any(|(name, _)| name == table)) {
        Some((table, _)) => foreign(format!("its table {table:?} is missing")),
        None => Ok(Found::Ours),
    }
}

/// SQLite's number of the schema: another one as soon as somebody has changed it.
pub fn version(connection: &Connection, path: &Path) -> Result<i64, StorageError> {
    let version = connection.query_row("PRAGMA schema_version", [], |row| row.get(0));
    version.map_err(StorageError::sqlite("read the schema of", path))
}

/// Whether the file at `path` does not even begin as one of ours. What cannot be read is not judged.
pub fn is_surely_not_ours(path: &Path) -> bool {
    header(path).is_ok_and(|header| {
        !header.starts_with(b"SQLite format 3\0") || header.get(68..72) != Some(&APPLICATION_ID.to_be_bytes())
    })
}

/// Lets SQLite look through all of it. `quick_check` would take as long, because there is next to no index, and see less.
fn check_integrity(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let failed = StorageError::sqlite("check", path);
    let pragma = format!("PRAGMA integrity_check({PROBLEMS_LISTED_MAX})");
    let mut statement = connection.prepare(&pragma).map_err(&failed)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
    let problems: Vec<String> = rows.collect::<Result<_, _>>().map_err(&failed)?;
    if problems == ["ok"] { Ok(()) } else { Err(StorageError::new(path, Failure::Damaged(problems))) }
}
