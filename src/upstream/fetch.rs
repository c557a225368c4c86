//! One call: the question as HTTP, the answer as the domain's words.

use std::{
    error::Error as StdError,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header::RETRY_AFTER};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceExt as _};

use super::{
    body::{self, Encoding},
    request::Origin,
    retry_after,
};
use crate::{
    report::{
        Answer, Call, Cause, Exchange, FetchError, Fetched, InvalidReport, LinkReport, Refusal,
        RefusalStatus, ReportKey,
    },
    telemetry::UpstreamMetrics,
};

/// The vendor's support asks for it (AWS API Gateway).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Gateways' ids are UUIDs; a longer one is not worth a line of log.
const MAX_REQUEST_ID: usize = 128;

/// An error's body is a sentence. A page of HTML past this says no more than none.
const MAX_ERROR_BODY: u64 = 64 * 1024;

/// The vendor's word for a spent day; every other 429 is taken for the second's limit, which heals by itself.
const QUOTA_EXCEEDED: &str = "quota_exceeded";

/// A 429 without `Retry-After` speaks of the current second.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// What one attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// From the call to the last byte of the body.
    pub attempt: Duration,
    /// The longest body, in bytes, as sent and once decoded.
    pub max_body: u64,
}

/// Answers a [`Call`] by asking the upstream over `S`.
#[derive(Debug, Clone)]
pub struct Fetch<S> {
    road: S,
    origin: Origin,
    limits: FetchLimits,
    metrics: UpstreamMetrics,
}

// === impl Fetch ===

impl<S> Fetch<S> {
    /// Asks `origin` over `road`.
    pub fn new(road: S, origin: Origin, limits: FetchLimits, metrics: UpstreamMetrics) -> Self {
        Self { road, origin, limits, metrics }
    }
}

impl<S, B> Service<Call> for Fetch<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Fetched;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Fetched, FetchError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        // Getting the road ready is part of the attempt, and of its deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Self { road, origin, limits, metrics } = self.clone();
        async move {
            let mut exchange = Exchange::default();
            let started = Instant::now();
            let attempt = attempt(road, &origin, call.key, limits.max_body, &mut exchange);
            let result = timeout(limits.attempt, attempt).await.unwrap_or(Err(Cause::Timeout));
            exchange.elapsed = started.elapsed();
            // Refused before anything left: no call to count, and the refusing room has said why.
            if !matches!(result, Err(Cause::TokenUnavailable)) {
                record(&metrics, call, &result, &exchange);
            }
            match result {
                Ok(answer) => Ok(Fetched { answer, exchange }),
                Err(cause) => Err(FetchError { cause, exchange }),
            }
        }
        .boxed()
    }
}

async fn attempt<S, B>(
    road: S,
    origin: &Origin,
    key: ReportKey,
    max_body: u64,
    exchange: &mut Exchange,
) -> Result<Answer, Cause>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let request = origin.request(&key).map_err(|_error| Cause::Internal)?;
    let (head, body) = road.oneshot(request).await?.into_parts();
    exchange.status = Some(head.status.as_u16());
    exchange.request_id = request_id(&head.headers);
    match head.status {
        StatusCode::OK => {
            let encoding = Encoding::of(&head.headers)?;
            let body = body::read(body, encoding, max_body).await?;
            Ok(Answer::Report(LinkReport::parse(key.id, &body)?))
        }
        StatusCode::BAD_REQUEST => Ok(refusal(RefusalStatus::BadRequest, &head.headers, body).await),
        StatusCode::NOT_FOUND => Ok(refusal(RefusalStatus::NotFound, &head.headers, body).await),
        StatusCode::UNAUTHORIZED => Err(Cause::Unauthorized),
        StatusCode::FORBIDDEN => Err(Cause::Forbidden),
        StatusCode::TOO_MANY_REQUESTS => Err(too_many(&head.headers, body).await),
        other => Err(Cause::Status { status: other.as_u16() }),
    }
}

async fn refusal<B>(status: RefusalStatus, headers: &HeaderMap, body: B) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    Answer::Refusal(Refusal::parse(status, &error_body(headers, body).await.unwrap_or_default()))
}

async fn too_many<B>(headers: &HeaderMap, body: B) -> Cause
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let body = error_body(headers, body).await.unwrap_or_default();
    let asked = headers.get(RETRY_AFTER).and_then(|value| retry_after::parse(value, SystemTime::now()));
    match Refusal::error_key_of(&body).as_deref() {
        // How far midnight is, is the ledger's to say.
        Some(QUOTA_EXCEEDED) => Cause::QuotaExhausted { retry_after: asked.unwrap_or_default() },
        Some(_) | None => Cause::Throttled { retry_after: asked.unwrap_or(THROTTLED_FOR) },
    }
}

/// The status has been said already: an error's body that cannot be read only leaves it without words.
async fn error_body<B>(headers: &HeaderMap, body: B) -> Result<Vec<u8>, InvalidReport>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    body::read(body, Encoding::of(headers)?, MAX_ERROR_BODY).await
}

/// Only an id that is safe in a line of log.
fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sane = (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then(|| text.into())
}

fn record(metrics: &UpstreamMetrics, call: Call, result: &Result<Answer, Cause>, exchange: &Exchange) {
    let Exchange { status, request_id, elapsed } = exchange;
    metrics.called(call.reason.as_str(), *status, *elapsed);
    match result {
        Err(Cause::Throttled { .. }) => metrics.throttled("throttled"),
        Err(Cause::QuotaExhausted { .. }) => metrics.throttled(QUOTA_EXCEEDED),
        Ok(_) | Err(_) => {}
    }
    let (key, reason) = (call.key, call.reason.as_str());
    let (request_id, upstream_ms) = (request_id.as_deref(), elapsed.as_millis() as u64);
    match result {
        Ok(_) => tracing::debug!(%key, reason, status, request_id, upstream_ms, "upstream call"),
        Err(cause) => {
            tracing::warn!(%key, reason, status, request_id, upstream_ms, "upstream call failed: {cause}");
        }
    }
}
