//! What the cache holds, in a few numbers: for the status page.

use std::time::Duration;

use super::ReportCache;

/// What the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Entries that are reports.
    pub reports: u64,
    /// Entries that are negative answers.
    pub refusals: u64,
    /// Their size.
    pub bytes: u64,
    /// The size at which entries are evicted.
    pub max_bytes: u64,
    /// `cache.ttl`
    pub ttl: Duration,
    /// With fixed lifetimes, the age from which on a request waits for a refresh.
    pub served_until: Duration,
}

// === impl ReportCache ===

impl ReportCache {
    /// What it holds now. Reads each entry: milliseconds for ten thousand.
    pub fn holdings(&self) -> Holdings {
        let (_, bytes) = self.store.size();
        let (max_bytes, lifetimes) = (self.store.max_bytes(), self.lifetimes());
        let mut held = Holdings {
            reports: 0,
            refusals: 0,
            bytes,
            max_bytes,
            ttl: lifetimes.ttl,
            served_until: lifetimes.ttl + lifetimes.stale_while_revalidate,
        };
        self.store.each(|entry| match entry.report() {
            Some(_) => held.reports += 1,
            None => held.refusals += 1,
        });
        held
    }
}
