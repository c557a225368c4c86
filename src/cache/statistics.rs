//! What the fetches of an activity have shown: how its clicks moved, what it cost, how often it was answered.
//!
//! Kept outside the entries and not evicted with them. Written when a fetch ends and when an entry is removed, never by
//! a hit: hits are counted in the entry.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::recent_map::RecentMap;
use crate::{
    report::{ActivityId, NoClicks, ReportKey},
    telemetry::EvictionCause,
};

/// A new activity beyond these takes the place of the one that was fetched longest ago: as many as a day has calls by
/// default. They take 3.1 MiB, outside `cache.max_bytes`.
const MAX_ACTIVITIES: usize = 10_000;
const CHANGES: usize = 4;

/// The statistics of all activities, those without an entry included.
#[derive(Debug)]
pub(super) struct Statistics {
    activities: Mutex<RecentMap<ActivityId, ActivityStatistics>>,
}

/// The statistics of one activity. Both its reports count the same clicks: with `no_clicks` the links without any are
/// listed too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityStatistics {
    last_report: Option<ClickCount>,
    /// The newest first.
    changes: [Option<ClickChange>; CHANGES],
    omitted: FormStatistics,
    listed: FormStatistics,
}

/// The sum of unique clicks in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickCount {
    /// The sum.
    pub clicks: u32,
    /// When the upstream gave that report.
    pub at: Instant,
}

/// A report whose sum of unique clicks differs from that of the report before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickChange {
    /// By how much; negative if the upstream took clicks back.
    pub difference: i64,
    /// When the upstream gave that report: the clicks came between the report before and this one.
    pub at: Instant,
}

/// The statistics of one of the two reports of an activity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormStatistics {
    /// How often the upstream has answered for it: with a report, or with a 400 or 404.
    pub fetches: u64,
    /// The last removal of its entry.
    pub removed: Option<Removed>,
    /// The entry's count of hits as it was last seen here.
    hits: u64,
    hits_at_last_fetch: u64,
}

/// An entry was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Why.
    pub why: EvictionCause,
    /// When.
    pub at: Instant,
}

// === impl Statistics ===

impl Statistics {
    pub(super) fn new() -> Self {
        Self { activities: Mutex::new(RecentMap::new(MAX_ACTIVITIES)) }
    }

    /// Counts an answer of the upstream, given at `at`; `clicks` if it is a report. `hits` are those of the entry before,
    /// if there is one. Returns the hits that the new entry begins with.
    pub(super) fn record_fetch(
        &self,
        key: ReportKey,
        clicks: Option<u32>,
        at: Instant,
        hits: Option<u64>,
    ) -> u64 {
        let mut activities = self.activities();
        let of_activity = activities.get_or_insert_with(key.id, ActivityStatistics::default);
        if let Some(clicks) = clicks {
            of_activity.observe(ClickCount { clicks, at });
        }
        let form = of_activity.form_mut(key.no_clicks);
        form.fetches += 1;
        form.hits = hits.unwrap_or(form.hits);
        form.hits_at_last_fetch = form.hits;
        form.hits
    }

    /// Keeps the count of hits of an entry that is being removed.
    pub(super) fn record_removal(&self, key: &ReportKey, hits: u64, removed: Removed) {
        if let Some(of_activity) = self.activities().peek_mut(&key.id) {
            let form = of_activity.form_mut(key.no_clicks);
            form.hits = hits;
            form.removed = Some(removed);
        }
    }

    /// The statistics of one activity, if the upstream has answered for it.
    pub(super) fn get(&self, id: ActivityId) -> Option<ActivityStatistics> {
        self.activities().peek(&id).cloned()
    }

    fn activities(&self) -> MutexGuard<'_, RecentMap<ActivityId, ActivityStatistics>> {
        self.activities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ActivityStatistics ===

impl ActivityStatistics {
    /// What the last report showed, of either form. `None` while the upstream has only answered 400 or 404.
    pub const fn last_report(&self) -> Option<ClickCount> {
        self.last_report
    }

    /// The last four changes of the sum of clicks, the newest first.
    pub fn changes(&self) -> impl Iterator<Item = ClickChange> {
        self.changes.iter().copied().flatten()
    }

