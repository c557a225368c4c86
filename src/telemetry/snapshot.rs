//! The snapshot of the cache in `state.dir`.

use std::num::NonZeroU64;

use prometheus::IntGauge;

use super::series::SeriesFactory;

/// The series of the snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotMetrics {
    bytes: IntGauge,
    written_at: IntGauge,
    restored: IntGauge,
}

// === impl SnapshotMetrics ===

impl SnapshotMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            bytes: series.int_gauge(
                "cache_snapshot_bytes",
                "Size of the snapshot of the cache that was written last.",
            ),
            written_at: series.int_gauge(
                "cache_snapshot_timestamp_seconds",
                "When the snapshot of the cache was last written, as a Unix time; 0: not since the start.",
            ),
            restored: series.int_gauge(
                "cache_restored_entries",
                "Entries that the cache had from its snapshot when the process started.",
            ),
        }
    }

    /// A snapshot was written, at this Unix time.
    pub fn written(&self, bytes: u64, at: Option<NonZeroU64>) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.written_at.set(at.map_or(0, |at| i64::try_from(at.get()).unwrap_or(i64::MAX)));
    }

    /// So many entries came from the snapshot.
    pub fn restored(&self, entries: u64) {
        self.restored.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }
}
