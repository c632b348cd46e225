//! Counters and histograms, and the Prometheus text format (version 0.0.4) they are shown in.
//!
//! One thread writes and reads them, so they are plain numbers. What can be read off other parts when it is asked
//! for (gauges such as pending records) is not kept here.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::limits::LATENESS_SECONDS;
use crate::schedule::Trigger;
use crate::text::keys;

/// Everything the engine counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Ticks the world made in this process.
    pub ticks: u64,
    /// Ticks left out because the loop was late.
    pub ticks_skipped: u64,
    /// How long ticks took.
    pub tick_duration: Histogram,
    /// How late ticks began.
    pub tick_lateness: Histogram,
    /// The same, second by second.
    pub lately: Lately,
    /// Flushes by trigger and outcome, in the order of those.
    pub flushes: [[u64; Outcome::ALL.len()]; Trigger::ALL.len()],
    /// How long flushes took from their cut to their acknowledgement or failure.
    pub flush_duration: Histogram,
    /// How long the commits of flushes took.
    pub commit_duration: Histogram,
    /// Flushes that were due while the one before was not acknowledged.
    pub flushes_waited: u64,
    /// Writers started because the one before had ended.
    pub writer_restarts: u64,
    /// Records that flushes wrote.
    pub records_flushed: u64,
    /// Checkpoints that failed.
    pub checkpoint_failures: u64,
    /// Checkpoints that readers kept from emptying the log.
    pub checkpoints_held_up: u64,
    /// How long checkpoints took.
    pub checkpoint_duration: Histogram,
    /// Turns of the loop.
    pub wakeups: u64,
}

keys! {
    /// How something ended.
    Outcome {
        /// As it should.
        Success = "success",
        /// With an error.
        Failure = "failure",
    }
}

/// Durations in buckets from 10 microseconds to 10 seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last one has no bound.
    buckets: [u64; BOUNDS_MICROSECONDS.len() + 1],
    sum: Duration,
}

