//! The real writer at pipes in memory, one promise at a time: what it stores, what it drops, when it ends.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::limits::{FRAME_BYTES_MAX, LOCK_WAIT_MS_MAX, STATES_MAX};
use aqevia_engine::metrics::Metrics;
use aqevia_engine::schedule::{Flusher, Trigger};
use aqevia_engine::storage::{self, Stamp, Storage};
use aqevia_engine::world::{Gathering, Record, Tick, World, unheard};
use aqevia_engine::writer::ledger::Ledger;
use aqevia_engine::writer::serve::Wanted;
use aqevia_engine::writer::wire::{Frames, Said, Task, ToEngine, ToWriter, frame_length, understand};

use crate::folder::{Folder, WALL};
use crate::parties::{self, Around, BUILD, End, Party};
use crate::worlds;

/// Nothing goes on around it but time.
#[derive(Default)]
struct Quiet(RefCell<Vec<ToEngine>>);

impl Around for Quiet {
    fn pass(&self, input: &End, pause: Duration) {
        parties::set_now(parties::now().after(pause));
        input.borrow_mut().arrive(usize::MAX);
    }

    fn say(&self, said: &ToEngine) -> bool {
        self.0.borrow_mut().push(said.clone());
        true
    }
}

/// A writer and what it has said.
struct Stand {
    party: Party,
    around: Rc<Quiet>,
}

impl Stand {
    fn new() -> Stand {
        let around = Rc::new(Quiet::default());
        Stand { party: Party::new(around.clone()), around }
    }

    fn tell(&mut self, put: impl FnOnce(&mut Frames)) {
        let mut frames = Frames::default();
        put(&mut frames);
        self.tell_bytes(&frames.bytes);
    }

    fn tell_bytes(&mut self, bytes: &[u8]) {
        let mut pipe = self.party.to.borrow_mut();
        pipe.send(bytes);
        pipe.arrive(usize::MAX);
    }

    /// Lets it do what it has heard, and says what it has said of that; `None` behind that if it has ended.
    fn hear(&mut self) -> Vec<Option<ToEngine>> {
        let mut ends = false;
        while self.party.to.borrow().unread() > 0 && !ends {
            ends = !self.party.step();
        }
        let said = self.around.0.take().into_iter().map(Some);
        said.chain(ends.then_some(None)).collect()
    }

    /// What has come out of it: the records of a world.
    fn gather(&self) -> World {
        let mut from = self.party.from.borrow_mut();
        from.arrive(usize::MAX);
        let (bytes, mut gathering) = (from.take(usize::MAX), Gathering::default());
        let mut rest = &bytes[..];
        while let Some(length) = frame_length(rest) {
            let said: Said<ToEngine> = understand(&rest[..length], &mut |record| gathering.take(record)).unwrap();
            assert!(matches!(said, Said::Records | Said::Message(_)));
            rest = &rest[length..];
        }
        gathering.finish().unwrap()
    }

    fn start(&mut self, database: PathBuf) -> Vec<Option<ToEngine>> {
        self.begin(database, Task::Load { wanted: Wanted::default() })
    }

    fn resume(&mut self, database: PathBuf, states: Vec<Stamp>) -> Vec<Option<ToEngine>> {
        let [world, source] = ["restless", "test"].map(str::to_owned);
        self.begin(database, Task::Resume { world, source, states })
    }

    fn begin(&mut self, database: PathBuf, task: Task) -> Vec<Option<ToEngine>> {
        let build = BUILD.to_owned();
        self.tell(|frames| frames.message(&ToWriter::Begin { build, started: WALL, database, task }));
        self.hear()
    }
}

/// A world that is founded in a folder.
fn founded() -> (Folder, World) {
    let (folder, world) = (Folder::new(), worlds::world(&worlds::restless(4, 8), 1));
    let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
    storage.found(&world, "test", WALL).unwrap();
    (folder, world)
}

/// A writer that has what it needs to store a world that is founded.
fn attached() -> (Folder, World, Stand) {
    let ((folder, world), mut stand) = (founded(), Stand::new());
    assert!(matches!(stand.start(folder.database())[..], [Some(ToEngine::Loaded { .. })]));
    assert_eq!(stand.gather().digest(), world.digest());
    stand.tell(|frames| frames.message(&ToWriter::Accept {}));
    assert!(matches!(stand.hear()[..], [Some(ToEngine::Attached { error: None, .. })]));
    (folder, world, stand)
}

