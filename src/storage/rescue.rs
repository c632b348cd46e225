//! What a stop saves that cannot save into the database: the whole world, in a database of its own beside it.
//!
//! It is named `<database>.rescued-<tick>`, and a database like any other: `check` reads it, and put in the place of the
//! one it was rescued from, an engine goes on with it. It replaces what was rescued earlier of the same world, so there is
//! at most one, unless somebody has gone back to an older state: what is later is never removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{Partial, beside, real_name, real_path};
use super::{StorageError, Taker, head_at, write_new};
use crate::clock::Wall;
use crate::text::shell_quoted;
use crate::world::Head;

/// A rescued world.
pub struct Rescue {
    /// Where it lies.
    pub path: PathBuf,
    /// Which world it is, and as of when.
    pub head: Head,
}

impl Rescue {
    /// What a shell does to put it in the place of the database, and that one aside with its log, once no engine runs on
    /// it. Nothing is moved unless it is there, and the one that is put aside has a name of its own.
    pub fn command(&self) -> String {
        let folder = shell_quoted(&self.path.parent().unwrap_or(Path::new("/")).display());
        let tick = self.head.tick.0;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let database = shell_quoted(&name.strip_suffix(&format!(".rescued-{tick}")).unwrap_or(&name));
        let name = shell_quoted(&name);
        format!(
            "cd {folder} && [ -e {name} ] && (set -e; for end in '' -wal -shm; do [ ! -e {database}$end ] || \
             mv {database}$end {database}.replaced-{tick}$end; done; mv {name} {database})"
        )
    }
}

/// All rescued worlds beside `database` that can be read.
pub fn all(database: &Path) -> Vec<Rescue> {
    let beginning = beside(database, ".rescued-");
    let entries = database.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let named = entries.map(|entry| entry.path()).filter(|path| path.is_file()).filter(|path| {
        let tick = path.as_os_str().as_encoded_bytes().strip_prefix(beginning.as_os_str().as_encoded_bytes());
        tick.is_some_and(|tick| !tick.is_empty() && tick.iter().all(u8::is_ascii_digit))
    });
    named.filter_map(|path| Some(Rescue { head: head_at(&path).ok()?, path })).collect()
}

/// What an earlier stop rescued of this very world and was never put in place, if it is later.
pub fn later(database: &Path, than: &Head) -> Option<Rescue> {
    let later = |rescue: &Rescue| rescue.head.id == than.id && rescue.head.tick > than.tick;
    all(database).into_iter().filter(later).max_by_key(|rescue| rescue.head.tick)
}

/// Writes all of a world, if that has not been done. Earlier rescues of it make way.
pub fn write(
    database: &Path,
    head: Head,
    source: &str,
    wall: Wall,
    feed: impl FnOnce(Taker) -> bool,
) -> Result<Rescue, StorageError> {
    // What has become of the file itself is no matter here.
    let database = &real_path(database).or_else(|_| real_name(database))?;
    let path = beside(database, &format!(".rescued-{}", head.tick.0));
    let earlier = |rescue: &Rescue| rescue.head.id == head.id && rescue.head.tick < head.tick;
    let there = all(database);
    if !there.iter().any(|rescue| rescue.path == path && rescue.head == head) {
        let partial = Partial::create(&path)?;
        write_new(partial.path(), &head, source, wall, "DELETE", feed)?;
        partial.publish(&path)?;
    }
    there.iter().filter(|rescue| earlier(rescue)).for_each(|rescue| _ = fs::remove_file(&rescue.path));
    Ok(Rescue { path, head })
}
