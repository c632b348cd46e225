//! The power goes before every single write, sync, truncate and delete of a life, and what no sync has followed is lost,
//! torn or reordered: the World comes back whole, no older than the last flush that was acknowledged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use aqevia_engine::storage::schema::Found;
use aqevia_engine::storage::{Storage, StorageError};
use aqevia_engine::world::{Tick, World, unheard};
use rusqlite::ffi::SQLITE_IOERR_FSYNC;

use crate::disk::{self, Disk, Loss};
use crate::folder::{Folder, WALL};
use crate::vfs::{self, Operation, Verdict};
use crate::{schema, worlds};

/// A moment at which the power may go.
struct Moment {
    disk: Disk,
    acknowledged: Option<Tick>,
}

/// A life and everything that is needed to end it at any moment.
#[derive(Default)]
struct Record {
    disk: Disk,
    /// The last flush that was acknowledged, or the founding.
    acknowledged: Option<Tick>,
    /// The digest of each cut that was founded or that a flush tried to store.
    cuts: BTreeMap<Tick, u64>,
    moments: Vec<Moment>,
    /// How many syncs there were, and which of them fail.
    syncs: u64,
    failing: std::ops::Range<u64>,
}

impl Record {
    fn moment(&mut self) {
        self.disk.note_writing_again();
        self.moments.push(Moment { disk: self.disk.clone(), acknowledged: self.acknowledged });
    }

    fn take(&mut self, path: &Path, operation: Operation) -> Verdict {
        if operation != Operation::Open {
            self.moment();
        }
        if operation == Operation::Sync {
            self.syncs += 1;
            if self.failing.contains(&self.syncs) {
                self.disk.note_failed_sync(path);
                return Verdict::Fail(SQLITE_IOERR_FSYNC);
            }
            // Nothing here needs to be durable but in the model.
            self.disk.note(path, operation);
            return Verdict::Pretend;
        }
        self.disk.note(path, operation);
        Verdict::Proceed
    }
}

type Shared = Rc<RefCell<Record>>;

fn flush(world: &mut World, storage: &mut Storage, record: &Shared) -> Result<(), StorageError> {
    (0..5).for_each(|_| world.tick(&mut unheard));
    worlds::stir(world);
    record.borrow_mut().cuts.insert(world.now(), world.digest());
    worlds::flush(storage, world)?;
    record.borrow_mut().acknowledged = Some(world.now());
    Ok(())
}

/// What follows on a flush that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is made again.
    Again,
    /// The process is killed, and the next one goes on with what can be read.
    Death,
}

/// Founds a world and lives for a while, through checkpoints that move the log, and writes over it from its beginning.
fn live(file: &str, record: &Shared, then: Then) {
    let shared = record.clone();
    let _watched = vfs::watch(move |path, operation| shared.borrow_mut().take(path, operation));
    let mut folders = vec![Folder::new()];
    let database = folders[0].database();
    let (mut storage, _) = Storage::open(&database, WALL).unwrap();
    let mut world = worlds::world(file, 1);
    record.borrow_mut().cuts.insert(world.now(), world.digest());
    let founded = storage.found(&world, "test", WALL).and_then(|()| storage.attach(&world.head()));
    record.borrow_mut().disk.note_published(&database);
    if founded.is_err() {
        return;
    }
    record.borrow_mut().acknowledged = Some(world.now());
    for step in 0..8 {
        while flush(&mut world, &mut storage, record).is_err() {
            if then == Then::Death {
                let folder = Folder::new();
                (world, storage) = rise(record, &folder);
                folders.push(folder);
            }
        }
        if step % 3 == 1 {
            let _ = storage.checkpoint("PASSIVE");
        }
    }
    let _ = storage.checkpoint("TRUNCATE").and_then(|_| storage.close(&world.head()));
    record.borrow_mut().moment();
}

/// Another process on the same machine: it finds what the last one wrote, whether a sync failed or not.
fn rise(record: &Shared, folder: &Folder) -> (World, Storage) {
    record.borrow_mut().disk.note_writing_again();
    let files = record.borrow().disk.after(Loss::Nothing);
    disk::restore(&files, folder.path());
    let disk = record.borrow().disk.taken_over(folder.path());
    record.borrow_mut().disk = disk;
    let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
    let world = worlds::load(&mut storage).unwrap();
    storage.attach(&world.head()).unwrap();
    (world, storage)
}

/// What the World is found to be after the power came back; `None` if there is none.
fn find(files: &BTreeMap<PathBuf, Vec<u8>>) -> Option<World> {
    let folder = Folder::new();
    disk::restore(files, folder.path());
    let (mut storage, found) = Storage::open(&folder.database(), WALL).unwrap();
    if found == Found::Empty {
        return None;
    }
    let mut world = worlds::load(&mut storage).unwrap();
    let came_back = worlds::load(&mut storage).unwrap();
    // It can be gone on with.
    storage.attach(&world.head()).unwrap();
    world.tick(&mut unheard);
    worlds::flush(&mut storage, &mut world).unwrap();
    assert_eq!(worlds::load(&mut storage).unwrap().digest(), world.digest());
    Some(came_back)
}

