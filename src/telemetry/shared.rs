//! The store that replicas share: whether it is up, and how its operations go.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::series::SeriesFactory;

/// Nearby, an operation takes about a millisecond; `shared.timeout` is 250 ms.
const DURATIONS: [f64; 9] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0];

/// The series of the link to the store. They exist where `shared.url` is set only.
#[derive(Debug, Clone)]
pub struct SharedMetrics {
    up: IntGauge,
    operations: IntCounterVec,
    duration: HistogramVec,
    store_risks: IntGaugeVec,
}

// === impl SharedMetrics ===

impl SharedMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            up: series.int_gauge(
                "shared_up",
                "1 while the shared store is used; 0 while this replica uses its own share of the quota.",
            ),
            operations: series.counters(
                "shared_operations_total",
                "Operations on the shared store, by result; away: nothing was sent.",
                &["op", "result"],
            ),
            duration: series.histograms(
                "shared_operation_duration_seconds",
                "How long operations on the shared store took, whatever their result.",
                &["op"],
                &DURATIONS,
            ),
            store_risks: series.int_gauges(
                "shared_store_risk",
                "1: by its settings, the shared store can lose what it has acknowledged; evicts_all: by its maxmemory-policy; \
                 no_append_only_file: by a restart.",
                &["risk"],
            ),
        }
    }

    /// Has a series for each of these from now on; of the duration, for those of `timed`.
    pub fn announce(&self, timed: &[&'static str], others: &[&'static str], results: &[&'static str]) {
        for operation in timed.iter().chain(others) {
            for result in results {
                let _at_zero = self.operations.with_label_values(&[*operation, *result]);
            }
        }
        for operation in timed {
            let _at_zero = self.duration.with_label_values(&[*operation]);
        }
    }

    /// Whether the store is used.
    pub fn up(&self, up: bool) {
        self.up.set(up.into());
    }

    /// Whether the server, as it was last seen, can lose what it holds in this way.
    pub fn store_risk(&self, risk: &'static str, is_there: bool) {
        self.store_risks.with_label_values(&[risk]).set(is_there.into());
    }

    /// An operation ended.
    pub fn ended(&self, operation: &'static str, result: &'static str) {
        self.operations.with_label_values(&[operation, result]).inc();
    }

    /// An operation took so long.
    pub fn took(&self, operation: &'static str, duration: Duration) {
        self.duration.with_label_values(&[operation]).observe(duration.as_secs_f64());
    }
}
