//! A consistent copy of a live database, made by SQLite in one read transaction.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::files::{Partial, beside};
use super::{Failure, StorageError, examine, require_ours, schema};
use crate::world::Tick;

/// Copies the database at `from` to `to`, which must not exist. The copy gets its name only when it is whole, checked
/// and synced, so what stands at `to` is never half a backup. Returns the tick it holds.
pub fn backup(from: &Path, to: &Path) -> Result<Tick, StorageError> {
    // SQLite reads some relative names otherwise than as names of files.
    let absolute = |path: &Path| std::path::absolute(path).map_err(StorageError::io("find", path));
    let (from, to) = (absolute(from)?, absolute(to)?);
    if fs::symlink_metadata(&to).is_ok() {
        return Err(StorageError::new(&to, Failure::Exists));
    }
    if ["-wal", "-shm", "-journal", ".lock", ".new"].iter().any(|suffix| to == beside(&from, suffix)) {
        return Err(StorageError::new(&to, Failure::Foreign("that name belongs to the database itself".to_owned())));
    }
    require_ours(&from)?;
    let partial = Partial::create(&to)?;
    copy_pages(&schema::open_reader(&from)?, partial.path())?;
    let tick = examine(partial.path())?.world.now();
    partial.publish(&to)?;
    Ok(tick)
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
        return Err(StorageError::new(to, Failure::Disturbed(format!("the database cannot be read now: {step:?}"))));
    }
    // It came with the mark of write-ahead logging, for which every reader would make files beside it.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(&failed)
}
