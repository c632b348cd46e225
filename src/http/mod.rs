//! HTTP/1.1 on one port, read-only by construction: answers are made from a `Snapshot`, which cannot change anything.
//!
//! `request.rs` turns bytes into requests, `answer.rs` turns requests and a snapshot into bytes, `server.rs` keeps the
//! connections. `map.rs` and `page.rs` are what is drawn for people.

pub mod answer;
pub mod map;
pub mod page;
pub mod request;
pub mod server;

use std::cell::{LazyCell, OnceCell};
use std::time::Duration;

use self::map::Map;
use crate::clock::{Monotonic, Wall};
use crate::metrics::Metrics;
use crate::net;
use crate::session::People;
use crate::sys::Usage;
use crate::world::World;
pub use crate::writer::StorageView;

/// Everything that an answer can tell, as of one moment.
pub struct Snapshot<'a> {
    /// The wall clock.
    pub wall: Wall,
    /// The monotonic clock.
    pub now: Monotonic,
    /// When the process started.
    pub started: Wall,
    /// For how long it has run.
    pub uptime: Duration,
    /// The world, once it is loaded.
    pub world: Option<&'a World>,
    /// Its storage.
    pub storage: StorageView<'a>,
    /// People.
    pub people: PeopleView<'a>,
    /// The pace of the world.
    pub tick_interval: Duration,
    /// What has been counted.
    pub metrics: &'a Metrics,
    /// Log lines that could not be written.
    pub log_lines_dropped: u64,
    /// The map.
    pub map: &'a Map,
    /// What the process uses. This and the texts of `/status` and `/metrics` are made when they are first asked for: who
    /// asks in the same turn of the loop gets the same.
    pub usage: LazyCell<Usage>,
    /// The text of `/status`.
    pub status: OnceCell<String>,
    /// The text of `/metrics`.
    pub exposition: OnceCell<String>,
}

/// What is to be told of people.
#[derive(Default)]
pub struct PeopleView<'a> {
    /// Everybody; `None`: nobody can come.
    pub people: Option<&'a People>,
    /// What is counted for the ports beside this one, each with its name.
    pub ports: [(&'static str, net::Counters); 3],
    /// What is counted of the HTTP of browsers.
    pub web: Option<&'a answer::Counters>,
}
