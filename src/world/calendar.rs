//! Time of day and weather, both functions of ticks: ten ticks are a minute, and the first tick dawns on day 1.

use std::fmt;

use super::random::Random;
use crate::limits::TICKS_PER_MINUTE;
use crate::text::keys;

/// How many ticks the world has lived. It grows by one with each tick and stands still while the engine is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The last: there the clock stands still. Sums of ticks do not overflow up to it, and at ten a second it comes after
    /// 14 billion years.
    pub const MAX: Tick = Tick(1 << 62);
}

pub(super) const MINUTES_PER_DAY: u64 = 24 * 60;
/// A new world wakes at six in the morning.
const FIRST_MINUTE: u64 = 6 * 60;
const DAWN: u64 = 5 * 60;
const DUSK: u64 = 19 * 60;

/// The parts of a day: the minute past midnight at which each begins, and what is to be seen out of doors then.
pub(super) const PHASES: [(u64, &str); 4] = [
    (DAWN, "The dark thins in the east."),
    (7 * 60, "It is full day."),
    (DUSK, "The light begins to go."),
    (21 * 60, "It is dark."),
];

/// A point in the world's calendar; prints as `day 3, 07:25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    minutes: u64,
}

impl Time {
    /// The time at `tick`.
    pub fn at(tick: Tick) -> Time {
        Time { minutes: (tick.0 / TICKS_PER_MINUTE).saturating_add(FIRST_MINUTE) }
    }

    /// Minutes since midnight.
    pub fn minute_of_day(self) -> u64 {
        self.minutes % MINUTES_PER_DAY
    }

    /// Days since the first.
    pub fn day(self) -> u64 {
        self.minutes / MINUTES_PER_DAY
    }
}

/// The minutes of the day, from dawn to the middle of dusk, in which creatures of the day are awake and those of the
/// night asleep. At either end each creature takes its own time, at most `TURNING_MINUTES`.
pub(super) const WAKING: std::ops::Range<u64> = DAWN..20 * 60;
/// How long it takes until all creatures have woken or gone to sleep.
pub(super) const TURNING_MINUTES: u64 = 60;

/// The first tick after `after` at which the clock shows `minute` (and however many minutes more) past midnight.
pub(super) fn next_minute_of_day(after: Tick, minute: impl Fn(u64) -> u64) -> Tick {
    let today = Time::at(after).day();
    let tick_of =
        |day: u64| Tick((day * MINUTES_PER_DAY + minute(day)).saturating_sub(FIRST_MINUTE) * TICKS_PER_MINUTE);
    let candidate = tick_of(today);
    if candidate > after { candidate } else { tick_of(today + 1) }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute = self.minute_of_day();
        write!(f, "day {}, {:02}:{:02}", self.day() + 1, minute / 60, minute % 60)
    }
}

keys! {
    /// The sky, and what is to be noticed out of doors when it becomes so. It is a Markov chain: what comes next depends
    /// on what is, and it may change at each full hour. Its number is part of stored digests, and its place in `ALL`
    /// and `CHANCES`.
    #[derive(Default)]
    Weather.announcement: &'static str {
        /// A clear sky.
        #[default]
        Clear [0] = "clear", "The sky clears.";
        /// Clouds, and dry.
        Cloudy [1] = "cloudy", "Clouds cover the sky.";
        /// Rain.
        Rain [2] = "rain", "It rains.";
        /// Wind, rain and thunder.
        Storm [3] = "storm", "The wind gets up, and thunder with it.";
        /// Fog.
        Fog [4] = "fog", "Fog comes in.";
    }
}

impl Weather {
    /// Of 16 hours, how many each weather (a row) is followed by each other (a column).
    const CHANCES: [[u64; 5]; 5] = [
        [11, 4, 0, 0, 1], // clear
        [4, 7, 4, 0, 1],  // cloudy
        [0, 6, 7, 2, 1],  // rain
        [0, 3, 6, 7, 0],  // storm
        [3, 4, 1, 0, 8],  // fog
    ];

    /// The weather of the next hour.
    pub fn next(self, random: &mut Random) -> Weather {
        let chances = Weather::CHANCES[self as usize];
        let mut draw = random.below(chances.iter().sum());
        for (weather, chance) in Weather::ALL.iter().zip(chances) {
            match draw.checked_sub(chance) {
                Some(rest) => draw = rest,
                None => return *weather,
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_begins_at_six_and_ends_at_midnight() {
        assert_eq!(Time::at(Tick(0)).to_string(), "day 1, 06:00");
        assert_eq!(Time::at(Tick(18 * 600 - 1)).to_string(), "day 1, 23:59");
        assert_eq!(Time::at(Tick(18 * 600)).to_string(), "day 2, 00:00");
        assert_eq!(Time::at(Tick(2 * 14_400 + 855)).to_string(), "day 3, 07:25");
    }

    #[test]
    fn the_next_time_of_day_is_always_later_and_within_a_day() {
        for after in (0..40_000).step_by(7).map(Tick) {
            let next = next_minute_of_day(after, |_| DUSK);
            assert!(next > after && next.0 - after.0 <= 14_400, "{after:?} {next:?}");
            assert_eq!(Time::at(next).minute_of_day(), DUSK);
        }
    }

    #[test]
    fn every_weather_is_reached_and_none_lasts_for_ever() {
        assert!(Weather::CHANCES.iter().all(|row| row.iter().sum::<u64>() == 16));
        let mut random = Random(5);
        let (mut weather, mut seen) = (Weather::Clear, [0; 5]);
        for _ in 0..10_000 {
            seen[weather as usize] += 1;
            weather = weather.next(&mut random);
        }
        assert!(seen.iter().all(|hours| (200..6_000).contains(hours)), "{seen:?}");
    }
}
