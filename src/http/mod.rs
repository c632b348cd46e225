//! HTTP/1.1 on one port, read-only by construction: answers are made from a `Snapshot`, which cannot change anything.
//!
//! `request.rs` turns bytes into requests, `answer.rs` turns requests and a snapshot into bytes, `server.rs` keeps the
//! connections.

pub mod answer;
pub mod request;
pub mod server;

use std::cell::OnceCell;
use std::time::Duration;

use crate::clock::Wall;
use crate::metrics::Metrics;
use crate::sys::Usage;
use crate::world::{Tick, World};
use crate::writer::State;
use crate::writer::wire::Rescued;

/// Everything that an answer can tell, as of one moment.
pub struct Snapshot<'a> {
    /// The wall clock.
    pub wall: Wall,
    /// When the process started.
    pub started: Wall,
    /// For how long it has run.
    pub uptime: Duration,
    /// The world, once it is loaded.
    pub world: Option<&'a World>,
    /// Its storage.
    pub storage: StorageView<'a>,
    /// The pace of the world.
    pub tick_interval: Duration,
    /// What has been counted.
    pub metrics: &'a Metrics,
    /// Log lines that could not be written.
    pub log_lines_dropped: u64,
    /// Learns what the process uses.
    pub usage: fn() -> Usage,
    /// The text of `/metrics`, made when it is first asked for: who asks in the same turn of the loop gets the same.
    pub exposition: OnceCell<String>,
}

/// What is to be told of the storage.
#[derive(Default)]
pub struct StorageView<'a> {
    /// Why the engine is not ready, if it is not.
    pub trouble: Option<String>,
    /// Records that are not acknowledged.
    pub pending: usize,
    /// After a crash the world comes back at this tick or later; `None` while that cannot be promised.
    pub persisted_tick: Option<Tick>,
    /// When a flush of this process last succeeded.
    pub last_flush_at: Option<Wall>,
    /// Why the last flush failed, if it did.
    pub last_error: Option<&'a str>,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// For how long readers have kept it from being emptied; `None`: they do not.
    pub held_up: Option<Duration>,
    /// What was rescued of this world, is later than what was loaded and was never put in place.
    pub rescue: Option<&'a Rescued>,
    /// What the writer does.
    pub writer: State,
    /// For how long an acknowledgement has been out, if one is.
    pub flushing: Option<Duration>,
    /// Bytes that the writer has not taken yet.
    pub unsent_bytes: usize,
}