    /// The statistics of one of its reports.
    pub const fn form(&self, no_clicks: NoClicks) -> &FormStatistics {
        match no_clicks {
            NoClicks::Omitted => &self.omitted,
            NoClicks::Listed => &self.listed,
        }
    }

    const fn form_mut(&mut self, no_clicks: NoClicks) -> &mut FormStatistics {
        match no_clicks {
            NoClicks::Omitted => &mut self.omitted,
            NoClicks::Listed => &mut self.listed,
        }
    }

    /// Compares a report with the one before. One that is older than that, from a cache before the upstream, shows
    /// nothing new.
    fn observe(&mut self, seen: ClickCount) {
        let Some(before) = self.last_report else {
            self.last_report = Some(seen);
            return;
        };
        if seen.at < before.at {
            return;
        }
        if seen.clicks != before.clicks {
            self.changes.rotate_right(1);
            self.changes[0] = Some(ClickChange {
                difference: i64::from(seen.clicks) - i64::from(before.clicks),
                at: seen.at,
            });
        }
        self.last_report = Some(seen);
    }
}

// === impl FormStatistics ===

impl FormStatistics {
    /// How often it was answered from memory since the last fetch, where its entry has this many `hits` (`None`: no
    /// entry).
    pub fn hits_since_last_fetch(&self, hits: Option<u64>) -> u64 {
        hits.unwrap_or(self.hits).saturating_sub(self.hits_at_last_fetch)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::testing::key;

    #[tokio::test(start_paused = true)]
    async fn the_last_four_changes_are_kept_the_newest_first() {
        let (statistics, start) = (Statistics::new(), Instant::now());
        for (minute, clicks) in [7, 7, 9, 4, 4, 5, 6, u32::MAX].into_iter().enumerate() {
            statistics.record_fetch(key(1), Some(clicks), start + Duration::from_mins(minute as u64), None);
        }
        let shown = statistics.get(key(1).id).unwrap();
        let changes: Vec<_> =
            shown.changes().map(|change| (change.difference, (change.at - start).as_secs() / 60)).collect();
        assert_eq!(changes, [(i64::from(u32::MAX) - 6, 7), (1, 6), (1, 5), (-5, 3)]);
        let last_report = shown.last_report().unwrap();
        assert_eq!((last_report.clicks, last_report.at - start), (u32::MAX, Duration::from_mins(7)));
        assert_eq!(shown.form(NoClicks::Omitted).fetches, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_report_older_than_the_last_nor_a_negative_answer_changes_the_clicks() {
        let (statistics, start) = (Statistics::new(), Instant::now());
        let second = Duration::from_secs(1);
        statistics.record_fetch(key(1), None, start, None);
        assert_eq!(statistics.get(key(1).id).unwrap().last_report(), None);
        statistics.record_fetch(key(1), Some(9), start + second, None);
        statistics.record_fetch(key(1), Some(5), start, None);
        statistics.record_fetch(key(1), None, start + 2 * second, None);
        let shown = statistics.get(key(1).id).unwrap();
        assert_eq!(shown.last_report(), Some(ClickCount { clicks: 9, at: start + second }));
        assert_eq!((shown.changes().count(), shown.form(NoClicks::Omitted).fetches), (0, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_activities_drops_those_fetched_longest_ago_and_takes_no_more_than_its_room() {
        assert!(size_of::<ActivityStatistics>() <= 216, "{}", size_of::<ActivityStatistics>());
        let (statistics, now) = (Statistics::new(), Instant::now());
        for number in 0..3 * MAX_ACTIVITIES as u128 {
            statistics.record_fetch(key(number), Some(1), now, None);
            if number % 1_000 == 0 {
                statistics.record_fetch(key(0), Some(1), now, None);
            }
        }
        assert!(statistics.activities().len() <= MAX_ACTIVITIES);
        for (number, known) in [(0, true), (1, false), (3 * MAX_ACTIVITIES as u128 - 1, true)] {
            assert_eq!(statistics.get(key(number).id).is_some(), known, "{number}");
        }
    }
}
