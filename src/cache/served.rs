//! What is asked of the cache, and what it answers.

use std::{sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::Entry;
use crate::report::{Exchange, FetchError, Reason, ReportKey};

/// A caller's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRequest {
    /// The report.
    pub key: ReportKey,
    /// How new it must be.
    pub revalidate: Revalidate,
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
    /// The caller's.
    pub permit: Permit,
}

/// One of the requests that may be in flight at a time, given back by dropping this. A caller that starts a fetch hands it
/// to the fetch: that goes on when the caller hangs up, and must not make room for another.
#[derive(Debug, Default)]
pub struct Permit(#[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>);

/// An answer, and how it was come by.
#[derive(Debug, Clone)]
pub struct Served {
    /// The answer.
    pub entry: Arc<Entry>,
    /// How it was come by.
    pub from: ServedFrom,
    /// How old it is.
    pub age: Duration,
}

/// How an answer was come by.
#[derive(Debug, Clone)]
pub enum ServedFrom {
    /// From memory, fresh.
    Hit,
    /// From memory, old; it is refreshed behind.
    Stale,
    /// From a call to the upstream, which this caller waited for.
    Fetched {
        /// Who made the call.
        role: Role,
        /// Why it was made.
        forward: Forward,
        /// The call.
        exchange: Exchange,
        /// Is the answer remembered?
        stored: StoreOutcome,
    },
    /// From memory, old, where there would be an error. (Boxed: it is rare, and the others are small.)
    StaleIfError(Box<FetchError>),
}

/// Who made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This caller.
    Leader,
    /// A caller before this one; this one waited for the same answer.
    Waiter,
}

/// Is an answer of the upstream remembered?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// As an entry.
    Yes,
    /// Its key was purged meanwhile, or it is too large.
    No,
}

/// Why memory did not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Nothing of use was held.
    UriMiss,
    /// What was held had grown too old.
    Stale,
    /// The caller wanted a new one.
    Request,
}

// === impl Served ===

impl Served {
    /// A report from memory, with nothing remarkable about it.
    pub fn is_plain_hit(&self) -> bool {
        match self.from {
            ServedFrom::Hit | ServedFrom::Stale => self.entry.report().is_some(),
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
    pub(super) fn new(key: ReportKey, held: Option<Arc<Entry>>, forward: Forward) -> Self {
        Self { key, held, forward, permit: Permit::default() }
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
        CacheRequest { key: self.key, revalidate }
    }
}

// === impl CacheRequest ===

impl From<ReportKey> for CacheRequest {
    fn from(key: ReportKey) -> Self {
        Self { key, revalidate: Revalidate::WhenStale }
    }
}
