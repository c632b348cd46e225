//! Storage in a process of its own: the writer, which alone has the database, and the engine's side of it.
//!
//! The loop must never wait for a disk, so it hands what is to be stored to another process and hears back when that is
//! done. `wire.rs` is what the two say to each other, `serve.rs` the writer itself. On the engine's side `link.rs` is the
//! process and its pipe, and `ledger.rs` what is known of storage: what is sent, acknowledged or failed.

pub mod ledger;
pub mod link;
pub mod serve;
pub mod wire;

use crate::text::keys;

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
