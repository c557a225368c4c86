//! Calendar time: UTC days and the time of day.

use std::time::Duration;

const DAY_SECONDS: u64 = 86_400;

/// A calendar time, as the time since a UTC midnight; in production that of 1970-01-01 (the Unix epoch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcTime(Duration);

// === impl UtcTime ===

impl UtcTime {
    /// The length of a UTC day, 24 hours.
    pub const DAY: Duration = Duration::from_secs(DAY_SECONDS);

    /// The time `passed` after the midnight that days are counted from.
    pub const fn since_epoch(passed: Duration) -> Self {
        Self(passed)
    }

    /// The time since the midnight that days are counted from.
    pub const fn into_epoch(self) -> Duration {
        self.0
    }

    /// The number of the day, from 0.
    pub const fn day(self) -> u64 {
        self.0.as_secs() / DAY_SECONDS
    }

    /// The hour of the day with its fraction, 0.0 to below 24.0.
    pub(super) fn hours(self) -> f64 {
        self.into_day().as_secs_f64() / 3600.0
    }

    /// The hour of the day, 0 to 23.
    pub(super) const fn hour(self) -> usize {
        (self.0.as_secs() % DAY_SECONDS / 3600) as usize
    }

    /// The time since the last midnight UTC.
    pub const fn into_day(self) -> Duration {
        Duration::new(self.0.as_secs() % DAY_SECONDS, self.0.subsec_nanos())
    }

    /// The time until the next midnight UTC.
    pub const fn left_of_day(self) -> Duration {
        Self::DAY.saturating_sub(self.into_day())
    }

    /// `time` earlier, but not before the epoch.
    pub(super) const fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// The time since `earlier`; zero if the clock was set back.
    pub(super) const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        let before = UtcTime::since_epoch(Duration::from_secs(2 * DAY_SECONDS) - Duration::from_millis(1));
        assert_eq!((before.day(), before.hour(), before.left_of_day()), (1, 23, Duration::from_millis(1)));
        let midnight = UtcTime::since_epoch(Duration::from_secs(2 * DAY_SECONDS));
        assert_eq!((midnight.day(), midnight.hour(), midnight.left_of_day()), (2, 0, UtcTime::DAY));
    }
}
