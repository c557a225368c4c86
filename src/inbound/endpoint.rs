//! Where HTTP ends: a request becomes a question for the cache.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use tokio::{sync::Semaphore, time::Instant};
use tower::Service;

use super::{
    BodyPresence, Rejection, RequestId, Responder,
    access_log::AccessLogEntry,
    negotiate::{self, Negotiated},
};
use crate::{
    cache::{Cache, CacheRequest, Permit, Revalidate, Served, Unanswered},
    report::{Call, FetchError, Fetched, KeyError, LocalDenial, ReportKey},
    server::{BearerAuth, Body, BrowserGuard},
};

/// What a caller's `Cache-Control: no-cache` is worth (`cache.client_no_cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCache {
    /// Nothing: the vendor's own samples send it with every request.
    Ignored,
    /// At most one forced refresh per key and interval.
    Limited,
}

/// Do answers differ by the `Origin` of the request? Then the slow path answers those that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossOrigin {
    /// `cors.allowed_origins` is empty.
    Off,
    /// It is not.
    On,
}

/// What both paths know of answering: who may ask, what is remembered, how an answer looks.
#[derive(Debug, Clone)]
pub struct ServiceContext<S> {
    /// Which web pages may have their browser ask.
    pub browser_guard: BrowserGuard,
    /// Who may ask.
    pub clients: BearerAuth,
    /// What a `no-cache` is worth.
    pub no_cache: NoCache,
    /// The cache, with the calls behind it.
    pub cache: Cache<S>,
    /// How an answer looks.
    pub responder: Arc<Responder>,
    /// Do answers differ by `Origin`?
    pub cross_origin: CrossOrigin,
}

/// The one resource.
#[derive(Debug, Clone)]
pub struct ReportEndpoint<S> {
    answers: ServiceContext<S>,
    /// One permit for each question that may be in flight.
    in_flight: Arc<Semaphore>,
}

// === impl CrossOrigin ===

impl CrossOrigin {
    /// The methods that a 405 points to.
    const fn allow(self) -> &'static str {
        match self {
            Self::Off => "GET, HEAD",
            Self::On => "GET, HEAD, OPTIONS",
        }
    }
}

// === impl ServiceContext ===

impl<S> ServiceContext<S> {
    /// The question in a request, or why there is none. The order decides which fault is named: whether a page may have
    /// sent it that has no business here, what is not here at all, what cannot be done to it, who may not do it, and then
    /// how it is asked for.
    pub(super) fn parse_request(
        &self,
        request: &Request<BodyPresence>,
        negotiated: &Negotiated<'_>,
    ) -> Result<CacheRequest, Rejection> {
        self.browser_guard.check_host(request)?;
        negotiated.check_sender(&self.browser_guard)?;
        let key = ReportKey::parse(request.uri().path(), request.uri().query());
        if key == Err(KeyError::NoSuchResource) {
            return Err(KeyError::NoSuchResource.into());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Rejection::Method { allow: self.cross_origin.allow() });
        }
        if !self.clients.admit(request.headers()) {
            return Err(Rejection::Unauthenticated);
        }
        match request.body() {
            BodyPresence::Absent => {}
            BodyPresence::Present => return Err(Rejection::UnexpectedBody),
        }
        let revalidate = match self.no_cache {
            NoCache::Limited if negotiate::asks_for_no_cache(request.headers()) => Revalidate::Force,
            NoCache::Limited | NoCache::Ignored => Revalidate::WhenStale,
        };
        Ok(CacheRequest { key: key?, revalidate })
    }
}

impl<S> ServiceContext<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// What memory can answer takes no room; where it cannot, a quick no is kinder than a queue, and an old copy kinder
    /// than a no.
    fn shed(&self, CacheRequest { key, revalidate }: CacheRequest) -> Result<Served, FetchError> {
        match revalidate {
            Revalidate::WhenStale => match self.cache.lookup(key, Instant::now()) {
                Ok(served) => return Ok(served),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Absent(_)) => {}
            },
            Revalidate::Force => {}
        }
        self.cache.memory().stale_if_error(&key, LocalDenial::Overloaded.into())
    }

    /// The answer in a variant that has to be made first; plain if it cannot be made.
    pub(super) async fn encoded(
        &self,
        key: ReportKey,
        served: &Served,
        negotiated: Negotiated<'_>,
        id: Option<&RequestId>,
    ) -> Response<Body> {
        self.cache.memory().encode(key, &served.entry).await;
        let encoded = self.responder.answer(served, negotiated, id);
        encoded.unwrap_or_else(|| self.responder.answer_plain(served, negotiated, id))
    }
}

// === impl ReportEndpoint ===

impl<S> ReportEndpoint<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// The resource, answered so, to `max_in_flight` questions at one time (`server.max_in_flight`).
    pub fn new(answers: ServiceContext<S>, max_in_flight: NonZeroUsize) -> Self {
        let permits = max_in_flight.get().min(Semaphore::MAX_PERMITS);
        Self { answers, in_flight: Arc::new(Semaphore::new(permits)) }
    }

    async fn answer(self, request: Request<BodyPresence>) -> Result<Response<Body>, Rejection> {
        let Self { answers, in_flight } = self;
        let negotiated = Negotiated::of(request.headers());
        let ask = answers.parse_request(&request, &negotiated)?;
        let id = request.extensions().get::<RequestId>().cloned();
        let served = match in_flight.try_acquire_owned() {
            // A call that is made for it keeps the place until it ends, also when the caller has hung up.
            Ok(place) => answers.cache.clone().answer(ask, Permit::new(place)).await?,
            Err(_full) => answers.shed(ask)?,
        };
        let mut response = match answers.responder.answer(&served, negotiated, id.as_ref()) {
            Some(response) => response,
            None => answers.encoded(ask.key, &served, negotiated, id.as_ref()).await,
        };
        response.extensions_mut().insert(AccessLogEntry::of(&served));
        Ok(response)
    }
}

impl<S> Service<Request<BodyPresence>> for ReportEndpoint<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<BodyPresence>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
