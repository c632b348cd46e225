//! A consistent copy of a live database, made by SQLite in one read transaction.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::schema;
use super::{Failure, StorageError, examine, require_ours, sync_folder};
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
    if ["-wal", "-shm", "-journal", ".lock", ".new"].iter().any(|suffix| to == schema::beside(&from, suffix)) {
        return Err(StorageError::new(&to, Failure::Foreign("that name belongs to the database itself".to_owned())));
    }
    require_ours(&from)?;
    let partial = schema::beside(&to, &format!(".partial-{}", std::process::id()));
    // Claims the name, so that SQLite cannot write into a file that somebody else has put there.
    File::create_new(&partial).map_err(StorageError::io("create", &partial))?;
    let done = copy(&from, &partial).and_then(|tick| publish(&partial, &to).map(|()| tick));
    let _ = fs::remove_file(&partial);
    done
}

fn copy(from: &Path, partial: &Path) -> Result<Tick, StorageError> {
    let not_text = || StorageError::new(partial, Failure::Foreign("SQLite needs a path in UTF-8 here".to_owned()));
    let target = partial.to_str().ok_or_else(not_text)?;
    schema::open_reader(from)?
        .execute("VACUUM INTO ?1", [target])
        .map_err(StorageError::sqlite("write the backup", partial))?;
    // VACUUM INTO does not sync its target (SQLite, "VACUUM", section 3).
    File::open(partial).and_then(|file| file.sync_all()).map_err(StorageError::io("sync", partial))?;
    Ok(examine(partial)?.world.now())
}

/// Gives the finished copy its name, unless that has been taken meanwhile.
fn publish(partial: &Path, to: &Path) -> Result<(), StorageError> {
    match fs::hard_link(partial, to) {
        Ok(()) => (),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(StorageError::new(to, Failure::Exists)),
        // Some file systems know no links.
        Err(_) => fs::rename(partial, to).map_err(StorageError::io("rename the backup to", to))?,
    }
    sync_folder(to)
}
