//! The table: medians, how numbers are written, one row after the other.

/// What the engine and a yardstick took, one pair for each alternation.
#[derive(Default)]
pub struct Pairs(Vec<(f64, f64)>);

/// The one or the other of a pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Engine,
    Yardstick,
}

impl Pairs {
    /// Measures both sides so often and once more before, which does not count. Each is first in every second round.
    pub fn alternate(rounds: usize, mut measure: impl FnMut(Side) -> f64) -> Pairs {
        let mut pairs = Pairs::default();
        for round in 0..=rounds {
            let before = (round % 2 == 0).then(|| measure(Side::Yardstick));
            let engine = measure(Side::Engine);
            let yardstick = before.unwrap_or_else(|| measure(Side::Yardstick));
            if round > 0 {
                pairs.push(engine, yardstick);
            }
        }
        pairs
    }

    pub fn push(&mut self, engine: f64, yardstick: f64) {
        self.0.push((engine, yardstick));
    }

    pub fn engine(&self) -> f64 {
        median(self.0.iter().map(|(engine, _)| *engine))
    }

    pub fn yardstick(&self) -> f64 {
        median(self.0.iter().map(|(_, yardstick)| *yardstick))
    }

    pub fn ratio(&self) -> f64 {
        median(self.0.iter().map(|(engine, yardstick)| engine / yardstick))
    }

    /// A row of these numbers, which `show` writes. `budget` is how it is to be read, and whether it is met.
    pub fn row(&self, what: &str, yardstick: &str, show: fn(f64) -> String, budget: Option<(&str, bool)>) {
        let yardstick = format!("{yardstick}: {}", show(self.yardstick()));
        row(what, &show(self.engine()), &yardstick, &digits(self.ratio()), budget);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

pub fn head() {
    println!("| what | engine | yardstick | ratio | budget | met |\n| --- | --- | --- | --- | --- | --- |");
}

pub fn row(what: &str, engine: &str, yardstick: &str, ratio: &str, budget: Option<(&str, bool)>) {
    let (budget, is_met) = budget.unwrap_or(("", true));
    let met = if budget.is_empty() {
        ""
    } else if is_met {
        "yes"
    } else {
        "**no**"
    };
    println!("| {what} | {engine} | {yardstick} | {ratio} | {budget} | {met} |");
}

pub fn time(seconds: f64) -> String {
    let (factor, unit) = match seconds {
        ..1e-6 => (1e9, "ns"),
        ..1e-3 => (1e6, "µs"),
        ..1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", digits(seconds * factor))
}

pub fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", digits(bytes / 1_048_576.0))
}

/// A number with three digits that matter, but with all of those before the point.
pub fn digits(number: f64) -> String {
    let decimals = match number {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

/// A count with its thousands set apart: 1,000,000.
pub fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1_000), number % 1_000) }
}
