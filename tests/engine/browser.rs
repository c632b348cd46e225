//! What a browser shows of the pages: each test is a scenario under `tests/browser`, played there with the real engine.

use std::process::Command;

use crate::support::skip;

/// What `run.mjs` ends with where it lacks something.
const MISSING: i32 = 77;

/// Plays a scenario to its end.
fn play(scenario: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/run.mjs");
    let mut node = Command::new("node");
    node.args([script, scenario]).env("AQEVIA_ENGINE", env!("CARGO_BIN_EXE_aqevia-engine"));
    let Ok(output) = node.output() else { return skip("node is not installed, so no browser opens a page") };
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => (),
        Some(MISSING) => skip(&format!("{}, so no browser opens a page", said.trim_end())),
        _ => panic!("{said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn somebody_who_knows_nothing_comes_in_by_the_page_meets_others_and_comes_back_whatever_happens() {
    play("play");
}

#[test]
fn the_operators_page_shows_an_engine_that_is_well_that_cannot_store_that_is_gone_and_that_is_back() {
    play("watch");
}
