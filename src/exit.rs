//! How a process ends that does not do what it was asked to: its exit code, and words for whoever started it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::limits::WORLD_FILE_BYTES_MAX;
use crate::storage::StorageError;

/// Why the process ends otherwise than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code: one of those below.
    pub code: u8,
    /// What is wrong, one thing each.
    pub problems: Vec<String>,
    /// What to do about it; may be empty.
    pub advice: String,
}

/// The exit code of what has failed.
pub const FAILED: u8 = 1;
/// The exit code of a usage, a configuration or a world file that is wrong.
pub const USAGE: u8 = 2;
/// The exit code of a database that cannot be used.
pub const STORAGE: u8 = 3;
/// The exit code of an address that cannot be listened on.
pub const LISTEN: u8 = 4;

impl Exit {
    /// Something that the system refused, or that came to nothing.
    pub fn failed(problem: String) -> Exit {
        Exit { code: FAILED, problems: vec![problem], advice: String::new() }
    }

    /// What is wrong with a world file.
    pub fn world_file(path: &Path, problems: Vec<String>) -> Exit {
        let problems = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        Exit { code: USAGE, problems, advice: String::new() }
    }
}

impl From<StorageError> for Exit {
    fn from(error: StorageError) -> Exit {
        Exit { code: STORAGE, problems: vec![error.to_string()], advice: error.advice() }
    }
}

/// Turns an error of the system into the end of a start.
pub fn refused(doing: &'static str) -> impl Fn(io::Error) -> Exit {
    move |error| Exit::failed(format!("cannot {doing}: {error}"))
}

/// Reads a world file.
pub fn read_world_file(path: &Path) -> Result<String, Exit> {
    let refused = |problem: String| Exit::world_file(path, vec![problem]);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(WORLD_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(format!("cannot read it: {error}")))?;
    if bytes.len() as u64 > WORLD_FILE_BYTES_MAX {
        return Err(refused(format!("it is larger than {WORLD_FILE_BYTES_MAX} bytes")));
    }
    if bytes.contains(&0) {
        return Err(refused("it holds a NUL byte".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        refused(format!("line {line}: it is not UTF-8"))
    })
}
