//! The slow path's HTTP layers: request id, access log, tracing span, panic catching, response. For requests that the
//! fast path does not answer; `app/stack.rs` puts the layers in order.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, header::CONNECTION};
use prometheus::IntGauge;
use tower::{Service, ServiceExt};
use tracing::{Instrument, Span, field};

use super::{
    AccessLog, ActivityResponder, OptionalHeaders, RequestId, Responder, TableResponder,
    access_log::{AccessLogEntry, RequestInfo},
    pending::{BodyPresence, NextStep, Parsed, Pending, PendingRequest},
    refuse::refuse,
    request_id::X_REQUEST_ID,
    table::Shown,
};
use crate::{
    cache::{Miss, ReportCache, Served},
    report::{ActivityDetails, Cause, ClientNumber, FetchError, ReportKey},
    server::Body,
    telemetry::traces::{self, TraceContext},
};

/// A response and its access log entry.
pub(crate) type Answered = (Response<Body>, AccessLogEntry);

/// Builds the responses of the data port.
#[derive(Debug)]
pub(crate) struct Responders {
    pub(crate) reports: Arc<Responder>,
    pub(crate) tables: TableResponder,
    pub(crate) activities: ActivityResponder,
}

/// Counts a request in the gauge of requests in flight until it is dropped, also when the client disconnects.
struct InFlight(IntGauge);

/// Adds `X-Request-Id` to every response; and `Connection: close` if the request has a body, which is not read and would
/// otherwise be parsed as the next request.
pub(crate) async fn complete_head<S>(
    _: (),
    request: PendingRequest,
    next: S,
) -> Result<Response<Body>, Infallible>
where
    S: Service<PendingRequest, Response = Response<Body>, Error = Infallible>,
{
    let Pending { id, body, .. } = &**request.body();
    let (id, body) = (id.clone(), *body);
    let mut response = next.oneshot(request).await?;
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.into_header());
    match body {
        BodyPresence::Absent => {}
        BodyPresence::Present => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    Ok(response)
}

/// Counts, times and logs a request.
pub(crate) async fn record<S>(
    access_log: Arc<AccessLog>,
    request: PendingRequest,
    next: S,
) -> Result<Response<Body>, Infallible>
where
    S: Service<PendingRequest, Response = Answered, Error = Infallible>,
{
    let Pending { id, parsed, .. } = &**request.body();
    let (id, Parsed { key, client, start, .. }) = (id.clone(), *parsed);
    let in_flight = InFlight::enter(access_log.metrics().in_flight());
    let (response, entry) = next.oneshot(request).await?;
    drop(in_flight);
    let info = RequestInfo {
        key: key.ok(),
        client: client.unwrap_or(ClientNumber::ANONYMOUS),
        id: Some(&id),
        elapsed: start.elapsed(),
    };
    access_log.answer(&info, &entry, response.status());
    Ok(response)
}

/// Runs a request in its span, which is a child of the caller's if that is traced.
pub(crate) async fn trace<S>(
    optional_headers: OptionalHeaders,
    mut request: PendingRequest,
    next: S,
) -> Result<Answered, Infallible>
where
    S: Service<PendingRequest, Response = Answered, Error = Infallible>,
{
    let begun = request.body_mut().span.take();
    let Pending { id, parsed, shown, .. } = &**request.body();
    let span = match begun {
        Some(span) => {
            span.record("request_id", id.as_str());
            span
        }
        None => {
            request_span(&request, Some(id), (parsed, *shown), optional_headers.trace_of(request.headers()))
        }
    };
    let (response, entry) = next.oneshot(request).instrument(span.clone()).await?;
    traces::answered(&span, response.status(), response.headers(), entry.error_key.as_deref());
    Ok((response, entry))
}

/// The tracing span of a request, whose `id` can be recorded later. It contains only values that were parsed, never the raw path, which may hold a secret.
pub(super) fn request_span<B>(
    request: &Request<B>,
    id: Option<&RequestId>,
    (parsed, shown): (&Parsed, Shown),
    caller: Option<TraceContext>,
) -> Span {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let span = tracing::info_span!(
        "request",
        method,
        path = if parsed.key.is_ok() { "report" } else { "other" },
        id = parsed.key.ok().map(|key| field::display(key.id)),
        request_id = id.map(RequestId::as_str),
    );
    if let Some(caller) = caller {
        caller.adopt(&span);
    }
    if parsed.key.is_ok() {
        let route = match shown {
            Shown::Report => ReportKey::TEMPLATE,
            Shown::Table(format) => format.template(),
            Shown::Activity => ActivityDetails::TEMPLATE,
        };
        traces::asked(&span, route, request.uri().path());
    }
    span
}

/// Turns a panic into a 500 for this request, which the access log and the metrics show. The panic hook has logged it.
pub(crate) async fn catch_panic<S>(_: (), request: PendingRequest, next: S) -> Result<Answered, Infallible>
where
    S: Service<PendingRequest, Response = Answered, Error = Infallible>,
{
    let id = request.body().id.clone();
    match AssertUnwindSafe(next.oneshot(request)).catch_unwind().await {
        Ok(answered) => answered,
        Err(_panic) => Ok(refuse(FetchError::from(Cause::Internal).into(), &id)),
    }
}

/// Does the request's [`NextStep`]: fetches the report if it has to, then builds the response or the error response.
pub(crate) async fn respond<S>(
    (responders, memory): (Arc<Responders>, Arc<ReportCache>),
    request: PendingRequest,
    next: S,
) -> Result<Answered, Infallible>
where
    S: Service<Miss, Response = Served, Error = FetchError>,
{
    let Responders { reports: responder, tables, activities } = &*responders;
    let (head, pending) = request.into_parts();
    let Pending { id, parsed, shown, step, .. } = *pending;
    let (key, served) = match step {
        NextStep::Reject(rejection) => return Ok(refuse(rejection, &id)),
        NextStep::TellStatus(id, client) => return Ok(activities.respond(id, client).await),
        NextStep::Respond(key, served) => (key, served),
        NextStep::Fetch(miss) => {
            let key = miss.key;
            match next.oneshot(miss).await {
                Ok(served) => (key, served),
                Err(error) => return Ok(refuse(error.into(), &id)),
            }
        }
    };
    let negotiated = parsed.negotiated;
    match shown {
        Shown::Report | Shown::Activity => {}
        Shown::Table(format) => {
            let wanted = (negotiated, parsed.start);
            let made = tables.respond((key, format), &served, wanted, &head.headers, &id);
            return Ok(match made.await {
                Ok(response) => (response, AccessLogEntry::of(served)),
                Err(error) => refuse(error.into(), &id),
            });
        }
    }
    let response = match responder.respond(&served, negotiated, &head.headers, Some(&id)) {
        Some(response) => response,
        None => {
            memory.encode(key, &served.entry).await;
            let encoded = responder.respond(&served, negotiated, &head.headers, Some(&id));
            // Encoding failed.
            encoded.unwrap_or_else(|| responder.respond_plain(&served, negotiated, &head.headers, Some(&id)))
        }
    };
    Ok((response, AccessLogEntry::of(served)))
}

// === impl InFlight ===

impl InFlight {
    fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
