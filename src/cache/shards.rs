//! The stored entries by key, in shards.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{Arc, PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    Entry,
    eviction::{KeyUse, Replaced},
};
use crate::report::ReportKey;

/// So that writers of different keys seldom wait for the same lock. Readers never wait for one another.
pub(super) const SHARDS: usize = 64;

/// A map of all entries that every hit reads.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

type Shard = RwLock<HashMap<ReportKey, Arc<Entry>, RandomState>>;

// === impl Shards ===

impl Shards {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let shard = || RwLock::new(HashMap::with_hasher(hasher.clone()));
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), hasher }
    }

    pub(super) fn get(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn used(&self, key: &ReportKey) -> KeyUse {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(key).map_or(KeyUse { hits: 0, replaced: Replaced::No }, |held| KeyUse {
            hits: held.hits(),
            replaced: held.queue.take_replaced(),
        })
    }

    pub(super) fn insert(&self, key: ReportKey, entry: Arc<Entry>) {
        let before = self.shard(&key).write().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        // Its memory is freed outside the lock.
        drop(before);
    }

    pub(super) fn remove(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    pub(super) fn keys(&self) -> Vec<ReportKey> {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.keys().copied().collect::<Vec<_>>()).collect()
    }

    pub(super) fn each(&self, mut see: impl FnMut(&Arc<Entry>)) {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.for_each(|shard| shard.values().for_each(&mut see));
    }

    /// The keys of one shard whose entries are of no more use, and when the next of the others will be.
    pub(super) fn dead(&self, shard: usize, now: Instant) -> (Vec<ReportKey>, Option<Instant>) {
        let shard = self.shards[shard].read().unwrap_or_else(PoisonError::into_inner);
        let (mut dead, mut next) = (Vec::new(), None);
        for (key, entry) in &*shard {
            if entry.is_dead(now) {
                dead.push(*key);
            } else {
                next = earlier(next, entry.dead_from());
            }
        }
        (dead, next)
    }

    fn shard(&self, key: &ReportKey) -> &Shard {
        &self.shards[self.shard_of(key)]
    }

    pub(super) fn shard_of(&self, key: &ReportKey) -> usize {
        // The shard's own map uses the lowest bits and the top seven: these are between them.
        (self.hasher.hash_one(key) >> 48) as usize % SHARDS
    }
}

/// The earlier of two times, where one may not be known.
pub(super) fn earlier(known: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(known.map_or(other, |known| known.min(other)))
}
