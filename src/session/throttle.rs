//! How often something may be tried: each key has its pace, and who is too fast waits. Nothing is computed before that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::limits::THROTTLED_MAX;

/// For each key, when the next attempt would come at the pace that is allowed.
#[derive(Default)]
pub struct Throttle(BTreeMap<String, Monotonic>);

impl Throttle {
    /// How long an attempt has to wait: there is one in each `pace`, after the first `free` ones. One that would have to wait
    /// longer than `most` is not counted.
    pub fn wait(&mut self, key: String, pace: Duration, free: u32, most: Duration, now: Monotonic) -> Duration {
        if self.0.len() >= THROTTLED_MAX {
            self.0.retain(|_, next| *next > now);
            // Many at a time, so that this is rare however many there are.
            while self.0.len() > THROTTLED_MAX / 2 {
                self.0.pop_first();
            }
        }
        let next = self.0.entry(key).or_insert(now);
        let (after, free) = ((*next).max(now).after(pace), now.after(pace * free));
        let wait = after.since(free);
        // Who has no turn takes nobody's.
        if wait <= most {
            *next = after;
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_full_forgets_who_waits_no_more_and_then_half_of_the_others() {
        let (mut throttle, now) = (Throttle::default(), Monotonic(Duration::from_secs(100)));
        let try_it = |throttle: &mut Throttle, key: usize, now: Monotonic| {
            throttle.wait(format!("{key:06}"), Duration::from_secs(10), 0, Duration::from_secs(60), now)
        };
        let fill = |throttle: &mut Throttle, now| {
            (0..THROTTLED_MAX).for_each(|key| assert!(!try_it(throttle, key, now).is_zero()));
        };
        fill(&mut throttle, now);
        assert_eq!(throttle.0.len(), THROTTLED_MAX);
        try_it(&mut throttle, THROTTLED_MAX, now);
        assert_eq!(throttle.0.len(), THROTTLED_MAX / 2 + 1);
        // Those that are left have still to wait.
        assert_eq!(try_it(&mut throttle, THROTTLED_MAX - 1, now), Duration::from_secs(20));
        throttle = Throttle::default();
        fill(&mut throttle, now);
        try_it(&mut throttle, THROTTLED_MAX, now.after(Duration::from_secs(60)));
        assert_eq!(throttle.0.len(), 1);
    }
}
