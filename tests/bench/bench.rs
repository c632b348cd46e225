//! Measures the engine beside yardsticks in the same run and prints one table in Markdown; progress goes to standard
//! error. `make bench` runs all of it, `make bench ONLY="flush tick"` some groups.
//!
//! Each row alternates the engine with a bare program that does the same work and nothing else, at least five times.
//! It shows the median of either and the median of the ratios, so that a change in the machine's pace cancels out. What
//! must be a process of its own is this same file, started with another first argument (`ROLES`).
#![deny(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

mod bare;
mod client;
mod crowd;
mod disk;
mod flush;
mod http;
mod lateness;
mod people;
#[path = "../engine/preload.rs"]
mod preload;
mod process;
mod start;
#[allow(dead_code)]
#[path = "../engine/support.rs"]
mod support;
mod table;
mod tick;
#[allow(dead_code)]
#[path = "../engine/visitor.rs"]
mod visitor;
mod worlds;

use std::process::{Command, exit};
use std::{env, fs, thread};

use aqevia_engine::writer::link;

/// What is measured, in this order.
const GROUPS: [(&str, fn()); 9] = [
    ("http", http::measure),
    ("flushed", http::measure_beside_flushes),
    ("crowd", crowd::measure),
    ("flush", flush::measure),
    ("tick", tick::measure),
    ("lateness", lateness::measure),
    ("disk", disk::measure),
    ("people", people::measure),
    ("start", start::measure),
];

type Role = fn(&[String]);

/// What this program is as a yardstick or as a load.
const ROLES: [(&str, Role); 5] = [
    ("bare", bare::run),
    ("client", client::run),
    ("players", people::run),
    ("reader", start::read),
    (link::COMMAND, flush::write),
];

const LEGEND: &str = "
The numbers are medians, and a ratio is the median of the ratios of all alternations. The yardsticks: *bare loop*, epoll(7)
in a process of its own that answers the same bytes without parsing; *nginx*, one worker that answers `return 200` with a
body of the same length; *bare rusqlite*, the same rows by prepared upserts in one transaction with the same pragmas;
*bare queue*, a binary heap of the same turns at the same ticks; *bare reader*, rusqlite that checks the same database
(`quick_check`) and reads all its entities.";

fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((_, run)) = ROLES.iter().find(|(role, _)| arguments.first().is_some_and(|first| first == role)) {
        return run(&arguments[1..]);
    }
    // `cargo test --all-targets` starts benchmarks too, without this.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return support::skip("benchmarks are run by `make bench`");
    }
    arguments.retain(|argument| argument != "--bench");
    if let Some(unknown) = arguments.iter().find(|name| GROUPS.iter().all(|(group, _)| group != name)) {
        eprintln!("there is no group {unknown:?}; there are {}", GROUPS.map(|(group, _)| group).join(", "));
        exit(2);
    }
    table::head();
    for (_, measure) in GROUPS.iter().filter(|(group, _)| arguments.is_empty() || arguments.iter().any(|n| n == group))
    {
        measure();
    }
    println!("{LEGEND}\n\n{}", machine());
}

/// Tells whoever waits for the table what is going on.
fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// What one must know of the machine to compare its numbers with another's.
fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let file_system = said("stat", &["--file-system", "--format", "%T", &env::temp_dir().to_string_lossy()]);
    format!(
        "{} cores ({}), Linux {}, {}, databases on {}, {}.",
        thread::available_parallelism().map_or(1, usize::from),
        model.unwrap_or("unknown model"),
        kernel.trim(),
        said("rustc", &["--version"]).unwrap_or_default(),
        file_system.unwrap_or_default(),
        http::nginx().and_then(|nginx| said(nginx, &["-v"])).unwrap_or_else(|| "no nginx".to_owned()),
    )
}
