//! The first thing a request meets: what memory holds is answered here at once, the rest takes the slow path.
//!
//! A hit passes no tower layer, spawns nothing, boxes nothing and sets no timer: it is a lookup and a head.

use std::{
    convert::Infallible,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{
    HeaderValue, Request, Response,
    header::{CONNECTION, ORIGIN},
};
use prometheus::IntGauge;
use tokio::time::Instant;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::{
    AccessLog, CrossOrigin, Rejection, RequestId, ServiceContext,
    access_log::{AccessLogEntry, RequestInfo},
    negotiate::Negotiated,
    request_id::X_REQUEST_ID,
};
use crate::{
    cache::Revalidate,
    report::{Call, Cause, FetchError, Fetched, ReportKey},
    server::Body,
};

/// The tower stack that answers whatever memory cannot.
pub type SlowPath = BoxCloneSyncService<Request<BodyPresence>, Response<Body>, Infallible>;

/// What is left of a request's body once its head is read: whether there is one. It is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyPresence {
    /// None, as a GET or HEAD should be.
    Absent,
    /// One of some length, or of a length that is not known yet.
    Present,
}

/// The service of every connection on the data port.
#[derive(Debug)]
pub struct ReportService<S> {
    answers: ServiceContext<S>,
    slow_path: SlowPath,
    access_log: AccessLog,
}

/// An answer, now or later.
pub enum ResponseFuture {
    /// From memory. `None` once it has been given.
    Ready(Option<Response<Body>>),
    /// By the slow path.
    Later(BoxFuture<'static, Response<Body>>),
}

/// What is needed of a request once its answer is there.
struct Asked {
    id: RequestId,
    key: Option<ReportKey>,
    payload: BodyPresence,
    start: Instant,
}

// === impl BodyPresence ===

impl BodyPresence {
    fn of<B: hyper::body::Body>(body: &B) -> Self {
        if body.is_end_stream() { Self::Absent } else { Self::Present }
    }
}

// === impl ReportService ===

impl<S> ReportService<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Answers so, with `slow_path` for what memory cannot answer.
    pub const fn new(answers: ServiceContext<S>, slow_path: SlowPath, access_log: AccessLog) -> Self {
        Self { answers, slow_path, access_log }
    }

    fn reply(&self, request: Request<BodyPresence>) -> ResponseFuture {
        let start = Instant::now();
        match panic::catch_unwind(AssertUnwindSafe(|| self.fast_path(&request, start))) {
            Ok(Some(reply)) => reply,
            Ok(None) => self.take_slow_path(request, start),
            Err(_panic) => {
                let asked = Asked::of(&request, start);
                let response = failed(&asked.id);
                ResponseFuture::Ready(Some(asked.answered(&self.access_log, response)))
            }
        }
    }

    /// Once memory has answered, and counted the hit, the answer is given from here: never by a second lookup.
    fn fast_path(&self, request: &Request<BodyPresence>, start: Instant) -> Option<ResponseFuture> {
        if self.answers.cross_origin == CrossOrigin::On && request.headers().contains_key(ORIGIN) {
            return None;
        }
        let negotiated = Negotiated::of(request.headers());
        let ask = self
            .answers
            .parse_request(request, &negotiated)
            .ok()
            .filter(|ask| ask.revalidate == Revalidate::WhenStale)?;
        let served = self.answers.cache.lookup(ask.key, start).ok()?;
        // A plain hit is too common to be named; whatever else is answered can be found in the log.
        let id = negotiated.id().or_else(|| (!served.is_plain_hit()).then(RequestId::new));
        if let Some(response) = self.answers.responder.answer(&served, negotiated, id.as_ref()) {
            let about = RequestInfo { key: Some(ask.key), id: id.as_ref(), elapsed: start.elapsed() };
            self.access_log.hit(&about, &served, response.status());
            return Some(ResponseFuture::Ready(Some(with_request_id(response, id))));
        }
        let (answers, access_log) = (self.answers.clone(), self.access_log.clone());
        let (asked, headers) = (Asked::of(request, start), request.headers().clone());
        Some(ResponseFuture::Later(Box::pin(async move {
            let negotiated = Negotiated::of(&headers);
            let encoded = answers.encoded(ask.key, &served, negotiated, id.as_ref());
            let Ok(response) = AssertUnwindSafe(encoded).catch_unwind().await else {
                let response = failed(&asked.id);
                return asked.answered(&access_log, response);
            };
            let about = RequestInfo { key: Some(ask.key), id: id.as_ref(), elapsed: start.elapsed() };
            access_log.hit(&about, &served, response.status());
            with_request_id(response, id)
        })))
    }

    fn take_slow_path(&self, mut request: Request<BodyPresence>, start: Instant) -> ResponseFuture {
        let asked = Asked::of(&request, start);
        request.extensions_mut().insert(asked.id.clone());
        let access_log = self.access_log.clone();
        let answer = AssertUnwindSafe(self.slow_path.clone().oneshot(request)).catch_unwind();
        let in_flight = InFlight::enter(self.access_log.metrics().in_flight());
        ResponseFuture::Later(Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Err(_panic) => failed(&asked.id),
            };
            let response = asked.answered(&access_log, response);
            drop(in_flight);
            response
        }))
    }
}

impl<S, B> hyper::service::Service<Request<B>> for ReportService<S>
where
    B: hyper::body::Body,
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        self.reply(request.map(|body| BodyPresence::of(&body)))
    }
}

/// The answer after a panic, which the hook has logged.
fn failed(id: &RequestId) -> Response<Body> {
    Rejection::from(FetchError::from(Cause::Internal)).into_response(id)
}

fn with_request_id(mut response: Response<Body>, id: Option<RequestId>) -> Response<Body> {
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id.into_header());
    }
    response
}

// === impl ResponseFuture ===

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}

// === impl Asked ===

impl Asked {
    fn of(request: &Request<BodyPresence>, start: Instant) -> Self {
        Self {
            id: RequestId::of(request.headers()).unwrap_or_else(RequestId::new),
            key: ReportKey::parse(request.uri().path(), request.uri().query()).ok(),
            payload: *request.body(),
            start,
        }
    }

    /// Counts and logs an answer that memory did not give, and completes its head.
    fn answered(self, access_log: &AccessLog, mut response: Response<Body>) -> Response<Body> {
        let Self { id, key, payload, start } = self;
        // A preflight asks for no report, and has no note.
        if let Some(note) = response.extensions_mut().remove::<AccessLogEntry>() {
            let about = RequestInfo { key, id: Some(&id), elapsed: start.elapsed() };
            access_log.answer(&about, &note, response.status());
        }
        match payload {
            BodyPresence::Absent => {}
            // Unread, it would be taken for the next request.
            BodyPresence::Present => {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        with_request_id(response, Some(id))
    }
}

/// Keeps the gauge of requests in flight right, also when a caller leaves.
struct InFlight(IntGauge);

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