fn ledger(world: &World) -> Ledger {
    let flusher = Flusher::new(Duration::from_secs(1), 10, Monotonic::default());
    Ledger::new(flusher, Stamp::from(&world.head()))
}

/// Lets some time pass, and cuts.
fn cut(world: &mut World, ledger: &mut Ledger) -> Vec<u8> {
    (0..100).for_each(|_| world.tick(&mut unheard));
    let mut frames = Frames::default();
    ledger.cut(world, Trigger::Interval, parties::now(), WALL, &mut frames);
    frames.bytes
}

fn stored(folder: &Folder) -> Tick {
    storage::head_at(&folder.database()).unwrap().tick
}

#[test]
fn a_cut_that_does_not_come_to_its_end_is_dropped_and_the_writer_goes() {
    let (folder, mut world, mut stand) = attached();
    let before = stored(&folder);
    let mut ledger = ledger(&world);
    worlds::stir(&mut world);
    let frames = cut(&mut world, &mut ledger);
    // At every end of a frame and at many places within: what is missing at least is the word that this is all.
    let (mut ends, mut at) = (vec![1, 4, 5, frames.len() - 1], 0);
    while let Some(length) = frame_length(&frames[at..]) {
        ends.extend([at + length / 2, at]);
        at += length;
    }
    ends.extend((0..frames.len()).step_by(frames.len() / 20));
    for end in ends {
        stand.tell_bytes(&frames[..end]);
        stand.party.to.borrow_mut().close(usize::MAX);
        assert!((0..3).any(|_| !stand.party.step()), "cut at {end}, it goes on");
        assert_eq!(stand.around.0.take(), [], "cut at {end}");
        drop(stand);
        assert_eq!(stored(&folder), before, "cut at {end}");
        stand = Stand::new();
        let states = vec![Stamp { tick: before, ..Stamp::from(&founded().1.head()) }];
        assert!(matches!(stand.resume(folder.database(), states)[..], [Some(ToEngine::Attached { .. })]), "{end}");
    }
    stand.tell_bytes(&frames);
    assert!(matches!(stand.hear()[..], [Some(ToEngine::Flushed { cut: 1, .. })]));
    assert_eq!(stored(&folder), world.now());
}

#[test]
fn a_world_that_does_not_come_to_its_end_takes_no_place() {
    let (folder, world, mut stand) = attached();
    fs::File::options().write(true).open(folder.database()).unwrap().set_len(0).unwrap();
    stand.tell(|frames| {
        frames.message(&ToWriter::Replace { cut: 1, head: world.head(), wall: WALL });
        let mut count = 0;
        world.records(|record| {
            count += 1;
            assert!(count > 10 || frames.record(&record));
        });
    });
    stand.party.to.borrow_mut().close(usize::MAX);
    assert!((0..3).any(|_| !stand.party.step()));
    assert_eq!(stand.around.0.take(), []);
    assert_eq!(fs::metadata(folder.database()).unwrap().len(), 0);
    let mut names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_str().unwrap().contains("partial")));
}

#[test]
fn a_writer_goes_on_from_a_state_that_may_be_stored_and_from_no_other() {
    let (folder, mut world, mut stand) = attached();
    let mut ledger = ledger(&world);
    let frames = cut(&mut world, &mut ledger);
    stand.tell_bytes(&frames);
    assert!(matches!(stand.hear()[..], [Some(ToEngine::Flushed { .. })]));
    // It is killed before that is heard.
    drop(stand);
    let [acknowledged, tried] = [0, 1].map(|at| ledger.states[at].clone());
    let [later, other] = [
        Stamp { tick: Tick(tried.tick.0 + 1), ..tried.clone() },
        Stamp { digest: Some("0123456789abcdef".to_owned()), ..tried.clone() },
    ];
    let is_refused = |said: &[Option<ToEngine>]| {
        matches!(said, [Some(ToEngine::Refused { exit }), None]
            if exit.problems[0].contains("which this engine did not put there"))
    };
    for states in
        [vec![], vec![acknowledged.clone()], vec![acknowledged.clone(), later], vec![acknowledged.clone(), other]]
    {
        let said = Stand::new().resume(folder.database(), states.clone());
        assert!(is_refused(&said), "{states:?}: {said:?}");
    }
    // Another flush has been tried since.
    let last = Stamp { tick: Tick(tried.tick.0 + 9), digest: None };
    let said = Stand::new().resume(folder.database(), vec![acknowledged, tried.clone(), last]);
    assert!(
        matches!(&said[..], [Some(ToEngine::Attached { view, error: None, .. })] if view.persisted == Some(tried.tick)),
        "{said:?}"
    );
}

