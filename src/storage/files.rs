//! Names of files: which belong to a database, and how a new file gets its own.
//!
//! A file is written under a name that nobody has, and gets its own when it is whole and synced. Nothing that may be
//! somebody else's is replaced on the way.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Failure, StorageError};
use crate::limits::PARTIAL_NAMES_MAX;
use crate::sys;

/// What the names of the files beside a database end in that belong to it: SQLite's first, then ours. One that was
/// rescued has its tick behind the last.
#[expect(dead_code)]
pub const SUFFIXES: [&str; 5] = ["-wal", "-shm", "-journal", ".lock", ".rescued-"];

/// The name of a file beside another that begins with its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file under a name of its own, until it is whole. What is dropped before is removed.
pub struct Partial(PathBuf);

impl Partial {
    /// Makes an empty one for what is to stand at `target`.
    pub fn create(target: &Path) -> Result<Partial, StorageError> {
        let name = |n| beside(target, &format!(".partial-{}-{n}", std::process::id()));
        let made = (0..PARTIAL_NAMES_MAX).map(name).find_map(|path| match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            created => Some(created.map(|_| Partial(path.clone())).map_err(StorageError::io("create", &path))),
        });
        made.unwrap_or_else(|| Err(StorageError::new(&name(0), Failure::Exists)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name for good, both it and its folder synced. What has that name is left alone: `Failure::Exists`.
    pub fn publish(self, target: &Path) -> Result<(), StorageError> {
        let rename = |from: &Path, to: &Path| match sys::rename_new(from, to) {
            // Where the file system does not know that, a second name is refused if it is taken, and the first goes.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                fs::hard_link(from, to)
            }
            renamed => renamed,
        };
        self.finish(target, rename)
    }

    /// The same in the place of a file that is ours to replace.
    pub fn replace(self, target: &Path) -> Result<(), StorageError> {
        self.finish(target, |from, to| fs::rename(from, to))
    }

    fn finish(self, target: &Path, rename: impl Fn(&Path, &Path) -> io::Result<()>) -> Result<(), StorageError> {
        File::open(&self.0).and_then(|file| file.sync_all()).map_err(StorageError::io("sync", &self.0))?;
        rename(&self.0, target).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StorageError::new(target, Failure::Exists),
            _ => StorageError::io("give its name to", target)(error),
        })?;
        sync_folder(target)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Syncs the folder that a file is in, so that its name is there after a power cut. Some file systems have no such thing
/// (EINVAL): their names are as safe as they get.
pub fn sync_folder(path: &Path) -> Result<(), StorageError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Err(StorageError::io("sync the folder", folder)(error))
        }
        _ => Ok(()),
    }
}
