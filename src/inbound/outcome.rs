//! What a request came to, in the words of the metrics and the log.

use super::Rejection;
use crate::{
    cache::{Role, Served, ServedFrom},
    report::{Cause, FetchError, LocalDenial},
};

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// Answered from memory, fresh.
    Hit,
    /// Answered from memory, old; refreshed behind.
    Stale,
    /// Answered with an old copy where there would have been an error.
    StaleIfError,
    /// Answered with a remembered refusal of the upstream.
    NegativeHit,
    /// Answered by a call of its own.
    Miss,
    /// Answered by a call that another request made.
    Collapsed,
    /// Refused here, for what it is or for want of room.
    Rejected,
    /// Not answered: the upstream call failed.
    Error,
}

// === impl RequestOutcome ===

impl RequestOutcome {
    /// Each label of `requests_total{outcome}`.
    pub(crate) const ALL: [Self; 8] = [
        Self::Hit,
        Self::Stale,
        Self::StaleIfError,
        Self::NegativeHit,
        Self::Miss,
        Self::Collapsed,
        Self::Rejected,
        Self::Error,
    ];

    /// The status codes that it is answered with.
    pub(crate) const fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Hit | Self::Stale | Self::StaleIfError => &["200", "304"],
            Self::NegativeHit => &["400", "404"],
            Self::Miss | Self::Collapsed => &["200", "304", "400", "404"],
            Self::Rejected => &["400", "401", "403", "404", "405", "503"],
            Self::Error => &["500", "502", "503", "504"],
        }
    }

    /// The label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::StaleIfError => "stale_if_error",
            Self::NegativeHit => "negative_hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Rejected => "rejected",
            Self::Error => "error",
        }
    }

    /// What an answer of the cache counts as.
    pub(super) fn of(served: &Served) -> Self {
        match &served.from {
            ServedFrom::Hit | ServedFrom::Stale if served.entry.negative_answer().is_some() => {
                Self::NegativeHit
            }
            ServedFrom::Hit => Self::Hit,
            ServedFrom::Stale => Self::Stale,
            ServedFrom::StaleIfError(_) => Self::StaleIfError,
            ServedFrom::Fetched { role: Role::Leader, .. } => Self::Miss,
            ServedFrom::Fetched { role: Role::Waiter, .. } => Self::Collapsed,
        }
    }

    /// What a refusal counts as.
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

    /// Was it answered from memory, with nothing amiss?
    pub(super) const fn is_from_memory(self) -> bool {
        match self {
            Self::Hit | Self::Stale | Self::NegativeHit => true,
            Self::StaleIfError | Self::Miss | Self::Collapsed | Self::Rejected | Self::Error => false,
        }
    }

    /// Where the series of its usual answers stands, if it has such.
    pub(super) const fn usual(self) -> Option<usize> {
        match self {
            Self::Hit => Some(0),
            Self::Stale => Some(1),
            Self::StaleIfError => Some(2),
            Self::Miss => Some(3),
            Self::Collapsed => Some(4),
            Self::NegativeHit | Self::Rejected | Self::Error => None,
        }
    }
}
