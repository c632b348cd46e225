//! When the world ticks and when it is flushed: pure functions of monotonic time that the loop asks.

use std::time::Duration;

use crate::clock::Monotonic;
use crate::limits::{FLUSH_RETRY_MS_MAX, FLUSH_RETRY_MS_MIN, TICK_LATENESS_MS_MAX};
use crate::text::keys;

/// The pace of the world.
#[derive(Debug)]
pub struct Ticker {
    interval: Duration,
    /// When the next tick is due.
    pub next: Monotonic,
}

/// A tick that is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    /// How long after the time of the first tick that is due it happens.
    pub lateness: Duration,
    /// How many ticks are left out before it, because the loop stood still for too long.
    pub skipped: u64,
}

impl Ticker {
    /// The first tick is due one `interval` after `now`.
    pub fn new(interval: Duration, now: Monotonic) -> Ticker {
        Ticker { interval, next: now.after(interval) }
    }

    /// Takes the tick that is due at `now`, if one is. A loop that is late by up to a second catches up tick by tick;
    /// one that is later leaves out what it missed and keeps the beat.
    pub fn take(&mut self, now: Monotonic) -> Option<Due> {
        if now < self.next {
            return None;
        }
        let lateness = now.since(self.next);
        let interval = self.interval.as_nanos() as u64;
        let too_late = lateness > self.interval.max(Duration::from_millis(TICK_LATENESS_MS_MAX));
        let skipped = if too_late { lateness.as_nanos() as u64 / interval } else { 0 };
        self.next = self.next.after(Duration::from_nanos((skipped + 1) * interval));
        Some(Due { lateness, skipped })
    }
}

keys! {
    /// Why a flush is made.
    #[derive(Default)]
    Trigger {
        /// Something has been pending for the flush interval.
        #[default]
        Interval = "interval",
        /// So much is pending as the batch capacity says.
        Capacity = "capacity",
        /// An operator wants it.
        Operator = "operator",
        /// The engine stops.
        Shutdown = "shutdown",
    }
}

/// When to flush, and after a failure when to try again.
#[derive(Debug)]
pub struct Flusher {
    interval: Duration,
    capacity: usize,
    last: Monotonic,
    /// The pause in force and its end, while flushes fail.
    retry: Option<(Duration, Monotonic)>,
}

impl Flusher {
    /// The first interval begins at `now`.
    pub fn new(interval: Duration, capacity: usize, now: Monotonic) -> Flusher {
        Flusher { interval, capacity, last: now, retry: None }
    }

    /// Whether a flush is due with so many records pending, and why.
    pub fn due(&self, now: Monotonic, pending: usize) -> Option<Trigger> {
        let trigger = if pending >= self.capacity { Trigger::Capacity } else { Trigger::Interval };
        let is_ripe = self.next(pending).is_some_and(|next| next <= now);
        is_ripe.then_some(trigger)
    }

    /// When a flush will be due if no more becomes pending.
    pub fn next(&self, pending: usize) -> Option<Monotonic> {
        match self.retry {
            _ if pending == 0 => None,
            Some((_, until)) => Some(until),
            None if pending >= self.capacity => Some(self.last),
            None => Some(self.last.after(self.interval)),
        }
    }

    /// A flush was made: begins a new interval.
    pub fn succeeded(&mut self, now: Monotonic) {
        self.last = now;
        self.retry = None;
    }

    /// A flush failed: the next attempt waits, twice as long as the last time. Returns the pause.
    pub fn failed(&mut self, now: Monotonic) -> Duration {
        let doubled = self.retry.map(|(pause, _)| (pause * 2).min(Duration::from_millis(FLUSH_RETRY_MS_MAX)));
        let pause = doubled.unwrap_or(Duration::from_millis(FLUSH_RETRY_MS_MIN));
        self.retry = Some((pause, now.after(pause)));
        pause
    }

    /// Until when the pause after a failure lasts, if there is one.
    pub fn retry_at(&self) -> Option<Monotonic> {
        self.retry.map(|(_, until)| until)
    }

    /// Whether the last flush failed.
    pub fn is_failing(&self) -> bool {
        self.retry.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic(Duration::from_millis(milliseconds))
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn ticks_keep_their_beat_however_late_the_loop_wakes() {
        let mut ticker = Ticker::new(TICK, at(0));
        assert_eq!(ticker.take(at(99)), None);
        for (now, lateness) in [(103, 3), (200, 0), (399, 99), (400, 0)] {
            assert_eq!(ticker.take(at(now)), Some(Due { lateness: ms(lateness), skipped: 0 }), "at {now}");
        }
        assert_eq!(ticker.next, at(500));
    }

    #[test]
    fn up_to_a_second_is_caught_up_and_no_tick_is_lost() {
        let mut ticker = Ticker::new(TICK, at(0));
        let late: Vec<_> = std::iter::from_fn(|| ticker.take(at(1_100))).collect();
        assert_eq!(late.len(), 11);
        assert_eq!(late[0], Due { lateness: ms(1_000), skipped: 0 });
        assert_eq!(late[10], Due { lateness: ms(0), skipped: 0 });
    }

    #[test]
    fn after_a_longer_pause_what_was_missed_is_skipped_and_counted() {
        let mut ticker = Ticker::new(TICK, at(0));
        // Due at 100, 200, ... 10,100: the first hundred are left out, the last happens.
        assert_eq!(ticker.take(at(10_130)), Some(Due { lateness: ms(10_030), skipped: 100 }));
        assert_eq!(ticker.next, at(10_200));
        assert_eq!(ticker.take(at(10_199)), None);
    }

    #[test]
    fn a_slow_world_may_be_one_tick_late() {
        let mut ticker = Ticker::new(ms(60_000), at(0));
        assert_eq!(ticker.take(at(120_000)), Some(Due { lateness: ms(60_000), skipped: 0 }));
        assert_eq!(ticker.take(at(120_000)), Some(Due { lateness: ms(0), skipped: 0 }));
        assert_eq!(ticker.take(at(300_001)), Some(Due { lateness: ms(120_001), skipped: 2 }));
    }

    #[test]
    fn a_flush_is_due_after_the_interval_or_when_enough_is_pending() {
        let mut flusher = Flusher::new(ms(1_000), 10, at(0));
        assert_eq!(flusher.due(at(5_000), 0), None);
        assert_eq!(flusher.next(0), None);
        assert_eq!(flusher.due(at(999), 9), None);
        assert_eq!(flusher.next(9), Some(at(1_000)));
        assert_eq!(flusher.due(at(1_000), 1), Some(Trigger::Interval));
        assert_eq!(flusher.due(at(1), 10), Some(Trigger::Capacity));
        flusher.succeeded(at(1_500));
        assert_eq!(flusher.due(at(2_499), 9), None);
        assert_eq!(flusher.due(at(2_500), 9), Some(Trigger::Interval));
    }

    #[test]
    fn failures_pause_longer_and_longer_up_to_a_limit_and_a_success_ends_that() {
        let mut flusher = Flusher::new(ms(10), 1, at(0));
        let pauses: Vec<u64> = (0..10).map(|_| flusher.failed(at(0)).as_millis() as u64).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(flusher.due(at(29_999), 50), None);
        assert_eq!(flusher.next(50), Some(at(30_000)));
        assert_eq!(flusher.due(at(30_000), 50), Some(Trigger::Capacity));
        flusher.succeeded(at(30_000));
        assert!(!flusher.is_failing());
        assert_eq!(flusher.failed(at(31_000)), ms(250));
    }
}
