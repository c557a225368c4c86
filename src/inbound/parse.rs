//! Parses and authenticates a request, once: a `CacheRequest` for the cache, or the reason why it is rejected.

use http::{Method, Request, header::ORIGIN};

use super::{
    Rejection, negotiate,
    pending::{BodyPresence, Parsed},
};
use crate::{
    cache::{CacheRequest, Revalidate},
    report::KeyError,
    server::{BearerAuth, BrowserGuard},
};

/// What a client's `Cache-Control: no-cache` does (`cache.client_no_cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCache {
    /// Nothing: the vendor's own code samples send it with every request.
    Ignored,
    /// Forces a refresh, at most once per key and `cache.client_no_cache_interval`.
    Limited,
}

/// Do responses depend on the request's `Origin`? Then requests with an `Origin` take the slow path, which has the CORS
/// layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossOrigin {
    /// `cors.allowed_origins` is empty.
    Off,
    /// `cors.allowed_origins` lists at least one origin.
    On,
}

/// What is allowed: browser pages, client tokens, `no-cache`.
#[derive(Debug, Clone)]
pub struct RequestParser {
    /// Rejects requests sent by pages of other web sites.
    pub browser_guard: BrowserGuard,
    /// The client tokens that are accepted.
    pub clients: BearerAuth,
    /// What a client's `no-cache` does.
    pub no_cache: NoCache,
    /// Do responses depend on `Origin`?
    pub cross_origin: CrossOrigin,
}

// === impl CrossOrigin ===

impl CrossOrigin {
    /// The value of `Allow` in a 405.
    const fn allow(self) -> &'static str {
        match self {
            Self::Off => "GET, HEAD",
            Self::On => "GET, HEAD, OPTIONS",
        }
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
            return Err(Rejection::Method { allow: self.cross_origin.allow() });
        }
        let client = client.ok_or(Rejection::Unauthenticated)?;
        match request.body() {
            BodyPresence::Absent => {}
            BodyPresence::Present => return Err(Rejection::UnexpectedBody),
        }
        let revalidate = match self.no_cache {
            NoCache::Limited if negotiate::asks_for_no_cache(request.headers()) => Revalidate::Force,
            NoCache::Limited | NoCache::Ignored => Revalidate::WhenStale,
        };
        Ok(CacheRequest { key: key?, revalidate, client })
    }

    /// Does the CORS layer have to add headers to the response?
    pub(super) fn is_cross_origin(&self, request: &Request<BodyPresence>) -> bool {
        self.cross_origin == CrossOrigin::On && request.headers().contains_key(ORIGIN)
    }
}
