//! The keys of which nothing is held, since calls for them fail: what went wrong, and until when they are left alone.

use foldhash::fast::RandomState;
use moka::{policy::EvictionPolicy, sync::Cache as Moka};
use tokio::time::Instant;

use super::RefreshFailure;
use crate::report::{FetchError, ReportKey};

/// So many keys at most; the least recently asked for go first. Each takes half a KiB with moka's nodes, and the
/// upstream's request id may be 128 bytes more: 2 to 3 MiB in all, beside `cache.max_bytes`. Each took a call, and at 4
/// calls a second 2,400 at most are within their pauses.
const MOST: u64 = 4_096;

/// See above. Only looked at where there is no entry: no hit comes here.
#[derive(Debug)]
pub(super) struct Failures {
    noted: Moka<ReportKey, RefreshFailure, RandomState>,
}

// === impl Failures ===

impl Failures {
    pub(super) fn new() -> Self {
        let noted = Moka::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru());
        Self { noted: noted.build_with_hasher(RandomState::default()) }
    }

    /// The error to answer with, while a key is to be left alone.
    pub(super) fn resting(&self, key: &ReportKey, now: Instant) -> Option<FetchError> {
        self.get(key)
            .filter(|refresh_failure| refresh_failure.is_resting(now))
            .map(|refresh_failure| refresh_failure.error)
    }

    /// What is noted of a key.
    pub(super) fn get(&self, key: &ReportKey) -> Option<RefreshFailure> {
        self.noted.get(key)
    }

    /// Notes one more failure of a key.
    pub(super) fn note(&self, key: ReportKey, error: FetchError, now: Instant) {
        self.noted.entry(key).and_upsert_with(|before| {
            let before = before.map(moka::Entry::into_value);
            RefreshFailure::after(before.as_ref(), error, now)
        });
    }

    /// Takes over what an entry knew that is going; what is noted already is newer.
    pub(super) fn take_over(&self, key: ReportKey, refresh_failure: &RefreshFailure) {
        self.noted.entry(key).or_insert_with(|| refresh_failure.clone());
    }

    /// Calls for this key do not fail any more, or it is to be tried again at once.
    pub(super) fn forget(&self, key: &ReportKey) {
        self.noted.invalidate(key);
    }

    pub(super) fn forget_all(&self) {
        self.noted.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{NoClicks, UpstreamFailure};

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_failing_keys_takes_no_more_than_its_room_and_those_that_are_asked_for_stay() {
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
        failures.noted.run_pending_tasks();
        assert!(failures.noted.entry_count() <= MOST);
        assert!(failures.resting(&key(19_999), start).is_some());
        assert_eq!(failures.resting(&key(1), start), None);
        failures.forget_all();
        assert_eq!(failures.resting(&key(0), start + Duration::from_secs(1)), None);
    }
}
