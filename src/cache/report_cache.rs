//! The two halves of the cache, what is remembered and what is being fetched, and every question about them that
//! needs no call.

use std::{sync::Arc, time::Duration};

use super::{
    Entry, RefreshFailure, Served, failures::Failures, flight::Flights, gzip::Encoded, index::EntryIndex,
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

/// What is remembered and what is being fetched.
#[derive(Debug)]
pub struct ReportCache {
    pub(super) options: CacheOptions,
    pub(super) flights: Arc<Flights>,
    pub(super) store: EntryIndex,
    pub(super) failures: Failures,
    pub(super) quota_pressure: QuotaPressureFn,
    pub(super) metrics: CacheMetrics,
}

/// What memory has to say to a question.
#[derive(Debug)]
pub enum Lookup {
    /// The answer.
    Answered(Served),
    /// The answer, and what is held, which is due for a refresh behind.
    Due {
        /// The answer.
        served: Served,
        /// What is held.
        held: Arc<Entry>,
    },
    /// Nothing that may be answered as it is; what is held, if it is better than nothing when a call fails.
    Absent(Option<Arc<Entry>>),
    /// The last call has failed with this error, nothing stands in for it, and it is too early for another.
    Failed(FetchError),
}

/// When a copy that is no longer fresh may be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Now, if somebody asks.
    Due,
    /// The last attempt failed: not before this time has passed.
    Backoff(Duration),
    /// Calls are scarce: not before this time has passed.
    Deferred(Duration),
    /// Calls are so scarce that it is not known when.
    Stopped,
}

// === impl ReportCache ===

impl ReportCache {
    /// An empty memory.
    pub fn new(options: CacheOptions, quota_pressure: QuotaPressureFn, metrics: CacheMetrics) -> Self {
        let store = EntryIndex::new(options.max_bytes, metrics.clone());
        Self { options, flights: Arc::default(), store, failures: Failures::new(), quota_pressure, metrics }
    }

    /// Makes the gzip variant of a held report, if there is none yet. A caller who hangs up stops nothing.
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

    /// What is held under a key, whatever its age.
    pub fn peek(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.store.get(key)
    }

    /// Why calls for a key of which nothing is held are not made for the moment, or were not.
    pub fn failure(&self, key: &ReportKey) -> Option<RefreshFailure> {
        self.failures.get(key)
    }

    /// Is the key being fetched?
    pub fn is_being_fetched(&self, key: &ReportKey) -> bool {
        self.flights.is_in_flight(key)
    }

    /// Every key that is held, in order.
    pub fn keys(&self) -> Vec<ReportKey> {
        self.store.keys()
    }

    /// Forgets what is held of an activity, and what a fetch in the air would bring. Returns how many entries went.
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

    /// Forgets everything. Returns how many entries went.
    pub fn purge_all(&self) -> usize {
        self.flights.purge(
            |_| true,
            || {
                self.failures.forget_all();
                self.forget(self.store.keys())
            },
        )
    }

    /// Tells the gauges how full the memory is.
    pub fn observe(&self) {
        let (entries, bytes) = self.store.size();
        self.metrics.size(entries, bytes);
    }

    fn forget(&self, keys: impl IntoIterator<Item = ReportKey>) -> usize {
        keys.into_iter().filter(|key| self.store.purge(key)).count()
    }
}
