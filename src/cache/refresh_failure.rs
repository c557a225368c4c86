//! What is remembered of a call that brought no answer, and for how long its key is then left alone.

use std::time::Duration;

use tokio::time::Instant;

use crate::report::{FailureKind, FetchError};

/// The pauses after the first failure in a row, the second, and so on; the last one from then on. For ten minutes an
/// upstream that is back is noticed within a minute; a key that fails for longer than that costs six calls an hour.
const PAUSES: [Duration; 18] = {
    let mut pauses = [Duration::from_mins(1); 18];
    pauses[0] = Duration::from_secs(5);
    pauses[1] = Duration::from_secs(10);
    pauses[2] = Duration::from_secs(20);
    pauses[3] = Duration::from_secs(40);
    pauses[14] = Duration::from_mins(2);
    pauses[15] = Duration::from_mins(4);
    pauses[16] = Duration::from_mins(8);
    pauses[17] = Duration::from_mins(10);
    pauses
};

/// The last attempts to fetch a key failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshFailure {
    /// What went wrong last.
    pub error: FetchError,
    /// How many calls in a row failed. What was denied here is not counted.
    pub failures: u32,
    /// When the last attempt ended.
    pub tried_at: Instant,
    /// Not to be tried again before.
    pub retry_at: Instant,
}

// === impl RefreshFailure ===

impl RefreshFailure {
    /// The trouble after one more attempt has ended in `error`. A failure that is long past begins no row.
    pub(super) fn after(before: Option<&Self>, error: FetchError, now: Instant) -> Self {
        let before = before.filter(|before| now < before.retry_at + PAUSES[PAUSES.len() - 1]);
        let failures = before.map_or(0, |before| before.failures);
        let (failures, pause) = match error.cause.kind() {
            FailureKind::Failed => {
                (failures.saturating_add(1), PAUSES[(failures as usize).min(PAUSES.len() - 1)])
            }
            // The key is no worse for it: it only need not be tried with every hit.
            FailureKind::Rationed | FailureKind::Denied => (failures, PAUSES[0]),
        };
        Self { error, failures, tried_at: now, retry_at: now + pause }
    }

    /// Is the key to be left alone?
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        now < self.retry_at
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
            now = next.retry_at;
            refresh_failure = Some(next);
        }
        let long_after = now + Duration::from_mins(10);
        let next =
            RefreshFailure::after(refresh_failure.as_ref(), UpstreamFailure::Timeout.into(), long_after);
        assert_eq!((next.failures, next.retry_at - long_after), (1, Duration::from_secs(5)));
    }
}
