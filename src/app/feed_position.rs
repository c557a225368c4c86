//! Where this replica is in the feed of the fleet's changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shared::ChangeId;

/// The last change that was heeded. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct FeedPosition(Arc<Mutex<Heeded>>);

/// Who heeded it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Heeded {
    /// Nothing was read yet.
    #[default]
    Nothing,
    /// The process that made the snapshot from which this one continues: changes since then are still to be read.
    Before(ChangeId),
    /// This process.
    Now(ChangeId),
}

/// Whether changes can have been missed between two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continued {
    /// This process continues from a snapshot, and reads the feed for the first time.
    FromSnapshot,
    /// It has read the feed before, or began with nothing.
    No,
}

// === impl FeedPosition ===

impl FeedPosition {
    /// The last change that was heeded; `None` before the first.
    pub(super) fn get(&self) -> Option<ChangeId> {
        match *self.heeded() {
            Heeded::Nothing => None,
            Heeded::Before(change) | Heeded::Now(change) => Some(change),
        }
    }

    /// This process continues from a snapshot that has all changes up to this one.
    pub(super) fn continue_from(&self, change: ChangeId) {
        *self.heeded() = Heeded::Before(change);
    }

    /// All changes up to this one were heeded.
    pub(super) fn heeded_up_to(&self, change: ChangeId) {
        *self.heeded() = Heeded::Now(change);
    }

    /// Whether the next read is the first one after a snapshot.
    pub(super) fn continued(&self) -> Continued {
        match *self.heeded() {
            Heeded::Before(_) => Continued::FromSnapshot,
            Heeded::Nothing | Heeded::Now(_) => Continued::No,
        }
    }

    fn heeded(&self) -> MutexGuard<'_, Heeded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_read_after_a_snapshot_is_told_from_the_others() {
        let (position, at) = (FeedPosition::default(), |ms| ChangeId { ms, n: 0 });
        assert_eq!((position.get(), position.continued()), (None, Continued::No));
        position.heeded_up_to(at(1));
        assert_eq!(position.continued(), Continued::No);
        position.continue_from(at(5));
        assert_eq!((position.get(), position.continued()), (Some(at(5)), Continued::FromSnapshot));
        position.heeded_up_to(at(6));
        assert_eq!((position.get(), position.continued()), (Some(at(6)), Continued::No));
    }
}
