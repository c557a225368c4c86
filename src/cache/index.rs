//! The memory itself: an index that every hit reads, and the queue that decides what goes when there is no more room.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    Entry,
    eviction::{CHANCES, EvictionQueue},
};
use crate::{
    report::ReportKey,
    telemetry::{CacheMetrics, EvictionCause},
};

/// Writers of different keys seldom meet; readers never wait for one another.
const SHARDS: usize = 64;

/// The entries. Whoever changes them holds the lock of `changes`: index and weights agree.
#[derive(Debug)]
pub(super) struct EntryIndex {
    index: Index,
    changes: Mutex<Changes>,
    max_bytes: u64,
    metrics: CacheMetrics,
}

#[derive(Debug, Default)]
struct Changes {
    queue: EvictionQueue,
    /// The shard to look through for what is too old for anything.
    sweep: usize,
}

/// What has no room even in an empty memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooHeavy {
    pub(super) weight: u64,
}

#[derive(Debug)]
struct Index {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

type Shard = RwLock<HashMap<ReportKey, Arc<Entry>, RandomState>>;

// === impl EntryIndex ===

impl EntryIndex {
    /// A store that holds at most `max_bytes` of weight.
    pub(super) fn new(max_bytes: u64, metrics: CacheMetrics) -> Self {
        Self { index: Index::new(), changes: Mutex::default(), max_bytes, metrics }
    }

    pub(super) fn get(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.index.get(key)
    }

    /// Holds `entry`, and lets go of what there is no room for; a part of what is too old for anything goes too.
    ///
    /// # Errors
    /// [`TooHeavy`] for what is heavier than all that may be held; what was held of the key stays.
    pub(super) fn insert(&self, key: ReportKey, entry: Arc<Entry>, now: Instant) -> Result<(), TooHeavy> {
        let weight = entry.weight() as u64;
        if weight > self.max_bytes {
            return Err(TooHeavy { weight });
        }
        let mut changes = self.changes();
        changes.queue.put(key, weight, entry.hits());
        self.index.insert(key, entry);
        self.make_room(&mut changes, &key);
        self.sweep(&mut changes, now);
        Ok(())
    }

    /// Lets go of a key by hand. Was anything held?
    pub(super) fn purge(&self, key: &ReportKey) -> bool {
        let mut changes = self.changes();
        let held = self.take_out(&mut changes, key).is_some();
        if held {
            self.metrics.evicted(EvictionCause::Purged);
        }
        held
    }

    /// Lets go of an entry that is too old for anything, unless another has taken its place.
    pub(super) fn expire(&self, key: &ReportKey, entry: &Arc<Entry>) {
        let mut changes = self.changes();
        if self.get(key).is_some_and(|held| Arc::ptr_eq(&held, entry)) {
            self.take_out(&mut changes, key);
            self.metrics.evicted(EvictionCause::Expired);
        }
    }

    /// Weighs what is held of a key again.
    pub(super) fn reweigh(&self, key: &ReportKey) {
        let mut changes = self.changes();
        if let Some(held) = self.get(key) {
            changes.queue.reweigh(key, held.weight() as u64);
            self.make_room(&mut changes, key);
        }
    }

    /// Every key that is held, in order.
    pub(super) fn keys(&self) -> Vec<ReportKey> {
        let mut keys = self.index.keys();
        keys.sort_unstable();
        keys
    }

    /// The number of entries and their weight in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.changes().queue.size()
    }

    /// The bound on the weight.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    fn make_room(&self, changes: &mut Changes, newcomer: &ReportKey) {
        let mut chances = CHANCES;
        let hits = |key: &ReportKey| self.index.hits(key);
        while let Some(victim) = changes.queue.evict(self.max_bytes, newcomer, hits, &mut chances) {
            self.index.remove(&victim);
            self.metrics.evicted(EvictionCause::Size);
        }
    }

    fn sweep(&self, changes: &mut Changes, now: Instant) {
        changes.sweep = (changes.sweep + 1) % SHARDS;
        for key in self.index.dead(changes.sweep, now) {
            self.take_out(changes, &key);
            self.metrics.evicted(EvictionCause::Expired);
        }
    }

    fn take_out(&self, changes: &mut Changes, key: &ReportKey) -> Option<Arc<Entry>> {
        changes.queue.remove(key);
        self.index.remove(key)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Index ===

impl Index {
    fn new() -> Self {
        let hasher = RandomState::default();
        let shard = || RwLock::new(HashMap::with_hasher(hasher.clone()));
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), hasher }
    }

    fn get(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn hits(&self, key: &ReportKey) -> u64 {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).map_or(0, |held| held.hits())
    }

    fn insert(&self, key: ReportKey, entry: Arc<Entry>) {
        let before = self.shard(&key).write().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        // Freed outside the lock.
        drop(before);
    }

    fn remove(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    fn keys(&self) -> Vec<ReportKey> {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.keys().copied().collect::<Vec<_>>()).collect()
    }

    /// The keys of one shard whose entries are too old for anything.
    fn dead(&self, shard: usize, now: Instant) -> Vec<ReportKey> {
        let shard = self.shards[shard].read().unwrap_or_else(PoisonError::into_inner);
        shard.iter().filter(|(_, entry)| entry.is_dead(now)).map(|(key, _)| *key).collect()
    }

    fn shard(&self, key: &ReportKey) -> &Shard {
        // The map inside a shard takes the low bits and the top seven: these are the ones between.
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash >> 48) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::{
        report::{Answer, LifetimePolicy, NegativeAnswer, NegativeStatus, NoClicks},
        telemetry::Metrics,
    };

    #[test]
    fn what_is_purged_while_it_is_weighed_again_leaves_no_weight_behind() {
        let minute = Duration::from_mins(1);
        let policy = LifetimePolicy {
            ttl: minute,
            ttl_jitter: 0.0,
            empty_ttl: minute,
            negative_ttl: minute,
            stale_while_revalidate: minute,
            stale_if_error: minute,
        };
        let negative_answer = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
        let now = Instant::now();
        let entry = Arc::new(Entry::new(negative_answer, Duration::ZERO, None, &policy, now));
        let key = ReportKey { id: uuid::Uuid::from_u128(1).into(), no_clicks: NoClicks::Omitted };
        let store = EntryIndex::new(1 << 20, Metrics::new().cache);
        thread::scope(|scope| {
            let weighing = scope.spawn(|| (0..50_000).for_each(|_| store.reweigh(&key)));
            while !weighing.is_finished() {
                store.insert(key, Arc::clone(&entry), now).unwrap();
                store.purge(&key);
                assert_eq!(store.size(), (0, 0));
            }
        });
    }
}
