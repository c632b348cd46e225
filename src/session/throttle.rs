//! How often something may be tried: each key has its pace, and who is too fast waits. Nothing is computed before that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::limits::{THROTTLE_WAIT_MS_MAX, THROTTLED_MAX};

/// For each key, when the next attempt would come at the pace that is allowed.
#[derive(Default)]
pub struct Throttle(BTreeMap<String, Monotonic>);

impl Throttle {
    /// Notes an attempt, and returns how long it has to wait: one in each `pace`, after the first `free` ones. Nobody waits
    /// longer than `THROTTLE_WAIT_MS_MAX`: behind one address there may be many, and none is to be shut out.
    pub fn wait(&mut self, key: String, pace: Duration, free: u32, now: Monotonic) -> Duration {
        if self.0.len() >= THROTTLED_MAX {
            self.0.retain(|_, next| *next > now);
        }
        if self.0.len() >= THROTTLED_MAX {
            self.0.pop_first();
        }
        let next = self.0.entry(key).or_insert(now);
        *next = (*next).max(now).after(pace);
        let wait = next.since(now.after(pace * (free + 1)));
        let most = Duration::from_millis(THROTTLE_WAIT_MS_MAX);
        *next = (*next).min(now.after(pace * (free + 1) + most));
        wait.min(most)
    }
}
