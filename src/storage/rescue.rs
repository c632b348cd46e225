//! What a stop saves that cannot save into the database: the whole world, in a database of its own beside it.
//!
//! It is named `<database>.rescued-<tick>`, and a database like any other: `check` reads it, and put in the place of the
//! one it was rescued from, an engine goes on with it. Of one world at most one is kept, the latest.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{Partial, beside};
use super::records::{Stamp, hexadecimal};
use super::{Failure, StorageError, stamp_at, write_new};
use crate::clock::Wall;
use crate::text::shell_quoted;
use crate::world::World;

/// A rescued world.
pub struct Rescue {
    /// Where it lies.
    pub path: PathBuf,
    /// Which world it is, and as of when.
    pub stamp: Stamp,
}

impl Rescue {
    /// The commands for a shell that put it in the place of `database`, and that one aside, once no engine runs on it.
    pub fn command(&self, database: &Path) -> String {
        let quoted = |path: &Path| shell_quoted(&path.display());
        let [old, new] = [database, &self.path].map(quoted);
        // Named after what takes its place, so that no earlier one is lost.
        let aside = format!(".replaced-{}", self.stamp.tick.0);
        let [wal, shm, aside] = ["-wal", "-shm", &aside].map(|suffix| quoted(&beside(database, suffix)));
        format!("rm -f {wal} {shm} && mv {old} {aside}; mv {new} {old}")
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
    named.filter_map(|path| Some(Rescue { stamp: stamp_at(&path).ok()?, path })).collect()
}

/// Writes all of `world`, if that has not been done. Earlier rescues of it make way; a later one does not.
pub fn write(database: &Path, world: &World, source: &str, wall: Wall) -> Result<Rescue, StorageError> {
    let path = beside(database, &format!(".rescued-{}", world.now().0));
    let of_it = all(database).into_iter().filter(|rescue| rescue.stamp.world == world.id());
    let (earlier, rest): (Vec<Rescue>, Vec<Rescue>) = of_it.partition(|rescue| rescue.stamp.tick < world.now());
    let (id, tick, digest) = (world.id().to_owned(), world.now(), Some(hexadecimal(world.digest())));
    if let Some(rescue) = rest.into_iter().next() {
        let same = rescue.stamp.tick == tick && rescue.stamp.digest == digest;
        return if same { Ok(rescue) } else { Err(StorageError::new(&rescue.path, Failure::Exists)) };
    }
    let partial = Partial::create(&path)?;
    write_new(partial.path(), world, source, wall, "DELETE")?;
    partial.publish(&path)?;
    earlier.iter().for_each(|rescue| _ = fs::remove_file(&rescue.path));
    Ok(Rescue { path, stamp: Stamp { world: id, tick, digest } })
}
