//! How late ticks begin: the engine in four states beside the bare loop, which has neither a world nor a disk, idle or
//! under the same load; then while its page and its map are asked for without a pause. All count in the same buckets, so p50,
//! p99 and the maximum are bounds; the ratio is of means.

use std::thread;
use std::time::Duration;

use aqevia_engine::limits::MAP_ROOMS_MAX;

use crate::bare::{Bare, LATENESS};
use crate::client::{WARM_UP, load};
use crate::http::{Place, TICK_MS};
use crate::people;
use crate::process::{Core, pin};
use crate::progress;
use crate::support::{Engine, Folder};
use crate::table::{Pairs, digits, row, time};

/// Five alternations of six seconds are thirty seconds of each state.
const ROUNDS: usize = 5;
const WINDOW: Duration = Duration::from_secs(6);
/// How late half of the ticks may be at most while nothing else is going on.
const BUDGET_SECONDS: f64 = 100e-6;
/// With flushes, with HTTP load.
const STATES: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

pub fn measure() {
    let place = Place::with_busy_world();
    let answer = place.save_answer("/health");
    let mut engines = STATES.map(|_| (Lateness::default(), Pairs::default()));
    let mut bares = [Lateness::default(), Lateness::default()];
    for round in 1..=ROUNDS {
        progress(&format!("lateness, round {round} of {ROUNDS}"));
        let means = [false, true].map(|with_load| {
            let bare = Bare::start(&answer, TICK_MS);
            pass_window(&bare.address.to_string(), with_load);
            bares[usize::from(with_load)].add(&bare.helper.end(), LATENESS)
        });
        for ((flushes, with_load), (lateness, pairs)) in STATES.into_iter().zip(&mut engines) {
            let never = [("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "1000000")];
            let engine = place.start(if flushes { &[] } else { &never });
            pass_window(&engine.address.to_string(), with_load);
            let mean = lateness.add(&engine.get("/metrics").1, "aqevia_tick_lateness_seconds");
            engine.stop();
            pairs.push(mean, means[usize::from(with_load)]);
        }
    }
    for ((flushes, with_load), (lateness, pairs)) in STATES.into_iter().zip(&engines) {
        let with = |is: bool| if is { "with" } else { "without" };
        let what = format!("lateness of ticks, {} flushes, {} HTTP load", with(flushes), with(with_load));
        let yardstick = format!("bare loop: {}", bares[usize::from(with_load)].show());
        let budget = (!flushes && !with_load)
            .then(|| ("p50 100 µs", lateness.bound(0.5).is_some_and(|bound| bound <= BUDGET_SECONDS)));
        row(&what, &lateness.show(), &yardstick, &digits(pairs.ratio()), budget);
    }
    measure_beside_pages();
}

/// With as many rooms as a map has at most: it is made anew each second, and is half a megabyte long.
fn measure_beside_pages() {
    let folder = Folder::new();
    let world = folder.write("world.json5", people::world(MAP_ROOMS_MAX));
    for (path, rooms) in [("/", ""), ("/map", " of 2,000 rooms")] {
        progress(&format!("lateness beside {path}"));
        let engine = Engine::start_with(&folder, &[("AQEVIA_WORLD_PATH", world.to_str().unwrap())]);
        let address = engine.address.to_string();
        pin(engine.child.id(), Core::Server);
        let load = load(address.parse().unwrap(), path, 16, WINDOW);
        let (mut lateness, metrics) = (Lateness::default(), engine.get("/metrics").1);
        lateness.add(&metrics, "aqevia_tick_lateness_seconds");
        let skipped = engine.status_number("$.loop.ticks_skipped");
        engine.stop();
        let what = format!("lateness of ticks, `{path}`{rooms} asked for without a pause, connections: 16");
        let shown = format!("{}, {skipped} left out, {} answers/s", lateness.show(), digits(load.requests_per_second));
        row(&what, &shown, "", "", Some(("none left out", skipped == 0)));
    }
}

fn pass_window(address: &str, with_load: bool) {
    if with_load {
        load(address.parse().unwrap(), "/health", 64, WINDOW - WARM_UP);
    } else {
        thread::sleep(WINDOW);
    }
}

/// Histograms, added up.
#[derive(Default)]
struct Lateness {
    /// Each bound in seconds, and how many were at most so late.
    buckets: Vec<(f64, f64)>,
    count: f64,
    sum: f64,
}

impl Lateness {
    /// Adds a histogram as it is shown to Prometheus, which begins with its process; returns its mean.
    fn add(&mut self, text: &str, name: &str) -> f64 {
        let (mut place, mut count, mut sum) = (0, 0.0, 0.0);
        for (key, value) in text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' ')) {
            let Ok(value) = value.parse::<f64>() else { continue };
            match key.strip_prefix("_bucket{le=\"").and_then(|key| key.strip_suffix("\"}")?.parse().ok()) {
                Some(bound) if place == self.buckets.len() => self.buckets.push((bound, value)),
                Some(_) => self.buckets[place].1 += value,
                None if key == "_sum" => sum = value,
                None => count = value,
            }
            place += 1;
        }
        self.count += count;
        self.sum += sum;
        sum / count
    }

    /// What so large a share does not exceed, in seconds; `None`: more than any bound.
    fn bound(&self, share: f64) -> Option<f64> {
        self.buckets.iter().find(|(_, below)| *below >= share * self.count).map(|(bound, _)| *bound)
    }

    fn show(&self) -> String {
        let [p50, p99, max] = [0.5, 0.99, 1.0]
            .map(|share| self.bound(share).map_or_else(|| "> 10 s".to_owned(), |bound| format!("≤ {}", time(bound))));
        format!("p50 {p50}, p99 {p99}, max {max}, mean {}", time(self.sum / self.count))
    }
}
