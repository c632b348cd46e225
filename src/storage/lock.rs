//! `<database>.lock`: one engine for one database.
//!
//! The kernel holds the lock for as long as the file is open, so it goes with the process, however that ends. But a lock
//! guards a file, and others look for a name: whoever removes the name lets a second engine in. So the two are
//! compared, after locking and then again and again.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

use super::files::{beside, leads_to};
use super::{Failure, StorageError};
use crate::clock::Wall;
use crate::limits::LOCK_ATTEMPTS_MAX;

/// How the content of a lock file begins.
const HOLDER: &str = "process ";

/// The lock of a database, held for as long as this lives.
pub struct Lock {
    database: PathBuf,
    file: File,
    started: Wall,
    /// Who has taken it, once somebody has. Whoever that is has begun with what is stored, so there is no way back.
    lost_to: Option<String>,
    /// Who had it before this process, if anybody.
    pub before: Option<String>,
}

impl Lock {
    /// Takes the lock of `database` and writes into it who holds it, `started` included, for others who want it.
    pub fn take(database: &Path, started: Wall) -> Result<Lock, StorageError> {
        let path = beside(database, ".lock");
        let failed = |doing| StorageError::io(doing, &path);
        let remedy = "Nothing was changed. Move it away: the database's lock has that name.";
        let unfit = |what: &str| StorageError::unfit(&path, what, remedy);
        for _ in 0..LOCK_ATTEMPTS_MAX {
            if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                return Err(unfit("it is no file"));
            }
            let mut options = File::options();
            // Who may open it, if only for reading, could hold it.
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = options.open(&path).map_err(failed("open"))?;
            let locked = file.try_lock();
            let mut content = Vec::new();
            (&file).take(256).read_to_end(&mut content).map_err(failed("read"))?;
            // A power cut can leave zeros where something was written.
            let holder = String::from_utf8_lossy(&content).trim_matches(['\0', '\n']).to_owned();
            match locked {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => return Err(StorageError::new(database, Failure::Held(holder))),
                Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
            }
            if !holder.is_empty() && !holder.starts_with(HOLDER) {
                return Err(unfit("the lock file holds something else"));
            }
            // Whoever had it may have removed its name between the opening and the locking.
            if leads_to(&path, &file) {
                let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                // The engine that this writer is of: whoever reads this wants to end that, or what is left of it.
                let (engine, ours, since) = (parent_id(), std::process::id(), started.rfc3339());
                let line = format!("{HOLDER}{engine} on {}, since {since}; its writer: {HOLDER}{ours}\n", host.trim());
                // It locks just as well without: a full disk must not keep a World from being loaded.
                let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
                let before = Some(holder).filter(|holder| !holder.is_empty());
                return Ok(Lock { database: database.to_owned(), file, started, lost_to: None, before });
            }
        }
        Err(StorageError::disturbed(&path, "somebody removes it again and again"))
    }

    /// Makes sure that the lock is still the one that others would find, and takes it again if its name was removed and
    /// nobody else has it. Once somebody else has, it fails for ever.
    pub fn hold(&mut self) -> Result<(), StorageError> {
        if self.lost_to.is_none() && !leads_to(&beside(&self.database, ".lock"), &self.file) {
            match Lock::take(&self.database, self.started) {
                Ok(lock) => *self = lock,
                Err(StorageError { failure: Failure::Held(holder), .. }) => self.lost_to = Some(holder),
                Err(error) => return Err(error),
            }
        }
        match &self.lost_to {
            Some(holder) => Err(StorageError::new(&self.database, Failure::Held(holder.clone()))),
            None => Ok(()),
        }
    }
}
