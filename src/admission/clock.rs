//! The time of day, as the vendor counts it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::day::DAY;

/// Our clock is believed as long as the vendor's `Date` is no further away: answers take seconds to come.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Tells the time of day. Tests put one in its place that moves with tokio's paused time.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

/// How far the vendor's clock is from ours, where that matters. A pure machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skew {
    /// Seconds that the vendor is ahead of us; negative: behind.
    ahead_seconds: i64,
    /// What one answer said, further away than is believed of one.
    claimed_seconds: Option<i64>,
}

// === impl WallClock ===

impl WallClock {
    /// The machine's: it goes on while the machine sleeps, and jumps when somebody sets it.
    pub fn machine() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// One that shows `start` now and is carried on by tokio's clock.
    pub fn starting_at(start: SystemTime) -> Self {
        let began = Instant::now();
        Self(Arc::new(move || start + began.elapsed()))
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

// === impl Skew ===

impl Skew {
    /// An answer that came at `ours` carried this `Date`. A jump of over a day takes two answers that agree: one
    /// with a bogus date must not turn the ledger's page into a year to come.
    pub fn heard(&mut self, date: SystemTime, ours: SystemTime) {
        let apart = match date.duration_since(ours) {
            Ok(ahead) => signed(ahead),
            Err(behind) => -signed(behind.duration()),
        };
        let apart = if apart.unsigned_abs() > TOLERANCE.as_secs() { apart } else { 0 };
        let jump = apart.abs_diff(self.ahead_seconds);
        let confirmed =
            self.claimed_seconds.is_some_and(|claimed| apart.abs_diff(claimed) <= TOLERANCE.as_secs());
        *self = if jump <= DAY.as_secs() || confirmed {
            Self { ahead_seconds: apart, claimed_seconds: None }
        } else {
            Self { claimed_seconds: Some(apart), ..*self }
        };
    }

    /// The vendor's time when our clock shows `ours`.
    pub fn correct(self, ours: SystemTime) -> SystemTime {
        let apart = Duration::from_secs(self.ahead_seconds.unsigned_abs());
        let theirs = if self.ahead_seconds < 0 { ours.checked_sub(apart) } else { ours.checked_add(apart) };
        theirs.unwrap_or(ours)
    }

    /// Is our clock believed?
    pub fn is_none(self) -> bool {
        self.ahead_seconds == 0
    }

    /// Seconds that the vendor is ahead of us; negative: behind.
    pub const fn ahead_seconds(self) -> i64 {
        self.ahead_seconds
    }
}

fn signed(apart: Duration) -> i64 {
    i64::try_from(apart.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_s_date_rules_where_ours_disagrees_by_more_than_a_minute() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut skew = Skew::default();
        for (theirs, corrected) in [
            (1_000_000_060, 1_000_000_000),
            (1_000_000_061, 1_000_000_061),
            (999_999_000, 999_999_000),
            (999_999_940, 1_000_000_000),
        ] {
            skew.heard(SystemTime::UNIX_EPOCH + Duration::from_secs(theirs), ours);
            let corrected = SystemTime::UNIX_EPOCH + Duration::from_secs(corrected);
            assert_eq!(skew.correct(ours), corrected, "{theirs}");
        }
    }

    #[test]
    fn a_date_over_a_day_away_is_believed_when_a_second_answer_confirms_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let ours = at(1_000_000_000);
        let mut skew = Skew::default();
        for (theirs, corrected) in [
            (2_000_000_000, 1_000_000_000),
            (1_000_000_000, 1_000_000_000),
            (2_000_000_000, 1_000_000_000),
            (1_500_000_000, 1_000_000_000),
            (1_500_000_009, 1_500_000_009),
            (1_000_000_000, 1_500_000_009),
            (1_000_000_000, 1_000_000_000),
        ] {
            skew.heard(at(theirs), ours);
            assert_eq!(skew.correct(ours), at(corrected), "{theirs}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_starts_somewhere_is_carried_on_by_paused_time() {
        let clock = WallClock::starting_at(SystemTime::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    }
}