/// Upper bounds of the buckets.
const BOUNDS_MICROSECONDS: [u32; 13] =
    [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

impl Histogram {
    /// Takes one duration.
    pub fn observe(&mut self, duration: Duration) {
        let microseconds = duration.as_nanos().div_ceil(1_000);
        self.buckets[BOUNDS_MICROSECONDS.partition_point(|bound| u128::from(*bound) < microseconds)] += 1;
        self.sum = self.sum.saturating_add(duration);
    }
}

/// The longest lateness of each of the last seconds in which there was a tick.
#[derive(Debug)]
pub struct Lately([Option<(u64, Duration)>; LATENESS_SECONDS]);

impl Default for Lately {
    fn default() -> Lately {
        Lately([None; LATENESS_SECONDS])
    }
}

impl Lately {
    /// Takes the lateness of a tick that is made now.
    pub fn observe(&mut self, now: Monotonic, lateness: Duration) {
        let second = now.0.as_secs();
        let place = &mut self.0[second as usize % LATENESS_SECONDS];
        let before = place.filter(|(of, _)| *of == second).map_or(Duration::ZERO, |(_, before)| before);
        *place = Some((second, before.max(lateness)));
    }

    /// The seconds until now, this one last; `None`: without a tick, or before the first.
    pub fn until(&self, now: Monotonic) -> impl Iterator<Item = Option<Duration>> {
        let now = now.0.as_secs();
        (0..LATENESS_SECONDS as u64).rev().map(move |ago| {
            let second = now.checked_sub(ago)?;
            let place = self.0[second as usize % LATENESS_SECONDS].filter(|(of, _)| *of == second);
            place.map(|(_, lateness)| lateness)
        })
    }
}

/// Labels by name, and the value that has them.
pub type Labelled<const N: usize> = ([(&'static str, &'static str); N], u64);

/// Metrics in the text format, each family with its help and type.
#[derive(Default)]
pub struct Exposition(pub String);

impl Exposition {
    /// A family of one counter without labels. By convention its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, "counter");
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A family of counters, each with its labels.
    pub fn counters<const N: usize>(&mut self, name: &str, help: &str, values: impl Iterator<Item = Labelled<N>>) {
        self.family(name, help, "counter");
        self.labelled(name, values);
    }

    /// A gauge without labels; one that is not known is left out.
    pub fn gauge(&mut self, name: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(name, help, "gauge");
            let _ = writeln!(self.0, "{name} {value}");
        }
    }

    /// A family of gauges, each with its labels.
    pub fn gauges<const N: usize>(&mut self, name: &str, help: &str, values: impl Iterator<Item = Labelled<N>>) {
        self.family(name, help, "gauge");
        self.labelled(name, values);
    }

    /// A histogram of seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, help, "histogram");
        let bounds = BOUNDS_MICROSECONDS.iter().map(|bound| (f64::from(*bound) / 1e6).to_string());
        let mut count = 0;
        for (bound, within) in bounds.chain(["+Inf".to_owned()]).zip(histogram.buckets) {
            count += within;
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(self.0, "{name}_sum {}\n{name}_count {count}", histogram.sum.as_secs_f64());
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn labelled<const N: usize>(&mut self, name: &str, values: impl Iterator<Item = Labelled<N>>) {
        for (pairs, value) in values {
            let _ = writeln!(self.0, "{name}{{{}}} {value}", labels(&pairs));
        }
    }
}

/// Writes labels: names with values, the values escaped.
fn labels(pairs: &[(&str, &str)]) -> String {
    let label = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    pairs.iter().map(label).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_duration_in_every_bucket_above_it() {
        let mut histogram = Histogram::default();
        for micros in [0, 10, 11, 1_000, 20_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        histogram.observe(Duration::from_nanos(10_001));
        let mut text = Exposition::default();
        text.histogram("x_seconds", "X.", &histogram);
        let text = text.0;
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{le=\"0.00001\"} 2",
            "x_seconds_bucket{le=\"0.00003\"} 4",
            "x_seconds_bucket{le=\"0.001\"} 5",
            "x_seconds_bucket{le=\"10\"} 5",
            "x_seconds_bucket{le=\"+Inf\"} 6",
            "x_seconds_count 6",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        let bounds = text.split("le=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let shown =
            ["0.00001", "0.00003", "0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3"];
        assert!(bounds.eq(shown.into_iter().chain(["10", "+Inf"])), "{text}");
    }

    #[test]
    fn each_second_of_the_last_five_minutes_has_its_longest_lateness() {
        let mut lately = Lately::default();
        let at = |milliseconds| Monotonic(Duration::from_millis(milliseconds));
        for (now, lateness) in [(100, 1), (900, 7), (999, 3), (3_000, 0), (299_999, 9), (300_000, 2)] {
            lately.observe(at(now), Duration::from_millis(lateness));
        }
        let shown = |now| -> Vec<(usize, u128)> {
            let seconds: Vec<Option<Duration>> = lately.until(at(now)).collect();
            assert_eq!(seconds.len(), 300);
            let known = seconds.into_iter().rev().enumerate();
            known.filter_map(|(ago, lateness)| Some((ago, lateness?.as_millis()))).collect()
        };
        // The first second has made room for the last.
        assert_eq!(shown(299_500), [(0, 9), (296, 0)]);
        assert_eq!(shown(300_999), [(0, 2), (1, 9), (297, 0)]);
        assert_eq!(shown(303_000), [(3, 2), (4, 9)]);
        assert_eq!(shown(900_000), []);
        let mut young = Lately::default();
        young.observe(at(999), Duration::from_millis(7));
        young.observe(at(100), Duration::from_millis(1));
        assert_eq!(young.until(at(1_000)).flatten().collect::<Vec<_>>(), [Duration::from_millis(7)]);
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(labels(&[("a", "x\"y\\z\n"), ("b", "1")]), r#"a="x\"y\\z\n",b="1""#);
    }
}
