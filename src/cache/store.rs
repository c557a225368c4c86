//! The memory itself: an index that every hit reads, and moka, which decides what goes when there is no more room.
//!
//! moka writes down every read: its order of use, its sketch of frequencies, its queue between the two. That is a third
//! of what a lookup costs, and a report that is asked for a thousand times a second is no better known for it. Hence the
//! index holds the entries, and moka hears of a use only now and then.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{Arc, PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use moka::{notification::RemovalCause, sync::Cache as Moka};

use super::Entry;
use crate::{report::ReportKey, telemetry::CacheMetrics};

/// Writers of different keys seldom meet; readers never wait for one another.
const SHARDS: usize = 64;
/// One use in so many is told to moka. The first always is: a report used once is better known than one never used.
const TOLD: u64 = 32;

/// The entries.
#[derive(Debug)]
pub(super) struct Store {
    index: Index,
    /// The weight of each entry, in bytes.
    policy: Moka<ReportKey, u32, RandomState>,
}

#[derive(Debug, Clone)]
struct Index {
    shards: Arc<[Shard]>,
    hasher: RandomState,
}

type Shard = RwLock<HashMap<ReportKey, Arc<Entry>, RandomState>>;

// === impl Store ===

impl Store {
    /// A store that holds at most `max_bytes` of weight.
    pub(super) fn new(max_bytes: u64, metrics: CacheMetrics) -> Self {
        let index = Index::new();
        let evicted = index.clone();
        let policy = Moka::builder()
            .max_capacity(max_bytes)
            .weigher(|_, weight: &u32| *weight)
            .eviction_listener(move |key, _, cause| match cause {
                // Should another entry of this key have come in between, it goes too: that costs a call, and no memory.
                RemovalCause::Size | RemovalCause::Expired => {
                    evicted.remove(&key);
                    metrics.evicted("size");
                }
                RemovalCause::Explicit => metrics.evicted("purged"),
                RemovalCause::Replaced => {}
            })
            .build_with_hasher(index.hasher.clone());
        Self { index, policy }
    }

    pub(super) fn get(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.index.get(key)
    }

    /// Notes that an entry was used which had been used so often before.
    pub(super) fn used(&self, key: &ReportKey, before: u64) {
        if before.is_multiple_of(TOLD) {
            self.policy.get(key);
        }
    }

    /// Notes that a key was fetched which is not held: what is fetched often gets in.
    pub(super) fn missed(&self, key: &ReportKey) {
        self.policy.get(key);
    }

    pub(super) fn insert(&self, key: ReportKey, entry: Arc<Entry>) {
        let weight = weight_of(&entry);
        // The index first: what moka turns away at once is then there to be removed.
        self.index.insert(key, entry);
        self.policy.insert(key, weight);
    }

    pub(super) fn remove(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        let removed = self.index.remove(key);
        self.policy.invalidate(key);
        removed
    }

    /// Weighs an entry again that has grown, unless another has taken its place.
    pub(super) fn reweigh(&self, key: ReportKey, grown: &Arc<Entry>) {
        if self.get(&key).is_some_and(|held| Arc::ptr_eq(&held, grown)) {
            self.policy.insert(key, weight_of(grown));
        }
    }

    /// Every key that is held, in order.
    pub(super) fn keys(&self) -> Vec<ReportKey> {
        let mut keys = self.index.keys();
        keys.sort_unstable();
        keys
    }

    /// The number of entries and their weight in bytes, once pending evictions are carried out.
    pub(super) fn size(&self) -> (u64, u64) {
        self.policy.run_pending_tasks();
        (self.policy.entry_count(), self.policy.weighted_size())
    }
}

fn weight_of(entry: &Entry) -> u32 {
    u32::try_from(entry.weight()).unwrap_or(u32::MAX)
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

    fn shard(&self, key: &ReportKey) -> &Shard {
        // The map inside a shard takes the low bits and the top seven: these are the ones between.
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash >> 48) as usize % SHARDS]
    }
}
