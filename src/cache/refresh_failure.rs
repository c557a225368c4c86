//! A fetch that failed, and for how long no other is made for its key.

use std::time::Duration;

use tokio::time::Instant;

use crate::report::{Cause, FetchError};

/// The back-off after the first failure in a row, the second, and so on; the last one from then on. For the first ten
/// minutes a recovered upstream is noticed within a minute; a key that fails for longer costs six calls an hour.
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

/// What an error says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Nothing: calls are rationed.
    Rationed,
    /// Nothing: the call was denied here for another reason.
    Denied,
    /// A call was spent on it and brought no answer.
    Failed,
}

// === impl RefreshFailure ===

impl RefreshFailure {
    /// The trouble after one more attempt has ended in `error`. A failure that is long past begins no row.
    pub(super) fn after(before: Option<&Self>, error: FetchError, now: Instant) -> Self {
        let before = before.filter(|before| now < before.retry_at + PAUSES[PAUSES.len() - 1]);
        let failures = before.map_or(0, |before| before.failures);
        let (failures, pause) = match FailureKind::of(&error) {
            FailureKind::Failed => {
                (failures.saturating_add(1), PAUSES[(failures as usize).min(PAUSES.len() - 1)])
            }
            // The key is no worse for it: it only need not be tried with every hit.
            FailureKind::Rationed | FailureKind::Denied => (failures, PAUSES[0]),
        };
        Self { error, failures, tried_at: now, retry_at: now + pause }
    }

    /// Is the key backed off?
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        now < self.retry_at
    }
}

// === impl FailureKind ===

impl FailureKind {
    pub(super) fn of(error: &FetchError) -> Self {
        match &error.cause {
            // Of the whole account, also as the upstream's word.
            Cause::QuotaExhausted { .. } => Self::Rationed,
            // With a status it is the upstream's word.
            Cause::Throttled { .. } if error.exchange.status.is_none() => Self::Rationed,
            Cause::CircuitOpen { .. } | Cause::TokenUnavailable | Cause::Overloaded => Self::Denied,
            Cause::Throttled { .. }
            | Cause::TooMany { .. }
            | Cause::Unauthorized
            | Cause::Forbidden
            | Cause::Status { .. }
            | Cause::Unreachable(_)
            | Cause::Invalid(_)
            | Cause::Timeout
            | Cause::Internal => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pauses_double_to_a_minute_and_after_ten_minutes_to_ten() {
        let mut now = Instant::now();
        let mut refresh_failure = None;
        for pause in [5, 10, 20, 40].into_iter().chain([60; 10]).chain([120, 240, 480, 600, 600]) {
            let next = RefreshFailure::after(refresh_failure.as_ref(), Cause::Timeout.into(), now);
            assert_eq!(next.retry_at - now, Duration::from_secs(pause), "{} failures", next.failures);
            now = next.retry_at;
            refresh_failure = Some(next);
        }
        let long_after = now + Duration::from_mins(10);
        let next = RefreshFailure::after(refresh_failure.as_ref(), Cause::Timeout.into(), long_after);
        assert_eq!((next.failures, next.retry_at - long_after), (1, Duration::from_secs(5)));
    }
}
