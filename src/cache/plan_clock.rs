//! The clock of the refresh plan.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Converts an instant to the time that [`crate::refresh`] counts in: the Unix time at the start of the process plus the
/// monotonic time since then. It never steps, and stored times are still valid after a restart.
#[derive(Debug, Clone, Copy)]
pub struct PlanClock {
    origin: Instant,
    epoch: Duration,
}

// === impl PlanClock ===

impl PlanClock {
    /// A clock that shows the calendar time `now` at this moment.
    pub fn starting_at(now: SystemTime) -> Self {
        let epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), epoch }
    }

    /// The time at this instant, which may be before the start.
    #[inline]
    pub(super) fn at(&self, instant: Instant) -> Duration {
        match instant.checked_duration_since(self.origin) {
            Some(since) => self.epoch + since,
            None => self.epoch.saturating_sub(self.origin - instant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_the_calendar_time_of_the_start_and_knows_the_time_before_it() {
        let hour = Duration::from_hours(1);
        let clock = PlanClock::starting_at(SystemTime::UNIX_EPOCH + 5 * hour);
        tokio::time::advance(hour).await;
        let now = Instant::now();
        assert_eq!(
            [now, now - 2 * hour, now - 9 * hour].map(|at| clock.at(at)),
            [6 * hour, 4 * hour, Duration::ZERO]
        );
    }
}
