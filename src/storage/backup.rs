//! A consistent copy of a live database, made by SQLite in one read transaction.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::files::{self, Partial};
use super::schema::Found;
use super::{Failure, StorageError, examine, reader, schema};
use crate::world::{Head, World};

/// Copies the database at `from` to `to`, which must not exist. The copy gets its name only when it is whole, checked
/// and synced, so what stands at `to` is never half a backup. Returns what `examine` finds in it.
pub fn backup(from: &Path, to: &Path) -> Result<(World, Vec<String>), StorageError> {
    let from = fs::canonicalize(from).map_err(StorageError::io("read", from))?;
    let to = files::real_name(to)?;
    if fs::symlink_metadata(&to).is_ok() {
        return Err(StorageError::io("copy to", &to)(io::Error::new(ErrorKind::AlreadyExists, "it exists already")));
    }
    if files::belongs_to(&to, &from) {
        let what = format!("that name belongs to the database {from:?} itself");
        return Err(StorageError::unfit(&to, what, "Nothing was changed. Choose another name, best elsewhere."));
    }
    // The copy is checked, and its faults are those of what it was made of.
    let of_the_source = |error: StorageError| match error.failure {
        Failure::Foreign(_) | Failure::Damaged(_) => StorageError::new(&from, error.failure),
        _ => error,
    };
    let partial = copy(&from, &to)?;
    let examined = examine(partial.path()).map_err(of_the_source)?;
    partial.publish(&to)?;
    Ok(examined)
}

/// Puts a copy of the database at `from`, which is as `found` and holds the world with this head, at `to`; or leaves it
/// there, if an earlier attempt has put it there.
pub fn keep(from: &Path, to: &Path, found: Found, head: &Head) -> Result<(), StorageError> {
    let is_it = |path: &Path| {
        let mut sum = 0_u64;
        let read = reader::read_world(path, &mut |record| sum = sum.wrapping_add(record.digest()))?.0;
        let is_whole = read.digest.as_ref().is_none_or(|digest| *digest == read.digest_with(sum));
        Ok(is_whole && read == *head && schema::inspect(path)? == found)
    };
    let unfit = |what: &str| {
        let remedy = "Nothing was changed. Move it away: a copy is put there before the database is brought up.";
        Err(StorageError::unfit(to, what, remedy))
    };
    if fs::symlink_metadata(to).is_ok() {
        return if is_it(to).unwrap_or(false) { Ok(()) } else { unfit("it is no copy of the database") };
    }
    let partial = copy(from, to)?;
    if !is_it(partial.path())? {
        return unfit("the copy is not as the database was");
    }
    partial.publish(to)
}

/// A copy that is to stand at `to`, and is yet to be checked.
fn copy(from: &Path, to: &Path) -> Result<Partial, StorageError> {
    // A log or journal that waits for a file of this name would be read into the copy.
    schema::inspect(to)?;
    schema::refuse_journal(from)?;
    let partial = Partial::create(to)?;
    reader::read(from, |connection| {
        schema::identify(connection, from)?.require_ours(from)?;
        copy_pages(connection, partial.path())
    })?;
    Ok(partial)
}

/// Copies every page of what a connection sees into the file at `to`, which is empty: as one cut, and whatever others keep
/// beside our tables.
pub fn copy_pages(from: &Connection, to: &Path) -> Result<(), StorageError> {
    let failed = StorageError::sqlite("write a copy to", to);
    let mut copy = Connection::open(to).map_err(&failed)?;
    // Nobody looks at it before it is whole and synced, so it needs no journal.
    copy.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(())).map_err(&failed)?;
    // All pages in one step, so that no writer can come between.
    let step = Backup::new(from, &mut copy).and_then(|backup| backup.step(-1)).map_err(&failed)?;
    if step != StepResult::Done {
        return Err(StorageError::disturbed(to, format!("the database cannot be read now: {step:?}")));
    }
    // It came with the mark of write-ahead logging, for which every reader would make files beside it.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(&failed)
}