/// Ends a recorded life at each of its moments, in each way.
fn check(record: &Record) {
    let mut seen = BTreeMap::new();
    for (number, moment) in record.moments.iter().enumerate() {
        let shuffled = (0..4).map(|seed| Loss::Shuffled(4 * number as u64 + seed));
        for loss in [Loss::Nothing, Loss::Everything, Loss::Torn].into_iter().chain(shuffled) {
            let files = moment.disk.after(loss);
            let found: &Option<(Tick, u64)> =
                seen.entry(files).or_insert_with_key(|files| find(files).map(|world| (world.now(), world.digest())));
            let place = format!("moment {number} of {}, {loss:?}: {found:?}", record.moments.len());
            match found {
                None => assert_eq!(moment.acknowledged, None, "{place}"),
                Some((tick, digest)) => {
                    assert!(Some(*tick) >= moment.acknowledged, "{place} after {:?}", moment.acknowledged);
                    assert_eq!(record.cuts.get(tick), Some(digest), "{place}");
                }
            }
        }
    }
}

#[test]
fn whenever_the_power_goes_the_world_comes_back_no_older_than_its_last_acknowledged_flush() {
    let record = Shared::default();
    live(&worlds::restless(12, 30), &record, Then::Again);
    let record = record.borrow();
    assert!(record.moments.len() > 80 && record.syncs > 15, "{} {}", record.moments.len(), record.syncs);
    check(&record);
}

/// What a failed sync has lost can be read as long as the power stays, and no later sync saves it.
fn check_failed_syncs(then: Then) {
    let file = worlds::restless(3, 4);
    let count = Shared::default();
    live(&file, &count, then);
    for first in 1..=count.borrow().syncs {
        for failing in [first..first + 1, first..first + 2, first..first + 3] {
            let record = Shared::default();
            record.borrow_mut().failing = failing;
            live(&file, &record, then);
            let record = record.borrow();
            let mut seen = BTreeMap::new();
            for moment in &record.moments {
                let files = moment.disk.after(Loss::Everything);
                let found: &mut Option<Tick> =
                    seen.entry(files).or_insert_with_key(|files| find(files).map(|world| world.now()));
                assert!(*found >= moment.acknowledged, "{:?}: {found:?} of {:?}", record.failing, moment.acknowledged);
            }
        }
    }
}

#[test]
fn what_a_failed_sync_has_lost_is_written_again_before_a_flush_is_acknowledged() {
    check_failed_syncs(Then::Again);
}

#[test]
fn what_a_failed_sync_has_lost_is_written_again_by_the_next_process_too() {
    check_failed_syncs(Then::Death);
}

#[test]
fn power_that_goes_while_a_database_is_brought_up_leaves_it_as_it_was_or_brought_up() {
    schema::VERSIONS.into_iter().for_each(check_bringing_up);
}

fn check_bringing_up(version: usize) {
    let (folder, record) = (schema::earlier(version), Shared::default());
    let (name, copy) = (PathBuf::from("storage.sqlite"), schema::copy_in(&folder, version));
    let files = BTreeMap::from([(name, fs::read(folder.database()).unwrap())]);
    record.borrow_mut().disk = Disk::holding(&files);
    let (shared, published) = (record.clone(), copy.clone());
    let mut is_published = false;
    let watched = vfs::watch(move |path, operation| {
        let mut record = shared.borrow_mut();
        if !is_published && published.exists() {
            is_published = true;
            record.disk.note_published(&published);
        }
        record.take(path, operation)
    });
    drop(schema::start(&folder).unwrap());
    drop(watched);
    record.borrow_mut().moment();
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    for (number, moment) in record.borrow().moments.iter().enumerate() {
        let shuffled = (0..4).map(|seed| Loss::Shuffled(4 * number as u64 + seed));
        for loss in [Loss::Nothing, Loss::Everything, Loss::Torn].into_iter().chain(shuffled) {
            let files = moment.disk.after(loss);
            if !seen.contains(&files) {
                let folder = Folder::new();
                disk::restore(&files, folder.path());
                found.insert((
                    schema::is_brought_up(&folder, version),
                    files.contains_key(copy.file_name().map(Path::new).unwrap()),
                ));
                seen.insert(files);
            }
        }
    }
    println!("{} moments, {} states", record.borrow().moments.len(), seen.len());
    // Each with its copy or without, but for one that is brought up without.
    assert_eq!(Vec::from_iter(found), [(false, false), (false, true), (true, true)]);
}
