//! The memory itself: bounded by weight, least valuable out first.

use std::sync::Arc;

use foldhash::fast::RandomState;
use moka::{notification::RemovalCause, ops::compute::Op, sync::Cache as Moka};

use super::Entry;
use crate::{report::ReportKey, telemetry::CacheMetrics};

/// The entries. A thin cover over moka, so that the rest of the room speaks of keys and entries only.
#[derive(Debug)]
pub(super) struct Store {
    entries: Moka<ReportKey, Arc<Entry>, RandomState>,
}

// === impl Store ===

impl Store {
    /// A store that holds at most `max_bytes` of weight, and nothing for longer than `longest`.
    ///
    /// moka reads the machine's clock, not tokio's: its expiry only frees the memory of what nobody can use any more.
    pub(super) fn new(max_bytes: u64, longest: std::time::Duration, metrics: CacheMetrics) -> Self {
        let entries = Moka::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Arc<Entry>| u32::try_from(entry.weight()).unwrap_or(u32::MAX))
            .time_to_live(longest)
            .eviction_listener(move |_, _, cause| match cause {
                RemovalCause::Size => metrics.evicted("size"),
                RemovalCause::Expired => metrics.evicted("expired"),
                RemovalCause::Explicit => metrics.evicted("purged"),
                RemovalCause::Replaced => {}
            })
            .build_with_hasher(RandomState::default());
        Self { entries }
    }

    pub(super) fn get(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: ReportKey, entry: Arc<Entry>) {
        self.entries.insert(key, entry);
    }

    pub(super) fn remove(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.entries.remove(key)
    }

    /// Weighs an entry again that has grown, unless another has taken its place.
    pub(super) fn reweigh(&self, key: ReportKey, grown: &Arc<Entry>) {
        self.entries.entry(key).and_compute_with(|held| match held {
            Some(held) if Arc::ptr_eq(held.value(), grown) => Op::Put(held.into_value()),
            Some(_) | None => Op::Nop,
        });
    }

    /// Every key that is held, in order.
    pub(super) fn keys(&self) -> Vec<ReportKey> {
        let mut keys: Vec<_> = self.entries.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// The number of entries and their weight in bytes, once pending evictions are carried out.
    pub(super) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}
