//! Database files: whatever lies at the engine's path and in the write-ahead log beside it, looking at it neither
//! panics nor changes it, and a world that comes out of it is sound, lives, and can be flushed and loaded again.
//!
//! An input that begins as SQLite's files do is the file. Any other is a list of edits of a database that the engine
//! made, the first byte of which says what else is done.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use aqevia_engine::clock::Wall;
use aqevia_engine::storage::files::beside;
use aqevia_engine::storage::schema::Found;
use aqevia_engine::storage::{self, Failure, Storage, StorageError, worldfile};
use aqevia_engine::world::{Gathering, Keeping, Keepsake, Record, World, unheard};
use libfuzzer_sys::fuzz_target;

/// One moment for everything, so that a run can be repeated.
const WALL: Wall = Wall(Duration::from_secs(1_800_000_000));
/// A world hour, so that the weather turns.
const TICKS: u64 = 600;

// Bits of the first byte.
/// The engine was killed: there is a write-ahead log.
const KILLED: u8 = 1;
/// The log's checksums are made right after the edits, so that SQLite reads what they did.
const SEALED: u8 = 2;
/// The digest in the database is made right, so that the engine's other checks have to find what is wrong.
const CONFIRMED: u8 = 4;

/// A database and its write-ahead log.
#[derive(Clone, PartialEq)]
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
}

/// What the engine leaves when it is stopped, and when it is killed.
static MADE: LazyLock<[Files; 2]> = LazyLock::new(make);
/// Where their bytes are not zero: most of a database is empty.
static USED: LazyLock<[[Vec<usize>; 2]; 2]> =
    LazyLock::new(|| MADE.each_ref().map(|files| [used(&files.database), used(&files.log)]));

fuzz_target!(|bytes: &[u8]| {
    let (files, options) = match bytes {
        [b'S', b'Q', b'L', b'i', ..] => (Files { database: bytes.to_owned(), log: Vec::new() }, CONFIRMED),
        [options, edits @ ..] => (edited(*options, edits), *options),
        [] => return,
    };
    let folder = Folder::new();
    let stored = look(&folder, &files);
    if options & CONFIRMED != 0
        && let Err(error) = stored
        && let Some(files) = confirmed(&files, &error.to_string())
    {
        let _ = look(&folder, &files);
    }
});

/// Opens, loads and examines what is in the files; none of it may change them.
fn look(folder: &Folder, files: &Files) -> Result<(), StorageError> {
    folder.write(files);
    let path = folder.database();
    let examined = storage::examine(&path);
    folder.expect(files);
    let opened = Storage::open(&path, WALL).and_then(|(mut storage, found)| {
        let loaded = if found == Found::Empty { None } else { Some(load(&mut storage)?) };
        Ok((storage, loaded))
    });
    folder.expect(files);
    match opened {
        Ok((storage, Some(loaded))) => {
            live(storage, loaded, examined.is_ok());
            Ok(())
        }
        Ok((_, None)) => {
            assert!(examined.is_err());
            Ok(())
        }
        // What the quick look refuses, the thorough one does too.
        Err(error) => {
            assert!(examined.is_err() && !error.to_string().is_empty());
            Err(error)
        }
    }
}

/// Lets the engine go on with what it has loaded.
fn live(mut storage: Storage, mut world: World, sound: bool) {
    assert_eq!(world.violations(), [""; 0]);
    // The last chance to refuse: from here on the engine is expected to work.
    if storage.bring_up(&world.head()).and_then(|_| storage.attach(&world.head())).is_err() {
        return;
    }
    (0..TICKS).for_each(|_| world.tick(&mut unheard));
    assert_eq!(world.violations(), [""; 0]);
    let saved = flush(&mut storage, &mut world).and_then(|()| {
        // To the engine it is no failure if this fails: the log keeps what could not be moved.
        let _ = storage.checkpoint("TRUNCATE");
        storage.close(&world.head())
    });
    match saved {
        Ok(()) => assert_eq!(load(&mut storage).map(|again| again.digest()).ok(), Some(world.digest())),
        // The quick look at the start does not see all that can be wrong with a file.
        Err(error) => assert!(!sound, "{error}"),
    }
}

fn load(storage: &mut Storage) -> Result<World, StorageError> {
    let mut gathering = Gathering::default();
    storage.load(&mut |record| gathering.take(record))?;
    let damaged = |problems| StorageError::new("".as_ref(), Failure::Damaged(problems));
    gathering.finish().map_err(damaged)
}

fn flush(storage: &mut Storage, world: &mut World) -> Result<(), StorageError> {
    storage.flush(WALL, |take| {
        world.cut(&mut *take);
        take(Record::Head(&world.head()));
        true
    })?;
    world.acknowledged();
    Ok(())
}

