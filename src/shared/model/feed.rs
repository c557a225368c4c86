//! The change feed of the model: the newest changes, with the ids that a Redis stream would give them.

use std::collections::VecDeque;

use crate::shared::{
    Change, ChangeId, ChangeKind, FeedPage,
    change::PAGE_LENGTH,
    feed_window::{FEED_LENGTH, FeedWindow},
};

/// The newest changes, and where they end.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelFeed {
    changes: VecDeque<Change>,
}

// === impl ModelFeed ===

impl ModelFeed {
    pub(super) fn push(&mut self, now: u64, kind: ChangeKind) {
        let newest = self.newest();
        let next = ChangeId { ms: newest.ms, n: newest.n + 1 };
        self.changes.push_back(Change { id: next.max(ChangeId { ms: now, n: 0 }), kind });
        if self.changes.len() > FEED_LENGTH {
            self.changes.pop_front();
        }
    }

    pub(super) fn newest(&self) -> ChangeId {
        self.changes.back().map_or_else(ChangeId::default, |change| change.id)
    }

    pub(super) fn window(&self) -> FeedWindow {
        FeedWindow {
            first: self.changes.front().map_or_else(ChangeId::default, |change| change.id),
            newest: self.newest(),
            length: self.changes.len(),
        }
    }

    pub(super) fn after(&self, after: ChangeId) -> FeedPage {
        match self.window().restart(after) {
            Some(restart) => FeedPage { changes: Vec::new(), restart: Some(restart) },
            None => {
                let changes = self.changes.iter().filter(|change| change.id > after);
                FeedPage { changes: changes.take(PAGE_LENGTH).cloned().collect(), restart: None }
            }
        }
    }
}
