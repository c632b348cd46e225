//! A consistent copy of a live database, made by SQLite in one read transaction.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::schema::{self, Found, Scrutiny};
use super::{Failure, StorageError, examine};
use crate::world::Tick;

/// Copies the database at `from` to `to`, which must not exist. The copy gets its name only when it is whole, checked
/// and synced, so what stands at `to` is never half a backup. Returns the tick it holds.
pub fn backup(from: &Path, to: &Path) -> Result<Tick, StorageError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(StorageError::new(to, Failure::Exists));
    }
    fs::metadata(from).map_err(StorageError::io("read", from))?;
    if schema::inspect(from, Scrutiny::Quick)? == Found::Empty {
        return Err(StorageError::new(from, Failure::Foreign("the database is empty".to_owned())));
    }
    let partial = PathBuf::from(format!("{}.partial-{}", to.display(), std::process::id()));
    let done = copy(from, &partial).and_then(|tick| publish(&partial, to).map(|()| tick));
    let _ = fs::remove_file(&partial);
    done
}

fn copy(from: &Path, partial: &Path) -> Result<Tick, StorageError> {
    // Claims the name, so that SQLite cannot write into a file that somebody else has put there.
    File::create_new(partial).map_err(StorageError::io("create", partial))?;
    let target = partial.to_string_lossy();
    schema::open_reader(from)?
        .execute("VACUUM INTO ?1", [&target])
        .map_err(StorageError::sqlite("write the backup", partial))?;
    // VACUUM INTO does not sync its target (SQLite, "VACUUM", section 3).
    File::open(partial).and_then(|file| file.sync_all()).map_err(StorageError::io("sync", partial))?;
    Ok(examine(partial, Scrutiny::Quick)?.world.now())
}

/// Gives the finished copy its name, unless that has been taken meanwhile.
fn publish(partial: &Path, to: &Path) -> Result<(), StorageError> {
    match fs::hard_link(partial, to) {
        Ok(()) => (),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(StorageError::new(to, Failure::Exists));
        }
        // Some file systems know no links.
        Err(_) => fs::rename(partial, to).map_err(StorageError::io("rename the backup to", to))?,
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StorageError::io("sync the folder", folder))
}
