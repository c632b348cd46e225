//! The Nth write, sync, truncate, open or delete fails, for every N there is: nothing pending is forgotten, what was
//! flushed is whole, and once the fault is over the next flush brings everything.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fs;
use std::rc::Rc;

use aqevia_engine::storage::schema::Found;
use aqevia_engine::storage::{Storage, StorageError};
use aqevia_engine::world::{Record, Tick, World, unheard};
use rusqlite::ffi;

use crate::folder::{Folder, WALL};
use crate::vfs::{self, Operation, Verdict, Watched};
use crate::{schema, worlds};

/// What fails, and how.
#[derive(Clone, Copy, Debug)]
struct Fault {
    kind: &'static str,
    code: c_int,
    /// The first half of a write comes through.
    tears: bool,
    /// Everything of that kind fails from then on, until the fault is mended.
    lasts: bool,
}

fn kind(operation: Operation) -> &'static str {
    match operation {
        Operation::Open => "open",
        Operation::Write(..) => "write",
        Operation::Truncate(_) => "truncate",
        Operation::Sync => "sync",
        Operation::Delete => "delete",
    }
}

/// Counts the operations of one kind and lets the Nth fail.
struct Trap {
    fired: Rc<Cell<u64>>,
    open: Rc<Cell<bool>>,
    _watched: Watched,
}

impl Trap {
    fn set(fault: Fault, n: u64) -> Trap {
        let (fired, open, mut count) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)), 0);
        let (firing, is_open) = (fired.clone(), open.clone());
        let watched = vfs::watch(move |_, operation| {
            if is_open.get() || kind(operation) != fault.kind {
                return Verdict::Proceed;
            }
            count += 1;
            if count != n && !(fault.lasts && count > n) {
                return Verdict::Proceed;
            }
            firing.set(firing.get() + 1);
            if fault.tears { Verdict::Tear(fault.code) } else { Verdict::Fail(fault.code) }
        });
        Trap { fired, open, _watched: watched }
    }

    fn has_fired(&self) -> bool {
        self.fired.get() > 0
    }

    /// Does something on a machine without faults.
    fn without<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.open.replace(true);
        let done = work();
        self.open.set(before);
        done
    }
}

/// A world with its storage, and what the storage must hold.
struct Life {
    folder: Folder,
    world: World,
    storage: Storage,
    /// The digest of each cut that was founded or that a flush tried to store.
    cuts: BTreeMap<Tick, u64>,
    acknowledged: Tick,
}

impl Life {
    fn pass(&mut self, ticks: u64) {
        (0..ticks).for_each(|_| self.world.tick(&mut unheard));
        worlds::stir(&mut self.world);
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.cuts.insert(self.world.now(), self.world.digest());
        worlds::flush(&mut self.storage, &mut self.world)?;
        self.acknowledged = self.world.now();
        Ok(())
    }

    /// Two flushes, a checkpoint, a flush, the end.
    fn go_on(&mut self) -> Result<(), StorageError> {
        for checkpoint in [None, Some("PASSIVE"), Some("TRUNCATE")] {
            self.pass(7);
            self.flush()?;
            checkpoint.map_or(Ok(true), |how| self.storage.checkpoint(how))?;
        }
        self.storage.close(&self.world.head())
    }

    /// Makes sure of what another process would find if this one were killed now; returns the tick it would find.
    fn check_copy(&self) -> Tick {
        let copy = Folder::new();
        for name in ["storage.sqlite", "storage.sqlite-wal", "storage.sqlite-journal"] {
            let _ = fs::copy(self.folder.join(name), copy.join(name));
        }
        let (mut storage, found) = Storage::open(&copy.database(), WALL).unwrap();
        assert_eq!(found, Found::Ours);
        let world = worlds::load(&mut storage).unwrap();
        assert!(world.now() >= self.acknowledged, "{:?} after {:?}", world.now(), self.acknowledged);
        assert_eq!(self.cuts.get(&world.now()), Some(&world.digest()), "{:?} was never cut", world.now());
        world.now()
    }
}

/// Lives a life in which the Nth operation fails; false if there are fewer.
fn survives(file: &str, fault: Fault, n: u64) -> bool {
    let folder = Folder::new();
    let trap = Trap::set(fault, n);
    let world = worlds::world(file, 1);
    let digest = world.digest();
    let founded = Storage::open(&folder.database(), WALL).and_then(|(mut storage, _)| {
        storage.found(&world, "test", WALL)?;
        storage.attach(&world.head())?;
        Ok(storage)
    });
    let storage = match founded {
        Ok(storage) => storage,
        Err(error) => {
            assert!(trap.has_fired(), "{error}");
            trap.without(|| start_again(file, &folder, digest));
            return true;
        }
    };
    let cuts = BTreeMap::from([(world.now(), digest)]);
    let mut life = Life { folder, acknowledged: world.now(), world, storage, cuts };
    match life.go_on() {
        Ok(()) => assert_eq!(trap.without(|| life.check_copy()), life.world.now()),
        Err(error) => {
            assert!(trap.has_fired(), "{error}");
            trap.without(|| life.check_copy());
            // While the fault lasts, time goes on and flushes go on failing.
            for _ in 0..3 {
                life.pass(5);
                let (before, flushed) = (life.world.pending(), life.flush().is_ok());
                assert!(flushed || life.world.pending() == before && before > 1);
                trap.without(|| life.check_copy());
            }
            trap.without(|| {
                life.pass(1);
                life.flush().unwrap();
                assert_eq!(life.check_copy(), life.world.now());
                life.storage.checkpoint("TRUNCATE").unwrap();
                life.storage.close(&life.world.head()).unwrap();
                assert_eq!(life.check_copy(), life.world.now());
            });
        }
    }
    trap.has_fired()
}