#[test]
fn a_writer_waits_for_the_one_before_and_gives_up_when_that_does_not_go() {
    let (folder, _, before) = attached();
    let begun = parties::now();
    let mut after = Stand::new();
    let said = after.start(folder.database());
    let waited = parties::now().since(begun).as_millis() as u64;
    assert!(matches!(&said[..], [Some(ToEngine::Refused { exit }), None] if exit.code == 3), "{said:?}");
    assert!((LOCK_WAIT_MS_MAX..LOCK_WAIT_MS_MAX + 100).contains(&waited), "{waited} ms");
    drop(before);
    assert!(matches!(Stand::new().start(folder.database())[..], [Some(ToEngine::Loaded { .. })]));
}

#[test]
fn what_makes_no_sense_ends_the_writer() {
    let (build, task) = ("another".to_owned(), Task::Load { wanted: Wanted::default() });
    let database = PathBuf::from("/nowhere/storage.sqlite");
    let mut of_another = Frames::default();
    of_another.message(&ToWriter::Begin { build, started: WALL, database, task });
    let mut records = Frames::default();
    records.record(&Record::End);
    let mut flush = Frames::default();
    flush.message(&ToWriter::Flush { cut: 1, wall: WALL });
    let too_long = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
    for nonsense in [&of_another.bytes, &records.bytes, &flush.bytes, &too_long[..], &[1, 0, 0, 0, 99], &[0; 4]] {
        let mut stand = Stand::new();
        stand.tell_bytes(nonsense);
        assert_eq!(stand.hear(), [None], "{nonsense:?}");
    }
    // The longest that there may be is waited for.
    let mut stand = Stand::new();
    stand.tell_bytes(&(FRAME_BYTES_MAX as u32).to_le_bytes());
    assert_eq!(stand.hear(), []);
}

#[test]
fn only_the_writers_word_is_an_acknowledgement() {
    let (_folder, mut world, mut stand) = attached();
    let (mut ledger, mut metrics) = (ledger(&world), Metrics::default());
    let before = ledger.states[0].tick;
    ledger.view.persisted = Some(before);
    let frames = cut(&mut world, &mut ledger);
    let pending = world.pending();
    assert!(pending > 1 && ledger.out_since().is_some());
    assert_eq!((ledger.view.persisted, ledger.last_flush, metrics.records_flushed), (Some(before), None, 0));
    stand.tell_bytes(&frames);
    let said = stand.hear();
    assert_eq!((world.pending(), ledger.view.persisted), (pending, Some(before)));
    // Of another cut, it is none of this one.
    let Some(Some(ToEngine::Flushed { cut, view, records, commit })) = said.into_iter().next() else {
        panic!("it is stored")
    };
    let stale = ToEngine::Flushed { cut: cut + 1, view: view.clone(), records, commit };
    ledger.hear(stale, &mut world, parties::now(), &mut metrics);
    assert_eq!(ledger.news, []);
    assert_eq!((world.pending(), ledger.out_since().is_some()), (pending, true));
    ledger.hear(ToEngine::Flushed { cut, view, records, commit }, &mut world, parties::now(), &mut metrics);
    assert_eq!((world.pending(), ledger.view.persisted), (0, Some(world.now())));
    assert_eq!((records as usize, metrics.records_flushed as usize), (pending, pending));
}

