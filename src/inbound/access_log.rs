//! The access log: each request is counted, timed and logged once, by the fast path or by the slow path.

use std::time::Duration;

use http::StatusCode;
use tracing::Level;

use super::{RequestId, outcome::RequestOutcome};
use crate::{
    cache::{Served, ServedFrom},
    report::{Exchange, Origin, ReportKey},
    telemetry::{RequestMetrics, RequestSeries},
};

/// What the log line says about the response. The code that builds a response returns its entry with it.
#[derive(Debug, Clone)]
pub(crate) struct AccessLogEntry {
    pub(super) outcome: RequestOutcome,
    pub(super) age: Option<Duration>,
    pub(super) exchange: Option<Exchange>,
    pub(super) error_key: Option<Box<str>>,
}

/// What the log line says about the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestInfo<'a> {
    pub(super) key: Option<ReportKey>,
    pub(super) id: Option<&'a RequestId>,
    pub(super) elapsed: Duration,
}

/// Counts and times requests in the metrics, and logs one line for each.
#[derive(Debug, Clone)]
pub struct AccessLog {
    metrics: RequestMetrics,
    /// The series of the usual outcomes, resolved once: 200 and 304 for each. Looking one up by label costs a hash.
    usual: [[RequestSeries; 2]; 6],
}

// === impl AccessLogEntry ===

impl AccessLogEntry {
    pub(super) fn of(served: Served) -> Self {
        let outcome = RequestOutcome::of(&served);
        let exchange = match served.from {
            ServedFrom::Fetched { exchange, .. } => Some(exchange),
            ServedFrom::StaleIfError(error) => Some(error.exchange),
            ServedFrom::Hit | ServedFrom::Stale => None,
        };
        Self { outcome, age: Some(served.age), exchange, error_key: None }
    }

    /// One line: at debug level if the response came from the cache, as most do; at info level otherwise.
    fn log(&self, about: &RequestInfo<'_>, status: StatusCode) {
        let Self { outcome, age, exchange, error_key } = self;
        let RequestInfo { key, id, elapsed } = about;
        let was_made_here = |exchange: &&Exchange| match exchange.origin {
            Origin::Upstream => **exchange != Exchange::default(),
            Origin::SharedStore => false,
        };
        let exchange = exchange.as_ref().filter(was_made_here);
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    outcome = outcome.as_str(),
                    id = key.map(|key| tracing::field::display(key.id)),
                    no_clicks = key.map(|key| key.no_clicks.as_str()),
                    age_s = age.map(|age| age.as_secs()),
                    status = status.as_u16(),
                    error_key = error_key.as_deref(),
                    wait_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                    upstream_ms = exchange.map(|exchange| exchange.elapsed.as_millis() as u64),
                    upstream_status = exchange.and_then(|exchange| exchange.status),
                    upstream_request_id = exchange.and_then(|exchange| exchange.request_id.as_deref()),
                    request_id = id.map(RequestId::as_str),
                    "request"
                )
            };
        }
        if outcome.is_from_memory() { line!(Level::DEBUG) } else { line!(Level::INFO) }
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// Resolves the series of the usual answers.
    pub fn new(metrics: RequestMetrics) -> Self {
        let usual = [
            RequestOutcome::Hit,
            RequestOutcome::Stale,
            RequestOutcome::StaleIfError,
            RequestOutcome::Miss,
            RequestOutcome::Collapsed,
            RequestOutcome::Shared,
        ];
        let usual = usual.map(|outcome| ["200", "304"].map(|code| metrics.series(outcome.as_str(), code)));
        Self { metrics, usual }
    }

    /// Counts, times and logs a response of the fast path.
    pub(super) fn hit(&self, info: &RequestInfo<'_>, served: &Served, status: StatusCode) {
        let outcome = RequestOutcome::of(served);
        self.count(outcome, status, info.elapsed);
        // The entry is built only if its line will be written.
        if !outcome.is_from_memory() || tracing::enabled!(Level::DEBUG) {
            AccessLogEntry::of(served.clone()).log(info, status);
        }
    }

    /// Counts, times and logs a response of the slow path.
    pub(super) fn answer(&self, info: &RequestInfo<'_>, entry: &AccessLogEntry, status: StatusCode) {
        self.count(entry.outcome, status, info.elapsed);
        entry.log(info, status);
    }

    fn count(&self, outcome: RequestOutcome, status: StatusCode, elapsed: Duration) {
        match (outcome.usual(), status) {
            (Some(row), StatusCode::OK) => self.usual[row][0].record(elapsed),
            (Some(row), StatusCode::NOT_MODIFIED) => self.usual[row][1].record(elapsed),
            _ => self.metrics.series(outcome.as_str(), status.as_str()).record(elapsed),
        }
    }

    /// The request metrics, with the gauge of requests in flight.
    pub(super) const fn metrics(&self) -> &RequestMetrics {
        &self.metrics
    }
}
