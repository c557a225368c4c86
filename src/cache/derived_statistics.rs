//! The statistics of activities as derivation reads and writes them.

use super::{
    ActivityStatistics,
    derivable::Derivable,
    statistics::{Looked, Recorded, Statistics, form_of},
};
use crate::{
    refresh::CampaignStats,
    report::{ActivityId, LinkReport, NoClicks, ReportKey},
};

// === impl Statistics ===

impl Statistics {
    /// Records that the report of a key was derived from the activity's report of all links, whose fetch has just been
    /// recorded; `None`: the upstream's negative answer to that is the answer for this key too.
    pub(super) fn record_derived(
        &self,
        key: ReportKey,
        derived: Option<&LinkReport>,
        hits: Option<u64>,
    ) -> Recorded {
        let mut activities = self.activities();
        let of_activity = activities.get_or_insert_with(key.id, ActivityStatistics::default);
        let looked = of_activity.campaign.as_mut().filter(|_| derived.is_some()).map(|campaign| {
            campaign.derived();
            looked(campaign, key)
        });
        Recorded { hits: of_activity.renewed(key.no_clicks, hits), looked }
    }

    /// Whether the report of the clicked links can be derived, as far as is known.
    pub(super) fn is_derivable(&self, id: ActivityId) -> bool {
        let form = |of_activity: &ActivityStatistics| of_activity.form(NoClicks::Omitted).derivable;
        self.activities().peek(&id).is_none_or(|of_activity| form(of_activity) == Derivable::Yes)
    }

    pub(super) fn set_derivable(&self, id: ActivityId, derivable: Derivable) {
        let mut activities = self.activities();
        match derivable {
            Derivable::Yes => {
                if let Some(of_activity) = activities.peek_mut(&id) {
                    of_activity.form_mut(NoClicks::Omitted).derivable = Derivable::Yes;
                }
            }
            Derivable::No => {
                let of_activity = activities.get_or_insert_with(id, ActivityStatistics::default);
                of_activity.form_mut(NoClicks::Omitted).derivable = Derivable::No;
            }
        }
    }
}

fn looked(campaign: &CampaignStats, key: ReportKey) -> Looked {
    Looked { history: *campaign.history(form_of(key.no_clicks)), pairing: campaign.pairing() }
}