#[test]
fn the_last_flush_is_told_and_since_when_there_is_trouble_whatever_trouble_that_is() {
    let (_folder, mut world, mut stand) = attached();
    let (mut ledger, mut metrics) = (ledger(&world), Metrics::default());
    let at = |milliseconds| Monotonic(Duration::from_millis(milliseconds));
    let unready = |ledger: &Ledger, world: &World, now| {
        let status = ledger.status(world, at(now));
        status.trouble.map(|_| status.unready.as_millis())
    };
    parties::set_now(at(1_000));
    let frames = cut(&mut world, &mut ledger);
    assert_eq!((unready(&ledger, &world, 10_999), unready(&ledger, &world, 12_000)), (None, Some(1_000)));
    // It is late, then it fails, then another one does: one trouble.
    ledger.fail("no room".to_owned(), &mut world, at(13_000), &mut metrics);
    assert_eq!(unready(&ledger, &world, 13_000), Some(2_000));
    cut(&mut world, &mut ledger);
    ledger.fail("no folder".to_owned(), &mut world, at(14_000), &mut metrics);
    assert_eq!(unready(&ledger, &world, 14_500), Some(3_500));
    assert_eq!(ledger.last_flush, None);
    drop(frames);
    parties::set_now(at(15_000));
    let frames = cut(&mut world, &mut ledger);
    let pending = world.pending() as u64;
    stand.tell_bytes(&frames);
    parties::set_now(at(15_250));
    stand.hear().into_iter().flatten().for_each(|said| ledger.hear(said, &mut world, at(15_250), &mut metrics));
    assert_eq!(unready(&ledger, &world, 15_250), None);
    let flush = ledger.last_flush.unwrap();
    assert_eq!((flush.at, flush.records, flush.took), (WALL, pending, Duration::from_millis(250)));
    // The next trouble is another one.
    ledger.fail("no room".to_owned(), &mut world, at(16_000), &mut metrics);
    assert_eq!(unready(&ledger, &world, 16_100), Some(100));
}

#[test]
fn what_a_dead_writer_had_is_in_the_next_cut_with_the_digests_of_the_one_before() {
    let (folder, mut world, stand) = attached();
    let (mut ledger, mut metrics) = (ledger(&world), Metrics::default());
    worlds::stir(&mut world);
    let lost = cut(&mut world, &mut ledger);
    (0..100).for_each(|_| world.tick(&mut unheard));
    drop(stand);
    ledger.fail("killed".to_owned(), &mut world, parties::now(), &mut metrics);
    let frames = cut(&mut world, &mut ledger);
    assert!(frames.len() >= lost.len());
    let mut stand = Stand::new();
    assert!(matches!(stand.resume(folder.database(), ledger.states.clone())[..], [Some(ToEngine::Attached { .. })]));
    stand.tell_bytes(&frames);
    assert!(matches!(stand.hear()[..], [Some(ToEngine::Flushed { cut: 2, .. })]));
    let loaded = storage::examine(&folder.database()).unwrap().0;
    assert_eq!((loaded.now(), loaded.digest()), (world.now(), world.digest()));
}

#[test]
fn the_states_that_are_remembered_are_bounded_and_the_first_and_the_last_are_among_them() {
    let mut world = worlds::world(&worlds::restless(2, 1), 1);
    let (mut ledger, mut metrics) = (ledger(&world), Metrics::default());
    let first = Stamp::from(&world.head());
    for _ in 0..STATES_MAX + 5 {
        cut(&mut world, &mut ledger);
        ledger.fail("no room".to_owned(), &mut world, parties::now(), &mut metrics);
    }
    let last = Stamp::from(&world.head());
    assert_eq!(ledger.states.len(), STATES_MAX);
    assert_eq!((ledger.states.first(), ledger.states.last()), (Some(&first), Some(&last)));
}

#[test]
fn a_stop_that_has_lost_its_writer_after_the_last_flush_flushes_once_more_by_another() {
    let (_folder, mut world, mut stand) = attached();
    let (mut ledger, mut metrics) = (ledger(&world), Metrics::default());
    ledger.hurry(parties::now());
    let frames = cut(&mut world, &mut ledger);
    stand.tell_bytes(&frames);
    stand.hear().into_iter().flatten().for_each(|said| ledger.hear(said, &mut world, parties::now(), &mut metrics));
    assert!(ledger.is_saved(&world));
    // Who has connected is still being answered, and whoever is to close the database is killed.
    ledger.lose(Some("killed".to_owned()), &mut world, parties::now(), &mut metrics);
    assert!(!ledger.is_saved(&world) && world.pending() == 0);
    let again = ledger.next(&world, false).unwrap();
    let attached = ToEngine::Attached { view: ledger.view.clone(), error: None, rescue: None };
    ledger.hear(attached, &mut world, again, &mut metrics);
    assert_eq!(ledger.due(&world, again, &mut metrics), Some(Trigger::Shutdown));
    let mut frames = Frames::default();
    ledger.cut(&mut world, Trigger::Shutdown, again, WALL, &mut frames);
    stand.tell_bytes(&frames.bytes);
    stand.hear().into_iter().flatten().for_each(|said| ledger.hear(said, &mut world, again, &mut metrics));
    assert!(ledger.is_saved(&world));
}