/// A founding that fails ends the engine. The next start finds nothing and founds, or finds all of it.
fn start_again(file: &str, folder: &Folder, digest: u64) {
    let (mut storage, found) = Storage::open(&folder.database(), WALL).unwrap();
    if found == Found::Empty {
        storage.found(&worlds::world(file, 1), "test", WALL).unwrap();
    }
    let world = worlds::load(&mut storage).unwrap();
    assert_eq!(world.digest(), digest);
    storage.attach(&world.head()).unwrap();
}

#[test]
fn whatever_fails_nothing_pending_is_forgotten_and_nothing_flushed_is_lost() {
    let file = worlds::restless(12, 40);
    for (kind, code, tears) in [
        ("write", ffi::SQLITE_FULL, false),
        ("write", ffi::SQLITE_IOERR_WRITE, false),
        ("write", ffi::SQLITE_IOERR_WRITE, true),
        ("sync", ffi::SQLITE_IOERR_FSYNC, false),
        ("truncate", ffi::SQLITE_IOERR_TRUNCATE, false),
        ("open", ffi::SQLITE_CANTOPEN, false),
        ("delete", ffi::SQLITE_IOERR_DELETE, false),
    ] {
        for lasts in [false, true] {
            let fault = Fault { kind, code, tears, lasts };
            let last = (1..).find(|&n| !survives(&file, fault, n)).unwrap();
            println!("{fault:?}: {} places", last - 1);
            assert!(last > 1, "{fault:?} never happened");
        }
    }
}

#[test]
fn whatever_fails_while_a_database_is_brought_up_it_is_left_as_it_was_or_brought_up() {
    schema::VERSIONS.into_iter().for_each(check_bringing_up);
}

fn check_bringing_up(version: usize) {
    let mut ways_out = [0; 3];
    for (kind, code, tears) in [
        ("write", ffi::SQLITE_FULL, false),
        ("write", ffi::SQLITE_IOERR_WRITE, true),
        ("sync", ffi::SQLITE_IOERR_FSYNC, false),
        ("truncate", ffi::SQLITE_IOERR_TRUNCATE, false),
        ("open", ffi::SQLITE_CANTOPEN, false),
        ("delete", ffi::SQLITE_IOERR_DELETE, false),
    ] {
        let fails = |n| {
            let (folder, trap) = (schema::earlier(version), Trap::set(Fault { kind, code, tears, lasts: false }, n));
            let started = schema::start(&folder).map(drop);
            let was_refused = started.is_err();
            if let Err(error) = started {
                assert!(trap.has_fired(), "{error}");
                let for_room = "There is no room on the disk, or in this user's share of it: make some.";
                let no_copy = error.to_string().contains("there is no room for the copy");
                ways_out[usize::from(no_copy)] += 1;
                assert!(code != ffi::SQLITE_FULL || no_copy || error.advice() == for_room, "{error}");
                let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
                // A journal that cannot be deleted stays.
                let mut partial = names.filter(|name| name.to_str().unwrap().contains(".partial-"));
                assert!(kind == "delete" || partial.next().is_none());
            }
            let is_up = trap.without(|| schema::is_brought_up(&folder, version));
            assert!(is_up || was_refused);
            ways_out[2] += u32::from(is_up && was_refused);
            trap.has_fired()
        };
        let last = (1..).map(fails).position(|has_fired| !has_fired).unwrap();
        println!("{kind} {code}: {last} places");
        assert!(last > 1 || matches!(kind, "truncate" | "delete"), "{kind} {last}");
    }
    println!("{ways_out:?}");
    assert!(ways_out[0] > 0 && ways_out[1] > 0);
}

