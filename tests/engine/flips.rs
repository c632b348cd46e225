//! A database in which random bytes have changed: it is refused with a clear error and left as it is, or none of them
//! was one that counts. SQLite takes a write-ahead log to end where its bytes are wrong, as after a crash.

use std::fs;
use std::ops::Range;

use aqevia_engine::clock;
use aqevia_engine::storage::{Storage, worldfile};
use aqevia_engine::world::random::Random;
use aqevia_engine::world::unheard;

use crate::support::{Folder, command, output, seed, wal_frames};
use crate::worlds;

/// Before the first frame of a log (SQLite, "Database File Format", section 4.1).
const WAL_HEADER_BYTES: usize = 32;

/// A database and its write-ahead log, empty if it has none.
#[derive(Clone, PartialEq)]
struct Files {
    database: Vec<u8>,
    wal: Vec<u8>,
}

impl Files {
    fn read(folder: &Folder) -> Files {
        let wal = fs::read(folder.join("storage.sqlite-wal")).unwrap_or_default();
        Files { database: fs::read(folder.database()).unwrap(), wal }
    }

    fn write(&self, folder: &Folder) {
        folder.write("storage.sqlite", &self.database);
        folder.write("storage.sqlite-wal", &self.wal);
        let _ = fs::remove_file(folder.join("storage.sqlite-shm"));
    }

    /// Changes one to eight bytes, anywhere in both files; returns where, counted through both.
    fn flip(&mut self, random: &mut Random) -> Vec<usize> {
        let database_bytes = self.database.len();
        let places = (0..=random.below(8)).map(|_| {
            let place = random.below((database_bytes + self.wal.len()) as u64) as usize;
            let byte = self.database.get_mut(place).unwrap_or_else(|| &mut self.wal[place - database_bytes]);
            *byte ^= 1 + random.below(255) as u8;
            place
        });
        places.collect()
    }
}

/// A World that has lived for a month, with its digest after each flush. Its database is closed as an engine closes
/// it, or as a kill leaves it, with twenty flushes in the log over what is left there of those before.
fn lived(killed: bool) -> (Files, Vec<u64>) {
    let folder = Folder::new();
    let mut world = worldfile::read(worldfile::BUILTIN, 1).unwrap();
    let (mut storage, _) = Storage::open(&folder.database(), clock::wall()).unwrap();
    storage.found(&world, "test", clock::wall()).unwrap();
    storage.attach(&world.head()).unwrap();
    let mut digests = Vec::new();
    for flush in 0..60 {
        if flush == 40 {
            storage.checkpoint("PASSIVE").unwrap();
        }
        (0..7_200).for_each(|_| world.tick(&mut unheard));
        worlds::flush(&mut storage, &mut world).unwrap();
        digests.push(world.digest());
    }
    if !killed {
        storage.checkpoint("TRUNCATE").unwrap();
        storage.close(&world.head()).unwrap();
    }
    (Files::read(&folder), digests)
}

/// Where in a log each of its transactions stands.
fn transactions(wal: &[u8]) -> Vec<Range<usize>> {
    let frames = wal_frames(wal);
    let transactions = frames.split_inclusive(|(_, commits)| *commits);
    transactions.map(|frames| frames[0].0.start..frames[frames.len() - 1].0.end).collect()
}

fn is_refused_or_the_same(killed: bool) {
    let seed = seed();
    let mut random = Random(seed);
    let folder = Folder::new();
    let (sound, digests) = lived(killed);
    let flushes = transactions(&sound.wal);
    assert_eq!(flushes.len(), if killed { 20 } else { 0 });
    // Another world is wanted, so an engine ends that has loaded this one.
    let run = |arguments: &[&str]| output(command(&folder, arguments).env("AQEVIA_WORLD_ID", "another"));
    let (mut refused, mut older) = (0, 0);
    for round in 0..250 {
        let mut files = sound.clone();
        let places = files.flip(&mut random);
        files.write(&folder);
        let (code, stdout, stderr) = run(&["check", "storage.sqlite"]);
        let context = format!("TEST_SEED={seed}, round {round}, bytes {places:?}: {code} {stdout}{stderr}");
        assert!(Files::read(&folder) == files, "{context}: changed");
        if code == 0 {
            // It comes back as of the last flush that none of the bytes belongs to, nor to one before it in the log.
            let place = |place: &usize| place.checked_sub(files.database.len());
            let first = places.iter().filter_map(place).min().unwrap_or(usize::MAX);
            let left =
                if first < WAL_HEADER_BYTES { 0 } else { flushes.iter().take_while(|it| it.end <= first).count() };
            let digest = digests[digests.len() - 1 - (flushes.len() - left)];
            assert!(stdout.contains(&format!("; digest {digest:016x}\n")), "{context}");
            older += u32::from(left < flushes.len());
            let (code, log, _) = run(&[]);
            assert!(code == 3 && log.contains("holds the world"), "{context}{log}");
            continue;
        }
        // Without the first bytes of a database, `check` takes it for a world file.
        assert!(code == 3 || code == 2 && places.iter().any(|place| *place < 16), "{context}");
        let (code, log, stderr) = run(&[]);
        assert_eq!((code, log.lines().count(), stderr.as_str()), (3, 2, ""), "{context}{log}");
        assert!(log.contains("Nothing was changed. Keep a copy"), "{context}{log}");
        assert!(Files::read(&folder) == files, "{context}{log}: changed");
        refused += 1;
    }
    // Of what a kill left, most bytes are in the log.
    assert!(refused > if killed { 20 } else { 100 }, "TEST_SEED={seed}: only {refused} were refused");
    assert!((older > 50) == killed, "TEST_SEED={seed}: {older} came back older");
}

#[test]
fn a_database_with_flipped_bytes_is_refused_and_left_alone_or_its_world_is_the_same() {
    is_refused_or_the_same(false);
}

#[test]
fn a_database_that_a_kill_left_with_flipped_bytes_in_it_or_its_log_is_refused_or_older() {
    is_refused_or_the_same(true);
}
