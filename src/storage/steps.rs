//! A database of an earlier engine, brought up to the tables of this one: after a copy of it was put beside it, all steps
//! in one transaction. Whatever ends that leaves the database as it was, or brought up.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::TransactionBehavior;

use super::files::beside;
use super::schema::{Found, SCHEMA_VERSION, STEPS};
use super::{State, Storage, StorageError, backup, records, schema};
use crate::limits::READER_BUSY_MS_MAX;
use crate::world::Head;

/// A database that was brought up.
pub struct Raised {
    /// The version that was found.
    pub from: i32,
    /// Where the copy lies, with which the earlier engine can go on.
    pub copy: PathBuf,
}

impl Storage {
    /// Brings up the database, if an earlier engine has made it. Its world, with this head, was loaded and is accepted; it
    /// is to be attached to next.
    pub fn bring_up(&mut self, head: &Head) -> Result<Option<Raised>, StorageError> {
        let Found::Earlier(from) = self.found else { return Ok(None) };
        let copy = beside(&self.path, &format!(".schema-{from}-{}", head.tick.0));
        backup::keep(&self.path, &copy, self.found, head).map_err(|error| match error.is_for_want_of_room() {
            true => {
                let bytes = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
                let what =
                    format!("there is no room for the copy {copy:?}, made before its tables are changed: {error}");
                let remedy = format!("Nothing was changed. Make room for {bytes} bytes, or run the earlier engine.");
                StorageError::unfit(&self.path, what, remedy)
            }
            false => error,
        })?;
        self.attach(head)?;
        let State::Open(mut open) = std::mem::replace(&mut self.state, State::Closed) else { return Ok(None) };
        let (path, failed) = (&self.path, StorageError::sqlite("bring up the tables of", &self.path));
        open.connection.busy_timeout(Duration::from_millis(READER_BUSY_MS_MAX)).map_err(&failed)?;
        let transaction = open.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let is_as_copied = schema::identify(&transaction, path)? == self.found
            && records::read_head(&transaction).is_ok_and(|(found, _)| found == *head);
        if !is_as_copied {
            return Err(StorageError::disturbed(path, "somebody else has written to it"));
        }
        if let Some(name) = schema::taken(&transaction, from).map_err(&failed)? {
            let what = format!("others keep something under the name {name:?}, which a table of the engine has now");
            return Err(StorageError::unfit(path, what, "Nothing was changed. Rename what is theirs, or drop it."));
        }
        let mut steps = STEPS.iter().skip(from as usize);
        steps.try_for_each(|step| transaction.execute_batch(step)).map_err(&failed)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        self.found = Found::Ours;
        Ok(Some(Raised { from, copy }))
    }
}
