//! What is asked of the cache, and what it answers.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use super::Entry;
use crate::report::{Exchange, FetchError, ReportKey};

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

/// A place among the requests in flight, which its holder gives back by dropping this. A caller that makes a call hands
/// it to the call: that goes on when the caller hangs up, and must not make room for another.
#[derive(Default)]
pub struct Permit {
    held: Option<Box<dyn Any + Send>>,
}

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
    /// Wraps what gives the place back when it is dropped.
    pub fn new(held: impl Any + Send) -> Self {
        Self { held: Some(Box::new(held)) }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("held", &self.held.is_some()).finish()
    }
}

// === impl CacheRequest ===

impl From<ReportKey> for CacheRequest {
    fn from(key: ReportKey) -> Self {
        Self { key, revalidate: Revalidate::WhenStale }
    }
}
