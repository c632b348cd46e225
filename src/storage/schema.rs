//! The tables, and the question whether a file is a database of this engine.
//!
//! A database of another program, of another schema or a damaged one is never changed: it is only ever opened
//! read-only until everything here has been answered. SQLite's file header is read by hand first, because what is no
//! database deserves better words than SQLite's. Tables and views that others keep beside ours are theirs, and so is the
//! trouble in them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::error::{Failure, StorageError};
use super::files::{self, beside, bytes_beside};
use super::reader;
use crate::limits::PROBLEMS_LISTED_MAX;
use crate::text::shell_quoted;

/// `PRAGMA application_id` of our databases: "Aqev" in ASCII.
pub const APPLICATION_ID: i32 = 0x4171_6576;
/// What leads from each version of the tables to the next one, the first from nothing: a new database goes all the way.
/// Every column has a type that SQLite enforces; references are checked by the world itself at load. Not a letter of them
/// may change, comments included: SQLite keeps the text, and it is compared.
pub const STEPS: &[&str] = &[include_str!("schema-1.sql"), include_str!("schema-2.sql"), include_str!("schema-3.sql")];
/// `PRAGMA user_version`: the version of the tables that this engine makes.
pub const SCHEMA_VERSION: i32 = STEPS.len() as i32;

/// The tables of a version as the steps make them: the name of each, and the text that SQLite keeps of it.
fn tables(version: i32) -> rusqlite::Result<Vec<(String, String)>> {
    let made = Connection::open_in_memory()?;
    STEPS.iter().take(version as usize).try_for_each(|step| made.execute_batch(step))?;
    let mut statement = made.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The version of the tables that a connection sees.
pub fn tables_version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or an empty database: a world can be founded here.
    Empty,
    /// A database of this engine.
    Ours,
    /// One with the tables of an earlier engine, of this version: it can be read, and brought up.
    Earlier(i32),
}

impl Found {
    /// Refuses what is empty, where a world is to be read.
    pub fn require_ours(self, path: &Path) -> Result<(), StorageError> {
        let empty = || StorageError::unfit(path, "there is no world in it", "Restore a backup, or give another path.");
        if self == Found::Empty { Err(empty()) } else { Ok(()) }
    }
}

const HEADER_BYTES: u64 = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How much of a file is read to tell what it is.
const BEGINNING_BYTES: u64 = 64 * 1024;

/// True if this is a file that begins as every SQLite database does (SQLite, "Database File Format", section 1.3). What
/// can be neither that nor a world file is an error. What is no file is left unread: a pipe could be read only once.
pub fn is_database(path: &Path) -> Result<bool, StorageError> {
    if !fs::metadata(path).map_err(StorageError::io("read", path))?.is_file() {
        return Ok(false);
    }
    let beginning = beginning(path, BEGINNING_BYTES)?;
    let unfit = |what, remedy| Err(StorageError::unfit(path, what, remedy));
    if beginning.is_empty() {
        return unfit("the file is empty", "Nothing is left in it: restore a backup.");
    } else if beginning.iter().all(|byte| *byte == 0) {
        return unfit("the file holds only zeros", "A power cut or a failing disk leaves that: restore a backup.");
    } else if beginning.starts_with(b"\x1f\x8b") {
        return unfit("the file is compressed", "Unpack it first: gunzip, or tar -xzf.");
    } else if beginning.starts_with(b"PRAGMA foreign_keys=OFF;") {
        return unfit("the file is a dump of a database", "Read it into a new one first: sqlite3 NEW < DUMP.");
    }
    Ok(beginning.starts_with(MAGIC))
}

fn beginning(path: &Path, bytes: u64) -> Result<Vec<u8>, StorageError> {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes).read_to_end(&mut beginning));
    read.map(|_| beginning).map_err(StorageError::io("read", path))
}

