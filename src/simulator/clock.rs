//! Two clocks in step: tokio's, which tests can pause, and the wall clock, which decides when it is midnight.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// The wall clock at the start, advanced by tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Moment,
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// For durations: lifetimes and sliding windows.
    pub(super) instant: Instant,
    /// For dates: the time since 1970-01-01T00:00:00Z.
    pub(super) since_epoch: Duration,
}

// === impl Clock ===

impl Clock {
    /// Starts both clocks; a wall clock before 1970 counts as 1970.
    pub(super) fn starting_at(wall: SystemTime) -> Self {
        let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Moment { instant: Instant::now(), since_epoch } }
    }

    pub(super) fn now(&self) -> Moment {
        let instant = Instant::now();
        Moment { instant, since_epoch: self.start.since_epoch + (instant - self.start.instant) }
    }

    pub(super) fn start(&self) -> Moment {
        self.start
    }
}

// === impl Moment ===

impl Moment {
    /// Days since the epoch: a new one begins at 00:00:00 UTC.
    pub(super) fn day(self) -> u64 {
        self.since_epoch.as_secs() / SECONDS_PER_DAY
    }

    /// RFC 9110 §5.6.7. Not hyper's own `Date`: that one reads the real clock, which paused time leaves behind.
    pub(super) fn http_date(self) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + self.since_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_the_wall_clock_over_midnight() {
        let last_second = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * SECONDS_PER_DAY - 1);
        let clock = Clock::starting_at(last_second);
        assert_eq!(clock.now().day(), 19_999);
        assert_eq!(clock.now().http_date(), "Thu, 03 Oct 2024 23:59:59 GMT");

        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now().day(), 20_000);
        assert_eq!(clock.now().http_date(), "Fri, 04 Oct 2024 00:00:00 GMT");
    }
}
