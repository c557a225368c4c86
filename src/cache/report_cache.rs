//! The state of the cache: the entries and the fetches in flight. Everything here is answered without a call.

use std::{sync::Arc, time::Duration};

use super::{
    ActivityStatistics, Entry, RefreshFailure, Served, failures::Failures, flight::Flights, gzip::Encoded,
    index::EntryIndex,
};
use crate::{
    report::{ActivityId, FetchError, LifetimePolicy, NoClicks, QuotaPressureFn, ReportKey},
    telemetry::CacheMetrics,
};

/// How the cache is to behave.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// How long answers live.
    pub lifetimes: LifetimePolicy,
    /// The weight of all entries together, at most, in bytes.
    pub max_bytes: u64,
    /// A caller that demands a new answer gets what is held if that is younger.
    pub client_no_cache_interval: Duration,
}

/// Entries, failures, statistics and flights.
#[derive(Debug)]
pub struct ReportCache {
    pub(super) options: CacheOptions,
    pub(super) flights: Arc<Flights>,
    pub(super) store: EntryIndex,
    pub(super) failures: Failures,
    pub(super) quota_pressure: QuotaPressureFn,
    pub(super) metrics: CacheMetrics,
}

/// The result of looking a key up.
#[derive(Debug)]
pub enum Lookup {
    /// Served from memory.
    Answered(Served),
    /// Served from memory, and a refresh in the background is due.
    Due {
        /// What the caller gets.
        served: Served,
        /// The entry to refresh.
        held: Arc<Entry>,
    },
    /// It takes a call. The entry, if there is one, may be served if the call fails.
    Absent(Option<Arc<Entry>>),
    /// The last call failed with this error, there is no copy to serve, and it is too early for another call.
    Failed(FetchError),
}

/// When a copy that is no longer fresh may be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// With the next request.
    Due,
    /// The last attempt failed: after this time.
    Backoff(Duration),
    /// Calls are scarce: after this time.
    Deferred(Duration),
    /// Calls are so scarce that none is made for refreshes.
    Stopped,
}

// === impl ReportCache ===

impl ReportCache {
    /// An empty cache.
    pub fn new(options: CacheOptions, quota_pressure: QuotaPressureFn, metrics: CacheMetrics) -> Self {
        let store = EntryIndex::new(options.max_bytes, metrics.clone());
        Self { options, flights: Arc::default(), store, failures: Failures::new(), quota_pressure, metrics }
    }

    /// Makes the gzip variant of a stored report, if there is none yet; goes on if the caller disconnects.
    pub async fn encode(self: &Arc<Self>, key: ReportKey, entry: &Arc<Entry>) {
        let (memory, entry) = (Arc::clone(self), Arc::clone(entry));
        let encoding = tokio::spawn(async move {
            match entry.make_gzip().await {
                Encoded::Now => memory.store.reweigh(&key),
                Encoded::Before | Encoded::Not => {}
            }
        });
        // Ends early only with the runtime.
        let _ended = encoding.await;
    }

    /// The entry of a key, whatever its age. Counts no hit.
    pub fn peek(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.store.get(key)
    }

    /// The last failure of a key that has no entry.
    pub fn failure(&self, key: &ReportKey) -> Option<RefreshFailure> {
        self.failures.get(key)
    }

    /// What the fetches of an activity have shown, also after its entries were evicted.
    pub fn statistics(&self, id: ActivityId) -> Option<ActivityStatistics> {
        self.store.statistics().get(id)
    }

    /// Is a fetch of this key in flight?
    pub fn is_being_fetched(&self, key: &ReportKey) -> bool {
        self.flights.is_in_flight(key)
    }

    /// The keys of all entries, sorted.
    pub fn keys(&self) -> Vec<ReportKey> {
        self.store.keys()
    }

    /// Removes the entries of an activity; a fetch in flight will not be stored. Returns the number of entries removed.
    pub fn purge(&self, id: ActivityId) -> usize {
        let keys = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| ReportKey { id, no_clicks });
        self.flights.purge(
            |key| key.id == id,
            || {
                keys.iter().for_each(|key| self.failures.forget(key));
                self.forget(keys)
            },
        )
    }

    /// Removes all entries; the fetches in flight will not be stored. Returns the number of entries removed.
    pub fn purge_all(&self) -> usize {
        self.flights.purge(
            |_| true,
            || {
                self.failures.forget_all();
                self.forget(self.store.keys())
            },
        )
    }

    /// Sets the gauges `cache_entries` and `cache_bytes`.
    pub fn observe(&self) {
        let (entries, bytes) = self.store.size();
        self.metrics.size(entries, bytes);
    }

    fn forget(&self, keys: impl IntoIterator<Item = ReportKey>) -> usize {
        keys.into_iter().filter(|key| self.store.purge(key)).count()
    }
}