/// Finds out what lies at `path` without changing it.
pub fn inspect(path: &Path) -> Result<Found, StorageError> {
    let header = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Ok(metadata) if !metadata.is_file() => {
            return Err(StorageError::unfit(path, "it is no file", "Give the path of a file, or of none in a folder."));
        }
        _ => beginning(path, HEADER_BYTES)?,
    };
    refuse_journal(path)?;
    if header.is_empty() {
        // SQLite would delete the log unread, and with it the last flushes of a database that was moved without it.
        let what = "the -wal file beside it is another database's";
        let remedy = "Nothing was changed. Put the two together again, or move it away.";
        let is_alone = bytes_beside(path, "-wal") == 0;
        return if is_alone { Ok(Found::Empty) } else { Err(StorageError::unfit(path, what, remedy)) };
    }
    let foreign = |what: String| Err(StorageError::new(path, Failure::Foreign(what)));
    if !is_database(path)? || (header.len() as u64) < HEADER_BYTES {
        return foreign("the file is no SQLite database".to_owned());
    }
    let application = i32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    // Zero is open: an empty database has it, and a program that never sets it.
    if application != 0 && application != APPLICATION_ID {
        return foreign(format!("its application_id is {application:#010x}, and ours is {APPLICATION_ID:#010x}"));
    }
    reader::read(path, |connection| identify(connection, path))
}

/// In which way the log of a database may lie where it is not seen, if in any.
pub fn log_is_apart(path: &Path) -> Result<Option<String>, StorageError> {
    // The read version: a backup has no log (SQLite, "Database File Format", section 1.3.3).
    let has_log = beginning(path, HEADER_BYTES)?.get(19) == Some(&2);
    let names = fs::metadata(path).map_or(1, |metadata| metadata.nlink());
    let apart = match has_log {
        true if names > 1 => Some("it has more than one name (a hard link): a log beside another is not seen"),
        true if files::is_mounted(path) => Some("it is mounted as a single file: its log is not seen"),
        _ => None,
    };
    Ok(apart.map(str::to_owned))
}

/// A journal undoes what was begun, and SQLite takes any that it finds for the database's own. One of another database, or
/// of the file that stood here before, would spoil it.
pub fn refuse_journal(path: &Path) -> Result<(), StorageError> {
    if bytes_beside(path, "-journal") == 0 {
        return Ok(());
    }
    let what = format!("beside it lies a rollback journal, {:?}", beside(path, "-journal"));
    let file = shell_quoted(&path.display());
    let remedy = format!(
        "Nothing was changed. Only you can know whose it is. If a program was cut short while it wrote to this very file, \
         let SQLite undo that: sqlite3 {file} 'PRAGMA user_version'. If this file was put here later, a restored backup for \
         instance, the journal is of the one before: move it away."
    );
    Err(StorageError::unfit(path, what, remedy))
}

/// Tells whether a database is empty or ours, with the very tables that this engine makes or an earlier one made. What
/// others keep in tables and views of their own is none of its business.
pub fn identify(connection: &Connection, path: &Path) -> Result<Found, StorageError> {
    let failed = StorageError::sqlite("read the schema of", path);
    let foreign = |what: String| Err(StorageError::new(path, Failure::Foreign(what)));
    let application = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(&failed)?;
    let version = tables_version(connection).map_err(&failed)?;
    // Indexes without a statement come with a primary key.
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let mut statement = connection.prepare(sql).map_err(&failed)?;
    let objects = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]));
    let objects: Vec<[String; 4]> = objects.and_then(Iterator::collect).map_err(&failed)?;
    let made = |table: &str| objects.iter().any(|[kind, name, ..]| kind == "table" && name == table);
    let ours = tables(version).map_err(&failed)?;
    let are_made = |version: &i32| tables(*version).is_ok_and(|ours| ours.iter().all(|(table, _)| made(table)));
    match (application, version) {
        (0, 0) if objects.is_empty() => return Ok(Found::Empty),
        (APPLICATION_ID, 1..=SCHEMA_VERSION) => (),
        (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => {
            let what =
                format!("its schema is version {newer}, made by a newer engine; this one knows {SCHEMA_VERSION}");
            return foreign(what);
        }
        (0 | APPLICATION_ID, 0) if are_made(&1) => {
            let what = "it has our tables, but not the two numbers that mark a database as ours: .dump leaves them out";
            let version = (1..=SCHEMA_VERSION).rev().find(are_made).unwrap_or(1);
            let pragmas = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}");
            let set = format!("sqlite3 {} '{pragmas}'", shell_quoted(&path.display()));
            return Err(StorageError::unfit(path, what, format!("Nothing was changed. Set them: {set}")));
        }
        (APPLICATION_ID, other) => return foreign(format!("its schema is version {other}, which no engine has made")),
        _ => return foreign(format!("it holds {} tables or other objects of another program", objects.len())),
    }
    for [kind, name, table, sql] in &objects {
        let is_added = kind == "index" || kind == "trigger";
        // SQLite writes the table of a trigger as its statement spells it.
        let is_on = |ours: &str| ours.eq_ignore_ascii_case(table) || !is_added && ours == name;
        let Some((ours, made)) = ours.iter().find(|(ours, _)| is_on(ours)) else { continue };
        if is_added {
            let what = format!("others have put the {kind} `{name}` on the engine's table `{ours}`");
            // Whoever chose the name may have meant it for the shell of whoever follows this.
            let drop = format!("DROP {} \"{}\"", kind.to_uppercase(), name.replace('"', "\"\""));
            let drop = format!("sqlite3 {} {}", shell_quoted(&path.display()), shell_quoted(&drop));
            return Err(StorageError::unfit(path, what, format!("Nothing was changed. Drop it: {drop}")));
        }
        if kind != "table" || name != ours || sql != made {
            return foreign(format!("its {kind} {name:?} is not as this engine makes it"));
        }
    }
    match ours.iter().find(|(table, _)| !made(table)) {
        Some((table, _)) => foreign(format!("its table {table:?} is missing")),
        None if version < SCHEMA_VERSION => Ok(Found::Earlier(version)),
        None => Ok(Found::Ours),
    }
}