/// Six bytes an edit: what is done, where, and with what.
fn edited(options: u8, edits: &[u8]) -> Files {
    let made = usize::from(options & KILLED);
    let (mut files, [in_database, in_log]) = (MADE[made].clone(), &USED[made]);
    for edit in edits.chunks_exact(6) {
        let [what, b, c, d, e, f] = *edit else { unreachable!() };
        let log = what & 0x80 != 0 && !in_log.is_empty();
        let (file, used) = if log { (&mut files.log, in_log) } else { (&mut files.database, in_database) };
        let spot = |high, low| used[usize::from(u16::from_be_bytes([high, low])) % used.len()];
        let anywhere = (usize::from(b) << 16 | usize::from(c) << 8 | usize::from(d)) % (file.len() + 1);
        let (at, from) = (spot(b, c), spot(d, e));
        let count = |most: u8| 1 + usize::from(f % most);
        match what % 7 {
            0 => put(file, at, &[d]),
            1 => put(file, at, &[d, e]),
            2 => put(file, at, &[d; 8][..count(8)]),
            3 => put(file, at, &i32::from_be_bytes([d, e, f, 0]).wrapping_shr(8).to_be_bytes()),
            4 => put(file, anywhere, &[e]),
            5 => {
                let copied: Vec<u8> = file.iter().skip(from).take(count(255)).copied().collect();
                put(file, at, &copied);
            }
            _ => file.truncate(anywhere),
        }
    }
    if options & SEALED != 0 {
        seal(&mut files.log);
    }
    files
}

/// Writes over what is there, as far as the file goes.
fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file.iter_mut().skip(at).zip(bytes).for_each(|(there, byte)| *there = *byte);
}

/// Makes the salts and checksums of a write-ahead log right (SQLite, "WAL-mode File Format", sections 4.1 and 4.2).
fn seal(log: &mut [u8]) {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    if log.len() < HEADER {
        return;
    }
    let (header, frames) = log.split_at_mut(HEADER);
    header[16..24].fill(0);
    let mut sums = checksum([0, 0], &header[..24]);
    header[24..28].copy_from_slice(&sums[0].to_be_bytes());
    header[28..].copy_from_slice(&sums[1].to_be_bytes());
    for frame in frames.chunks_exact_mut(FRAME) {
        frame[8..16].fill(0);
        sums = checksum(checksum(sums, &frame[..8]), &frame[24..]);
        frame[16..20].copy_from_slice(&sums[0].to_be_bytes());
        frame[20..24].copy_from_slice(&sums[1].to_be_bytes());
    }
}

/// As of a log that was begun on a little-endian machine.
fn checksum([mut first, mut second]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    for words in bytes.chunks_exact(8) {
        let word = |at: usize| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    [first, second]
}

/// The files with the digest that the engine found in place of the one that it was told, if that is all it said.
fn confirmed(files: &Files, error: &str) -> Option<Files> {
    let (found, told) = error.split_once("their digest is ")?.1.split_once(", and ")?;
    // What was told may be anything, such as a part of what was found.
    let told = told.split(' ').next().filter(|told| told.len() == found.len())?;
    let mut files = files.clone();
    for file in [&mut files.database, &mut files.log] {
        while let Some(at) = file.windows(told.len()).position(|window| window == told.as_bytes()) {
            file[at..at + told.len()].copy_from_slice(found.as_bytes().get(..told.len())?);
        }
    }
    seal(&mut files.log);
    Some(files)
}

/// Founds the world that builders are taught, and lets it live through a few flushes.
fn make() -> [Files; 2] {
    let readme = include_str!("../../../src/world/README.md");
    let text = readme.split("```json5\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a world");
    let folder = Folder::new();
    let mut world = worldfile::read(text, 1).expect("a sound world");
    let ada = world.add_player("Ada", Some("sealed".to_owned())).expect("a player");
    world.wake(ada, &mut unheard);
    world.add_player("Guest", None).expect("a guest");
    world.ban("192.0.2.0/24", Some(1_800_000_000));
    world.change_player(ada, |player| (player.title, player.since) = (Some("the Tall".into()), Some(1_800_000_000)));
    for (kind, name, text) in [(Keeping::Alias, "gg", "get all"), (Keeping::Tell, "Bob", "Come to the gate.")] {
        let (name, text) = (name.into(), text.into());
        assert!(world.keep(Keepsake { player: ada, kind, name, text, at: 1_800_000_000 }));
    }
    let (mut storage, _) = Storage::open(&folder.database(), WALL).expect("an empty database");
    storage.found(&world, "", WALL).expect("a founding");
    storage.attach(&world.head()).expect("a beginning");
    for _ in 0..3 {
        (0..TICKS).for_each(|_| world.tick(&mut unheard));
        flush(&mut storage, &mut world).expect("a flush");
    }
    let mut killed = folder.read();
    storage.checkpoint("TRUNCATE").expect("a checkpoint");
    storage.close(&world.head()).expect("an end");
    // SQLite gives each log salts of its own.
    seal(&mut killed.log);
    [folder.read(), killed]
}

fn used(file: &[u8]) -> Vec<usize> {
    (0..file.len()).filter(|at| file[*at] != 0).collect()
}

/// A folder that is removed when it goes out of scope.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("aqevia-fuzz-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder");
        Folder(path)
    }

    fn database(&self) -> PathBuf {
        self.0.join("storage.sqlite")
    }

    fn log(&self) -> PathBuf {
        beside(&self.database(), "-wal")
    }

    /// Puts the files in place, and nothing else.
    fn write(&self, files: &Files) {
        for entry in fs::read_dir(&self.0).expect("a folder") {
            fs::remove_file(entry.expect("an entry").path()).expect("a file");
        }
        fs::write(self.database(), &files.database).expect("a database");
        if !files.log.is_empty() {
            fs::write(self.log(), &files.log).expect("a log");
        }
    }

    fn read(&self) -> Files {
        let database = fs::read(self.database()).unwrap_or_default();
        Files { database, log: fs::read(self.log()).unwrap_or_default() }
    }

    fn expect(&self, files: &Files) {
        assert!(self.read() == *files, "the database or its log was changed");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
