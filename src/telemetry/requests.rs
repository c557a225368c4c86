//! Requests on the data port: outcome, status code and duration.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::{Totals, series::SeriesFactory, totals::sum_by};

/// From a hit in memory to the longest a request may take (`server.request_timeout`).
const BUCKETS: [f64; 17] = [
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0, 2.5,
    5.0, 15.0,
];

/// Requests on the data port.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    total: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
    connections: IntGauge,
    connections_limit: IntGauge,
}

/// One outcome with one code, resolved: recording it costs no label lookup.
#[derive(Debug, Clone)]
pub struct RequestSeries {
    total: IntCounter,
    duration: Histogram,
}

// === impl RequestMetrics ===

impl RequestMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            total: series.counters(
                "requests_total",
                "Requests answered on the data port, by outcome, status code and client.",
                &["outcome", "code", "client"],
            ),
            duration: series.histograms(
                "request_duration_seconds",
                "Time from a request's head to its answer's head, by outcome.",
                &["outcome"],
                &BUCKETS,
            ),
            in_flight: series
                .int_gauge("requests_in_flight", "Requests on the data port that are not answered yet."),
            connections: series.int_gauge("connections_open", "Open connections on the data port."),
            connections_limit: series.int_gauge(
                "connections_limit",
                "Connections on the data port at which another takes the place of the quietest (server.max_connections).",
            ),
        }
    }

    /// The series of one outcome, status code and client, at zero if it is new. To be kept where it is recorded often.
    pub fn series(&self, outcome: &'static str, code: &str, client: &str) -> RequestSeries {
        RequestSeries {
            total: self.total.with_label_values(&[outcome, code, client]),
            duration: self.duration.with_label_values(&[outcome]),
        }
    }

    /// Requests that have arrived and are not answered.
    pub const fn in_flight(&self) -> &IntGauge {
        &self.in_flight
    }

    /// How many connections there may be.
    pub fn connections_limit(&self, limit: usize) {
        self.connections_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        let by_code = sum_by(&self.total, "code");
        totals.answers = by_code.values().sum();
        totals.server_errors =
            by_code.iter().filter(|(code, _)| code.starts_with('5')).map(|(_, count)| count).sum();
        totals.requests_by_client = sum_by(&self.total, "client");
    }

    /// Open connections.
    pub const fn connections(&self) -> &IntGauge {
        &self.connections
    }
}

// === impl RequestSeries ===

impl RequestSeries {
    /// Counts one request that took `elapsed`.
    pub fn record(&self, elapsed: Duration) {
        self.total.inc();
        self.duration.observe(elapsed.as_secs_f64());
    }
}
