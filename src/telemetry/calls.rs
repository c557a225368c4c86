//! Upstream calls, the quota, the circuit.

use std::{sync::Arc, time::Duration};

use prometheus::{Gauge, GaugeVec, Histogram, IntCounterVec, IntGauge, IntGaugeVec};

use super::metrics::{FixedLabels, SeriesFactory, seconds, set_state};

const CALL_BUCKETS: [f64; 11] = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0, 10.0, 15.0];
const WAIT_BUCKETS: [f64; 9] = [0.001, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0];
const REASONS: [&str; 3] = ["miss", "refresh", "retry"];
/// Codes an alert could ask for; `none` is a call that had no status, `other` whatever else an upstream may think of.
const CODES: [&str; 12] =
    ["200", "400", "401", "403", "404", "429", "500", "502", "503", "504", "none", "other"];
const WINDOWS: [&str; 2] = ["second", "day"];
const QUOTA_MODES: [&str; 4] = ["normal", "throttled", "misses_only", "exhausted"];
const CIRCUIT_STATES: [&str; 3] = ["closed", "open", "half_open"];

/// Calls that left.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    requests: IntCounterVec,
    duration: Histogram,
    throttled: Arc<FixedLabels>,
}

/// What may still be called. Windows are `second` and `day`.
#[derive(Debug, Clone)]
pub struct QuotaMetrics {
    limit: IntGaugeVec,
    used: GaugeVec,
    remaining: GaugeVec,
    reset: Gauge,
    denied: Arc<FixedLabels>,
    wait: Histogram,
    mode: IntGaugeVec,
    drift: IntGauge,
}

/// The circuit breaker.
#[derive(Debug, Clone)]
pub struct CircuitMetrics {
    state: IntGaugeVec,
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let metrics = Self {
            requests: series.counters(
                "upstream_requests_total",
                "Calls sent to the upstream, by why and by the status that came back (none: no status came).",
                &["reason", "code"],
            ),
            duration: series.histogram(
                "upstream_request_duration_seconds",
                "Time from sending a call to the end of its answer's body.",
                &CALL_BUCKETS,
            ),
            throttled: Arc::new(series.closed_counters(
                "upstream_throttled_total",
                "429 answers of the upstream: for the second's limit, or for the day's.",
                "kind",
                &["throttled", "quota_exceeded"],
            )),
        };
        for reason in REASONS {
            for code in CODES {
                let _exists = metrics.requests.with_label_values(&[reason, code]);
            }
        }
        metrics
    }

    /// A call came to its end, with this status if it had one.
    pub fn called(&self, reason: &'static str, status: Option<u16>, elapsed: Duration) {
        let code = match status {
            None => "none",
            Some(status) => {
                let status = status.to_string();
                CODES.into_iter().find(|code| *code == status).unwrap_or("other")
            }
        };
        self.requests.with_label_values(&[reason, code]).inc();
        self.duration.observe(seconds(elapsed));
    }

    /// The upstream answered 429 of this kind: `throttled` or `quota_exceeded`.
    pub fn throttled(&self, kind: &'static str) {
        self.throttled.inc(kind);
    }
}

// === impl QuotaMetrics ===

impl QuotaMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let metrics = Self {
            limit: series.int_gauges(
                "quota_limit",
                "Calls allowed in the window; 0: not limited here.",
                &["window"],
            ),
            used: series.gauges("quota_used", "Calls counted in the current window.", &["window"]),
            remaining: series.gauges("quota_remaining", "Calls left in the current window.", &["window"]),
            reset: series
                .gauge("quota_reset_timestamp_seconds", "When the day's window begins anew, in Unix time."),
            denied: Arc::new(series.closed_counters(
                "quota_denied_total",
                "Calls not made because the window was spent.",
                "window",
                &WINDOWS,
            )),
            wait: series.histogram(
                "quota_wait_seconds",
                "How long calls waited for their turn in the second's window.",
                &WAIT_BUCKETS,
            ),
            mode: series.int_gauges(
                "quota_mode",
                "1 for the current quota mode: which kinds of upstream call are allowed.",
                &["mode"],
            ),
            drift: series.int_gauge(
                "quota_external_calls",
                "Calls made today by other users of the API key, inferred when the upstream reported quota_exceeded.",
            ),
        };
        metrics.mode("normal");
        for window in WINDOWS {
            metrics.window(window, 0, 0, 0);
        }
        metrics
    }

    /// How a window stands. A limit of 0 means that it is not limited here.
    pub fn window(&self, window: &'static str, limit: u64, used: u64, remaining: u64) {
        self.limit.with_label_values(&[window]).set(i64::try_from(limit).unwrap_or(i64::MAX));
        // Far below 2^53: a float holds every count exactly.
        self.used.with_label_values(&[window]).set(used as f64);
        self.remaining.with_label_values(&[window]).set(remaining as f64);
    }

    /// When the day's window begins anew, in seconds since the Unix epoch.
    pub fn reset_at(&self, unix_seconds: u64) {
        self.reset.set(unix_seconds as f64);
    }

    /// What calls may be made for is now `normal`, `stretched`, `misses_only` or `spent`.
    pub fn mode(&self, mode: &'static str) {
        set_state(&self.mode, &QUOTA_MODES, mode);
    }

    /// So many calls of this day were seen by the upstream alone.
    pub fn drift(&self, calls: u64) {
        self.drift.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// A call was not made: the window (`second` or `day`) was spent.
    pub fn denied(&self, window: &'static str) {
        self.denied.inc(window);
    }

    /// A call waited this long for its turn.
    pub fn waited(&self, wait: Duration) {
        self.wait.observe(seconds(wait));
    }
}

// === impl CircuitMetrics ===

impl CircuitMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let metrics = Self {
            state: series.int_gauges(
                "circuit_state",
                "1 for the state that the circuit breaker is in.",
                &["state"],
            ),
        };
        metrics.state("closed");
        metrics
    }

    /// The breaker is now `closed`, `open` or `half_open`.
    pub fn state(&self, state: &'static str) {
        set_state(&self.state, &CIRCUIT_STATES, state);
    }
}
