//! The present moment by the two clocks that an answer tells times of.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::reply::rfc3339;
use crate::quota::QuotaSnapshot;

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct BothClocks {
    pub(super) utc: SystemTime,
    pub(super) now: Instant,
}

// === impl BothClocks ===

impl BothClocks {
    pub(super) fn of(quota: &QuotaSnapshot) -> Self {
        Self { utc: quota.now(), now: Instant::now() }
    }

    /// The calendar time of an instant, to the nearest second: the two clocks are not read at the same time.
    pub(super) fn at(self, instant: Instant) -> SystemTime {
        let ahead = instant.saturating_duration_since(self.now);
        let time = self.utc + ahead - self.now.saturating_duration_since(instant).min(self.since_1970());
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs((since + Duration::from_millis(500)).as_secs())
    }

    pub(super) fn shown(self, instant: Instant) -> Option<String> {
        rfc3339(self.at(instant))
    }

    fn since_1970(self) -> Duration {
        self.utc.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// The calendar time in `left`, in RFC 3339.
    pub(super) fn after(self, left: Duration) -> Option<String> {
        self.utc.checked_add(left).and_then(rfc3339)
    }

    /// The calendar time `ago`, in RFC 3339.
    pub(super) fn before(self, ago: Duration) -> Option<String> {
        self.utc.checked_sub(ago).and_then(rfc3339)
    }
}
