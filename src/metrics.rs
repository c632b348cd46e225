//! Counters and histograms, and the Prometheus text format (version 0.0.4) they are shown in.
//!
//! One thread writes and reads them, so they are plain numbers. What can be read off other parts when it is asked
//! for (gauges such as pending records) is not kept here.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::schedule::Trigger;

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
    /// Flushes by trigger and outcome, in the order of those.
    pub flushes: [[u64; Outcome::ALL.len()]; Trigger::ALL.len()],
    /// How long flushes took, failed ones included.
    pub flush_duration: Histogram,
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

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Success,
    /// With an error.
    Failure,
}

impl Outcome {
    /// Both, with their names.
    pub const ALL: [(Outcome, &str); 2] = [(Outcome::Success, "success"), (Outcome::Failure, "failure")];
}

/// Declares what a family of counters is counted by: an enum with a label for each value. What counts it is an array in
/// the order of `ALL`, so no key can be misspelt or left out.
macro_rules! keys {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $key:ident = $label:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$of])* $key,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$key,)*];

            /// How metrics show it.
            pub const fn label(self) -> &'static str {
                match self { $($name::$key => $label,)* }
            }
        }
    };
}
pub(crate) use keys;

/// Durations in buckets from 10 microseconds to 10 seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

/// Upper bounds of the buckets, in microseconds, with the label that shows each in seconds.
const BOUNDS: [(u128, &str); 13] = [
    (10, "0.00001"),
    (30, "0.00003"),
    (100, "0.0001"),
    (300, "0.0003"),
    (1_000, "0.001"),
    (3_000, "0.003"),
    (10_000, "0.01"),
    (30_000, "0.03"),
    (100_000, "0.1"),
    (300_000, "0.3"),
    (1_000_000, "1"),
    (3_000_000, "3"),
    (10_000_000, "10"),
];

impl Histogram {
    /// Takes one duration.
    pub fn observe(&mut self, duration: Duration) {
        let micros = duration.as_nanos().div_ceil(1_000);
        if let Some(bucket) = BOUNDS.iter().position(|(bound, _)| micros <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
    }
}

/// Writes metrics in the text format, each family with its help and type.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// A family of one counter without labels. By convention its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, "counter");
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A family of counters, each with its labels.
    pub fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (String, u64)>) {
        self.family(name, help, "counter");
        self.labelled(name, values);
    }

    /// A gauge without labels; one that is not known is left out.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.family(name, help, "gauge");
            let _ = writeln!(self.0, "{name} {value}");
        }
    }

    /// A family of gauges, each with its labels.
    pub fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (String, u64)>) {
        self.family(name, help, "gauge");
        self.labelled(name, values);
    }

    /// A histogram of seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, help, "histogram");
        let mut below = 0;
        for ((_, bound), count) in BOUNDS.iter().zip(histogram.buckets) {
            below += count;
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {}", histogram.count);
        let _ = writeln!(self.0, "{name}_sum {}", histogram.sum.as_secs_f64());
        let _ = writeln!(self.0, "{name}_count {}", histogram.count);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn labelled(&mut self, name: &str, values: impl IntoIterator<Item = (String, u64)>) {
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
        }
    }
}

/// Writes labels: names with values, the values escaped.
pub fn labels(pairs: &[(&str, &dyn Display)]) -> String {
    let label = |(name, value): &(&str, &dyn Display)| {
        let value = value.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
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
        let text = text.finish();
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
        assert!(BOUNDS.iter().all(|(micros, label)| label.parse::<f64>().unwrap() * 1e6 == *micros as f64));
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(labels(&[("a", &"x\"y\\z\n"), ("b", &1)]), r#"a="x\"y\\z\n",b="1""#);
    }
}
