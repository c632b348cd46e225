//! What a disk holds after the power went: a naive model, fed with everything that SQLite does to files.
//!
//! Only a sync makes writes durable. Until then each of them may have reached the disk or not, in any order, the last
//! one in half. A file that was made and never synced may be gone, one that was deleted may be back. What a failed sync
//! should have made durable is lost when the power goes, although it can be read until then and a later sync succeeds:
//! Linux marks pages clean that it could not write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use aqevia_engine::world::random::Random;

use crate::vfs::Operation;

/// One change of a file that no sync has followed.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Clone, Debug, Default)]
struct File {
    /// What can be read now.
    visible: Vec<u8>,
    /// What the last syncs made of it; `None` if there was none.
    durable: Option<Vec<u8>>,
    /// The changes since the last sync.
    changes: Vec<Change>,
    deleted: bool,
}

impl File {
    fn durable(bytes: Vec<u8>) -> File {
        File { visible: bytes.clone(), durable: Some(bytes), ..File::default() }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.visible);
        self.changes.push(change);
    }
}

/// What became of changes that no sync has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them reached the disk, as after kill -9.
    Nothing,
    /// None of them did.
    Everything,
    /// All but the last, of which half did.
    Torn,
    /// Some of them, in another order, some in half, by this seed.
    Shuffled(u64),
}

/// The files of one folder.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, File>,
    /// The files whose last sync failed, or that another process has left. Their time of change says whether they have
    /// been written to by other means than SQLite's since.
    doubtful: BTreeSet<PathBuf>,
}

impl Disk {
    /// The disk after the power came back: what it then holds, it holds for good.
    pub fn holding(files: &BTreeMap<PathBuf, Vec<u8>>) -> Disk {
        let files = files.iter().map(|(name, bytes)| (name.clone(), File::durable(bytes.clone()))).collect();
        Disk { files, doubtful: BTreeSet::new() }
    }

    /// The same disk for another process, in whose folder all that can be read has been put.
    pub fn taken_over(&self, folder: &Path) -> Disk {
        let mut disk = self.clone();
        disk.files.retain(|_, file| !file.deleted);
        disk.doubtful = disk.files.keys().map(|name| folder.join(name)).collect();
        disk.doubtful.iter().for_each(|path| mark(path));
        disk
    }

    /// Notes what SQLite does with success.
    pub fn note(&mut self, path: &Path, operation: Operation) {
        self.note_writing_again();
        if matches!(operation, Operation::Write(..) | Operation::Truncate(_) | Operation::Delete) {
            self.doubtful.remove(path);
        }
        let Some(name) = path.file_name() else { return };
        let file = self.files.entry(name.into()).or_default();
        match operation {
            Operation::Open => {
                if std::mem::take(&mut file.deleted) {
                    // A new file of the same name: until its sync the old one may be found in its place.
                    file.change(Change::Truncate(0));
                }
            }
            Operation::Write(offset, bytes) => file.change(Change::Write(offset, bytes.to_vec())),
            Operation::Truncate(size) => file.change(Change::Truncate(size)),
            Operation::Sync => file.durable = Some(replay(file.durable.as_deref(), &std::mem::take(&mut file.changes))),
            Operation::Delete => file.deleted = true,
        }
    }

    /// Notes a sync that failed.
    pub fn note_failed_sync(&mut self, path: &Path) {
        self.note_writing_again();
        if let Some(file) = path.file_name().and_then(|name| self.files.get_mut(Path::new(name))) {
            file.changes.clear();
            mark(path);
            self.doubtful.insert(path.to_owned());
        }
    }

    /// Notes which doubtful files were written again and synced by other means than SQLite's. To be asked before the disk is
    /// looked at, because that need not be followed by anything that SQLite does.
    pub fn note_writing_again(&mut self) {
        let again =
            |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.modified().unwrap() != UNIX_EPOCH);
        for path in self.doubtful.extract_if(.., |path| again(path)) {
            let file = path.file_name().and_then(|name| self.files.get_mut(Path::new(name)));
            file.into_iter().for_each(|file| *file = File::durable(std::mem::take(&mut file.visible)));
        }
    }

    /// Notes that the one file that was partial was synced, renamed, and its folder synced, by other means than SQLite's.
    pub fn note_published(&mut self, to: &Path) {
        let partial = |name: &PathBuf| name.to_str().unwrap().contains(".partial-");
        let (_, file) = self.files.extract_if(.., |name, _| partial(name)).next().unwrap();
        self.files.insert(to.file_name().unwrap().into(), File::durable(file.visible));
    }

    /// What the disk holds if the power goes now.
    pub fn after(&self, loss: Loss) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut random = Random(if let Loss::Shuffled(seed) = loss { seed } else { 0 });
        let found = self.files.iter().filter_map(|(name, file)| {
            let base = file.durable.as_deref();
            let bytes = match loss {
                Loss::Nothing => Some(file.visible.clone()).filter(|_| !file.deleted),
                Loss::Everything => base.map(<[u8]>::to_vec),
                Loss::Torn => {
                    let mut changes = file.changes.clone();
                    changes.last_mut().into_iter().for_each(Change::tear);
                    Some(replay(base, &changes)).filter(|_| !file.deleted)
                }
                Loss::Shuffled(_) => {
                    let mut changes = file.changes.clone();
                    changes.retain(|_| random.below(2) == 0);
                    for at in (1..changes.len()).rev() {
                        changes.swap(at, random.below(at as u64 + 1) as usize);
                    }
                    changes.iter_mut().filter(|_| random.below(4) == 0).for_each(Change::tear);
                    let certain = !file.deleted && base.is_some();
                    Some(replay(base, &changes)).filter(|_| certain || random.below(2) == 0)
                }
            };
            bytes.map(|bytes| (name.clone(), bytes))
        });
        found.collect()
    }
}

/// Sets a file's time of change so that any write shows.
fn mark(path: &Path) {
    fs::File::options().write(true).open(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, data) => {
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                bytes.resize(bytes.len().max(end), 0);
                bytes[start..end].copy_from_slice(data);
            }
            Change::Truncate(size) => bytes.resize(*size as usize, 0),
        }
    }

    fn tear(&mut self) {
        if let Change::Write(_, bytes) = self {
            bytes.truncate(bytes.len() / 2);
        }
    }
}

fn replay(base: Option<&[u8]>, changes: &[Change]) -> Vec<u8> {
    let mut bytes = base.unwrap_or_default().to_vec();
    changes.iter().for_each(|change| change.apply(&mut bytes));
    bytes
}

/// Writes files into a folder.
pub fn restore(files: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) {
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}
