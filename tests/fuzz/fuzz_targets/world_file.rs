//! World files: whatever text comes, it is read without a panic, and a world that comes of it is sound, lives, and can
//! be written as a world file and read back, at its founding and after an hour.
#![no_main]

use aqevia_engine::limits::{PROBLEMS_LISTED_MAX, WORLD_FILE_BYTES_MAX};
use aqevia_engine::storage::export::export;
use aqevia_engine::storage::worldfile;
use aqevia_engine::world::World;
use libfuzzer_sys::{Corpus, fuzz_target};

const SEED: u64 = 1;
/// A world hour, so that the weather turns.
const TICKS: u64 = 600;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    // What `engine::read_world_file` lets through.
    let text = std::str::from_utf8(bytes).ok();
    let Some(text) = text.filter(|text| text.len() as u64 <= WORLD_FILE_BYTES_MAX && !text.contains('\0')) else {
        return Corpus::Reject;
    };
    match (worldfile::read(text, SEED), worldfile::read(text, SEED)) {
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
        assert_eq!(world.tick(), twin.tick());
    }
    assert_eq!(world.digest(), twin.digest());
    check(&world);
}

fn check(world: &World) {
    assert_eq!(world.violations(), [""; 0]);
    let text = export(world);
    let again = worldfile::read(&text, SEED).unwrap_or_else(|problems| panic!("{}\nin {text}", problems.join("\n")));
    assert_eq!(export(&again), text);
    assert_eq!(again.counts(), world.counts());
}
