//! The failures of keys that have no entry, and until when no call is made for them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{RefreshFailure, recent_map::RecentMap};
use crate::report::{FetchError, ReportKey};

/// For a new key beyond these, the eighth that was requested longest ago is dropped. Each has 260 bytes at most, and up
/// to 128 more for the upstream's request id: some 1.3 MiB, outside `cache.max_bytes`. Each took a call, and at 4 calls a
/// second 2,400 at most are within their back-off.
const MOST: usize = 3_584;

/// Looked up only where there is no entry, never by a hit.
#[derive(Debug)]
pub(super) struct Failures {
    by_key: Mutex<RecentMap<ReportKey, RefreshFailure>>,
}

// === impl Failures ===

impl Failures {
    pub(super) fn new() -> Self {
        Self { by_key: Mutex::new(RecentMap::new(MOST)) }
    }

    /// The error to answer with, while a key is backed off.
    pub(super) fn resting(&self, key: &ReportKey, now: Instant) -> Option<FetchError> {
        let mut by_key = self.by_key();
        let refresh_failure = by_key.get(key).filter(|refresh_failure| refresh_failure.is_resting(now))?;
        Some(refresh_failure.error.clone())
    }

    /// The last failure of a key.
    pub(super) fn get(&self, key: &ReportKey) -> Option<RefreshFailure> {
        self.by_key().get(key).cloned()
    }

    /// Records one more failure of a key.
    pub(super) fn note(&self, key: ReportKey, error: FetchError, now: Instant) {
        let mut by_key = self.by_key();
        let failure = RefreshFailure::after(by_key.peek(&key), error, now);
        by_key.insert(key, failure);
    }

    /// Takes over the failure of an entry that is being removed, unless a newer one is here already.
    pub(super) fn take_over(&self, key: ReportKey, refresh_failure: &RefreshFailure) {
        self.by_key().get_or_insert_with(key, || refresh_failure.clone());
    }

    /// A call for this key has succeeded, or it is to be tried again at once.
    pub(super) fn forget(&self, key: &ReportKey) {
        self.by_key().remove(key);
    }

    pub(super) fn forget_all(&self) {
        self.by_key().clear();
    }

    fn by_key(&self) -> MutexGuard<'_, RecentMap<ReportKey, RefreshFailure>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{NoClicks, UpstreamFailure};

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_failing_keys_takes_no_more_than_its_room_and_those_that_are_requested_stay() {
        assert!(
            size_of::<(ReportKey, RefreshFailure)>() <= 260,
            "{}",
            size_of::<(ReportKey, RefreshFailure)>()
        );
        let failures = Failures::new();
        let start = Instant::now();
        let key = |number: u128| ReportKey {
            id: uuid::Uuid::from_u128(number).into(),
            no_clicks: NoClicks::Omitted,
        };
        for number in 0..20_000 {
            failures.note(key(number), UpstreamFailure::Forbidden.into(), start);
            assert!(failures.resting(&key(0), start).is_some(), "polled meanwhile, after {number}");
        }
        assert!(failures.by_key().len() <= MOST);
        assert!(failures.resting(&key(19_999), start).is_some());
        assert_eq!(failures.resting(&key(1), start), None);
        failures.forget_all();
        assert_eq!(failures.resting(&key(0), start + Duration::from_secs(1)), None);
    }
}
