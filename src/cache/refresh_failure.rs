//! A fetch that failed, and for how long no other is made for its key.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    backoff::Backoff,
    report::{FailureKind, FetchError},
};

/// The back-off of the first ten minutes: an upstream that works again is noticed within a minute.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(1));
/// How many failures in a row that is.
const FIRST_FAILURES: u32 = 14;
/// The back-off of a key that goes on failing: six calls an hour in the end.
const LONG_BACKOFF: Backoff = Backoff::new(Duration::from_mins(2), LONGEST_PAUSE);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The last fetch of a key failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshFailure {
    /// The error of the last fetch.
    pub error: FetchError,
    /// How many calls in a row failed. A fetch that was denied here is not counted.
    pub failures: u32,
    /// When the last fetch ended.
    pub tried_at: Instant,
    /// No fetch is made before this.
    pub retry_at: Instant,
}

// === impl RefreshFailure ===

impl RefreshFailure {
    /// The trouble after one more attempt has ended in `error`. A failure that is long past begins no row.
    pub(super) fn after(before: Option<&Self>, error: FetchError, now: Instant) -> Self {
        let before = before.filter(|before| before.counts(now));
        let failures = before.map_or(0, |before| before.failures);
        let (failures, pause) = match error.cause.kind() {
            FailureKind::Failed => (failures.saturating_add(1), pause_after(failures)),
            // The key is no worse for it: it only need not be tried with every hit.
            FailureKind::Rationed | FailureKind::Denied => (failures, pause_after(0)),
        };
        Self { error, failures, tried_at: now, retry_at: now + pause }
    }

    /// Would another failure now be one more in the same row?
    pub(super) fn counts(&self, now: Instant) -> bool {
        now < self.retry_at + LONGEST_PAUSE
    }

    /// The row without the pause after a call that was only denied here: a miss may have one.
    pub(super) fn of_calls(&self) -> Self {
        let retry_at = match self.error.cause.kind() {
            FailureKind::Failed => self.retry_at,
            FailureKind::Rationed | FailureKind::Denied => self.tried_at,
        };
        Self { retry_at, ..self.clone() }
    }

    /// Is the key backed off?
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        now < self.retry_at
    }
}

/// The pause after one more failure, where `failures` in a row came before it.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(FIRST_FAILURES) {
        None => BACKOFF.pause(failures),
        Some(more) => LONG_BACKOFF.pause(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::UpstreamFailure;

    #[tokio::test(start_paused = true)]
    async fn the_pauses_double_to_a_minute_and_after_ten_minutes_to_ten() {
        let mut now = Instant::now();
        let mut refresh_failure = None;
        for pause in [5, 10, 20, 40].into_iter().chain([60; 10]).chain([120, 240, 480, 600, 600]) {
            let next = RefreshFailure::after(refresh_failure.as_ref(), UpstreamFailure::Timeout.into(), now);
            assert_eq!(next.retry_at - now, Duration::from_secs(pause), "{} failures", next.failures);
            assert!(next.is_resting(next.retry_at - Duration::from_nanos(1)));
            assert!(!next.is_resting(next.retry_at));
            now = next.retry_at;
            refresh_failure = Some(next);
        }
        let long_after = now + Duration::from_mins(10);
        let next =
            RefreshFailure::after(refresh_failure.as_ref(), UpstreamFailure::Timeout.into(), long_after);
        assert_eq!((next.failures, next.retry_at - long_after), (1, Duration::from_secs(5)));
    }
}
