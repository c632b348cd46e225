//! World files: whatever text comes, it is read without a panic and with no more memory than is promised, and a world that
//! comes of it is sound, lives, and can be written as a world file and read back, at its founding and after an hour.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use aqevia_engine::limits::{PROBLEMS_LISTED_MAX, WORLD_FILE_BYTES_MAX};
use aqevia_engine::storage::export::{export, export_within};
use aqevia_engine::storage::worldfile;
use aqevia_engine::world::{World, unheard};
use libfuzzer_sys::{Corpus, fuzz_target};

const SEED: u64 = 1;
/// A world hour, so that the weather turns.
const TICKS: u64 = 600;

/// Counts what Rust has allocated, now and at most. SQLite's share is three times the text, whatever is in it.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads a text within the memory that its size allows, SQLite's share aside. What a few entities take is free.
fn read(text: &str) -> Result<World, Vec<String>> {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let read = worldfile::read(text, SEED);
    let taken = PEAK.load(Ordering::Relaxed) - before;
    assert!(taken <= 32 * text.len() + 512 * 1024, "{taken} bytes for a text of {}", text.len());
    read
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    // What `engine::read_world_file` lets through.
    let text = std::str::from_utf8(bytes).ok();
    let Some(text) = text.filter(|text| text.len() as u64 <= WORLD_FILE_BYTES_MAX && !text.contains('\0')) else {
        return Corpus::Reject;
    };
    match (read(text), read(text)) {
        (Ok(world), Ok(twin)) => live(world, twin),
        (Err(problems), Err(again)) => {
            assert!((1..=PROBLEMS_LISTED_MAX + 1).contains(&problems.len()));
            assert_eq!(problems, again);
        }
        _ => panic!("the same text is good and bad"),
    }
    Corpus::Keep
});

fn live(mut world: World, mut twin: World) {
    check(&world);
    for _ in 0..TICKS {
        world.tick(&mut unheard);
        twin.tick(&mut unheard);
        assert_eq!(world.digest(), twin.digest());
    }
    assert_eq!(world.digest(), twin.digest());
    check(&world);
}

fn check(world: &World) {
    assert_eq!(world.violations(), [""; 0]);
    let text = export(world);
    for text in [&text, &export_within(world, 0)] {
        let again = read(text).unwrap_or_else(|problems| panic!("{}\nin {text}", problems.join("\n")));
        assert_eq!(export(&again), export(world));
        assert_eq!(again.counts(), world.counts());
    }
}
