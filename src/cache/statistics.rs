//! What the fetches of an activity have shown: how its clicks moved, what it cost, how often it was answered.
//!
//! Kept outside the entries and not evicted with them. Written when a fetch ends and when an entry is removed, never by
//! a hit: hits are counted in the entry.

mod stored;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    FormStatistics, PlanClock, Removed, derivable::Derivable, probed_activity::ProbedActivity,
    recent_map::RecentMap,
};
use crate::{
    refresh::{
        AnswerTimes, CampaignRecord, CampaignStats, ClickHistory, DemandSlice, KeysPerCampaign, Pairing,
        ReportForm,
    },
    report::{ActivityId, NoClicks, ReportKey},
};

/// A new activity beyond these takes the place of the one that was fetched longest ago: as many as a day has calls by
/// default. They take 3.8 MiB, outside `cache.max_bytes`.
const MAX_ACTIVITIES: usize = 10_000;
const CHANGES: usize = 4;

/// The statistics of all activities, those without an entry included.
#[derive(Debug)]
pub(super) struct Statistics {
    activities: Mutex<RecentMap<ActivityId, ActivityStatistics>>,
    unpaired: AtomicU64,
    clock: PlanClock,
}

/// Did a look show that the two reports of an activity have different clicks?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unpaired {
    Now,
    /// No, or it is known.
    Not,
}

/// The statistics of one activity. Both its reports count the same clicks: with `no_clicks` the links without any are
/// listed too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActivityStatistics {
    /// `None` while the upstream has only answered 400 or 404.
    pub(super) campaign: Option<CampaignStats>,
    /// The newest first.
    changes: [Option<ClickChange>; CHANGES],
    omitted: FormStatistics,
    listed: FormStatistics,
    /// `None`: what it is by default. So it takes no memory without change probes.
    pub(super) probed: Option<Box<ProbedActivity>>,
}

/// The result of recording a fetch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recorded {
    /// The hits that the new entry begins with.
    pub(super) hits: u64,
    /// If it is a report: the clicks of its campaign as this report has shown them.
    pub(super) looked: Option<Looked>,
}

/// What a fetched report has shown of its campaign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Looked {
    pub(super) history: ClickHistory,
    pub(super) pairing: Pairing,
}

/// A report whose sum of unique clicks differs from that of the report before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickChange {
    /// By how much; negative if the upstream took clicks back.
    pub difference: i64,
    /// When the upstream gave that report: the clicks came between the report before and this one.
    pub at: Instant,
}

/// The form of a report, in the words of [`crate::refresh`].
pub(super) const fn form_of(no_clicks: NoClicks) -> ReportForm {
    match no_clicks {
        NoClicks::Omitted => ReportForm::Clicked,
        NoClicks::Listed => ReportForm::AllLinks,
    }
}

/// A count of hits, as [`crate::refresh`] counts responses: it begins again at 0 where 32 bits are used up.
pub(super) const fn count(hits: u64) -> u32 {
    hits as u32
}

// === impl Statistics ===

impl Statistics {
    pub(super) fn new(clock: PlanClock) -> Self {
        Self { activities: Mutex::new(RecentMap::new(MAX_ACTIVITIES)), unpaired: AtomicU64::new(0), clock }
    }

    /// Counts an answer of the upstream, given at `at`; `clicks` if it is a report. `hits` are those of the entry before,
    /// if there is one.
    pub(super) fn record_fetch(
        &self,
        key: ReportKey,
        clicks: Option<u32>,
        at: Instant,
        hits: Option<u64>,
    ) -> Recorded {
        let mut activities = self.activities();
        let of_activity = activities.get_or_insert_with(key.id, ActivityStatistics::default);
        let look = clicks.map(|clicks| of_activity.look(key.no_clicks, clicks, at, self.clock.at(at)));
        of_activity.form_mut(key.no_clicks).fetches += 1;
        let hits = of_activity.renewed(key.no_clicks, hits);
        drop(activities);
        let looked = look.map(|(looked, unpaired)| {
            match unpaired {
                Unpaired::Now => {
                    self.unpaired.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        id = %key.id,
                        "this activity's two reports, with and without no_clicks, show different sums of clicks: each is \
                         refreshed by its own clicks only"
                    );
                }
                Unpaired::Not => {}
            }
            looked
        });
        Recorded { hits, looked }
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

