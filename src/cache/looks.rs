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
    report::{Lifetime, LifetimeReason, NoClicks, ReportKey},
};

/// When a report will be worth a call is not foreseen for longer than this.
const LONGEST_FORESEEN: Duration = Duration::from_hours(1);

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

// === impl ReportCache ===

impl ReportCache {
    /// The entry with its refresh statistics. Counts the clicks that responses have missed until now, and updates the
    /// entry of the activity's other report: it is as good as refreshed if it shows all clicks, or known to lack some.
    pub(super) fn with_plan(
        &self,
        entry: Entry,
        key: ReportKey,
        before: Option<&Entry>,
        FetchedClicks { clicks, looked: Looked { history, pairing }, hits, asked_at }: FetchedClicks,
    ) -> Entry {
        let copy_before = before.and_then(Entry::copy).map(|copy| copy.cell.get());
        if let Some(copy) = &copy_before {
            self.count_missed(key, copy, (clicks, history.looked_at()), count(hits));
        }
        match pairing {
            Pairing::Paired => {
                let other = match key.no_clicks {
                    NoClicks::Omitted => NoClicks::Listed,
                    NoClicks::Listed => NoClicks::Omitted,
                };
                self.tell(ReportKey { no_clicks: other, ..key }, &history);
            }
            Pairing::Separate => {}
        }
        self.compare_with_probes(key.id, clicks, asked_at);
        let entry = match self.lifetime(&entry, copy_before.as_ref(), &history, hits) {
            Some(lifetime) => entry.with_lifetime(lifetime),
            None => entry,
        };
        let generated_at = self.options.clock.at(entry.generated_at());
        entry.with_copy(CopyStats::fetched(&history, clicks, count(hits)), generated_at, before)
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
    fn lifetime(
        &self,
        entry: &Entry,
        before: Option<&CopyStats>,
        history: &ClickHistory,
        hits: u64,
    ) -> Option<Lifetime> {
        let plan = self.plan.as_ref()?;
        let lifetimes = &self.options.lifetimes;
        let longest = lifetimes.stale_if_error.max(lifetimes.stale_while_revalidate);
        let polls_per_second = before.map(|before| {
            let since = self.options.clock.at(Instant::now()).saturating_sub(before.current_at());
            f64::from(before.answers_since_current(count(hits))) / since.as_secs_f64().max(1.0)
        });
        let fresh = match polls_per_second {
            Some(polls) => plan.options.policy.interval(polls, history.rate(), plan.terms().price),
            None => entry.lifetime().fresh,
        };
        Some(Lifetime {
            fresh: fresh.min(longest).min(LONGEST_FORESEEN),
            revalidate: longest,
            keep: lifetimes.stale_if_error,
            reason: LifetimeReason::Planned,
        })
    }
}