/// A name under which others keep something in a database of this version, and a later one has a table.
pub fn taken(connection: &Connection, version: i32) -> rusqlite::Result<Option<String>> {
    let (now, then) = (tables(SCHEMA_VERSION)?, tables(version)?);
    let mut statement = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE")?;
    for (table, _) in now {
        if then.iter().all(|(other, _)| *other != table) && statement.exists([&table])? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// SQLite's number of the schema: another one as soon as somebody has changed it.
pub fn version(connection: &Connection, path: &Path) -> Result<i64, StorageError> {
    let version = connection.query_row("PRAGMA schema_version", [], |row| row.get(0));
    version.map_err(StorageError::sqlite("read the schema of", path))
}

/// Whether a file with this header does not even begin as one of ours.
pub fn is_surely_not_ours(header: &[u8]) -> bool {
    !header.starts_with(MAGIC) || header.get(68..72) != Some(&APPLICATION_ID.to_be_bytes())
}

/// Lets SQLite look through all of it. `quick_check` would take as long, because there is next to no index, and see less.
/// Returns what is wrong with what others keep in it.
pub fn check_integrity(connection: &Connection, path: &Path) -> Result<Option<String>, StorageError> {
    let failed = StorageError::sqlite("check", path);
    // SQLite ends its search where it meets a collation that it lacks, an expression it cannot compute, or damage.
    let ends = |error: &rusqlite::Error| {
        matches!(error.sqlite_error_code(), Some(ErrorCode::Unknown | ErrorCode::TooBig | ErrorCode::DatabaseCorrupt))
    };
    let all = match problems(connection, &PROBLEMS_LISTED_MAX.to_string()) {
        Err(error) if ends(&error) => vec![error.to_string()],
        all => all.map_err(&failed)?,
    };
    if all.is_empty() {
        return Ok(None);
    }
    // A page that is used twice, or free and used, can be ours.
    let shared = |problem: &&String| problem.contains("reelist") || problem.contains("2nd reference");
    let mut ours: Vec<String> = all.iter().filter(shared).cloned().collect();
    // With the schema goes the list of free pages, which an early end leaves out.
    let tables = tables_version(connection).and_then(tables).map_err(&failed)?;
    for table in tables.iter().map(|(table, _)| &**table).chain(["sqlite_schema"]) {
        ours.extend(problems(connection, &format!("'{table}'")).map_err(&failed)?);
    }
    ours.truncate(PROBLEMS_LISTED_MAX);
    if !ours.is_empty() {
        return Err(StorageError::new(path, Failure::Damaged(ours)));
    }
    Ok(Some(format!("trouble in what others keep in it, beside the world: {}", all.join("; "))))
}

/// What `PRAGMA integrity_check` finds: in all of it, with the most that are listed, or in one table, with its name.
fn problems(connection: &Connection, of: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({of})"))?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?.map(|row| match row {
        // It can end the search, and what was found until then counts.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(error.to_string()),
        row => row,
    });
    rows.filter(|row| row.as_deref() != Ok("ok")).collect()
}
