//! Reading a database that others may use just now, without leaving a trace.
//!
//! Whoever opens a database in write-ahead mode makes a log and an index of it, and who may only read cannot remove them
//! again: they would stand in the way of the engine. So a database at rest is read as a file that nobody writes, and
//! once more if it turns out that somebody did.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::{Failure, StorageError};
use super::files::bytes_beside;
use super::{Taker, records, schema};
use crate::limits::{READER_ATTEMPTS_MAX, READER_BUSY_MS_MAX};
use crate::sys;
use crate::world::{Head, Record};

/// Lets `work` read the database at `path`, as one that nobody has written meanwhile. It may be called several times;
/// what the last call returns counts.
pub fn read<T>(
    path: &Path,
    mut work: impl FnMut(&mut Connection) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    // The log lies beside the file itself, not beside a link to it.
    let path = &fs::canonicalize(path).map_err(StorageError::io("read", path))?;
    for _ in 0..READER_ATTEMPTS_MAX {
        let Some(before) = at_rest(path) else { break };
        let uri = immutable_uri(path);
        let opened = open(&uri, OpenFlags::SQLITE_OPEN_URI).map_err(StorageError::sqlite("read", path));
        let done = opened.and_then(|mut connection| work(&mut connection));
        if at_rest(path) == Some(before) {
            return done;
        }
    }
    let mut connection = open(path, OpenFlags::empty()).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) if bytes_beside(path, "-wal") > 0 => {
            let user = sys::effective_user();
            let what = format!("its last changes are in its -wal file, which user {user} cannot read here: {error}");
            let owner = fs::metadata(path).map_or(0, |metadata| metadata.uid());
            let remedy = format!("SQLite makes a -shm file beside it to read it: run this as its owner, user {owner}.");
            StorageError::unfit(path, what, remedy)
        }
        _ => StorageError::sqlite("read", path)(error),
    })?;
    work(&mut connection)
}

/// The head of the world that the database at `path` holds.
pub fn head_at(path: &Path) -> Result<Head, StorageError> {
    read(path, |connection| records::read_head(connection).map_err(StorageError::sqlite("read", path))).map(|it| it.0)
}

/// Reads the world in the database at `path`, then checks the database: whoever puts the world together need not wait.
/// Returns its head, its source, and what is wrong with what others keep there.
pub fn read_world(path: &Path, take: Taker) -> Result<(Head, String, Option<String>), StorageError> {
    read(path, |connection| {
        schema::identify(connection, path)?.require_ours(path)?;
        let stored = stream(connection, take).map_err(|source| match source {
            rusqlite::Error::QueryReturnedNoRows => {
                StorageError::new(path, Failure::Damaged(vec!["the world's own record is missing".to_owned()]))
            }
            _ => StorageError::sqlite("load the world from", path)(source),
        });
        // What is wrong with the file says more than what it makes of a record.
        let warning = schema::check_integrity(connection, path)?;
        stored.map(|(head, source)| (head, source, warning))
    })
}

/// Hands out all of a world, in one transaction so that it is one cut.
fn stream(connection: &mut Connection, take: Taker) -> rusqlite::Result<(Head, String)> {
    let transaction = connection.transaction()?;
    let (head, source) = records::read_head(&transaction)?;
    take(Record::Head(&head));
    records::read_records(&transaction, &mut *take)?;
    take(Record::End);
    Ok((head, source))
}

/// What changes when somebody writes to the file of a database; nothing if there is a log or journal that counts too.
fn at_rest(path: &Path) -> Option<[i64; 6]> {
    let logged = ["-wal", "-journal"].iter().any(|suffix| bytes_beside(path, suffix) > 0);
    let file = fs::metadata(path).ok().filter(|_| !logged)?;
    Some([file.ino() as i64, file.size() as i64, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()])
}

fn open(name: impl AsRef<Path>, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(name, flags)?;
    connection.busy_timeout(Duration::from_millis(READER_BUSY_MS_MAX))?;
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; SELECT 1 FROM sqlite_schema")?;
    Ok(connection)
}

/// SQLite's "Uniform Resource Identifiers": whatever could mean something else is written by its number.
fn immutable_uri(path: &Path) -> PathBuf {
    let escaped = path.as_os_str().as_bytes().iter().map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
        other => format!("%{other:02x}"),
    });
    format!("file:{}?immutable=1", escaped.collect::<String>()).into()
}
