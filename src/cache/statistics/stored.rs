//! The statistics of the activities as a snapshot has them.

use tokio::time::Instant;

use super::{
    super::{
        FormStatistics,
        snapshot_age::{SnapshotAge, millis},
        snapshot_campaign::SnapshotCampaign,
        snapshot_fields::{ActivityFields, FormCounts},
    },
    ActivityStatistics, ClickChange, Statistics, count,
};
use crate::report::{NoClicks, ReportKey};

// === impl Statistics ===

impl Statistics {
    /// The statistics of all activities at this moment; `hits` returns the hits of an entry.
    pub(in crate::cache) fn to_fields(
        &self,
        at: Instant,
        hits: impl Fn(ReportKey) -> Option<u64>,
    ) -> Vec<ActivityFields> {
        let mut all = Vec::new();
        self.activities().for_each_mut(|id, of_activity| {
            let form = |no_clicks| {
                let form = of_activity.form(no_clicks);
                FormCounts {
                    fetches: form.fetches,
                    hits: hits(ReportKey { id: *id, no_clicks }).unwrap_or(form.hits),
                    hits_at_last_fetch: form.hits_at_last_fetch,
                }
            };
            let ago = |change: ClickChange| millis(at.saturating_duration_since(change.at));
            let changes = of_activity.changes().map(|change| (change.difference, ago(change))).collect();
            let (omitted, listed) = (form(NoClicks::Omitted), form(NoClicks::Listed));
            let campaign = of_activity
                .campaign
                .as_ref()
                .map(|campaign| SnapshotCampaign::of(campaign, self.clock.at(at)));
            all.push(ActivityFields { id: *id, changes, campaign, omitted, listed });
        });
        all
    }

    /// Continues the statistics of an activity. What the refresh plan's file has told of it already stays.
    pub(in crate::cache) fn restore_activity(&self, fields: ActivityFields, age: SnapshotAge) {
        let mut activities = self.activities();
        let of_activity = activities.get_or_insert_with(fields.id, ActivityStatistics::default);
        for (slot, (difference, ms)) in of_activity.changes.iter_mut().zip(fields.changes) {
            *slot = age.instant(ms).map(|at| ClickChange { difference, at });
        }
        for (no_clicks, FormCounts { fetches, hits, hits_at_last_fetch }) in
            [(NoClicks::Omitted, fields.omitted), (NoClicks::Listed, fields.listed)]
        {
            let form = of_activity.form_mut(no_clicks);
            *form = FormStatistics { fetches, hits, hits_at_last_fetch, ..FormStatistics::default() };
        }
        if of_activity.campaign.is_none() {
            let stored = fields.campaign.and_then(|stored| stored.into_campaign(age, self.clock.at(age.now)));
            of_activity.campaign = stored;
        }
        // Else the next demand slice would count all responses ever given as those of five minutes.
        let answers = of_activity.answers();
        if let Some(campaign) = &mut of_activity.campaign {
            campaign.count_answers_from(answers);
        }
    }
}

// === impl ActivityStatistics ===

impl ActivityStatistics {
    /// The responses given from each of its reports, as they were last seen here, in the order of
    /// [`ReportForm::BOTH`](crate::refresh::ReportForm::BOTH).
    pub(super) fn answers(&self) -> [u32; 2] {
        [count(self.omitted.hits), count(self.listed.hits)]
    }
}
