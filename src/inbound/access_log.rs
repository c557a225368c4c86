//! The access log: each request is counted, timed and logged once, by the fast path or by the slow path.

use std::{sync::OnceLock, time::Duration};

use http::StatusCode;
use tracing::Level;

use super::{RequestId, outcome::RequestOutcome};
use crate::{
    cache::{Served, ServedFrom},
    report::{ClientNumber, Exchange, Origin, ReportKey},
    telemetry::{ClientMetrics, RequestMetrics, RequestSeries},
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
    pub(super) client: ClientNumber,
    pub(super) id: Option<&'a RequestId>,
    pub(super) elapsed: Duration,
}

/// Counts and times requests in the metrics, and logs one line for each.
#[derive(Debug)]
pub struct AccessLog {
    metrics: RequestMetrics,
    clients: ClientMetrics,
    /// By the client's number, from its first usual outcome on.
    usual: Box<[OnceLock<UsualSeries>; ClientNumber::COUNT]>,
}

/// The series of the usual outcomes of a client, resolved once: 200 and 304 for each. Looking one up by label costs a hash.
type UsualSeries = [[RequestSeries; 2]; 7];

// === impl AccessLogEntry ===

impl AccessLogEntry {
    pub(super) fn of(served: Served) -> Self {
        let outcome = RequestOutcome::of(&served);
        let exchange = match served.from {
            ServedFrom::Fetched { exchange, .. } => Some(exchange),
            ServedFrom::StaleIfError(error) => Some(error.exchange),
            ServedFrom::Hit | ServedFrom::Stale | ServedFrom::Rationed => None,
        };
        Self { outcome, age: Some(served.age), exchange, error_key: None }
    }

    /// One line: at debug level if the response came from the cache, as most do; at info level otherwise.
    fn log(&self, about: &RequestInfo<'_>, client: Option<&str>, status: StatusCode) {
        let Self { outcome, age, exchange, error_key } = self;
        let RequestInfo { key, client: _, id, elapsed } = about;
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
                    client,
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
    /// Counts requests in `metrics`, under the names of `clients`.
    pub fn new(metrics: RequestMetrics, clients: ClientMetrics) -> Self {
        Self { metrics, clients, usual: Box::new([const { OnceLock::new() }; ClientNumber::COUNT]) }
    }

    /// Counts, times and logs a response of the fast path.
    pub(super) fn hit(&self, info: &RequestInfo<'_>, served: &Served, status: StatusCode) {
        let outcome = RequestOutcome::of(served);
        self.count(outcome, status, info);
        // The entry is built only if its line will be written.
        if !outcome.is_from_memory() || tracing::enabled!(Level::DEBUG) {
            AccessLogEntry::of(served.clone()).log(info, self.token_holder(info.client), status);
        }
    }

    /// Counts, times and logs a response of the slow path.
    pub(super) fn answer(&self, info: &RequestInfo<'_>, entry: &AccessLogEntry, status: StatusCode) {
        self.count(entry.outcome, status, info);
        entry.log(info, self.token_holder(info.client), status);
    }

    fn count(&self, outcome: RequestOutcome, status: StatusCode, info: &RequestInfo<'_>) {
        let RequestInfo { client, elapsed, .. } = *info;
        let usual = || self.usual[client.index()].get_or_init(|| self.resolve(client));
        match (outcome.usual(), status) {
            (Some(row), StatusCode::OK) => usual()[row][0].record(elapsed),
            (Some(row), StatusCode::NOT_MODIFIED) => usual()[row][1].record(elapsed),
            _ => {
                self.metrics.series(outcome.as_str(), status.as_str(), self.name(client)).record(elapsed);
            }
        }
    }

    #[cold]
    fn resolve(&self, client: ClientNumber) -> UsualSeries {
        let usual = [
            RequestOutcome::Hit,
            RequestOutcome::Stale,
            RequestOutcome::StaleIfError,
            RequestOutcome::Miss,
            RequestOutcome::Collapsed,
            RequestOutcome::Rationed,
            RequestOutcome::Shared,
        ];
        let name = self.name(client);
        usual.map(|outcome| ["200", "304"].map(|code| self.metrics.series(outcome.as_str(), code, name)))
    }

    /// The name for the log, where a token says who asks.
    fn token_holder(&self, client: ClientNumber) -> Option<&str> {
        (client != ClientNumber::ANONYMOUS).then(|| self.name(client))
    }

    fn name(&self, client: ClientNumber) -> &str {
        self.clients.name(client.index())
    }

    /// The request metrics, with the gauge of requests in flight.
    pub(super) const fn metrics(&self) -> &RequestMetrics {
        &self.metrics
    }
}
