//! The outcome of a request: the label `outcome` of `requests_total`, also in the access log.

use super::Rejection;
use crate::{
    cache::{Role, Served, ServedFrom},
    report::{Cause, FetchError, LocalDenial, Origin},
};

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// Served from the cache, fresh.
    Hit,
    /// Served from the cache, stale; refreshed in the background if the quota and a back-off allow it.
    Stale,
    /// Served from the cache, stale beyond `cache.stale_while_revalidate`: calls are rationed, so its refresh is put off.
    Rationed,
    /// A stale entry was served instead of an error.
    StaleIfError,
    /// A negative answer (400 or 404 of the upstream) was served from the cache.
    NegativeHit,
    /// This request started the fetch, and got its result.
    Miss,
    /// This request waited for a fetch that another request had started (RFC 9211 `collapsed`).
    Collapsed,
    /// Another replica had fetched it: got from the shared store, without a call.
    Shared,
    /// Rejected by the proxy: not a valid request, not authenticated, or shed because of overload.
    Rejected,
    /// No report: the fetch failed or was not allowed, and no entry could be served instead.
    Error,
}

// === impl RequestOutcome ===

impl RequestOutcome {
    /// Every outcome: the values of the label `outcome`.
    pub(crate) const ALL: [Self; 10] = [
        Self::Hit,
        Self::Stale,
        Self::Rationed,
        Self::StaleIfError,
        Self::NegativeHit,
        Self::Miss,
        Self::Collapsed,
        Self::Shared,
        Self::Rejected,
        Self::Error,
    ];

    /// The status codes that can occur with this outcome: the values of the label `code`.
    pub(crate) const fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Hit | Self::Stale | Self::Rationed | Self::StaleIfError => &["200", "304"],
            Self::NegativeHit => &["400", "404"],
            Self::Miss | Self::Collapsed | Self::Shared => &["200", "304", "400", "404"],
            Self::Rejected => &["400", "401", "403", "404", "405", "503"],
            Self::Error => &["500", "502", "503", "504"],
        }
    }

    /// The label's value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Rationed => "rationed",
            Self::StaleIfError => "stale_if_error",
            Self::NegativeHit => "negative_hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Shared => "shared",
            Self::Rejected => "rejected",
            Self::Error => "error",
        }
    }

    /// The outcome of a request that the cache served.
    pub(super) fn of(served: &Served) -> Self {
        match &served.from {
            ServedFrom::Hit | ServedFrom::Stale | ServedFrom::Rationed
                if served.entry.negative_answer().is_some() =>
            {
                Self::NegativeHit
            }
            ServedFrom::Hit => Self::Hit,
            ServedFrom::Stale => Self::Stale,
            ServedFrom::Rationed => Self::Rationed,
            ServedFrom::StaleIfError(_) => Self::StaleIfError,
            ServedFrom::Fetched { exchange, .. } if exchange.origin == Origin::SharedStore => Self::Shared,
            ServedFrom::Fetched { role: Role::Leader, .. } => Self::Miss,
            ServedFrom::Fetched { role: Role::Waiter, .. } => Self::Collapsed,
        }
    }

    /// The outcome of a request that was rejected or failed.
    pub(super) const fn of_rejection(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::Browser(_)
            | Rejection::Key(_)
            | Rejection::UnexpectedBody
            | Rejection::Method { .. }
            | Rejection::Unauthenticated
            | Rejection::Fetch(FetchError { cause: Cause::Local(LocalDenial::Overloaded), .. }) => {
                Self::Rejected
            }
            Rejection::Fetch(_) => Self::Error,
        }
    }

    /// Was it served from the cache, without an error? Such requests are logged at debug level only.
    pub(super) const fn is_from_memory(self) -> bool {
        match self {
            Self::Hit | Self::Stale | Self::Rationed | Self::NegativeHit => true,
            Self::StaleIfError
            | Self::Miss
            | Self::Collapsed
            | Self::Shared
            | Self::Rejected
            | Self::Error => false,
        }
    }

    /// The index of its series among those that [`AccessLog`](super::AccessLog) resolves once, if it is one of them.
    pub(super) const fn usual(self) -> Option<usize> {
        match self {
            Self::Hit => Some(0),
            Self::Stale => Some(1),
            Self::StaleIfError => Some(2),
            Self::Miss => Some(3),
            Self::Collapsed => Some(4),
            Self::Rationed => Some(5),
            Self::Shared => Some(6),
            Self::NegativeHit | Self::Rejected | Self::Error => None,
        }
    }
}
