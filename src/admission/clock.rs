//! The time of day, as the vendor counts it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

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
    /// An answer that came at `ours` carried this `Date`.
    pub fn heard(&mut self, date: SystemTime, ours: SystemTime) {
        let apart = match date.duration_since(ours) {
            Ok(ahead) => signed(ahead),
            Err(behind) => -signed(behind.duration()),
        };
        self.ahead_seconds = if apart.unsigned_abs() > TOLERANCE.as_secs() { apart } else { 0 };
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
            (2_000_000_000, 2_000_000_000),
        ] {
            skew.heard(SystemTime::UNIX_EPOCH + Duration::from_secs(theirs), ours);
            let corrected = SystemTime::UNIX_EPOCH + Duration::from_secs(corrected);
            assert_eq!(skew.correct(ours), corrected, "{theirs}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_starts_somewhere_is_carried_on_by_paused_time() {
        let clock = WallClock::starting_at(SystemTime::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    }
}
