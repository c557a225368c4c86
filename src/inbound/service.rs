//! The data port's service: the fast path responds to cache hits at once, every other request takes the slow path.
//!
//! A fresh hit passes no tower layer, spawns nothing, boxes nothing and sets no timer: one lookup and one response head.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::{
    AccessLog, Rejection, RequestId, RequestParser, Responder,
    access_log::RequestInfo,
    parse::Detour,
    pending::{BodyPresence, NextStep, Parsed, Pending, PendingRequest},
    request_id::X_REQUEST_ID,
    slow_path::request_span,
    table::Shown,
};
use crate::{
    cache::{Cache, CacheRequest, StatusChecking, Unanswered},
    report::{ActivityDetails, Call, Cause, FetchError, Fetched, KeyError, NoClicks, ReportKey, TableFormat},
    server::Body,
    telemetry::traces::{self, TraceContext},
};

/// The service of every connection on the data port.
#[derive(Debug)]
pub struct ReportService<S> {
    parser: RequestParser,
    cache: Cache<S>,
    responder: Arc<Responder>,
    access_log: Arc<AccessLog>,
    slow_path: SlowPath,
}

/// The tower stack for requests that the fast path does not answer, with its type erased.
pub struct SlowPath(Box<StartFn>);

type StartFn = dyn Fn(PendingRequest) -> SlowFuture + Send + Sync;
type SlowFuture = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// The future of a response.
pub enum ResponseFuture {
    /// Of the fast path; `None` after it was polled.
    Ready(Option<Response<Body>>),
    /// Of the slow path.
    Later(SlowFuture),
}

// === impl ReportService ===

