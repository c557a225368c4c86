//! Upstream calls, the quota, the circuit.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, IntCounterVec, IntGauge, IntGaugeVec};

use super::{
    ClientMetrics, Totals,
    series::{SeriesFactory, StateGauges, start_at_zero},
};

const CALL_BUCKETS: [f64; 11] = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0, 10.0, 15.0];
const WAIT_BUCKETS: [f64; 9] = [0.001, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0];
/// The values of `code`: `none` is a call without a status, `other` any status that is not listed here, `invalid` a 200
/// that is no report.
const CODES: [&str; 13] =
    ["200", "400", "401", "403", "404", "429", "500", "502", "503", "504", "invalid", "none", "other"];

/// Calls sent to the upstream.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    clients: ClientMetrics,
    requests: IntCounterVec,
    duration: Histogram,
    throttled: IntCounterVec,
}

/// How a call ended: the label `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStatus {
    /// With this status, and a body as that status has it.
    Status(u16),
    /// With a 200 that is not what was asked for.
    Invalid,
    /// Without a status.
    NoStatus,
}

/// Limits, use and denials, by window (a second, a day).
#[derive(Debug, Clone)]
pub struct QuotaMetrics {
    clients: ClientMetrics,
    limit: IntGaugeVec,
    used: GaugeVec,
    remaining: GaugeVec,
    reset: Gauge,
    denied: IntCounterVec,
    wait: Histogram,
    mode: StateGauges,
    external: IntGauge,
    reserved: IntGauge,
    exhaustion: Gauge,
    clock_ahead: Gauge,
}

/// The circuit breaker.
#[derive(Debug, Clone)]
pub struct CircuitMetrics {
    state: StateGauges,
}

/// Which limit a 429 of the upstream speaks of: a label of `upstream_throttled_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleKind {
    /// The second's.
    Throttled,
    /// The day's.
    QuotaExceeded,
    /// It does not say which.
    Unspecified,
}

// === impl ThrottleKind ===

impl ThrottleKind {
    const ALL: [Self; 3] = [Self::Throttled, Self::QuotaExceeded, Self::Unspecified];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Unspecified => "unspecified",
        }
    }
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>, clients: ClientMetrics) -> Self {
        let metrics = Self {
            clients,
            requests: series.counters(
                "upstream_requests_total",
                "Calls sent to the upstream, by why and by the status that came back (invalid: a 200 that is no report; none: no status).",
                &["reason", "code"],
            ),
            duration: series.histogram(
                "upstream_request_duration_seconds",
                "Time from sending a call to the end of its answer's body.",
                &CALL_BUCKETS,
            ),
            throttled: series.counters(
                "upstream_throttled_total",
                "429 answers of the upstream: for the second's limit, for the day's, or without saying which.",
                &["kind"],
            ),
        };
        start_at_zero(&metrics.throttled, &ThrottleKind::ALL.map(ThrottleKind::as_str));
        metrics
    }

    /// The reasons for a call that there are.
    pub fn announce(&self, reasons: &[&'static str]) {
        for reason in reasons {
            for code in CODES {
                let _at_zero = self.requests.with_label_values(&[*reason, code]);
            }
        }
    }

    /// A call for the client with this number has ended like this.
    pub fn called(&self, reason: &'static str, client: usize, end: CallStatus, elapsed: Duration) {
        let code = match end {
            CallStatus::NoStatus => "none",
            CallStatus::Invalid => "invalid",
            CallStatus::Status(status) => {
                let status = status.to_string();
                CODES.into_iter().find(|code| *code == status).unwrap_or("other")
            }
        };
        self.requests.with_label_values(&[reason, code]).inc();
        self.clients.called(client);
        self.duration.observe(elapsed.as_secs_f64());
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        let throttled = |kind: ThrottleKind| self.throttled.with_label_values(&[kind.as_str()]).get();
        totals.throttled = ThrottleKind::ALL.map(throttled).iter().sum();
    }

    /// The upstream answered 429 of this kind.
    pub fn throttled(&self, kind: ThrottleKind) {
        self.throttled.with_label_values(&[kind.as_str()]).inc();
    }
}

// === impl QuotaMetrics ===

