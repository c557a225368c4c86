//! The failures of keys that have no entry, and until when no call is made for them.

use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use moka::{policy::EvictionPolicy, sync::Cache as Moka};
use tokio::time::Instant;

use super::RefreshFailure;
use crate::report::{FetchError, ReportKey};

/// At most so many keys; the least recently requested are dropped first. Each takes half a KiB with moka's nodes, and up
/// to 128 bytes more for the upstream's request id: 2 to 3 MiB, outside `cache.max_bytes`. Each took a call, and at 4
/// calls a second 2,400 at most are within their back-off.
const MOST: u64 = 4_096;

/// Looked up only where there is no entry, never by a hit.
#[derive(Debug)]
pub(super) struct Failures {
    by_key: Moka<ReportKey, RefreshFailure, RandomState>,
    /// Whether there may be any: a lookup in an empty moka costs a miss 2,000 instructions.
    any: AtomicBool,
}

// === impl Failures ===

impl Failures {
    pub(super) fn new() -> Self {
        let by_key = Moka::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru());
        Self { by_key: by_key.build_with_hasher(RandomState::default()), any: AtomicBool::new(false) }
    }

    /// The error to answer with, while a key is backed off.
    pub(super) fn resting(&self, key: &ReportKey, now: Instant) -> Option<FetchError> {
        self.get(key).filter(|failure| failure.is_resting(now)).map(|failure| failure.error)
    }

    /// The last failure of a key.
    pub(super) fn get(&self, key: &ReportKey) -> Option<RefreshFailure> {
        self.any.load(Ordering::Relaxed).then(|| self.by_key.get(key)).flatten()
    }

    /// Records one more failure of a key.
    pub(super) fn note(&self, key: ReportKey, error: FetchError, now: Instant) {
        self.any.store(true, Ordering::Relaxed);
        self.by_key.entry(key).and_upsert_with(|before| {
            let before = before.map(moka::Entry::into_value);
            RefreshFailure::after(before.as_ref(), error, now)
        });
    }

    /// Takes over a failure, unless a newer one is here already.
    pub(super) fn take_over(&self, key: ReportKey, refresh_failure: &RefreshFailure) {
        self.any.store(true, Ordering::Relaxed);
        self.by_key.entry(key).or_insert_with(|| refresh_failure.clone());
    }

    /// The same of an entry that is removed for room or by its age: its row of failures, if that still counts.
    pub(super) fn keep(&self, key: ReportKey, refresh_failure: Option<&RefreshFailure>, now: Instant) {
        let in_a_row = |failure: &&RefreshFailure| failure.failures > 0 && failure.counts(now);
        if let Some(failure) = refresh_failure.filter(in_a_row) {
            self.take_over(key, &failure.of_calls());
        }
    }

    /// The failures that hold back calls now.
    pub(super) fn all_resting(&self, now: Instant) -> Vec<(ReportKey, RefreshFailure)> {
        let all = self.by_key.iter().map(|(key, failure)| (*key, failure));
        all.filter(|(_, failure)| failure.is_resting(now)).collect()
    }

    /// A call for this key has succeeded, or it is to be tried again at once.
    pub(super) fn forget(&self, key: &ReportKey) {
        if self.any.load(Ordering::Relaxed) {
            self.by_key.invalidate(key);
        }
    }

    pub(super) fn forget_all(&self) {
        self.by_key.invalidate_all();
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
        failures.by_key.run_pending_tasks();
        assert!(failures.by_key.entry_count() <= MOST);
        assert!(failures.resting(&key(19_999), start).is_some());
        assert_eq!(failures.resting(&key(1), start), None);
        failures.forget(&key(19_999));
        assert_eq!(failures.get(&key(19_999)), None);
        assert!(failures.resting(&key(0), start).is_some(), "another key");
        failures.forget_all();
        assert_eq!(failures.resting(&key(0), start + Duration::from_secs(1)), None);
    }
}
