//! Parses and authenticates a request, once: a `CacheRequest` for the cache, or the reason why it is rejected.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Method, Request, header::ORIGIN};

use super::{
    Rejection, negotiate,
    pending::{BodyPresence, Parsed},
};
use crate::{
    cache::{CacheRequest, Revalidate},
    report::KeyError,
    server::{AllowedOrigins, BearerAuth, BrowserGuard},
};

/// What a client's `Cache-Control: no-cache` does (`cache.client_no_cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCache {
    /// Nothing: the vendor's own code samples send it with every request.
    Ignored,
    /// Forces a refresh, at most once per key and `cache.client_no_cache_interval`.
    Limited,
}

/// The rule for `no-cache`. Cheap to clone; all clones see a new one at once.
#[derive(Debug, Clone)]
pub struct NoCacheRule(Arc<AtomicBool>);

/// What is allowed: browser pages, client tokens, `no-cache`.
#[derive(Debug, Clone)]
pub struct RequestParser {
    /// Rejects requests sent by pages of other web sites.
    pub browser_guard: BrowserGuard,
    /// The client tokens that are accepted.
    pub clients: BearerAuth,
    /// What a client's `no-cache` does.
    pub no_cache: NoCacheRule,
    /// With any, responses depend on the request's `Origin`: then requests with an `Origin` take the slow path, which has
    /// the CORS layer.
    pub allowed_origins: AllowedOrigins,
}

// === impl NoCacheRule ===

impl NoCacheRule {
    /// This rule.
    pub fn new(no_cache: NoCache) -> Self {
        Self(Arc::new(AtomicBool::new(no_cache == NoCache::Limited)))
    }

    /// From now on this rule.
    pub fn replace(&self, no_cache: NoCache) {
        self.0.store(no_cache == NoCache::Limited, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> NoCache {
        if self.0.load(Ordering::Relaxed) { NoCache::Limited } else { NoCache::Ignored }
    }
}

// === impl RequestParser ===

impl RequestParser {
    /// What to look up for a request, or why it is rejected. If a request has several faults, the first
    /// is reported: 403 (browser page), 404 (path), 405 (method), 401 (client token), then 400 (body, parameters).
    pub(super) fn parse(
        &self,
        request: &Request<BodyPresence>,
        Parsed { key, negotiated, client, start: _ }: Parsed,
    ) -> Result<CacheRequest, Rejection> {
        self.browser_guard.check_host(request)?;
        negotiated.check_sender(request.headers(), &self.browser_guard)?;
        if key == Err(KeyError::NoSuchResource) {
            return Err(KeyError::NoSuchResource.into());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allow = if self.allowed_origins.is_empty() { "GET, HEAD" } else { "GET, HEAD, OPTIONS" };
            return Err(Rejection::Method { allow });
        }
        let client = client.ok_or(Rejection::Unauthenticated)?;
        match request.body() {
            BodyPresence::Absent => {}
            BodyPresence::Present => return Err(Rejection::UnexpectedBody),
        }
        let revalidate = match self.no_cache.get() {
            NoCache::Limited if negotiate::asks_for_no_cache(request.headers()) => Revalidate::Force,
            NoCache::Limited | NoCache::Ignored => Revalidate::WhenStale,
        };
        Ok(CacheRequest { key: key?, revalidate, client })
    }

    /// Does the CORS layer have to add headers to the response?
    pub(super) fn is_cross_origin(&self, request: &Request<BodyPresence>) -> bool {
        !self.allowed_origins.is_empty() && request.headers().contains_key(ORIGIN)
    }
}
