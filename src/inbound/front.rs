//! The first thing a request meets: what memory holds is answered here at once, the rest takes the long road.
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
    Answers, CrossOrigin, Recorder, Rejection, RequestId,
    negotiate::Wants,
    record::{About, Note},
    request_id::X_REQUEST_ID,
};
use crate::{
    cache::Demand,
    door::Body,
    report::{Call, Cause, FetchError, Fetched, ReportKey},
};

/// The tower stack that answers whatever memory cannot.
pub type LongRoad = BoxCloneSyncService<Request<Payload>, Response<Body>, Infallible>;

/// What is left of a request's body once it is at the door: whether there is one. It is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// None, as a GET or HEAD should be.
    Absent,
    /// One of some length, or of a length that is not known yet.
    Present,
}

/// The service of every connection on the data port.
#[derive(Debug)]
pub struct Front<S> {
    answers: Answers<S>,
    long_road: LongRoad,
    recorder: Recorder,
}

/// An answer, now or later.
pub enum Reply {
    /// From memory. `None` once it has been given.
    Ready(Option<Response<Body>>),
    /// By the long road.
    Later(BoxFuture<'static, Response<Body>>),
}

/// What is needed of a request once its answer is there.
struct Asked {
    id: RequestId,
    key: Option<ReportKey>,
    payload: Payload,
    start: Instant,
}

// === impl Payload ===

impl Payload {
    fn of<B: hyper::body::Body>(body: &B) -> Self {
        if body.is_end_stream() { Self::Absent } else { Self::Present }
    }
}

// === impl Front ===

impl<S> Front<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Answers so, with `long_road` for what memory cannot answer.
    pub const fn new(answers: Answers<S>, long_road: LongRoad, recorder: Recorder) -> Self {
        Self { answers, long_road, recorder }
    }

    fn reply(&self, request: Request<Payload>) -> Reply {
        let start = Instant::now();
        match panic::catch_unwind(AssertUnwindSafe(|| self.at_once(&request, start))) {
            Ok(Some(reply)) => reply,
            Ok(None) => self.by_the_long_road(request, start),
            Err(_panic) => {
                let asked = Asked::of(&request, start);
                let response = failed(&asked.id);
                Reply::Ready(Some(asked.answered(&self.recorder, response)))
            }
        }
    }

    /// Once memory has answered, and counted the hit, the answer is given from here: never by a second lookup.
    fn at_once(&self, request: &Request<Payload>, start: Instant) -> Option<Reply> {
        if self.answers.cross_origin == CrossOrigin::On && request.headers().contains_key(ORIGIN) {
            return None;
        }
        let wants = Wants::of(request.headers());
        let ask = self.answers.question(request, &wants).ok().filter(|ask| ask.demand == Demand::Usual)?;
        let served = self.answers.cache.lookup(ask.key, start).ok()?;
        // A plain hit is too common to be named; whatever else is answered can be found in the log.
        let id = wants.id().or_else(|| (!served.is_plain_hit()).then(RequestId::new));
        if let Some(response) = self.answers.responder.answer(&served, wants, id.as_ref()) {
            let about = About { key: Some(ask.key), id: id.as_ref(), elapsed: start.elapsed() };
            self.recorder.hit(&about, &served, response.status());
            return Some(Reply::Ready(Some(named(response, id))));
        }
        let (answers, recorder) = (self.answers.clone(), self.recorder.clone());
        let (asked, headers) = (Asked::of(request, start), request.headers().clone());
        Some(Reply::Later(Box::pin(async move {
            let wants = Wants::of(&headers);
            let encoded = answers.encoded(ask.key, &served, wants, id.as_ref());
            let Ok(response) = AssertUnwindSafe(encoded).catch_unwind().await else {
                let response = failed(&asked.id);
                return asked.answered(&recorder, response);
            };
            let about = About { key: Some(ask.key), id: id.as_ref(), elapsed: start.elapsed() };
            recorder.hit(&about, &served, response.status());
            named(response, id)
        })))
    }

    fn by_the_long_road(&self, mut request: Request<Payload>, start: Instant) -> Reply {
        let asked = Asked::of(&request, start);
        request.extensions_mut().insert(asked.id.clone());
        let recorder = self.recorder.clone();
        let answer = AssertUnwindSafe(self.long_road.clone().oneshot(request)).catch_unwind();
        let in_flight = InFlight::enter(self.recorder.metrics().in_flight());
        Reply::Later(Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Err(_panic) => failed(&asked.id),
            };
            let response = asked.answered(&recorder, response);
            drop(in_flight);
            response
        }))
    }
}

impl<S, B> hyper::service::Service<Request<B>> for Front<S>
where
    B: hyper::body::Body,
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<B>) -> Reply {
        self.reply(request.map(|body| Payload::of(&body)))
    }
}

/// The answer after a panic, which the hook has logged.
fn failed(id: &RequestId) -> Response<Body> {
    Rejection::from(FetchError::from(Cause::Internal)).into_response(id)
}

fn named(mut response: Response<Body>, id: Option<RequestId>) -> Response<Body> {
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id.into_header());
    }
    response
}

// === impl Reply ===

impl Future for Reply {
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
    fn of(request: &Request<Payload>, start: Instant) -> Self {
        Self {
            id: RequestId::of(request.headers()).unwrap_or_else(RequestId::new),
            key: ReportKey::parse(request.uri().path(), request.uri().query()).ok(),
            payload: *request.body(),
            start,
        }
    }

    /// Counts and logs an answer that memory did not give, and completes its head.
    fn answered(self, recorder: &Recorder, mut response: Response<Body>) -> Response<Body> {
        let Self { id, key, payload, start } = self;
        // A preflight asks for no report, and has no note.
        if let Some(note) = response.extensions_mut().remove::<Note>() {
            let about = About { key, id: Some(&id), elapsed: start.elapsed() };
            recorder.answer(&about, &note, response.status());
        }
        match payload {
            Payload::Absent => {}
            // Unread, it would be taken for the next request.
            Payload::Present => {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        named(response, Some(id))
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
