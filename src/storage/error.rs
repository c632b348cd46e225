//! What can go wrong with a database: what was tried, on what, and what to do.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys;

/// How our own file is disturbed that has no content any more.
pub(super) const EMPTIED: &str = "it has been emptied";

/// Why a database could not be used.
#[derive(Debug)]
pub struct StorageError {
    /// The file or folder it is about.
    pub path: PathBuf,
    /// What went wrong with it.
    pub failure: Failure,
}

/// What went wrong.
#[derive(Debug)]
pub enum Failure {
    /// A file operation failed: what was tried.
    Io(&'static str, io::Error),
    /// SQLite reported an error: what was tried.
    Sqlite(&'static str, rusqlite::Error),
    /// Another engine has the database: who.
    Held(String),
    /// It holds something that is not this engine's: what.
    Foreign(String),
    /// It cannot be used as it is: what is in the way, and what to do about just that.
    Unfit(String, String),
    /// It is this engine's, and broken: in which ways.
    Damaged(Vec<String>),
    /// While the engine ran, the file was removed, replaced or written by somebody else: how.
    Disturbed(String),
}

impl StorageError {
    /// An error about a path.
    pub fn new(path: &Path, failure: Failure) -> StorageError {
        StorageError { path: path.to_owned(), failure }
    }

    /// An error about what cannot be used as it is: what is in the way, and what to do about just that.
    pub fn unfit(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> StorageError {
        StorageError::new(path, Failure::Unfit(what.into(), remedy.into()))
    }

    /// An error about what somebody else has done to a file while the engine ran.
    pub(super) fn disturbed(path: &Path, what: impl Into<String>) -> StorageError {
        StorageError::new(path, Failure::Disturbed(what.into()))
    }

    /// Turns an `io::Error` into ours.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StorageError {
        move |source| StorageError::new(path, Failure::Io(doing, source))
    }

    /// Turns an error of SQLite into ours.
    pub(super) fn sqlite(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> StorageError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TooBig, Unknown};
        move |source| match source.sqlite_error_code() {
            // Unknown is SQLite's plain error: our statements are sound, so it is what they meet. Without a code it is no
            // call that failed: a value that was read is none that was ever written.
            Some(DatabaseCorrupt | NotADatabase | TooBig | Unknown) | None => {
                StorageError::new(path, Failure::Damaged(vec![format!("cannot {doing} it: {source}")]))
            }
            _ => StorageError::new(path, Failure::Sqlite(doing, source)),
        }
    }

    /// Whether it is what was read that is wrong, or that it ends too early.
    pub(super) fn is_of_the_content(&self) -> bool {
        match &self.failure {
            Failure::Disturbed(_) | Failure::Damaged(_) => true,
            Failure::Sqlite(_, source) => {
                source.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
            }
            _ => false,
        }
    }

    /// Whether our own file has no content any more.
    pub fn is_emptied(&self) -> bool {
        matches!(&self.failure, Failure::Disturbed(what) if what == EMPTIED)
    }

    /// Whether there is no room on the disk, for the files that SQLite needs beside the database above all.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self.cause(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }

    /// What an operator can do about it, if this was met at the start or by a command.
    pub fn advice(&self) -> String {
        let path = &self.path;
        let advice = match &self.failure {
            Failure::Unfit(_, remedy) => remedy,
            Failure::Held(_) => {
                "One database serves one engine: stop the other one, or give this one a path of its own."
            }
            Failure::Foreign(_) | Failure::Damaged(_) => {
                "Nothing was changed. Keep a copy of the database and of its -wal file beside it before anything else. \
                 If you have just put this database in place, a -wal of the one before it spoils it: remove -wal and \
                 -shm and put it in place again. To restore a backup, or to begin a new world, see 'Restore' and 'Reset' \
                 in the README."
            }
            Failure::Io(..) | Failure::Sqlite(..) | Failure::Disturbed(_) => match self.cause() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "There is no room on the disk, or in this user's share of it: make some."
                }
                ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => {
                    "Another program is using it: fuser or lsof names it. If the path is a single file that is mounted, \
                     mount its folder instead."
                }
                ErrorKind::AlreadyExists => "Nothing is written over: choose another path.",
                ErrorKind::NotFound => "Check that the path is right, and that the volume is mounted.",
                ErrorKind::PermissionDenied => return owners(path),
                _ => return format!("Check that the disk is sound, and that the path is right. {}", owners(path)),
            },
        };
        advice.to_owned()
    }

    /// The kind of error of the system that is behind it, as far as it is told.
    fn cause(&self) -> ErrorKind {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly};
        match &self.failure {
            Failure::Io(_, source) => source.kind(),
            Failure::Sqlite(_, source) => match source.sqlite_error().map(|error| (error.code, error.extended_code)) {
                Some((DiskFull, _) | (_, rusqlite::ffi::SQLITE_IOERR_SHMSIZE)) => ErrorKind::StorageFull,
                Some((DatabaseBusy | DatabaseLocked, _)) => ErrorKind::ResourceBusy,
                Some((CannotOpen | PermissionDenied | ReadOnly, _)) => ErrorKind::PermissionDenied,
                _ => ErrorKind::Other,
            },
            _ => ErrorKind::Other,
        }
    }
}

