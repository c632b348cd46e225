//! Names of files: which belong to a database, and how a new file gets its own.
//!
//! A file is written under a name that nobody has, and gets its own when it is whole and synced. Nothing that may be
//! somebody else's is replaced on the way.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StorageError;
use crate::limits::PARTIAL_NAMES_MAX;
use crate::sys;

/// What the names of the files beside a database end in that belong to it: SQLite's first, then ours. What was rescued
/// has its tick behind the last but one, and a copy of what an earlier engine made its version and tick behind the last.
pub const SUFFIXES: [&str; 7] = ["-wal", "-shm", "-journal", ".lock", ".sock", ".rescued-", ".schema-"];

/// Under which name a file beside a database is made until it is whole, with a number of the process behind it.
const PARTIAL: &str = ".partial-";

/// The name of a file beside another that begins with its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The names of the write-ahead log of a database and of its index.
pub fn log_of(database: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| beside(database, suffix))
}

/// Bytes of a file beside another; none if there is no such file.
pub fn bytes_beside(path: &Path, suffix: &str) -> u64 {
    fs::metadata(beside(path, suffix)).map_or(0, |metadata| metadata.len())
}

/// The path of a file that need not exist yet, with all links to its folder followed.
pub fn real_name(path: &Path) -> Result<PathBuf, StorageError> {
    let nameless = || StorageError::io("find", path)(ErrorKind::IsADirectory.into());
    let name = path.file_name().ok_or_else(nameless)?;
    let folder = folder_of(path);
    Ok(fs::canonicalize(folder).map_err(StorageError::io("find the folder", folder))?.join(name))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path of a database with all links followed, so that one file has one lock however it is called, and its log lies
/// where every later process looks for it.
pub fn real_path(path: &Path) -> Result<PathBuf, StorageError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return real_name(path) };
    let real = match fs::canonicalize(path) {
        // A link to a file that is yet to be made.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let target = fs::read_link(path).map_err(StorageError::io("follow", path))?;
            return real_name(&folder_of(path).join(target));
        }
        real => real.map_err(StorageError::io("follow", path))?,
    };
    if fs::metadata(&real).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1) {
        let remedy = "Nothing was changed. A second name comes with a second lock and a second log: keep one and remove the others; find FOLDER \
                      -samefile FILE names them. For a copy, use the command `backup`.";
        return Err(StorageError::unfit(path, "it has more than one name (a hard link)", remedy));
    }
    if !metadata.is_dir() && is_mounted(&real) {
        let remedy = "Nothing was changed. Mount its folder: its log and lock would go with the container.";
        return Err(StorageError::unfit(path, "it is mounted as a single file", remedy));
    }
    Ok(real)
}

/// Whether something is mounted at this very path (proc_pid_mountinfo(5)).
pub fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let name = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040");
    let name = name.replace('\t', "\\011").replace('\n', "\\012");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(&name))
}

/// Whether a name is one of those that belong to `database`: compared as files, because a folder has many names.
pub fn belongs_to(path: &Path, database: &Path) -> bool {
    let same_folder = file_id(folder_of(path)).is_some_and(|id| Some(id) == file_id(folder_of(database)));
    let [name, own] = [path, database].map(|path| path.file_name().unwrap_or_default().as_encoded_bytes());
    let rest = name.strip_prefix(own).filter(|_| same_folder);
    rest.is_some_and(|rest| SUFFIXES.iter().chain([&PARTIAL]).any(|suffix| rest.starts_with(suffix.as_bytes())))
}

/// Makes sure that a database and what lies beside it may be written, but for what `remove_leftovers` would remove.
pub fn require_writable(database: &Path) -> Result<(), StorageError> {
    let mut paths = vec![database.to_owned(), folder_of(database).to_owned()];
    if leftovers(database).is_none() {
        paths.extend(log_of(database));
    }
    let refused = paths.iter().find_map(|path| refusal(path).map(StorageError::io("write", path)));
    refused.map_or(Ok(()), Err)
}

/// Whoever looks at a database at rest can leave an empty log, and an index of it, that are theirs. They hold nothing, but
/// nobody else can use them.
pub fn remove_leftovers(database: &Path) {
    leftovers(database).iter().flatten().for_each(|path| _ = fs::remove_file(path));
}

fn leftovers(database: &Path) -> Option<[PathBuf; 2]> {
    let log = log_of(database);
    let is_left = bytes_beside(database, "-wal") == 0 && log.iter().any(|path| refusal(path).is_some());
    (is_left && !is_in_use(&log[1])).then_some(log)
}

fn refusal(path: &Path) -> Option<io::Error> {
    sys::may_write(path).err().filter(|error| error.kind() != ErrorKind::NotFound)
}

/// Whether somebody has the index of a log open. What cannot be learnt is taken for true.
fn is_in_use(index: &Path) -> bool {
    match File::open(index) {
        Err(error) => error.kind() != ErrorKind::NotFound,
        Ok(file) => sys::is_locked(&file).unwrap_or(true),
    }
}

/// Device and inode.
pub type FileId = (u64, u64);

/// Device and inode of what a name leads to.
pub fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether a name leads to an open file.
pub fn leads_to(path: &Path, file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| file_id(path) == Some((metadata.dev(), metadata.ino())))
}

/// A file under a name of its own, until it is whole. What is dropped before is removed.
pub struct Partial(PathBuf);

impl Partial {
    /// Makes an empty one for what is to stand at `target`.
    pub fn create(target: &Path) -> Result<Partial, StorageError> {
        let name = |n| beside(target, &format!("{PARTIAL}{}-{n}", std::process::id()));
        let made = (0..PARTIAL_NAMES_MAX).map(name).find_map(|path| match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            created => Some(created.map(|_| Partial(path.clone())).map_err(StorageError::io("create", &path))),
        });
        made.unwrap_or_else(|| Err(StorageError::io("create", &name(0))(ErrorKind::AlreadyExists.into())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name for good, both it and its folder synced. What has that name is left alone: `AlreadyExists`.
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
        rename(&self.0, target).map_err(StorageError::io("give its name to", target))?;
        sync_folder(target).map_err(|error| {
            let what = format!("it stands there, whole, but its name may be lost if the power goes: {error}");
            StorageError::unfit(target, what, "Check that the disk is sound, and run sync.")
        })
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
    let folder = folder_of(path);
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Err(StorageError::io("sync the folder", folder)(error))
        }
        _ => Ok(()),
    }
}
