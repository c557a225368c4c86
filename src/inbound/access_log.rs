//! What became of a request: counted, timed and logged once, whatever path it took.

use std::time::Duration;

use http::StatusCode;
use tracing::Level;

use super::RequestId;
use crate::{
    cache::{Role, Served, ServedFrom},
    report::{Exchange, ReportKey},
    telemetry::{RequestMetrics, RequestSeries},
};

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// Answered from memory, fresh.
    Hit,
    /// Answered from memory, old; refreshed behind.
    Stale,
    /// Answered with an old copy where there would have been an error.
    StaleIfError,
    /// Answered with a remembered refusal of the upstream.
    NegativeHit,
    /// Answered by a call of its own.
    Miss,
    /// Answered by a call that another request made.
    Collapsed,
    /// Refused here, for what it is or for want of room.
    Rejected,
    /// Not answered: the upstream call failed.
    Error,
}

/// What the log line of a request tells; it rides on the answer, as an extension, from wherever it is known.
#[derive(Debug, Clone)]
pub(super) struct AccessLogEntry {
    pub(super) outcome: RequestOutcome,
    pub(super) age: Option<Duration>,
    pub(super) exchange: Option<Exchange>,
    pub(super) error_key: Option<Box<str>>,
}

/// What is known of a request when it arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestInfo<'a> {
    pub(super) key: Option<ReportKey>,
    pub(super) id: Option<&'a RequestId>,
    pub(super) elapsed: Duration,
}

/// Counts, times and logs.
#[derive(Debug, Clone)]
pub struct AccessLog {
    metrics: RequestMetrics,
    /// The series of answers from memory, resolved once: a full answer and a 304 for each.
    memory: [[RequestSeries; 2]; 3],
}

// === impl RequestOutcome ===

impl RequestOutcome {
    /// Each label of `requests_total{outcome}`.
    pub const ALL: [Self; 8] = [
        Self::Hit,
        Self::Stale,
        Self::StaleIfError,
        Self::NegativeHit,
        Self::Miss,
        Self::Collapsed,
        Self::Rejected,
        Self::Error,
    ];

    /// The status codes that it is answered with.
    pub const fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Hit | Self::Stale | Self::StaleIfError => &["200", "304"],
            Self::NegativeHit => &["400", "404"],
            Self::Miss | Self::Collapsed => &["200", "304", "400", "404"],
            Self::Rejected => &["400", "401", "403", "404", "405", "503"],
            Self::Error => &["500", "502", "503", "504"],
        }
    }

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::StaleIfError => "stale_if_error",
            Self::NegativeHit => "negative_hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Rejected => "rejected",
            Self::Error => "error",
        }
    }

    /// What an answer of the cache counts as.
    pub(super) fn of(served: &Served) -> Self {
        match &served.from {
            ServedFrom::Hit | ServedFrom::Stale if served.entry.negative_answer().is_some() => {
                Self::NegativeHit
            }
            ServedFrom::Hit => Self::Hit,
            ServedFrom::Stale => Self::Stale,
            ServedFrom::StaleIfError(_) => Self::StaleIfError,
            ServedFrom::Fetched { role: Role::Leader, .. } => Self::Miss,
            ServedFrom::Fetched { role: Role::Waiter, .. } => Self::Collapsed,
        }
    }

    /// Was it answered from memory, with nothing amiss?
    const fn is_from_memory(self) -> bool {
        match self {
            Self::Hit | Self::Stale | Self::NegativeHit => true,
            Self::StaleIfError | Self::Miss | Self::Collapsed | Self::Rejected | Self::Error => false,
        }
    }

    /// Where the series of an answer from memory stands, if it has one.
    const fn in_memory(self) -> Option<usize> {
        match self {
            Self::Hit => Some(0),
            Self::Stale => Some(1),
            Self::StaleIfError => Some(2),
            Self::NegativeHit | Self::Miss | Self::Collapsed | Self::Rejected | Self::Error => None,
        }
    }
}

// === impl AccessLogEntry ===

impl AccessLogEntry {
    pub(super) fn of(served: &Served) -> Self {
        let exchange = match &served.from {
            ServedFrom::Fetched { exchange, .. } => Some(exchange.clone()),
            ServedFrom::StaleIfError(error) => Some(error.exchange.clone()),
            ServedFrom::Hit | ServedFrom::Stale => None,
        };
        Self { outcome: RequestOutcome::of(served), age: Some(served.age), exchange, error_key: None }
    }

    /// One line: what memory answered is for us to read, the rest for operators.
    fn log(&self, about: &RequestInfo<'_>, status: StatusCode) {
        let Self { outcome, age, exchange, error_key } = self;
        let RequestInfo { key, id, elapsed } = about;
        let exchange = exchange.as_ref().filter(|exchange| **exchange != Exchange::default());
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
    /// Resolves the series of answers from memory.
    pub fn new(metrics: RequestMetrics) -> Self {
        let memory = [RequestOutcome::Hit, RequestOutcome::Stale, RequestOutcome::StaleIfError]
            .map(|outcome| ["200", "304"].map(|code| metrics.series(outcome.as_str(), code)));
        Self { metrics, memory }
    }

    /// Counts, times and logs an answer from memory.
    pub(super) fn hit(&self, about: &RequestInfo<'_>, served: &Served, status: StatusCode) {
        let outcome = RequestOutcome::of(served);
        match (outcome.in_memory(), status) {
            (Some(row), StatusCode::OK) => self.memory[row][0].record(about.elapsed),
            (Some(row), StatusCode::NOT_MODIFIED) => self.memory[row][1].record(about.elapsed),
            _ => self.metrics.series(outcome.as_str(), status.as_str()).record(about.elapsed),
        }
        // A note is worth making only for a line that is written.
        if !outcome.is_from_memory() || tracing::enabled!(Level::DEBUG) {
            AccessLogEntry::of(served).log(about, status);
        }
    }

    /// Counts, times and logs an answer of the slow path.
    pub(super) fn answer(&self, about: &RequestInfo<'_>, note: &AccessLogEntry, status: StatusCode) {
        self.metrics.series(note.outcome.as_str(), status.as_str()).record(about.elapsed);
        note.log(about, status);
    }

    /// The gauge of requests that are not answered yet.
    pub(super) const fn metrics(&self) -> &RequestMetrics {
        &self.metrics
    }
}
