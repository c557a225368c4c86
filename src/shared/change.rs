//! The change feed: a bounded stream of what other replicas have changed, without bodies.

use super::{Epoch, Fence};
use crate::report::ReportKey;

/// One read of the feed returns at most so many changes.
pub(super) const PAGE_LENGTH: usize = 256;

/// A position in the feed: the last change that was read. Redis's `ms-n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ChangeId {
    /// Milliseconds by the store's clock.
    pub ms: u64,
    /// The number within the millisecond.
    pub n: u64,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position.
    pub id: ChangeId,
    /// What changed.
    pub kind: ChangeKind,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// A report was stored.
    Report {
        /// Its key.
        key: ReportKey,
        /// Its fence.
        fence: Fence,
    },
    /// A flight failed.
    Failure {
        /// Its key.
        key: ReportKey,
        /// Why.
        why: Box<str>,
    },
    /// Reports were purged.
    Purge {
        /// `None`: all.
        key: Option<ReportKey>,
        /// Older ones are not to be served.
        fence: Fence,
    },
    /// The token record was written.
    Token {
        /// Its version.
        version: u64,
    },
    /// A lockout began or ended.
    Lockout,
    /// A new epoch began.
    Epoch(Epoch),
}

/// What a read of the feed returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// In order, at most 256; empty if nothing changed while the read waited.
    pub changes: Vec<Change>,
    /// Changes after the position that was asked for, or after `changes`, are not in the feed any more or cannot be read,
    /// or the position is ahead of it: read on from here, and take every report as possibly outdated.
    pub restart_at: Option<ChangeId>,
}

// === impl FeedPage ===

impl FeedPage {
    /// Whether there may be changes after this page already.
    pub fn is_full(&self) -> bool {
        self.changes.len() >= PAGE_LENGTH
    }
}
