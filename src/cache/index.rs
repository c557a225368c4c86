//! The stored entries: an index that every hit reads, and the queue that decides which entry is evicted.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Entry, PlanClock, Removed,
    eviction::{CHANCES, EvictionQueue, QueueCell},
    failures::Failures,
    shards::{SHARDS, Shards, earlier},
    statistics::Statistics,
};
use crate::{
    report::ReportKey,
    telemetry::{CacheMetrics, EvictionCause},
};

/// The entries. Every change is made under the lock of `changes`, so that index and weights agree.
#[derive(Debug)]
pub(super) struct EntryIndex {
    index: Shards,
    changes: Mutex<Changes>,
    statistics: Statistics,
    /// Keeps those of entries that are removed.
    failures: Arc<Failures>,
    metrics: CacheMetrics,
}

#[derive(Debug)]
struct Changes {
    queue: EvictionQueue,
    max_bytes: u64,
    /// The shard whose turn it was to be searched for expired entries.
    sweep: usize,
    /// Counts the entries that came and went.
    count: u64,
    /// Of each shard, a time before which no entry in it expires: until then it need not be searched. `None`: it is empty.
    expiry: [Option<Instant>; SHARDS],
}

/// An entry heavier than `cache.max_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooHeavy {
    pub(super) weight: u32,
}

/// Whether an entry of a snapshot fits into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    No,
}

// === impl EntryIndex ===

impl EntryIndex {
    /// An empty one for entries that weigh at most `max_bytes` together.
    pub(super) fn new(
        max_bytes: u64,
        clock: PlanClock,
        failures: Arc<Failures>,
        metrics: CacheMetrics,
    ) -> Self {
        let changes = Changes {
            queue: EvictionQueue::default(),
            max_bytes,
            sweep: 0,
            count: 0,
            expiry: [None; SHARDS],
        };
        let (changes, statistics) = (Mutex::new(changes), Statistics::new(clock));
        Self { index: Shards::new(), changes, statistics, failures, metrics }
    }

    /// What is known of each activity, whether or not it has entries.
    pub(super) const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(super) fn get(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.index.get(key)
    }

    /// Stores `entry`, and evicts others until all fit; expired entries of one shard are removed too.
    ///
    /// # Errors
    /// [`TooHeavy`] if the entry alone is heavier than `max_bytes`; the entry before it stays.
    pub(super) fn insert(&self, key: ReportKey, entry: Arc<Entry>, now: Instant) -> Result<(), TooHeavy> {
        let weight = weight(&entry);
        let mut changes = self.changes();
        if u64::from(weight) > changes.max_bytes {
            return Err(TooHeavy { weight });
        }
        self.put(&mut changes, key, entry, weight);
        self.make_room(&mut changes, Some(&key), CHANCES);
        self.sweep(&mut changes, now);
        Ok(())
    }

    /// Stores an entry of a snapshot, if there is none of its key and it fits without an eviction. Returns whether it does.
    pub(super) fn restore(&self, key: ReportKey, entry: Arc<Entry>) -> Fits {
        let weight = weight(&entry);
        let mut changes = self.changes();
        let (_entries, bytes) = changes.queue.size();
        if bytes.saturating_add(weight.into()) > changes.max_bytes || self.get(&key).is_some() {
            return Fits::No;
        }
        self.put(&mut changes, key, entry, weight);
        Fits::Yes
    }

    fn put(&self, changes: &mut Changes, key: ReportKey, entry: Arc<Entry>, weight: u32) {
        changes.count += 1;
        let expiry = &mut changes.expiry[self.index.shard_of(&key)];
        *expiry = earlier(*expiry, entry.dead_from());
        let hits = entry.hits();
        entry.queue.weigh(weight);
        if let Some(before) = self.index.get(&key) {
            entry.queue.replaced();
            changes.queue.reweigh(before.queue.weight(), weight);
        } else {
            changes.queue.add(key, hits, weight);
        }
        self.index.insert(key, entry);
    }

    /// Replaces `entry` by another one with the same answer, unless it has been replaced or removed.
    pub(super) fn replace(&self, key: &ReportKey, entry: &Arc<Entry>, new: Arc<Entry>) {
        let mut changes = self.changes();
        if self.get(key).is_some_and(|held| Arc::ptr_eq(&held, entry)) {
            let expiry = &mut changes.expiry[self.index.shard_of(key)];
            *expiry = earlier(*expiry, new.dead_from());
            new.queue.take_over(&entry.queue);
            self.index.insert(*key, new);
        }
    }

