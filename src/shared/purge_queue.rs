//! Purges that the store has not heard yet: a purge made while it is away reaches the other replicas when it is back.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{Membership, PurgeScope};
use crate::report::ReportKey;

/// More keys than this are purged by purging all.
const MOST_KEYS: usize = 1_000;

/// After a purge that did not reach the store.
const RETRY: Duration = Duration::from_secs(1);

/// A store that has lost writes has lost those of this time before the last contact at most: it is told of the purges among
/// them again.
const REPEATED: Duration = Duration::from_mins(1);

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
    /// What the store is being told of: no longer in `keys` or `all`, where the same may be added meanwhile.
    telling: Option<PurgeScope>,
    /// What the store was told of, and when.
    told: VecDeque<(Instant, PurgeScope)>,
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
        waiting.keys.len() + usize::from(waiting.all) + usize::from(waiting.telling.is_some())
    }

    /// Whether all are told.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a purge of this key is still to be told: what the store has of it is not to be served.
    pub fn concerns(&self, key: &ReportKey) -> bool {
        let waiting = self.waiting();
        let is_being_told = waiting.telling.is_some_and(|scope| scope.concerns(key));
        is_being_told || waiting.all || waiting.keys.contains(key)
    }

    /// Whether this replica has purged this key after this time, and has told the store: which may have lost it since.
    pub fn told_after(&self, key: &ReportKey, time: Instant) -> bool {
        self.waiting().told.iter().rev().any(|(told, scope)| *told > time && scope.concerns(key))
    }

    /// Tells the store of each purge, for ever; of the last ones again when it has lost writes.
    pub async fn run(&self, membership: &Membership) {
        let mut epochs = membership.epochs();
        loop {
            self.repeat_lost(membership);
            let next = self.waiting().next();
            let Some(scope) = next else {
                tokio::select! {
                    () = self.added.notified() => {}
                    // Its sender lives as long as the membership.
                    _epoch = epochs.changed() => {}
                }
                continue;
            };
            match membership.run(|store, seen| store.purge(seen, scope)).await {
                Ok(fence) => {
                    membership.learn_sequence(fence.into());
                    match scope {
                        PurgeScope::All => membership.learn_purged(fence),
                        PurgeScope::Key(_) => {}
                    }
                    // Before it forgets those of long ago: the operation itself may have met a new epoch.
                    self.repeat_lost(membership);
                    self.waiting().told(scope, Instant::now());
                }
                Err(_away) => sleep(RETRY).await,
            }
        }
    }

    fn repeat_lost(&self, membership: &Membership) {
        if let Some(contact) = membership.take_lost_since() {
            self.waiting().repeat(contact);
        }
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

    /// What the store is told of next; the same again until it was [`told`](Self::told).
    fn next(&mut self) -> Option<PurgeScope> {
        if self.telling.is_none() {
            self.telling = if std::mem::take(&mut self.all) {
                Some(PurgeScope::All)
            } else {
                self.keys.pop_first().map(PurgeScope::Key)
            };
        }
        self.telling
    }

    fn told(&mut self, scope: PurgeScope, now: Instant) {
        self.telling = None;
        self.forget(now);
        if self.told.len() == MOST_KEYS {
            self.told.clear();
            self.told.push_back((now, PurgeScope::All));
        } else {
            self.told.push_back((now, scope));
        }
    }

    /// Since this contact the store has lost writes.
    fn repeat(&mut self, contact: Instant) {
        self.forget(contact);
        for (_, scope) in std::mem::take(&mut self.told) {
            self.add(scope);
        }
    }

    fn forget(&mut self, now: Instant) {
        self.told.retain(|(told, _)| *told + REPEATED > now);
    }
}

// === impl PurgeScope ===

impl PurgeScope {
    fn concerns(self, key: &ReportKey) -> bool {
        match self {
            Self::Key(purged) => purged == *key,
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::key;

    /// Tells the store of all that waits.
    fn tell(queue: &PurgeQueue) {
        let mut waiting = queue.waiting();
        while let Some(scope) = waiting.next() {
            waiting.told(scope, Instant::now());
        }
    }

    #[test]
    fn too_many_keys_become_a_purge_of_all() {
        let queue = PurgeQueue::default();
        for number in 0..MOST_KEYS as u128 {
            queue.add(PurgeScope::Key(key(number)));
        }
        assert_eq!(queue.len(), MOST_KEYS);
        queue.add(PurgeScope::Key(key(5_000)));
        assert_eq!((queue.len(), queue.waiting().next()), (1, Some(PurgeScope::All)));
        tell(&queue);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_purged_again_while_the_store_is_told_of_it_is_told_again() {
        let queue = PurgeQueue::default();
        for (first, then) in
            [(PurgeScope::Key(key(1)), PurgeScope::Key(key(1))), (PurgeScope::All, PurgeScope::Key(key(1)))]
        {
            queue.add(first);
            assert_eq!(queue.waiting().next(), Some(first));
            assert!(queue.concerns(&key(1)) && queue.len() == 1, "until the store has replied");
            queue.add(then);
            queue.waiting().told(first, Instant::now());
            assert!(queue.concerns(&key(1)));
            assert_eq!(queue.waiting().next(), Some(then));
            tell(&queue);
            assert!(queue.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_has_lost_writes_is_told_again_of_the_purges_before_the_last_contact() {
        let queue = PurgeQueue::default();
        for (number, after) in [(1, 0), (2, 30), (3, 50)] {
            tokio::time::advance(Duration::from_secs(after)).await;
            queue.add(PurgeScope::Key(key(number)));
            tell(&queue);
        }
        assert!(queue.is_empty());
        let contact = Instant::now();
        tokio::time::advance(Duration::from_mins(10)).await;
        queue.waiting().repeat(contact);
        assert_eq!((queue.len(), queue.concerns(&key(1)), queue.concerns(&key(3))), (2, false, true));
    }
}
