//! The cache: its size, its evictions, its refreshes, and the age of what it answers.

use std::{sync::Arc, time::Duration};

use prometheus::{Counter, Gauge, IntCounter, IntCounterVec, IntGauge};

use super::{
    Totals,
    derivation::DerivationMetrics,
    probes::ProbeMetrics,
    series::{SeriesFactory, start_at_zero},
    sharded_histogram::{Scale, ShardedHistogram},
    totals::AgeCounts,
};

/// From fresh to the longest an old copy may be answered (`cache.stale_if_error`), in milliseconds.
const AGES: Scale<12> = Scale {
    bounds: [
        1_000, 5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 3_600_000, 21_600_000,
        86_400_000,
    ],
    units: 1_000,
};

/// The series of `cache_*` and `refreshes_total`.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    entries: IntGauge,
    bytes: IntGauge,
    max_bytes: IntGauge,
    oldest: Gauge,
    evictions: IntCounterVec,
    refreshes: IntCounterVec,
    served_age: Arc<ShardedHistogram<12>>,
    looked_answers: IntCounter,
    clicks_missed: Counter,
    unpaired: IntGauge,
    price: Gauge,
    scarce_price: Gauge,
    planned_calls: Gauge,
    /// Those of the change probe.
    pub probes: ProbeMetrics,
    /// Those of derivation.
    pub derivation: DerivationMetrics,
}

/// Why an entry was dropped: a label of `cache_evictions_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvictionCause {
    /// The cache was full (`cache.max_bytes`).
    Size,
    /// It was too old for any use.
    Expired,
    /// `DELETE /cache`.
    Purged,
}

/// What a refresh brought: a label of `refreshes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshResult {
    /// It differs from the cached report.
    Changed,
    /// It equals the cached report.
    Unchanged,
    /// No report.
    Error,
}

// === impl EvictionCause ===

impl EvictionCause {
    const ALL: [Self; 3] = [Self::Size, Self::Expired, Self::Purged];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Expired => "expired",
            Self::Purged => "purged",
        }
    }
}

// === impl RefreshResult ===

impl RefreshResult {
    const ALL: [Self; 3] = [Self::Changed, Self::Unchanged, Self::Error];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Error => "error",
        }
    }
}

// === impl CacheMetrics ===

impl CacheMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let metrics = Self {
            entries: series.int_gauge("cache_entries", "Reports and refusals in the cache."),
            bytes: series
                .int_gauge("cache_bytes", "Size of the cached entries: bodies and the memory to manage them."),
            max_bytes: series
                .int_gauge("cache_max_bytes", "The size at which entries are evicted (cache.max_bytes)."),
            oldest: series.gauge(
                "cache_oldest_report_age_seconds",
                "Age of the oldest report in the cache; 0: there is none.",
            ),
            evictions: series.counters(
                "cache_evictions_total",
                "Entries removed from the cache, by cause.",
                &["cause"],
            ),
            refreshes: series.counters(
                "refreshes_total",
                "Fetches of a report that was already cached, by result.",
                &["result"],
            ),
            served_age: series.sharded_histogram(
                "cache_served_age_seconds",
                "Age of the reports served from the cache.",
                AGES,
            ),
            looked_answers: series.counter(
                "cache_answers_total",
                "Reports served from the cache, counted when the next look at their clicks shows what they missed.",
            ),
            clicks_missed: series.float_counter(
                "cache_clicks_missed_total",
                "Clicks that these responses did not show yet, as the next look at their clicks shows.",
            ),
            price: series.gauge(
                "refresh_price",
                "Clicks that the responses for a report must have missed to be worth a call; 0 with fixed lifetimes.",
            ),
            scarce_price: series.gauge(
                "refresh_scarce_price",
                "The price above which calls are scarce and quota_mode is throttled; 0 with fixed lifetimes.",
            ),
            planned_calls: series.gauge(
                "refresh_planned_calls",
                "Refreshes until midnight UTC at the present price; while they are more than the calls left, the price rises.",
            ),
            unpaired: series.int_gauge(
                "cache_unpaired_campaigns",
                "Activities whose reports with and without no_clicks show different sums of clicks.",
            ),
            probes: ProbeMetrics::new(series),
            derivation: DerivationMetrics::new(series),
        };
        start_at_zero(&metrics.evictions, &EvictionCause::ALL.map(EvictionCause::as_str));
        start_at_zero(&metrics.refreshes, &RefreshResult::ALL.map(RefreshResult::as_str));
        metrics
    }

    /// The size at which entries are evicted.
    pub fn max_bytes(&self, bytes: u64) {
        self.max_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The number of entries in the cache, and their size.
    pub fn size(&self, entries: u64, bytes: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The age of the oldest report in the cache; `None`: there is none.
    pub fn oldest(&self, age: Option<Duration>) {
        self.oldest.set(age.unwrap_or_default().as_secs_f64());
    }

    /// An entry was dropped.
    pub fn evicted(&self, cause: EvictionCause) {
        self.evictions.with_label_values(&[cause.as_str()]).inc();
    }

    /// A fetch of a cached report has ended.
    pub fn refreshed(&self, result: RefreshResult) {
        self.refreshes.with_label_values(&[result.as_str()]).inc();
    }

    /// A look at a campaign has shown that so many responses since the last look missed so many clicks in total.
    pub fn looked(&self, answers: u32, clicks_missed: f64) {
        self.looked_answers.inc_by(answers.into());
        self.clicks_missed.inc_by(clicks_missed);
    }

    /// The price of a call, and the refreshes until midnight UTC at that price. Calls are scarce above `scarce_price`.
    pub fn planned(&self, price: f64, calls: f64, scarce_price: f64) {
        self.price.set(price);
        self.scarce_price.set(scarce_price);
        self.planned_calls.set(calls);
    }

    /// The number of activities whose two reports do not agree.
    pub fn unpaired(&self, activities: u64) {
        self.unpaired.set(i64::try_from(activities).unwrap_or(i64::MAX));
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        let refreshes = |result: RefreshResult| self.refreshes.with_label_values(&[result.as_str()]).get();
        totals.ages = AgeCounts::of(&AGES, &self.served_age.totals());
        totals.changed = refreshes(RefreshResult::Changed);
        totals.unchanged = refreshes(RefreshResult::Unchanged);
        totals.failed = refreshes(RefreshResult::Error);
        totals.evicted_for_room = self.evictions.with_label_values(&[EvictionCause::Size.as_str()]).get();
    }

    /// A report of this age was served from the cache.
    pub fn served(&self, age: Duration) {
        self.served_age.record(age.as_millis() as u64);
    }
}
