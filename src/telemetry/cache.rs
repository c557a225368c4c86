//! The cache: how full, how old, how often renewed.

use std::{sync::Arc, time::Duration};

use prometheus::{Histogram, IntGauge};

use super::metrics::{FixedLabels, SeriesFactory, seconds};

/// From fresh to the longest an old copy may be answered (`cache.stale_if_error`).
const AGES: [f64; 12] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 3_600.0, 21_600.0, 86_400.0];

/// The cache's series.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    entries: IntGauge,
    bytes: IntGauge,
    evictions: Arc<FixedLabels>,
    refreshes: Arc<FixedLabels>,
    served_age: Histogram,
}

// === impl CacheMetrics ===

impl CacheMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            entries: series.int_gauge("cache_entries", "Reports and refusals held in memory."),
            bytes: series
                .int_gauge("cache_bytes", "What the held entries weigh, bodies and book-keeping together."),
            evictions: Arc::new(series.closed_counters(
                "cache_evictions_total",
                "Entries dropped: for room, too old for anything, or purged by hand.",
                "cause",
                &["size", "expired", "purged"],
            )),
            refreshes: Arc::new(series.closed_counters(
                "refreshes_total",
                "Fetches of a report that was already held, by what they brought.",
                "result",
                &["changed", "unchanged", "error"],
            )),
            served_age: series.histogram(
                "cache_served_age_seconds",
                "Age of the reports answered from memory.",
                &AGES,
            ),
        }
    }

    /// How full the cache is.
    pub fn size(&self, entries: u64, bytes: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An entry was dropped.
    pub fn evicted(&self, cause: &'static str) {
        self.evictions.inc(cause);
    }

    /// A held report was fetched anew.
    pub fn refreshed(&self, result: &'static str) {
        self.refreshes.inc(result);
    }

    /// A report of this age was answered.
    pub fn served(&self, age: Duration) {
        self.served_age.observe(seconds(age));
    }
}
