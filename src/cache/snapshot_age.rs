//! Times in a snapshot: milliseconds before it was made, rounded up.

use std::time::Duration;

use tokio::time::Instant;

/// How long ago the snapshot was made, at some moment.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotAge {
    /// The moment.
    pub now: Instant,
    /// How long ago: never less than it is.
    pub elapsed: Duration,
}

// === impl SnapshotAge ===

impl SnapshotAge {
    /// How long ago something was that was so old when the snapshot was made.
    pub(super) fn ago(&self, ms: u64) -> Duration {
        Duration::from_millis(ms).saturating_add(self.elapsed)
    }

    /// When that was. `None`: before this machine's clock began.
    pub(super) fn instant(&self, ms: u64) -> Option<Instant> {
        self.now.checked_sub(self.ago(ms))
    }
}

/// Whole milliseconds, rounded up.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
