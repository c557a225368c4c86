//! Parses and authenticates a request, once: a `CacheRequest` for the cache, or the reason why it is rejected.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use http::{HeaderMap, Method, Request, header::ORIGIN};

use super::{
    Rejection, negotiate,
    pending::{BodyPresence, NextStep, Parsed},
};
use crate::{
    cache::{CacheRequest, Revalidate},
    report::KeyError,
    server::{AllowedOrigins, BearerAuth, BrowserGuard},
    telemetry::traces::TraceContext,
};

/// What a client's `Cache-Control: no-cache` does (`cache.client_no_cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCache {
    /// Nothing: the vendor's own code samples send it with every request.
    Ignored,
    /// Forces a refresh, at most once per key and `cache.client_no_cache_interval`.
    Limited,
}

/// Are the traces recorded that callers ask for by their `traceparent`?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallersTraces {
    /// Yes.
    Recorded,
    /// No: `traceparent` is ignored.
    Ignored,
}

/// Which headers that matter only with some settings are read: `Cache-Control` and `traceparent`. In one value, so that a hit
/// checks once that there are none. Cheap to clone; all clones see a new one at once.
#[derive(Debug, Clone)]
pub struct OptionalHeaders(Arc<AtomicU8>);

/// Why a request is not simply looked up.
#[derive(Debug)]
pub(super) enum Detour {
    /// The slow path does this.
    Step(NextStep),
    /// It is looked up in a span: the caller has asked for a trace. An error, so that a hit has no further case.
    Traced(CacheRequest, TraceContext),
}

/// What is allowed: browser pages, client tokens, `no-cache`.
#[derive(Debug, Clone)]
pub struct RequestParser {
    /// Rejects requests sent by pages of other web sites.
    pub browser_guard: BrowserGuard,
    /// The client tokens that are accepted.
    pub clients: BearerAuth,
    /// What a client's `no-cache` does, and its `traceparent`.
    pub optional_headers: OptionalHeaders,
    /// With any, responses depend on the request's `Origin`: then requests with an `Origin` take the slow path, which has
    /// the CORS layer.
    pub allowed_origins: AllowedOrigins,
}

// === impl Detour ===

impl<E: Into<Rejection>> From<E> for Detour {
    fn from(error: E) -> Self {
        Self::Step(NextStep::Reject(error.into()))
    }
}

// === impl OptionalHeaders ===

impl OptionalHeaders {
    const NO_CACHE: u8 = 1;
    const TRACEPARENT: u8 = 2;

    /// These rules.
    pub fn new(no_cache: NoCache, traces: CallersTraces) -> Self {
        let headers = Self(Arc::new(AtomicU8::new(match traces {
            CallersTraces::Recorded => Self::TRACEPARENT,
            CallersTraces::Ignored => 0,
        })));
        headers.replace(no_cache);
        headers
    }

    /// From now on this rule for `no-cache`.
    pub fn replace(&self, no_cache: NoCache) {
        match no_cache {
            NoCache::Limited => self.0.fetch_or(Self::NO_CACHE, Ordering::Relaxed),
            NoCache::Ignored => self.0.fetch_and(!Self::NO_CACHE, Ordering::Relaxed),
        };
    }

    #[inline]
    fn none_is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn read(&self, header: u8) -> bool {
        self.0.load(Ordering::Relaxed) & header != 0
    }

    /// The context of the caller's trace, if traces are recorded and it sent a valid one.
    pub(super) fn trace_of(&self, headers: &HeaderMap) -> Option<TraceContext> {
        self.read(Self::TRACEPARENT).then(|| TraceContext::received(headers)).flatten()
    }

    fn revalidate(&self, headers: &HeaderMap) -> Revalidate {
        if self.read(Self::NO_CACHE) && negotiate::asks_for_no_cache(headers) {
            Revalidate::Force
        } else {
            Revalidate::WhenStale
        }
    }
}

// === impl RequestParser ===

impl RequestParser {
    /// What to look up for a request, or why it takes another way. If a request has several faults, the first
    /// is reported: 403 (browser page), 404 (path), 405 (method), 401 (client token), then 400 (body, parameters).
    #[allow(
        clippy::result_large_err,
        reason = "moved once, and not on a hit; a box would be an allocation for each miss"
    )]
    pub(super) fn parse(
        &self,
        request: &Request<BodyPresence>,
        Parsed { key, negotiated, client, start: _ }: Parsed,
    ) -> Result<CacheRequest, Detour> {
        self.browser_guard.check_host(request)?;
        negotiated.check_sender(request.headers(), &self.browser_guard)?;
        if key == Err(KeyError::NoSuchResource) {
            return Err(KeyError::NoSuchResource.into());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allow = if self.allowed_origins.is_empty() { "GET, HEAD" } else { "GET, HEAD, OPTIONS" };
            return Err(Rejection::Method { allow }.into());
        }
        let client = client.ok_or(Rejection::Unauthenticated)?;
        match request.body() {
            BodyPresence::Absent => {}
            BodyPresence::Present => return Err(Rejection::UnexpectedBody.into()),
        }
        let wanted = CacheRequest { key: key?, revalidate: Revalidate::WhenStale, client };
        if self.optional_headers.none_is_read() {
            return Ok(wanted);
        }
        self.with_optional_headers(request.headers(), wanted)
    }

    #[cold]
    #[allow(
        clippy::result_large_err,
        reason = "moved once, and not on a hit; a box would be an allocation for each miss"
    )]
    fn with_optional_headers(
        &self,
        headers: &HeaderMap,
        wanted: CacheRequest,
    ) -> Result<CacheRequest, Detour> {
        let wanted = CacheRequest { revalidate: self.optional_headers.revalidate(headers), ..wanted };
        match self.optional_headers.trace_of(headers).filter(TraceContext::is_sampled) {
            Some(caller) => Err(Detour::Traced(wanted, caller)),
            None => Ok(wanted),
        }
    }

    /// Does the CORS layer have to add headers to the response?
    pub(super) fn is_cross_origin(&self, request: &Request<BodyPresence>) -> bool {
        !self.allowed_origins.is_empty() && request.headers().contains_key(ORIGIN)
    }
}
