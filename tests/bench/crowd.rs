//! What a request costs beside a crowd: the engine's time on the processor for each, while so many other connections are
//! open and silent, beside the same without them.

use std::net::TcpStream;

use aqevia_engine::limits::{DESCRIPTORS_WANTED, HTTP_CONNECTIONS_MAX};
use aqevia_engine::sys;

use crate::client::ask_for_health;
use crate::http::Place;
use crate::process::cpu_seconds;
use crate::progress;
use crate::support::{self, Engine, Folder, wait_for};
use crate::table::{Pairs, Side, thousands, time};

const ROUNDS: usize = 7;
const REQUESTS: usize = 10_000;
const CROWDS: [usize; 2] = [250, 1_000];
/// How many times what it is beside none.
const BUDGET: f64 = 1.2;

pub fn measure() {
    let descriptors = sys::raise_descriptors_max(DESCRIPTORS_WANTED).unwrap();
    if descriptors < 2 * HTTP_CONNECTIONS_MAX as u64 {
        return support::skip("the limit on descriptors is too low for a crowd");
    }
    let place = Place(Folder::new());
    for crowd in CROWDS {
        progress(&format!("crowd: {crowd} connections"));
        let pairs = Pairs::alternate(ROUNDS, |side| {
            let engine = place.start(&[]);
            let others: Vec<TcpStream> =
                (0..if side == Side::Engine { crowd } else { 0 }).map(|_| engine.connect()).collect();
            let cost = cost_of_a_request(&engine, others.len());
            drop(others);
            engine.stop();
            cost
        });
        let what = format!("CPU a request beside {} idle connections", thousands(crowd as u64));
        let budget = (crowd == 1_000).then_some(("1.2 x", pairs.ratio() <= BUDGET));
        pairs.row(&what, "the same beside none", time, budget);
    }
}

/// Seconds of the processor for each of many requests, one after the other on one connection that stays open.
fn cost_of_a_request(engine: &Engine, others: usize) -> f64 {
    wait_for("all to be accepted", || (engine.metric("aqevia_http_connections") >= others as f64).then_some(()));
    let mut stream = engine.connect();
    stream.set_nodelay(true).unwrap();
    let mut ask = |times| (0..times).for_each(|_| ask_for_health(&mut stream));
    ask(REQUESTS / 10);
    let before = cpu_seconds(engine.child.id());
    ask(REQUESTS);
    (cpu_seconds(engine.child.id()) - before) / REQUESTS as f64
}
