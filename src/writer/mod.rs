//! Storage in a process of its own: the writer, which alone has the database, and the engine's side of it.
//!
//! The loop must never wait for a disk, so it hands what is to be stored to another process and hears back when that is
//! done. `wire.rs` is what the two say to each other, `serve.rs` the writer itself. On the engine's side `link.rs` is the
//! process and its pipe, and `ledger.rs` what is known of storage: what is sent, acknowledged or failed.

pub mod ledger;
pub mod link;
pub mod serve;
pub mod wire;

use std::time::Duration;

use crate::clock::Wall;
use crate::schedule::Trigger;
use crate::text::keys;
use crate::world::Tick;
use wire::Rescued;

keys! {
    /// What the writer does.
    #[derive(Default)]
    State {
        /// It reads a world, or founds one.
        #[default]
        Loading = "loading",
        /// It waits for a flush.
        Idle = "idle",
        /// It stores one.
        Flushing = "flushing",
        /// There is none, or one that makes sure that it can go on.
        Restarting = "restarting",
    }
}

/// A flush that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// When its cut was made.
    pub at: Wall,
    /// Why it was made.
    pub trigger: Trigger,
    /// The records that it wrote.
    pub records: u64,
    /// How long it took, from its cut to its acknowledgement.
    pub took: Duration,
    /// How long its commit took, the sync in it.
    pub commit: Duration,
}

/// What is to be told of the storage.
#[derive(Default)]
pub struct StorageView<'a> {
    /// Why the engine is not ready, if it is not.
    pub trouble: Option<String>,
    /// For how long.
    pub unready: Duration,
    /// Records that are not acknowledged.
    pub pending: usize,
    /// After a crash the world comes back at this tick or later; `None` while that cannot be promised.
    pub persisted_tick: Option<Tick>,
    /// The last flush of this process that succeeded.
    pub last_flush: Option<Flush>,
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
