//! How a cached entry is: the words of `GET /cache` and `GET /cache/{id}`.

use tokio::time::Instant;

use crate::{
    cache::{Entry, Freshness, Refresh, ReportCache},
    report::ReportKey,
};

/// How an entry would be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryState {
    Fresh,
    /// Served at once, and refreshed.
    Stale,
    /// Served if a call fails.
    StaleIfError,
    /// Not served.
    Expired,
}

// === impl EntryState ===

impl EntryState {
    pub(super) fn of(key: &ReportKey, entry: &Entry, memory: &ReportCache, now: Instant) -> Self {
        match entry.freshness(now) {
            Freshness::Fresh => Self::Fresh,
            Freshness::Stale | Freshness::StaleIfError | Freshness::Expired
                if matches!(
                    memory.refresh_of(key, entry, now),
                    Refresh::Planned(_) | Refresh::AfterProbe | Refresh::OnceSent
                ) =>
            {
                Self::Fresh
            }
            Freshness::Stale | Freshness::StaleIfError | Freshness::Expired
                if entry.negative_answer().is_some() =>
            {
                Self::Expired
            }
            Freshness::Stale => Self::Stale,
            Freshness::StaleIfError => Self::StaleIfError,
            Freshness::Expired => Self::Expired,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::StaleIfError => "stale_if_error",
            Self::Expired => "expired",
        }
    }
}

/// Whether it is a report.
pub(super) fn kind_of(entry: &Entry) -> &'static str {
    if entry.report().is_some() { "report" } else { "refusal" }
}
