//! One upstream call: sends the request, reads the response as an `Answer` or a `Cause`, records metrics and a log
//! line.

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, response::Parts};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::Instant;
use tracing::Span;

use super::{
    RecentCalls, headers,
    request::request,
    response::{self, BodyLimits},
};
use crate::{
    middleware::Next,
    report::{
        Answer, Call, Cause, ClientNumber, Exchange, FetchError, Fetched, Reason, RefusalNote, ReportKey,
        UpstreamFailure, UpstreamLimit,
    },
    settings::BaseUrl,
    telemetry::{CallStatus, ThrottleKind, UpstreamMetrics, traces},
};

/// The limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    /// The timeout, from the start of the call to the last byte of the body.
    pub attempt: Duration,
    /// The largest body in bytes, both as sent and decoded.
    pub max_body: u64,
}

/// Runs a [`Call`] against the upstream with the client `C`; also a
/// [`StatisticsCall`](crate::report::StatisticsCall).
#[derive(Debug, Clone)]
pub(crate) struct Fetch<C> {
    client: C,
    base_url: BaseUrl,
    limits: FetchLimits,
    metrics: UpstreamMetrics,
    recent: RecentCalls,
}

/// What the metrics and the log line of an attempt say about its call.
#[derive(Clone, Copy)]
pub(super) struct AttemptInfo<'a> {
    pub(super) reason: Reason,
    /// Whose request is the reason.
    pub(super) client: ClientNumber,
    pub(super) what: &'a dyn fmt::Display,
}

// === impl Fetch ===

impl<C> Fetch<C> {
    /// Calls the API at `base_url` with `client`. Each call is counted in `metrics` and noted in `recent`.
    pub(crate) fn new(
        client: C,
        base_url: BaseUrl,
        limits: FetchLimits,
        (metrics, recent): (UpstreamMetrics, RecentCalls),
    ) -> Self {
        Self { client, base_url, limits, metrics, recent }
    }

    pub(super) const fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// The limits of an attempt that starts now, of which a body has at most `max_body` bytes.
    pub(super) fn limits_from_now(&self, max_body: u64) -> BodyLimits {
        let deadline = Instant::now() + self.limits.attempt;
        BodyLimits { max: self.limits.max_body.min(max_body), deadline }
    }

    /// Sends a request and waits for the head of its response. Fills `exchange`.
    pub(super) async fn send<B>(
        &self,
        request: Result<Request<Empty<Bytes>>, http::Error>,
        deadline: Instant,
        exchange: &mut Exchange,
    ) -> Result<(Parts, B, Instant), Cause>
    where
        C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    {
        let mut request = request.map_err(|_error| Cause::Internal)?;
        let note = RefusalNote::default();
        request.extensions_mut().insert(note.clone());
        let answered = response::in_time(deadline, self.client.run(request)).await;
        let (head, body) = match (answered, note.read()) {
            (Ok(answered), _) => answered.into_parts(),
            (Err(Cause::Upstream(UpstreamFailure::Timeout)), Some(sent)) => {
                exchange.status = Some(StatusCode::UNAUTHORIZED.as_u16());
                exchange.sent_generation = Some(sent);
                return Err(UpstreamFailure::Unauthorized.into());
            }
            (Err(cause), _) => return Err(cause),
        };
        exchange.status = Some(head.status.as_u16());
        exchange.request_id = headers::request_id(&head.headers);
        // The `Date` of an answer that a cache had stored is of when it was generated. With its `Age` added it would be the
        // time by the clock of that cache, and not by the upstream's.
        exchange.date = headers::date(&head.headers).filter(|_| headers::age(&head.headers).is_zero());
        exchange.sent_generation = head.extensions.get().copied();
        Ok((head, body, Instant::now()))
    }

    /// Records the metrics and the log line of an attempt that has ended.
    pub(super) fn ended<A>(
        &self,
        about: AttemptInfo<'_>,
        started: Instant,
        result: Result<A, Cause>,
        mut exchange: Exchange,
    ) -> Result<(A, Exchange), FetchError> {
        exchange.elapsed = started.elapsed();
        // A local denial is not a call: nothing was sent, and the module that denied it has logged and counted it.
        if !matches!(result, Err(Cause::Local(_))) {
            record(&self.metrics, about, &result, &exchange);
            let (status, request_id) = (exchange.status, exchange.request_id.as_deref());
            let error_key = result.as_ref().err().map(Cause::as_str);
            traces::called(&Span::current(), (status, request_id), error_key);
            self.recent.ended((about.reason.as_str(), about.what), result.as_ref().err(), &exchange);
        }
        match result {
            Ok(answer) => Ok((answer, exchange)),
            Err(cause) => Err(FetchError { exchange, ..cause.into() }),
        }
    }

    async fn attempt<B>(
        &self,
        key: ReportKey,
        exchange: &mut Exchange,
    ) -> Result<(Answer, Instant, Duration), Cause>
    where
        C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let request = request(&self.base_url, &key.path_and_query());
        if let Ok(request) = &request {
            traces::calling(&Span::current(), request.uri(), ReportKey::TEMPLATE);
        }
        let limits = self.limits_from_now(u64::MAX);
        let (head, body, answered_at) = self.send(request, limits.deadline, exchange).await?;
        let age = headers::age(&head.headers);
        Ok((response::read(key.id, &head, body, limits).await?, answered_at, age))
    }
}

impl<C, B> Next<Call> for Fetch<C>
where
    C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Fetched;
    type Error = FetchError;

    async fn run(&self, call: Call) -> Result<Fetched, FetchError> {
        let mut exchange = Exchange::default();
        let started = Instant::now();
        let result = self.attempt(call.key, &mut exchange).await;
        let about = AttemptInfo { reason: call.reason, client: call.client, what: &call.key };
        let ((answer, answered_at, age), exchange) = self.ended(about, started, result, exchange)?;
        Ok(Fetched { answer, answered_at, age, exchange, stands_in_for: None })
    }
}

fn record<A>(
    metrics: &UpstreamMetrics,
    AttemptInfo { reason, client, what }: AttemptInfo<'_>,
    result: &Result<A, Cause>,
    exchange: &Exchange,
) {
    let Exchange { status, request_id, sent_generation: _, date: _, elapsed, origin: _, flight: _ } =
        exchange;
    let end = match (result, *status) {
        (Err(Cause::Upstream(UpstreamFailure::Invalid(_))), _) => CallStatus::Invalid,
        (_, Some(status)) => CallStatus::Status(status),
        (_, None) => CallStatus::NoStatus,
    };
    metrics.called(reason.as_str(), client.index(), end, *elapsed);
    if let Some((limit, _wait)) = result.as_ref().err().and_then(Cause::limit_reached) {
        metrics.throttled(match limit {
            UpstreamLimit::PerSecond => ThrottleKind::Throttled,
            UpstreamLimit::PerDay => ThrottleKind::QuotaExceeded,
            UpstreamLimit::Unspecified => ThrottleKind::Unspecified,
        });
    }
    let reason = reason.as_str();
    let (request_id, upstream_ms) = (request_id.as_deref(), elapsed.as_millis() as u64);
    match result {
        Ok(_) => tracing::debug!(key = %what, reason, status, request_id, upstream_ms, "upstream call"),
        Err(cause) => {
            tracing::warn!(key = %what, reason, status, request_id, upstream_ms, "upstream call failed: {cause}");
        }
    }
}

#[cfg(test)]
mod tests;