impl<S> ReportService<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// `slow_path` must use the same `cache`, `responder` and `access_log`.
    pub const fn new(
        parser: RequestParser,
        cache: Cache<S>,
        responder: Arc<Responder>,
        access_log: Arc<AccessLog>,
        slow_path: SlowPath,
    ) -> Self {
        Self { parser, cache, responder, access_log, slow_path }
    }

    #[allow(
        clippy::result_large_err,
        reason = "moved once, and not on a hit; a box would be an allocation for each miss"
    )]
    fn respond(&self, request: Request<BodyPresence>) -> ResponseFuture {
        let parsed = Parsed::of(&request, &self.parser.clients, Instant::now());
        // No layer catches a panic of the fast path: the slow path responds to it with 500, counts it and logs it.
        let step = match panic::catch_unwind(AssertUnwindSafe(|| self.fast_path(&request, &parsed))) {
            Ok(Ok(response)) => return ResponseFuture::Ready(Some(response)),
            Ok(Err(Detour::Step(NextStep::Reject(Rejection::Key(KeyError::NoSuchResource))))) => {
                return self.respond_with_other(request, parsed);
            }
            Ok(Err(Detour::Step(step))) => step,
            Ok(Err(Detour::Traced(wanted, caller))) => {
                return self.respond_traced(request, parsed, wanted, caller);
            }
            Err(_panic) => NextStep::Reject(FetchError::from(Cause::Internal).into()),
        };
        ResponseFuture::Later(self.slow_path.0(Pending::attach(request, parsed, Shown::Report, step)))
    }

    /// The response to a request whose caller asks for a trace: also a hit has a span then, and the refresh that it starts is
    /// linked to it.
    #[cold]
    fn respond_traced(
        &self,
        request: Request<BodyPresence>,
        parsed: Parsed,
        wanted: CacheRequest,
        caller: TraceContext,
    ) -> ResponseFuture {
        let span = request_span(&request, None, (&parsed, Shown::Report), Some(caller));
        let look_up = || span.in_scope(|| self.look_up(&request, &parsed, wanted));
        let step = match panic::catch_unwind(AssertUnwindSafe(look_up)) {
            Ok(Ok(response)) => {
                traces::answered(&span, response.status(), response.headers(), None);
                return ResponseFuture::Ready(Some(response));
            }
            Ok(Err(step)) => step,
            Err(_panic) => NextStep::Reject(FetchError::from(Cause::Internal).into()),
        };
        let mut pending = Pending::attach(request, parsed, Shown::Report, step);
        pending.body_mut().span = Some(span);
        ResponseFuture::Later(self.slow_path.0(pending))
    }

    /// The response to a request whose path is not that of a report: it may be that of a table or of an activity, which always
    /// take the slow path. Looked at only now, so that the path of a report is not compared with another first.
    #[cold]
    fn respond_with_other(&self, request: Request<BodyPresence>, parsed: Parsed) -> ResponseFuture {
        let path = request.uri().path();
        let (key, shown) = match TableFormat::parse(path, request.uri().query()) {
            Ok((key, format)) => (Ok(key), Shown::Table(format)),
            Err(KeyError::NoSuchResource) if self.cache.memory().status_checking() == StatusChecking::On => {
                let key = |id| ReportKey { id, no_clicks: NoClicks::Omitted };
                (ActivityDetails::parse_path(path).map(key), Shown::Activity)
            }
            Err(error) => (Err(error), Shown::Report),
        };
        let parsed = Parsed { key, ..parsed };
        let look_up = || {
            let wanted = match self.parser.parse(&request, parsed) {
                // Its span is begun by the slow path.
                Ok(wanted) | Err(Detour::Traced(wanted, _)) => wanted,
                Err(Detour::Step(step)) => return Err(step),
            };
            match shown {
                Shown::Report | Shown::Table(_) => {}
                Shown::Activity => return Ok(NextStep::TellStatus(wanted.key.id, wanted.client)),
            }
            match self.cache.lookup(wanted, parsed.start) {
                Ok(served) => Ok(NextStep::Respond(wanted.key, served)),
                Err(Unanswered::Miss(miss)) => Ok(NextStep::Fetch(miss)),
                Err(Unanswered::Failed(error)) => Err(NextStep::Reject(error.into())),
            }
        };
        let step = match panic::catch_unwind(AssertUnwindSafe(look_up)) {
            Ok(Ok(step) | Err(step)) => step,
            Err(_panic) => NextStep::Reject(FetchError::from(Cause::Internal).into()),
        };
        ResponseFuture::Later(self.slow_path.0(Pending::attach(request, parsed, shown, step)))
    }

    /// The response, if the cache has one ready; otherwise what the slow path has to do.
    #[allow(
        clippy::result_large_err,
        reason = "moved once, and not on a hit; a box would be an allocation for each miss"
    )]
    fn fast_path(&self, request: &Request<BodyPresence>, parsed: &Parsed) -> Result<Response<Body>, Detour> {
        let wanted = self.parser.parse(request, *parsed)?;
        self.look_up(request, parsed, wanted).map_err(Detour::Step)
    }

    #[inline]
    fn look_up(
        &self,
        request: &Request<BodyPresence>,
        parsed: &Parsed,
        wanted: CacheRequest,
    ) -> Result<Response<Body>, NextStep> {
        let Parsed { negotiated, start, .. } = *parsed;
        let served = match self.cache.lookup(wanted, start) {
            Ok(served) if self.parser.is_cross_origin(request) => {
                return Err(NextStep::Respond(wanted.key, served));
            }
            Ok(served) => served,
            Err(Unanswered::Miss(miss)) => return Err(NextStep::Fetch(miss)),
            Err(Unanswered::Failed(error)) => return Err(NextStep::Reject(error.into())),
        };
        let headers = request.headers();
        // A plain hit gets no new id, to save its cost: it is not logged at info level anyway.
        let id = negotiated.id(headers).or_else(|| (!served.is_plain_hit()).then(RequestId::new));
        match self.responder.respond(&served, negotiated, headers, id.as_ref()) {
            Some(mut response) => {
                let info = RequestInfo {
                    key: Some(wanted.key),
                    client: wanted.client,
                    id: id.as_ref(),
                    elapsed: start.elapsed(),
                };
                self.access_log.hit(&info, &served, response.status());
                if let Some(id) = id {
                    response.headers_mut().insert(X_REQUEST_ID, id.into_header());
                }
                Ok(response)
            }
            None => Err(NextStep::Respond(wanted.key, served)),
        }
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
        self.respond(request.map(|body| BodyPresence::of(&body)))
    }
}

// === impl SlowPath ===

impl SlowPath {
    /// Wraps this stack.
    pub fn new<S>(stack: S) -> Self
    where
        S: Service<PendingRequest, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        Self(Box::new(move |request| Box::pin(stack.clone().oneshot(request))))
    }
}

impl fmt::Debug for SlowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlowPath")
    }
}

// === impl ResponseFuture ===

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}