#[test]
fn a_log_that_is_deleted_in_the_middle_of_a_flush_costs_nothing() {
    // Whether the log is to be deleted when it is synced next. What is opened before anybody watches is never watched.
    let is_due = Rc::new(Cell::new(false));
    let due = is_due.clone();
    let _watched = vfs::watch(move |path, operation| {
        if operation == Operation::Sync && path.to_string_lossy().ends_with("-wal") && due.replace(false) {
            fs::remove_file(path).unwrap();
        }
        Verdict::Proceed
    });
    let mut world = worlds::world(&worlds::restless(3, 4), 1);
    let folder = Folder::new();
    let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
    storage.found(&world, "test", WALL).unwrap();
    storage.attach(&world.head()).unwrap();
    for is_deleted in [false, true, false, true] {
        world.tick(&mut unheard);
        is_due.set(is_deleted);
        worlds::flush(&mut storage, &mut world).unwrap();
        assert!(!is_due.get());
        assert_eq!(storage.persisted(), Some(world.now()));
        // As another process would find it if this one were killed now.
        let copy = Folder::new();
        for name in ["storage.sqlite", "storage.sqlite-wal"] {
            let _ = fs::copy(folder.join(name), copy.join(name));
        }
        let (mut found, _) = Storage::open(&copy.database(), WALL).unwrap();
        assert_eq!(worlds::load(&mut found).unwrap().digest(), world.digest(), "{is_deleted}");
    }
}

/// The file goes on to be the one that the connection has: only what stands in it is gone.
#[test]
fn a_log_that_is_emptied_or_replaced_in_place_while_it_is_written_is_noticed_by_the_same_flush() {
    let mut world = worlds::world(&worlds::restless(3, 4), 1);
    for older_copy in [false, true] {
        let folder = Folder::new();
        let log = folder.join("storage.sqlite-wal");
        let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
        storage.found(&world, "test", WALL).unwrap();
        storage.attach(&world.head()).unwrap();
        let mut copy = Vec::new();
        for flush in 0..6 {
            world.tick(&mut unheard);
            worlds::flush(&mut storage, &mut world).unwrap();
            if flush == 2 {
                copy = fs::read(&log).unwrap();
            }
        }
        world.tick(&mut unheard);
        let flushed = storage.flush(WALL, |take| {
            fs::write(&log, if older_copy { &*copy } else { b"" }).unwrap();
            world.cut(&mut *take);
            take(Record::Head(&world.head()));
            true
        });
        world.cut_failed();
        let error = flushed.unwrap_err().to_string();
        assert!(error.contains("written over it or its -wal"), "{error}");
        assert_eq!(storage.persisted(), None);
    }
}

/// A world whose last flush has failed, as every other one will while the fault lasts.
fn failing(kind: &'static str, code: c_int) -> (Trap, Folder, World, Storage) {
    let trap = Trap::set(Fault { kind, code, tears: false, lasts: true }, 1);
    let mut world = worlds::world(&worlds::restless(3, 4), 1);
    let folder = Folder::new();
    let mut storage = trap.without(|| {
        let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
        storage.found(&world, "test", WALL).unwrap();
        storage.attach(&world.head()).unwrap();
        world.tick(&mut unheard);
        worlds::flush(&mut storage, &mut world).unwrap();
        storage
    });
    world.tick(&mut unheard);
    worlds::flush(&mut storage, &mut world).unwrap_err();
    assert!(trap.has_fired());
    (trap, folder, world, storage)
}

#[test]
fn a_log_that_is_deleted_while_flushes_fail_costs_nothing() {
    for (kind, code) in [("write", ffi::SQLITE_FULL), ("sync", ffi::SQLITE_IOERR_FSYNC)] {
        let (trap, folder, mut world, mut storage) = failing(kind, code);
        assert!(storage.persisted().is_some());
        fs::remove_file(folder.join("storage.sqlite-wal")).unwrap();
        worlds::flush(&mut storage, &mut world).unwrap_err();
        assert_eq!(storage.persisted(), None);
        trap.without(|| worlds::flush(&mut storage, &mut world)).unwrap();
        assert_eq!(storage.persisted(), Some(world.now()));
        trap.without(|| storage.close(&world.head())).unwrap();
        drop(storage);
        let (mut found, _) = Storage::open(&folder.database(), WALL).unwrap();
        assert_eq!(worlds::load(&mut found).unwrap().digest(), world.digest(), "{kind}");
    }
}

#[test]
fn a_log_whose_flushes_fail_does_not_stay_beside_another_database() {
    let (_trap, folder, _world, mut storage) = failing("write", ffi::SQLITE_FULL);
    let log = folder.join("storage.sqlite-wal");
    storage.withdraw();
    assert!(log.exists(), "the database is still ours");
    fs::write(folder.join("another"), "another").unwrap();
    fs::rename(folder.join("another"), folder.database()).unwrap();
    storage.look().unwrap_err();
    storage.withdraw();
    assert!(!log.exists());
    drop(storage);
    assert_eq!(fs::read(folder.database()).unwrap(), b"another");
}

#[test]
fn a_log_whose_flushes_fail_is_not_moved_into_the_database_by_an_end() {
    let (trap, folder, _world, storage) = failing("sync", ffi::SQLITE_IOERR_FSYNC);
    let files = || ["storage.sqlite", "storage.sqlite-wal"].map(|name| fs::read(folder.join(name)).unwrap());
    let before = files();
    trap.without(|| drop(storage));
    assert!(files() == before);
}
