//! How long the loop is held up while each sync of the disk takes three seconds: the longest time that an answer took of
//! which one is asked for each millisecond, beside the same on a disk that is well. The world is busy and flushed at every
//! tick.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::ask_for_health;
use crate::http::Place;
use crate::preload::Preload;
use crate::progress;
use crate::support::Engine;
use crate::table::{Pairs, Side, digits, row, time};

const ROUNDS: usize = 5;
const SYNCS: u32 = 2;
const SYNC: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(1);
/// Seconds.
const BUDGET: f64 = 0.020;

pub fn measure() {
    let Some(preload) = Preload::new() else { return };
    let place = Place::with_busy_world();
    let (mut skipped, mut longest) = (0.0, 0.0_f64);
    let pairs = Pairs::alternate(ROUNDS, |side| {
        progress(if side == Side::Engine { "disk: syncs of 3 s" } else { "disk: as it is" });
        let engine = Place::spawn(preload.load_into(&mut place.command()));
        let seconds = if side == Side::Engine { beside_slow_syncs(&engine, &preload) } else { beside_any(&engine) };
        if side == Side::Engine {
            skipped += engine.metric("aqevia_ticks_skipped_total");
            longest = longest.max(seconds);
        }
        engine.stop();
        seconds
    });
    let show = format!("{}, longest {}, {skipped} ticks left out", time(pairs.engine()), time(longest));
    let yardstick = format!("the same with quick ones: {}", time(pairs.yardstick()));
    let budget = ("20 ms, none left out", longest <= BUDGET && skipped == 0.0);
    row("longest pause of the loop beside syncs of 3 s", &show, &yardstick, &digits(pairs.ratio()), Some(budget));
}

fn beside_slow_syncs(engine: &Engine, preload: &Preload) -> f64 {
    let mut stream = engine.connect();
    let (mut longest, begun) = (0.0, Instant::now());
    for _ in 0..SYNCS {
        preload.order("hold", "");
        ask_until(&mut stream, &mut longest, || preload.given("syncing"));
        let held = Instant::now();
        ask_until(&mut stream, &mut longest, || held.elapsed() >= SYNC);
        preload.withdraw("hold");
        ask_until(&mut stream, &mut longest, || !preload.given("syncing"));
    }
    assert!(begun.elapsed() >= SYNC * SYNCS);
    longest
}

fn beside_any(engine: &Engine) -> f64 {
    let (mut longest, begun) = (0.0, Instant::now());
    ask_until(&mut engine.connect(), &mut longest, || begun.elapsed() >= SYNC * SYNCS);
    longest
}

/// Asks until something is so, and keeps the seconds of the longest answer.
fn ask_until(stream: &mut TcpStream, longest: &mut f64, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        let begun = Instant::now();
        ask_for_health(stream);
        *longest = longest.max(begun.elapsed().as_secs_f64());
        thread::sleep(PAUSE);
    }
}
