//! What is asked of the cache, and what it answers.

use std::{sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::Entry;
use crate::report::{ClientNumber, Exchange, FetchError, Reason, ReportKey};

/// A caller's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRequest {
    /// The report.
    pub key: ReportKey,
    /// How new it must be.
    pub revalidate: Revalidate,
    /// Who asks.
    pub client: ClientNumber,
}

/// How new an answer a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revalidate {
    /// Whatever the lifetimes allow.
    WhenStale,
    /// One fetched now, unless what is held is younger than `cache.client_no_cache_interval`.
    Force,
}

/// A question that memory does not answer, with what the lookup has found out.
#[derive(Debug)]
pub struct Miss {
    /// The report.
    pub key: ReportKey,
    /// What is held: no answer, but better than an error.
    pub held: Option<Arc<Entry>>,
    /// Why memory does not answer.
    pub forward: Forward,
    /// Who asks.
    pub client: ClientNumber,
    /// The caller's.
    pub permit: Permit,
    /// How long the caller waits for the fetch.
    pub patience: Patience,
}

/// How long a caller waits for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until it ends, or the request's deadline.
    UntilEnd,
    /// For half a second; then it is served what is held (`cache.refresh = "before"`).
    Short,
}

/// One of the requests that may be in flight at a time, given back by dropping this. A caller that starts a fetch hands it
/// to the fetch: that goes on when the caller hangs up, and must not make room for another.
#[derive(Debug, Default)]
pub struct Permit(#[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>);

/// An answer, and where it came from.
#[derive(Debug, Clone)]
pub struct Served {
    /// The report or the negative answer.
    pub entry: Arc<Entry>,
    /// For `Cache-Status`, the access log and the metrics.
    pub from: ServedFrom,
    /// Since the upstream generated it, as the header `Age`.
    pub age: Duration,
}

/// Where an answer came from.
#[derive(Debug, Clone)]
pub enum ServedFrom {
    /// From memory, fresh.
    Hit,
    /// From memory, stale; a refresh in the background is due, in flight or put off.
    Stale,
    /// From a call to the upstream, which this caller waited for.
    Fetched {
        /// Did this caller start the call?
        role: Role,
        /// Why memory did not answer.
        forward: Forward,
        /// The exchange that brought the answer.
        exchange: Exchange,
        /// Is the answer in the cache now?
        stored: StoreOutcome,
    },
    /// From memory, too old to be stale-while-revalidate, because the day's calls are rationed: its refresh is put off, and
    /// nothing has failed.
    Rationed,
    /// From memory, stale, instead of this error. (Boxed: it is rare, and the others are small.)
    StaleIfError(Box<FetchError>),
}

/// The part that a caller had in a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It started the fetch.
    Leader,
    /// It waited for a fetch that another caller had started (`collapsed` in `Cache-Status`).
    Waiter,
}

/// Was an answer of the upstream stored?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// As an entry.
    Yes,
    /// Its key was purged during the fetch, or it is larger than `cache.max_bytes`.
    No,
}

/// Why memory did not answer (`fwd` of RFC 9211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// There was no usable entry.
    UriMiss,
    /// The entry was too old to be served without a call.
    Stale,
    /// The request demanded a new answer (`cache.client_no_cache`).
    Request,
}

// === impl Served ===

impl Served {
    /// A report from memory that is neither negative nor served because of an error: the fast path answers it.
    pub fn is_plain_hit(&self) -> bool {
        match self.from {
            ServedFrom::Hit | ServedFrom::Stale | ServedFrom::Rationed => self.entry.report().is_some(),
            ServedFrom::Fetched { .. } | ServedFrom::StaleIfError(_) => false,
        }
    }
}

// === impl Permit ===

impl Permit {
    /// Keeps this until it is dropped.
    pub const fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }
}

// === impl Miss ===

impl Miss {
    /// A miss without a permit.
    pub(super) fn new(request: CacheRequest, held: Option<Arc<Entry>>, forward: Forward) -> Self {
        let CacheRequest { key, revalidate: _, client } = request;
        Self { key, held, forward, client, permit: Permit::default(), patience: Patience::UntilEnd }
    }

    /// What the fetch is for. Uncached is what nothing stands in for, not even the knowledge that there is nothing.
    pub(super) const fn reason(&self) -> Reason {
        match self.held {
            Some(_) => Reason::Refresh,
            None => Reason::Miss,
        }
    }

    /// The question once more.
    pub(super) const fn request(&self) -> CacheRequest {
        let revalidate = match self.forward {
            Forward::Request => Revalidate::Force,
            Forward::UriMiss | Forward::Stale => Revalidate::WhenStale,
        };
        CacheRequest { key: self.key, revalidate, client: self.client }
    }
}

// === impl CacheRequest ===

impl From<ReportKey> for CacheRequest {
    fn from(key: ReportKey) -> Self {
        Self { key, revalidate: Revalidate::WhenStale, client: ClientNumber::ANONYMOUS }
    }
}
