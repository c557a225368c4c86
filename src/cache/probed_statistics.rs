//! The statistics of activities as change probes read and write them.

use std::time::Duration;

use super::{
    probed_activity::ProbedActivity,
    statistics::{Statistics, form_of},
};
use crate::{
    refresh::{
        CampaignStats, ClickHistory, CopyStats, Pairing, ProbeSelection, ProbeVerdict, ProbedCampaign,
        ReportForm,
    },
    report::{ActivityId, CountedClicks, NoClicks, ReportKey},
};

/// `Date`, by which the age of statistics is known, has whole seconds: they may be older than they seem by this.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

// === impl Statistics ===

impl Statistics {
    /// Adds each activity that `admits` accepts to the selection for a probe; `copy` returns the refresh statistics and
    /// the hits of an entry.
    pub(super) fn consider(
        &self,
        selection: &mut ProbeSelection<ActivityId>,
        admits: impl Fn(ActivityId, &ProbedCampaign) -> bool,
        copy: impl Fn(ReportKey) -> Option<(CopyStats, u32)>,
    ) {
        self.activities().for_each_mut(|id, of_activity| {
            let Some(campaign) = of_activity.campaign.as_ref().filter(|campaign| is_paired(campaign)) else {
                return;
            };
            let copies = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| {
                let (copy, hits) = copy(ReportKey { id: *id, no_clicks })?;
                Some((form_of(no_clicks), copy, hits))
            });
            let copies: Vec<_> = copies.into_iter().flatten().collect();
            if !copies.is_empty() && admits(*id, &ProbedActivity::campaign_of(of_activity.probed.as_deref()))
            {
                selection.consider(*id, campaign, &copies);
            }
        });
    }

    /// Whether an activity is one that probes can be made of, and `admits` accepts it.
    pub(super) fn is_probed(&self, id: ActivityId, admits: impl FnOnce(&ProbedCampaign) -> bool) -> bool {
        let activities = self.activities();
        let Some(of_activity) = activities.peek(&id) else { return false };
        of_activity.campaign.as_ref().is_some_and(is_paired)
            && admits(&ProbedActivity::campaign_of(of_activity.probed.as_deref()))
    }

    /// Records in `record` what a fetched report says of the probes of its activity. If its two reports do not agree,
    /// what is known by probes is forgotten instead.
    pub(super) fn record_report<R>(
        &self,
        id: ActivityId,
        record: impl FnOnce(&mut ProbedCampaign) -> R,
    ) -> Option<R> {
        let mut activities = self.activities();
        let of_activity = activities.peek_mut(&id)?;
        if of_activity.campaign.as_ref().is_some_and(is_paired) {
            Some(record(of_activity.probed.get_or_insert_default().campaign()))
        } else {
            of_activity.probed = None;
            None
        }
    }

    /// Records in `record` what a probe has told of an activity. `None`: it is no longer one that probes can be made of.
    pub(super) fn record_probe<R>(
        &self,
        id: ActivityId,
        counted: CountedClicks,
        record: impl FnOnce(&mut ProbedCampaign) -> R,
    ) -> Option<R> {
        let mut activities = self.activities();
        let of_activity = activities.peek_mut(&id)?;
        of_activity.campaign.as_ref().filter(|campaign| is_paired(campaign))?;
        Some(record(of_activity.probed.get_or_insert_default().counting(counted)))
    }

    /// Applies what a probe has told. Returns the clicks by form, if it is a look at the activity.
    pub(super) fn look_by_probe(&self, id: ActivityId, verdict: ProbeVerdict) -> Option<[ClickHistory; 2]> {
        let mut activities = self.activities();
        let campaign = activities.peek_mut(&id)?.campaign.as_mut()?;
        let looked_at = ReportForm::BOTH.map(|form| campaign.history(form).looked_at()).into_iter().max()?;
        let (new_clicks, as_of) = match verdict {
            ProbeVerdict::NoBase | ProbeVerdict::NotNewer | ProbeVerdict::Contradicted => return None,
            ProbeVerdict::Unmoved { as_of } => (0, as_of.saturating_sub(DATE_RESOLUTION)),
            // They were there by then, and no look of an earlier time counts.
            ProbeVerdict::Moved { new_clicks, as_of } => {
                (new_clicks.get(), as_of.max(looked_at + Duration::from_nanos(1)))
            }
        };
        (as_of > looked_at).then(|| {
            campaign.probed(new_clicks, as_of);
            ReportForm::BOTH.map(|form| *campaign.history(form))
        })
    }
}

fn is_paired(campaign: &CampaignStats) -> bool {
    campaign.pairing() == Pairing::Paired
}
