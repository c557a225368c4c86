//! What is counted of one of the two reports of an activity.

use tokio::time::Instant;

use super::derivable::Derivable;
use crate::telemetry::EvictionCause;

/// The statistics of one of the two reports of an activity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormStatistics {
    /// How often the upstream has answered for it: with a report, or with a 400 or 404.
    pub fetches: u32,
    /// The last removal of its entry.
    pub removed: Option<Removed>,
    /// Whether it can be derived from the activity's other report.
    pub(super) derivable: Derivable,
    /// The entry's count of hits as it was last seen here.
    pub(super) hits: u64,
    pub(super) hits_at_last_fetch: u64,
}

/// An entry was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Why.
    pub why: EvictionCause,
    /// When.
    pub at: Instant,
}

// === impl FormStatistics ===

impl FormStatistics {
    /// How often it was answered from memory since the last fetch, where its entry has this many `hits` (`None`: no
    /// entry).
    pub fn hits_since_last_fetch(&self, hits: Option<u64>) -> u64 {
        hits.unwrap_or(self.hits).saturating_sub(self.hits_at_last_fetch)
    }
}
