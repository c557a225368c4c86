//! Sends spans that have ended to the receiver, in batches: OTLP over HTTP, as protobuf.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::queue::{EndedSpans, exported_spans, lost_spans};

/// Spans of one request: of some 100 kB.
const BATCH: usize = 512;
/// A span waits at most so long for others.
const GATHERED_FOR: Duration = Duration::from_secs(5);
/// The longest that the receiver may take for a batch. It has to be fast: meanwhile the queue fills.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// A response is small: it counts the spans that were rejected.
const MAX_RESPONSE: usize = 64 * 1_024;
/// Losses are told at most once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Sends the spans that end, from a task of its own.
pub struct TraceExporter<C> {
    spans: EndedSpans,
    receiver: Receiver<C>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    losses: Losses,
}

/// Has everything sent that is still queued.
#[derive(Debug, Clone)]
pub struct TraceFlush(mpsc::Sender<oneshot::Sender<()>>);

/// Where the spans go.
struct Receiver<C> {
    client: Client<C, Full<Bytes>>,
    url: Uri,
    resource: ResourceAttributesWithSchema,
}

/// What the log says about spans that were lost.
#[derive(Debug)]
struct Losses {
    /// Of `trace_spans_lost_total`, at the last line.
    told: u64,
    told_at: Option<Instant>,
}

/// Why a batch was lost.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("it cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("it did not answer within {} s", SENT_WITHIN.as_secs())]
    Timeout,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it rejected some of them")]
    Rejected(u64),
}

// === impl TraceExporter ===

impl<C: Connect + Clone + Send + Sync + 'static> TraceExporter<C> {
    /// Sends `spans` to `url`. It connects when there are some.
    pub fn new(spans: EndedSpans, url: Uri, connector: C) -> (Self, TraceFlush) {
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let resource = ResourceAttributesWithSchema::from(&spans.resource);
        let (flush, flushes) = mpsc::channel(1);
        let losses = Losses { told: lost_spans().get(), told_at: None };
        let receiver = Receiver { client, url, resource };
        (Self { spans, receiver, flushes, losses }, TraceFlush(flush))
    }

    /// Never completes.
    pub async fn run(mut self) {
        loop {
            let mut batch = Vec::new();
            let flushed = self.gather(&mut batch).await;
            self.send(batch).await;
            if let Some(flushed) = flushed {
                // What ended before the flush was asked for is queued.
                for _ in 0..self.spans.queued.len().div_ceil(BATCH) {
                    let mut batch = Vec::new();
                    self.spans.queued.recv_many(&mut batch, BATCH).await;
                    self.send(batch).await;
                }
                let _nobody_waits = flushed.send(());
            }
        }
    }

    /// Waits for spans until the batch is full or its first has waited long enough. Returns a flush that was asked for.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> Option<oneshot::Sender<()>> {
        let Self { spans: EndedSpans { queued, .. }, flushes, .. } = self;
        let mut until = None;
        while batch.len() < BATCH {
            let time_is_up = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The spans that a flush is for come first.
                biased;
                count = queued.recv_many(batch, BATCH - batch.len()) => {
                    if count == 0 {
                        // The subscriber has ended: a process without one.
                        std::future::pending::<()>().await;
                    }
                    until.get_or_insert_with(|| Instant::now() + GATHERED_FOR);
                }
                Some(flush) = flushes.recv() => return Some(flush),
                () = time_is_up => break,
            }
        }
        None
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = match count {
            0 => Ok(()),
            _ => timeout(SENT_WITHIN, self.receiver.post(batch)).await.unwrap_or(Err(ExportError::Timeout)),
        };
        let lost = match &result {
            Ok(()) => 0,
            Err(ExportError::Rejected(rejected)) => (*rejected).min(count),
            Err(ExportError::Unreachable(_) | ExportError::Timeout | ExportError::Status(_)) => count,
        };
        exported_spans().inc_by(count - lost);
        lost_spans().inc_by(lost);
        if let Some(lost) = self.losses.untold(lost_spans().get(), Instant::now()) {
            log(lost, result.err());
        }
    }
}

impl<C> fmt::Debug for TraceExporter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceExporter").field("url", &self.receiver.url).finish_non_exhaustive()
    }
}

// === impl TraceFlush ===

impl TraceFlush {
    /// Completes when everything that is queued now was sent, or is lost. To be given a deadline.
    pub async fn flush(&self) {
        let (flushed, waiting) = oneshot::channel();
        if self.0.send(flushed).await.is_ok() {
            let _sent_or_ended = waiting.await;
        }
    }
}

// === impl Receiver ===

impl<C: Connect + Clone + Send + Sync + 'static> Receiver<C> {
    /// Not tried again: what is lost are spans, and others are waiting.
    async fn post(&self, batch: Vec<SpanData>) -> Result<(), ExportError> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let product = concat!("link-report-proxy/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(product));
        let response = self.client.request(request).await.map_err(ExportError::Unreachable)?;
        if !response.status().is_success() {
            return Err(ExportError::Status(response.status()));
        }
        // Read to its end, so that the connection can be used again.
        let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
        let told = body.ok().and_then(|body| ExportTraceServiceResponse::decode(body.to_bytes()).ok());
        let rejected = told.and_then(|told| told.partial_success).map_or(0, |part| part.rejected_spans);
        match u64::try_from(rejected) {
            Ok(rejected @ 1..) => Err(ExportError::Rejected(rejected)),
            Ok(0) | Err(_) => Ok(()),
        }
    }
}

/// Logs what was lost; `error` is the last reason.
fn log(lost: u64, error: Option<ExportError>) {
    match error {
        Some(error) => {
            // What the connector says; what is between says only that it said something.
            let cause = std::error::Error::source(&error).and_then(std::error::Error::source);
            let cause = cause.map(ToString::to_string);
            tracing::warn!(lost, cause, "spans were not delivered to telemetry.otlp_endpoint: {error}");
        }
        None => tracing::warn!(
            lost,
            "spans were not delivered to telemetry.otlp_endpoint: more ended than it took; a smaller \
             telemetry.trace_ratio makes fewer"
        ),
    }
}

// === impl Losses ===

impl Losses {
    /// How many were lost since they were last told, of `total`. `None`: none, or it was told a moment ago.
    fn untold(&mut self, total: u64, now: Instant) -> Option<u64> {
        let lost = total - self.told;
        let is_time = self.told_at.is_none_or(|told_at| now >= told_at + TOLD_EVERY);
        (lost > 0 && is_time).then(|| {
            (self.told, self.told_at) = (total, Some(now));
            lost
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_most_once_a_minute_and_none_is_left_out() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut losses = Losses { told: 5, told_at: None };
        assert_eq!(losses.untold(5, at(0)), None);
        assert_eq!(losses.untold(7, at(1)), Some(2));
        assert_eq!(losses.untold(17, at(60)), None);
        assert_eq!(losses.untold(18, at(61)), Some(11));
        assert_eq!(losses.untold(18, at(200)), None);
    }
}
