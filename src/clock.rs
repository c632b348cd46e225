//! Monotonic and wall time: the only file that reads a clock. Everywhere else time is an argument, so that tests can
//! move it by hand.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time: how long after the process first asked. Never goes back, whatever the wall clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The point `pause` later.
    pub fn after(self, pause: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(pause))
    }

    /// The time from `earlier` until here; zero if `earlier` is later.
    pub fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Reads the monotonic clock.
pub fn monotonic() -> Monotonic {
    static START: OnceLock<Instant> = OnceLock::new();
    Monotonic(START.get_or_init(Instant::now).elapsed())
}

/// A point in wall time: how long after 1970-01-01T00:00:00Z. A clock before that reads as it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub Duration);

/// Reads the wall clock.
pub fn wall() -> Wall {
    Wall(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl Wall {
    /// As RFC 3339 with seconds: `2026-11-23T08:00:00Z`.
    pub fn rfc3339(self) -> String {
        let [year, month, day, hour, minute, second] = self.date();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// As RFC 3339 with milliseconds, for the log: `2026-11-23T08:00:00.250Z`.
    pub fn rfc3339_millis(self) -> String {
        format!("{}.{:03}Z", self.rfc3339().trim_end_matches('Z'), self.0.subsec_millis())
    }

    /// As an HTTP date, the IMF-fixdate of RFC 9110 section 5.6.7: `Mon, 23 Nov 2026 08:00:00 GMT`.
    pub fn imf_fixdate(self) -> String {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let [year, month, day, hour, minute, second] = self.date();
        // The epoch was a Thursday.
        let weekday = WEEKDAYS[(self.0.as_secs() / 86_400 % 7) as usize];
        let month = MONTHS[(month - 1) as usize];
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }

    /// Year, month, day, hour, minute and second in UTC, in the proleptic Gregorian calendar.
    fn date(self) -> [u64; 6] {
        let seconds = self.0.as_secs();
        // Years are counted from 1 March, so that a leap day ends one; 719,468 days lie between 0000-03-01 and the
        // epoch, and 146,097 in each 400 years.
        let days = seconds / 86_400 + 719_468;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        [year, month, day, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_gnu_date() {
        // From `date -u -d @N`: the epoch, a leap day, the day after, a century that is no leap year, the far end.
        for (seconds, iso, http) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "2000-02-28T23:59:59Z", "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_420_800, "2026-11-23T08:00:00Z", "Mon, 23 Nov 2026 08:00:00 GMT"),
            (4_107_542_400, "2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let wall = Wall(Duration::from_secs(seconds));
            assert_eq!(wall.rfc3339(), iso);
            assert_eq!(wall.imf_fixdate(), http);
        }
        assert_eq!(Wall(Duration::from_millis(1_500)).rfc3339_millis(), "1970-01-01T00:00:01.500Z");
    }

    #[test]
    fn monotonic_time_never_underflows() {
        let early = Monotonic(Duration::from_secs(1));
        let late = early.after(Duration::from_secs(2));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert!(monotonic() <= monotonic());
    }
}
