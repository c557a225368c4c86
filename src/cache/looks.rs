//! What a fetched report means for the refresh plan: for its own entry, and for the entry of the activity's other report.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Entry, ReportCache,
    copy_cell::PlannedCopy,
    statistics::{Looked, count},
};
use crate::{
    refresh::{ClickHistory, CopyStats, Pairing},
    report::{Lifetime, ReportKey},
};

/// When a report will be worth a call is not foreseen for longer than this.
pub(super) const LONGEST_FORESEEN: Duration = Duration::from_hours(1);

/// The clicks that a fetch has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct FetchedClicks {
    /// The sum of unique clicks in the report.
    pub(super) clicks: u32,
    /// What is known of the campaign now.
    pub(super) looked: Looked,
    /// The hits of the key so far.
    pub(super) hits: u64,
    /// The upstream counted the clicks after this.
    pub(super) asked_at: Instant,
}

/// What the plan has to know of a report that becomes an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownOfReport<'a> {
    pub(super) history: &'a ClickHistory,
    /// The sum of unique clicks in the report.
    pub(super) clicks: u32,
    /// The hits of the key so far.
    pub(super) hits: u64,
    /// The requests a second, if they are known.
    pub(super) polls: Option<f64>,
}

// === impl ReportCache ===

impl ReportCache {
    /// Counts the clicks that responses have missed until this fetch, and updates the entry of the activity's other
    /// report: it is as good as refreshed if it shows all clicks, or known to lack some.
    pub(super) fn look(
        &self,
        key: ReportKey,
        before: Option<&Entry>,
        FetchedClicks { clicks, looked: Looked { history, pairing }, hits, asked_at }: FetchedClicks,
    ) {
        if let Some(copy) = before.and_then(copy_of) {
            self.count_missed(key, &copy, (clicks, history.looked_at()), count(hits));
        }
        match pairing {
            Pairing::Paired => self.tell(key.other_form(), &history),
            Pairing::Separate => {}
        }
        self.compare_with_probes(key.id, clicks, asked_at);
    }

    /// The entry with its refresh statistics.
    pub(super) fn with_plan(
        &self,
        entry: Entry,
        before: Option<&Entry>,
        KnownOfReport { history, clicks, hits, polls }: KnownOfReport<'_>,
    ) -> Entry {
        let entry = match self.lifetime(&entry, history, polls) {
            Some(lifetime) => entry.with_lifetime(lifetime),
            None => entry,
        };
        let generated_at = self.options.clock.at(entry.generated_at());
        entry.with_copy(CopyStats::fetched(history, clicks, count(hits)), generated_at, before)
    }

    /// The requests a second for these reports since each was last current; `None`: nothing is known of them.
    pub(super) fn polls_per_second(&self, reports: [Option<&Entry>; 2]) -> Option<f64> {
        let now = self.options.clock.at(Instant::now());
        let polls = reports.into_iter().flatten().filter_map(|entry| {
            let copy = copy_of(entry)?;
            let since = now.saturating_sub(copy.current_at());
            Some(f64::from(copy.answers_since_current(count(entry.hits()))) / since.as_secs_f64().max(1.0))
        });
        polls.reduce(|sum, polls| sum + polls)
    }

    /// Another look at the campaign of this key has shown these clicks. It may be of a time long ago: the responses since
    /// may miss more.
    pub(super) fn tell(&self, key: ReportKey, history: &ClickHistory) {
        let Some(entry) = self.store.get(&key) else { return };
        let Some(PlannedCopy { cell, check, .. }) = entry.copy() else { return };
        let (copy, now) = (cell.get(), self.options.clock.at(Instant::now()));
        let answers = copy.answers_at(count(entry.hits()), history.looked_at(), now);
        self.count_missed(key, &copy, (history.clicks(), history.looked_at()), answers);
        cell.set(copy.campaign_looked(history, answers));
        check.end_pause();
    }

    /// A look at `at` has shown `clicks`.
    fn count_missed(&self, key: ReportKey, copy: &CopyStats, (clicks, at): (u32, Duration), answers: u32) {
        let sliced_at = self.plan.as_ref().map(|plan| plan.control().last_slice);
        let times = sliced_at.and_then(|sliced_at| self.store.statistics().answer_times(key, sliced_at));
        let missed = copy.clicks_missed(clicks, answers, at, times);
        self.metrics.looked(copy.answers_since_look(answers), missed);
    }

    /// The lifetime of a report under the plan: it is fresh for about as long as it takes until it is worth a call, by the
    /// requests since it was last current. `None`: lifetimes are fixed, or nothing is known of the requests.
    fn lifetime(&self, entry: &Entry, history: &ClickHistory, polls: Option<f64>) -> Option<Lifetime> {
        let plan = self.plan.as_ref()?;
        let fresh = match polls {
            Some(polls) => plan.policy().interval(polls, history.rate(), plan.terms().price),
            None => entry.lifetime().fresh,
        };
        Some(self.lifetimes().planned(fresh.min(LONGEST_FORESEEN)))
    }
}

fn copy_of(entry: &Entry) -> Option<CopyStats> {
    entry.copy().map(|copy| copy.cell.get())
}