    /// Changes the bound on the weight, and evicts entries until all fit.
    pub(super) fn resize(&self, max_bytes: u64) {
        let mut changes = self.changes();
        changes.max_bytes = max_bytes;
        let (entries, _bytes) = changes.queue.size();
        self.make_room(&mut changes, None, usize::try_from(entries).unwrap_or(usize::MAX));
    }

    /// Removes the entry of a key at an operator's request. Returns whether there was one.
    pub(super) fn purge(&self, key: &ReportKey) -> bool {
        self.remove(&mut self.changes(), key, EvictionCause::Purged)
    }

    /// Removes an expired entry, unless another has replaced it.
    pub(super) fn expire(&self, key: &ReportKey, entry: &Arc<Entry>) {
        let mut changes = self.changes();
        if self.get(key).is_some_and(|held| Arc::ptr_eq(&held, entry)) {
            self.remove(&mut changes, key, EvictionCause::Expired);
        }
    }

    /// Takes the weight of an entry again, which has grown by its gzip variant. One that would no longer fit goes on without
    /// the variant, which those have who wait for it: else each of them would cost a call.
    pub(super) fn reweigh(&self, key: &ReportKey) {
        let mut changes = self.changes();
        let Some(held) = self.get(key) else { return };
        let weight = weight(&held);
        if u64::from(weight) > changes.max_bytes {
            let plain = held.without_gzip();
            plain.queue.take_over(&held.queue);
            self.index.insert(*key, Arc::new(plain));
        } else {
            changes.queue.reweigh(held.queue.weigh(weight), weight);
            self.make_room(&mut changes, Some(key), CHANCES);
        }
    }

    /// The keys of all entries, sorted.
    pub(super) fn keys(&self) -> Vec<ReportKey> {
        let mut keys = self.index.keys();
        keys.sort_unstable();
        keys
    }

    /// The age of the oldest report; `None`: there is none.
    pub(super) fn oldest_report(&self, now: Instant) -> Option<Duration> {
        let mut oldest = None;
        self.each(|entry| oldest = oldest.max(entry.report().map(|_| entry.age(now))));
        oldest
    }

    /// Sees each entry.
    pub(super) fn each(&self, see: impl FnMut(&Arc<Entry>)) {
        self.index.each(see);
    }

    /// How many entries came and went so far: while it stays, so do the entries.
    pub(super) fn changes_so_far(&self) -> u64 {
        self.changes().count
    }

    /// The number of entries and their weight in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.changes().queue.size()
    }

    /// The bound on the weight.
    pub(super) fn max_bytes(&self) -> u64 {
        self.changes().max_bytes
    }

    fn make_room(&self, changes: &mut Changes, newcomer: Option<&ReportKey>, mut chances: usize) {
        let used = |key: &ReportKey| self.index.used(key);
        while let Some(victim) = changes.queue.next(changes.max_bytes, newcomer, used, &mut chances) {
            if let Some(entry) = self.index.remove(&victim) {
                changes.queue.evicted(entry.queue.weight());
                self.removed(changes, &victim, &entry, EvictionCause::Size);
            }
        }
    }

    fn sweep(&self, changes: &mut Changes, now: Instant) {
        changes.sweep = (changes.sweep + 1) % SHARDS;
        if changes.expiry[changes.sweep].is_some_and(|expiry| expiry <= now) {
            let (dead, expiry) = self.index.dead(changes.sweep, now);
            changes.expiry[changes.sweep] = expiry;
            for key in dead {
                self.remove(changes, &key, EvictionCause::Expired);
            }
        }
    }

    fn remove(&self, changes: &mut Changes, key: &ReportKey, why: EvictionCause) -> bool {
        let Some(entry) = self.index.remove(key) else { return false };
        changes.queue.leave(*key, entry.queue.weight());
        self.removed(changes, key, &entry, why);
        true
    }

    fn removed(&self, changes: &mut Changes, key: &ReportKey, entry: &Entry, why: EvictionCause) {
        let now = Instant::now();
        changes.count += 1;
        match why {
            // Or a key that fails would be called for without a pause, as often as it has no room.
            EvictionCause::Size | EvictionCause::Expired => {
                self.failures.keep(*key, entry.refresh_failure(), now);
            }
            EvictionCause::Purged => {}
        }
        self.metrics.evicted(why);
        self.statistics.record_removal(key, entry.hits(), Removed { why, at: now });
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In bytes.
fn weight(entry: &Entry) -> u32 {
    u32::try_from(entry.weight()).unwrap_or(QueueCell::HEAVIEST).min(QueueCell::HEAVIEST)
}

#[cfg(test)]
mod tests;