    /// Sums the demand of all activities for the time since the last slice. `keys` is for those whose reports are
    /// derivable; `hits` returns the hits of an entry.
    pub(super) fn add_to(
        &self,
        slice: &mut DemandSlice,
        keys: KeysPerCampaign,
        hits: impl Fn(ReportKey) -> Option<u64>,
    ) {
        let mut unpaired = 0;
        self.activities().for_each_mut(|id, of_activity| {
            let answers = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| {
                let hits = hits(ReportKey { id: *id, no_clicks });
                count(hits.unwrap_or(of_activity.form(no_clicks).hits))
            });
            if let Some(campaign) = &mut of_activity.campaign {
                let keys = match of_activity.omitted.derivable {
                    Derivable::Yes => keys,
                    Derivable::No => KeysPerCampaign::Two,
                };
                slice.add(campaign, answers, keys);
                unpaired += u64::from(campaign.pairing() == Pairing::Separate);
            }
        });
        self.unpaired.store(unpaired, Ordering::Relaxed);
    }

    /// Counts the activities that were polled within a day, and nothing else.
    pub(super) fn count_polled(&self, slice: &mut DemandSlice) {
        self.activities().for_each_mut(|_id, of_activity| {
            if let Some(campaign) = &of_activity.campaign {
                slice.count(campaign);
            }
        });
    }

    /// When the hits of a report came; `sliced_at` is the time of the last slice. `None` before the first hit.
    pub(super) fn answer_times(&self, key: ReportKey, sliced_at: Duration) -> Option<AnswerTimes> {
        self.activities().peek(&key.id)?.campaign()?.answer_times(form_of(key.no_clicks), sliced_at)
    }

    /// What is known of the clicks of each activity, to be stored.
    pub(super) fn campaigns(&self) -> Vec<(ActivityId, CampaignRecord)> {
        let mut campaigns = Vec::new();
        self.activities().for_each_mut(|id, of_activity| {
            campaigns.extend(of_activity.campaign.as_ref().map(|campaign| (*id, campaign.record())));
        });
        campaigns
    }

    /// Continues from what was stored. Returns the number of activities that it is about.
    pub(super) fn restore(&self, campaigns: &[(ActivityId, CampaignRecord)], now: Duration) -> usize {
        let mut activities = self.activities();
        let possible =
            campaigns.iter().filter_map(|(id, record)| Some((id, CampaignStats::restore(record, now)?)));
        possible
            .map(|(id, campaign)| {
                let of_activity = activities.get_or_insert_with(*id, ActivityStatistics::default);
                of_activity.campaign = Some(campaign);
            })
            .count()
    }

    /// The number of activities whose two reports show different sums of clicks, as of the last slice.
    pub(super) fn unpaired(&self) -> u64 {
        self.unpaired.load(Ordering::Relaxed)
    }

    pub(super) fn activities(&self) -> MutexGuard<'_, RecentMap<ActivityId, ActivityStatistics>> {
        self.activities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ActivityStatistics ===

impl ActivityStatistics {
    /// What the reports have shown, of either form. `None` while the upstream has only answered 400 or 404.
    pub const fn campaign(&self) -> Option<&CampaignStats> {
        self.campaign.as_ref()
    }

    /// The last look at its clicks, through either form.
    pub fn last_look(&self) -> Option<&ClickHistory> {
        let campaign = self.campaign.as_ref()?;
        ReportForm::BOTH
            .map(|form| campaign.history(form))
            .into_iter()
            .max_by_key(|history| history.looked_at())
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

    /// A report was renewed, whose entry had so many hits. Returns the hits that the new entry begins with.
    pub(super) fn renewed(&mut self, no_clicks: NoClicks, hits: Option<u64>) -> u64 {
        let form = self.form_mut(no_clicks);
        form.hits = hits.unwrap_or(form.hits);
        form.hits_at_last_fetch = form.hits;
        form.hits
    }

    pub(super) const fn form_mut(&mut self, no_clicks: NoClicks) -> &mut FormStatistics {
        match no_clicks {
            NoClicks::Omitted => &mut self.omitted,
            NoClicks::Listed => &mut self.listed,
        }
    }

    /// Records the clicks of a report. One that is older than the last, from a cache before the upstream, shows nothing
    /// new.
    fn look(&mut self, no_clicks: NoClicks, clicks: u32, at: Instant, now: Duration) -> (Looked, Unpaired) {
        let form = form_of(no_clicks);
        let answers = self.answers();
        let Some(campaign) = &mut self.campaign else {
            let campaign = self.campaign.insert(CampaignStats::first_look(form, clicks, now));
            campaign.count_answers_from(answers);
            return (Looked { history: *campaign.history(form), pairing: campaign.pairing() }, Unpaired::Not);
        };
        let (before, pairing_before) = (campaign.history(form).clicks(), campaign.pairing());
        let pairing = campaign.look(form, clicks, now);
        let history = *campaign.history(form);
        let difference = i64::from(history.clicks()) - i64::from(before);
        if difference != 0 {
            self.changes.rotate_right(1);
            self.changes[0] = Some(ClickChange { difference, at });
        }
        let unpaired = if pairing == pairing_before { Unpaired::Not } else { Unpaired::Now };
        (Looked { history, pairing }, unpaired)
    }
}

#[cfg(test)]
mod tests;
