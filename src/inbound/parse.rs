//! From a request's head to the question for the cache, or the reason why it is refused. Every request is read here once.

use http::{Method, Request, header::ORIGIN};

use super::{
    Rejection,
    negotiate::{self, Negotiated},
    pending::BodyPresence,
};
use crate::{
    cache::{CacheRequest, Revalidate},
    report::{KeyError, ReportKey},
    server::{BearerAuth, BrowserGuard},
};

/// What a caller's `Cache-Control: no-cache` is worth (`cache.client_no_cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCache {
    /// Nothing: the vendor's own samples send it with every request.
    Ignored,
    /// At most one forced refresh per key and interval.
    Limited,
}

/// Do responses differ by the `Origin` of the request? Then the slow path, where CORS is, answers those that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossOrigin {
    /// `cors.allowed_origins` is empty.
    Off,
    /// It is not.
    On,
}

/// Who may ask, and for what.
#[derive(Debug, Clone)]
pub struct RequestParser {
    /// Which web pages may have their browser ask.
    pub browser_guard: BrowserGuard,
    /// Who may ask.
    pub clients: BearerAuth,
    /// What a `no-cache` is worth.
    pub no_cache: NoCache,
    /// Do responses differ by `Origin`?
    pub cross_origin: CrossOrigin,
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

// === impl RequestParser ===

impl RequestParser {
    /// The question in a request for `key`, or why there is none. The order decides which fault is named: whether a page
    /// may have sent it that has no business here, what is not here at all, what cannot be done to it, who may not do it,
    /// and then how it is asked for.
    pub(super) fn parse(
        &self,
        request: &Request<BodyPresence>,
        negotiated: Negotiated,
        key: Result<ReportKey, KeyError>,
    ) -> Result<CacheRequest, Rejection> {
        self.browser_guard.check_host(request)?;
        negotiated.check_sender(request.headers(), &self.browser_guard)?;
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

    /// Does CORS add to the response?
    pub(super) fn is_cross_origin(&self, request: &Request<BodyPresence>) -> bool {
        self.cross_origin == CrossOrigin::On && request.headers().contains_key(ORIGIN)
    }
}