impl QuotaMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>, clients: ClientMetrics) -> Self {
        Self {
            clients,
            limit: series.int_gauges(
                "quota_limit",
                "Calls allowed in the window; 0: not limited here.",
                &["window"],
            ),
            used: series.gauges("quota_used", "Calls counted in the current window.", &["window"]),
            remaining: series.gauges("quota_remaining", "Calls left in the current window.", &["window"]),
            reset: series
                .gauge("quota_reset_timestamp_seconds", "When the day's window is reset, in Unix time."),
            denied: series.counters(
                "quota_denied_total",
                "Calls not made because the calls of the window were used up.",
                &["window"],
            ),
            wait: series.histogram(
                "quota_wait_seconds",
                "How long calls waited for their turn in the second's window.",
                &WAIT_BUCKETS,
            ),
            mode: series.state_gauges(
                "quota_mode",
                "1 for the current quota mode: which kinds of upstream call are allowed.",
                "mode",
            ),
            external: series.int_gauge(
                "quota_external_calls",
                "Calls made today by other users of the API key, inferred when the upstream reported quota_exceeded.",
            ),
            reserved: series.int_gauge(
                "quota_reserved_calls",
                "Calls of the day that are reserved for uncached reports: with no more of them left, refreshes stop.",
            ),
            exhaustion: series.gauge(
                "quota_exhaustion_timestamp_seconds",
                "When the day's calls are used up at the recent rate, in Unix time; 0: they last until the reset.",
            ),
            clock_ahead: series.gauge(
                "upstream_clock_ahead_seconds",
                "How far the upstream's clock is ahead of this machine's, by its Date header.",
            ),
        }
    }

    /// The windows and modes that there are, and the first mode.
    pub fn announce(&self, windows: &[&'static str], modes: &[&'static str], first: &'static str) {
        start_at_zero(&self.denied, windows);
        for window in windows {
            self.window(window, 0, 0, 0);
        }
        self.mode.announce(modes, first);
    }

    /// A window's limit, and the calls used and left in it. A limit of 0 means that it is not limited here.
    pub fn window(&self, window: &'static str, limit: u64, used: u64, remaining: u64) {
        self.limit.with_label_values(&[window]).set(i64::try_from(limit).unwrap_or(i64::MAX));
        // Far below 2^53: a float holds every count exactly.
        self.used.with_label_values(&[window]).set(used as f64);
        self.remaining.with_label_values(&[window]).set(remaining as f64);
    }

    /// Calls are counted for this day from now on: days since 1970-01-01.
    pub fn on_day(&self, day: u64) {
        self.clients.on_day(day);
    }

    /// When the day's window is reset, in seconds since the Unix epoch.
    pub fn reset_at(&self, unix_seconds: u64) {
        self.reset.set(unix_seconds as f64);
    }

    /// The day's calls are used up at this time, in seconds since the Unix epoch; `None`: not before the reset.
    pub fn exhausted_at(&self, unix_seconds: Option<u64>) {
        self.exhaustion.set(unix_seconds.map_or(0.0, |at| at as f64));
    }

    /// The upstream's clock is ahead of ours by this many seconds.
    pub fn clock_ahead(&self, seconds: i64) {
        self.clock_ahead.set(seconds as f64);
    }

    /// So many of the calls left are reserved for misses.
    pub fn reserved(&self, calls: u64) {
        self.reserved.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// The mode is now this one.
    pub fn mode(&self, mode: &'static str) {
        self.mode.set(mode);
    }

    /// This many calls of the day were made by other users of the API key.
    pub fn external(&self, calls: u64) {
        self.external.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// A call was not made: this window's calls were used up.
    pub fn denied(&self, window: &'static str) {
        self.denied.with_label_values(&[window]).inc();
    }

    /// A call waited this long for its turn.
    pub fn waited(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
    }
}

// === impl CircuitMetrics ===

impl CircuitMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            state: series.state_gauges(
                "circuit_state",
                "1 for the state that the circuit breaker is in.",
                "state",
            ),
        }
    }

    /// The states there are, and the first.
    pub fn announce(&self, states: &[&'static str], first: &'static str) {
        self.state.announce(states, first);
    }

    /// The breaker is now in this state.
    pub fn state(&self, state: &'static str) {
        self.state.set(state);
    }
}
