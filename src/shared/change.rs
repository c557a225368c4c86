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
    /// What follows the position that was asked for, or `changes`, is not complete. `None`: it is.
    pub restart: Option<FeedRestart>,
}

/// Where to read on, if what follows a position is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedRestart {
    /// The store has lost the feed, or goes on from an older copy: read on from here, so that nothing is left out of what
    /// it has now. Who made a purge within a minute before the loss tells of it again.
    Anew(ChangeId),
    /// Changes have left the feed, or cannot be read: read on from here, and take every report as possibly purged.
    Missed(ChangeId),
}

// === impl FeedPage ===

impl FeedPage {
    /// Whether there may be changes after this page already.
    pub fn is_full(&self) -> bool {
        self.changes.len() >= PAGE_LENGTH
    }
}

// === impl FeedRestart ===

impl FeedRestart {
    /// The changes after this position are read next.
    pub const fn at(self) -> ChangeId {
        match self {
            Self::Anew(at) | Self::Missed(at) => at,
        }
    }
}