/// Who runs this, and whose the thing is, or the nearest folder above it that is there.
fn owners(path: &Path) -> String {
    let user = sys::effective_user();
    let there = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?.uid())));
    let Some((there, owner)) = there else { return format!("This runs as user {user}.") };
    format!(
        "This runs as user {user}, and {there:?} belongs to user {owner}: the database, what lies beside it and their folder \
         must belong to the user the engine runs as (chown -R {user} FOLDER)."
    )
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.failure {
            Failure::Io(doing, source) => write!(f, "cannot {doing} {path:?}: {source}"),
            Failure::Sqlite(doing, source) => {
                let code = source.sqlite_error().map(|error| format!(" (SQLite code {})", error.extended_code));
                write!(f, "cannot {doing} {path:?}: {source}{}", code.unwrap_or_default())
            }
            Failure::Held(holder) => write!(f, "{path:?} is in use by another engine: {holder}"),
            Failure::Foreign(what) => write!(f, "{path:?} is not a database of this engine: {what}"),
            Failure::Unfit(what, _) => write!(f, "{path:?} cannot be used: {what}"),
            Failure::Damaged(problems) => write!(f, "{path:?} is damaged: {}", problems.join("; ")),
            Failure::Disturbed(what) => write!(f, "{path:?} was disturbed: {what}"),
        }
    }
}

impl std::error::Error for StorageError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rusqlite::ffi;

    use super::*;

    #[test]
    fn advice_fits_the_cause() {
        let there = std::env::current_exe().unwrap();
        let system = |name| Failure::Io("try", io::Error::from_raw_os_error(name));
        let sqlite = |code| Failure::Sqlite("try", rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        let (busy, room) = ("Another program is using it", "There is no room");
        let (missing, owner) = ("the path is right, and that the volume is mounted", "This runs as user ");
        // By the numbers of errno(3): EBUSY and EXDEV, EEXIST, ENOSPC and EDQUOT, ENOENT, EACCES and EIO.
        for (failure, expected) in [
            (system(16), busy),
            (system(18), busy),
            (system(17), "Nothing is written over"),
            (system(28), room),
            (system(122), room),
            (system(2), missing),
            (system(13), owner),
            (system(5), "Check that the disk is sound"),
            (sqlite(ffi::SQLITE_BUSY), busy),
            (sqlite(ffi::SQLITE_FULL), room),
            (sqlite(ffi::SQLITE_IOERR_SHMSIZE), room),
            (sqlite(ffi::SQLITE_CANTOPEN), owner),
            (sqlite(ffi::SQLITE_READONLY_DIRECTORY), owner),
            (sqlite(ffi::SQLITE_IOERR_WRITE), "Check that the disk is sound"),
            (Failure::Disturbed("it has gone".to_owned()), "Check that the disk is sound"),
        ] {
            let error = StorageError::new(&there, failure);
            let advice = error.advice();
            assert!(
                advice.starts_with(expected) || advice.contains(missing) && expected == missing,
                "{error}: {advice}"
            );
            assert!(!advice.contains("Nothing was changed"), "{error}: that is not known");
        }
    }
}
