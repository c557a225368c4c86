//! Purges that the store has not heard yet: a purge made while it is away reaches the other replicas when it is back.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use super::{Membership, PurgeScope};
use crate::report::ReportKey;

/// More keys than this are purged by purging all.
const MOST_KEYS: usize = 1_000;

/// After a purge that did not reach the store.
const RETRY: Duration = Duration::from_secs(1);

/// The purges of this replica that are still to be told.
#[derive(Debug, Default)]
pub struct PurgeQueue {
    waiting: Mutex<WaitingPurges>,
    added: Notify,
}

#[derive(Debug, Default)]
struct WaitingPurges {
    all: bool,
    keys: BTreeSet<ReportKey>,
}

// === impl PurgeQueue ===

impl PurgeQueue {
    /// Tells the store of a purge, now or when it is back.
    pub fn add(&self, scope: PurgeScope) {
        self.waiting().add(scope);
        self.added.notify_one();
    }

    /// How many purges are still to be told; a purge of all counts as one.
    pub fn len(&self) -> usize {
        let waiting = self.waiting();
        waiting.keys.len() + usize::from(waiting.all)
    }

    /// Whether all are told.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells the store of each purge, for ever.
    pub async fn run(&self, membership: &Membership) {
        loop {
            let Some(scope) = self.next() else {
                self.added.notified().await;
                continue;
            };
            match membership.run(|store, seen| store.purge(seen, scope)).await {
                Ok(fence) => {
                    membership.learn_sequence(fence.into());
                    self.waiting().told(scope);
                }
                Err(_away) => sleep(RETRY).await,
            }
        }
    }

    fn next(&self) -> Option<PurgeScope> {
        let waiting = self.waiting();
        if waiting.all { Some(PurgeScope::All) } else { waiting.keys.first().copied().map(PurgeScope::Key) }
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingPurges> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl WaitingPurges ===

impl WaitingPurges {
    fn add(&mut self, scope: PurgeScope) {
        match scope {
            PurgeScope::Key(key) if self.keys.len() < MOST_KEYS => {
                self.keys.insert(key);
            }
            PurgeScope::Key(_) | PurgeScope::All => self.all = true,
        }
        if self.all {
            self.keys.clear();
        }
    }

    fn told(&mut self, scope: PurgeScope) {
        match scope {
            PurgeScope::Key(key) => {
                self.keys.remove(&key);
            }
            PurgeScope::All => self.all = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::key;

    #[test]
    fn too_many_keys_become_a_purge_of_all() {
        let queue = PurgeQueue::default();
        for number in 0..MOST_KEYS as u128 {
            queue.add(PurgeScope::Key(key(number)));
        }
        assert_eq!(queue.len(), MOST_KEYS);
        queue.add(PurgeScope::Key(key(5_000)));
        assert_eq!((queue.len(), queue.next()), (1, Some(PurgeScope::All)));
        queue.waiting().told(PurgeScope::All);
        assert!(queue.is_empty());
    }
}
