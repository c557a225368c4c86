//! Totals since the start, read off the series for the status page: never on the path of a request.

use std::collections::BTreeMap;

use super::sharded_histogram::{HistogramTotals, Scale};

/// Totals since the start, all read at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// Requests on the data port.
    pub answers: u64,
    /// Those that were answered with a 5xx.
    pub server_errors: u64,
    /// The ages of the reports served from the cache.
    pub ages: AgeCounts,
    /// Refreshes that brought a report that differs.
    pub changed: u64,
    /// Refreshes that brought an equal report.
    pub unchanged: u64,
    /// Refreshes that failed.
    pub failed: u64,
    /// 429 answers of the upstream.
    pub throttled: u64,
    /// Entries removed to make room.
    pub evicted_for_room: u64,
    /// Requests by client.
    pub requests_by_client: BTreeMap<Box<str>, u64>,
}

/// How many served reports were of which age.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgeCounts {
    count: u64,
    /// The upper bounds in seconds, and how many were not older; both rise.
    within: Vec<(f64, u64)>,
}

// === impl AgeCounts ===

impl AgeCounts {
    pub(super) fn of<const BOUNDS: usize>(scale: &Scale<BOUNDS>, totals: &HistogramTotals<BOUNDS>) -> Self {
        Self {
            count: totals.count(),
            within: scale
                .bounds
                .map(|bound| scale.seconds(bound))
                .into_iter()
                .zip(totals.cumulative())
                .collect(),
        }
    }

    /// How many reports were served.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Those served since `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |at: usize| earlier.within.get(at).map_or(0, |(_, count)| *count);
        let within = self.within.iter().enumerate();
        Self {
            count: self.count.saturating_sub(earlier.count),
            within: within.map(|(at, (bound, count))| (*bound, count.saturating_sub(before(at)))).collect(),
        }
    }

    /// The age in seconds that this share of the served reports did not exceed, evenly spread within a bucket; at most the
    /// last bound. `None`: none was served.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count as f64;
        let (mut lower, mut below) = (0.0, 0);
        if self.count == 0 {
            return None;
        }
        for (bound, count) in &self.within {
            if *count as f64 >= rank && *count > below {
                return Some(lower + (bound - lower) * (rank - below as f64) / (count - below) as f64);
            }
            (lower, below) = (*bound, *count);
        }
        Some(lower)
    }

    /// The share of the served reports that were not older than this. `None`: none was served.
    pub fn share_within(&self, seconds: f64) -> Option<f64> {
        let (mut lower, mut below) = (0.0, 0.0);
        if self.count == 0 {
            return None;
        }
        for (bound, count) in &self.within {
            if seconds < *bound {
                let part = (seconds - lower) / (bound - lower);
                below += (*count as f64 - below) * part.clamp(0.0, 1.0);
                break;
            }
            (lower, below) = (*bound, *count as f64);
        }
        Some(below / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Metrics, RefreshResult};

    #[test]
    fn ages_are_told_by_share_and_by_age_between_two_readings() {
        let metrics = Metrics::new();
        metrics.cache.served(Duration::from_hours(3));
        let before = metrics.totals();
        for _ in 0..10 {
            metrics.cache.served(Duration::from_secs(20));
        }
        let ages = metrics.totals().ages.since(&before.ages);
        assert_eq!(ages.count(), 10);
        assert_eq!((ages.quantile(0.5), ages.quantile(1.0)), (Some(22.5), Some(30.0)), "between 15 and 30 s");
        assert_eq!((ages.share_within(15.0), ages.share_within(22.5)), (Some(0.0), Some(0.5)));
        assert_eq!(ages.share_within(7_000.0), Some(1.0));
        let none = metrics.totals().ages.since(&metrics.totals().ages);
        assert_eq!((none.quantile(0.5), none.share_within(1.0)), (None, None));
    }

    #[test]
    fn an_age_beyond_the_last_bound_is_told_as_that_bound() {
        let metrics = Metrics::new();
        metrics.cache.served(Duration::from_hours(100));
        assert_eq!(metrics.totals().ages.quantile(0.5), Some(86_400.0));
    }

    #[test]
    fn totals_are_sums_over_the_labels() {
        let metrics = Metrics::new();
        for (outcome, code, client) in
            [("hit", "200", "sales"), ("hit", "304", "sales"), ("error", "503", "anonymous")]
        {
            metrics.requests.series(outcome, code, client).record(Duration::ZERO);
        }
        metrics.cache.refreshed(RefreshResult::Changed);
        let totals = metrics.totals();
        assert_eq!((totals.answers, totals.server_errors), (3, 1));
        assert_eq!((totals.changed, totals.unchanged, totals.failed), (1, 0, 0));
        let by_client: Vec<_> =
            totals.requests_by_client.iter().map(|(client, count)| (&**client, *count)).collect();
        assert_eq!(by_client, [("anonymous", 1), ("sales", 2)]);
    }
}
