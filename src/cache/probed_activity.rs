//! What change probes have told of an activity.

use crate::{refresh::ProbedCampaign, report::CountedClicks};

/// What probes have told of an activity.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ProbedActivity {
    campaign: ProbedCampaign,
    /// What the last probe counted.
    counted: Option<CountedClicks>,
}

// === impl ProbedActivity ===

impl ProbedActivity {
    /// The campaign, of which a probe brings a count of this kind. A count of another kind before it is forgotten.
    pub(super) fn counting(&mut self, counted: CountedClicks) -> &mut ProbedCampaign {
        if self.counted.replace(counted).is_some_and(|before| before != counted) {
            self.campaign = ProbedCampaign::default();
        }
        &mut self.campaign
    }

    pub(super) const fn campaign(&mut self) -> &mut ProbedCampaign {
        &mut self.campaign
    }

    /// The campaign of an activity about which so much is known.
    pub(super) fn campaign_of(known: Option<&Self>) -> ProbedCampaign {
        known.map(|known| known.campaign).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::refresh::{EmailClicks, ProbeVerdict};

    const fn clicks(count: u32, seconds: u64) -> EmailClicks {
        EmailClicks { count, as_of: Duration::from_secs(seconds) }
    }

    #[test]
    fn counts_of_two_kinds_are_never_compared() {
        let mut activity = ProbedActivity::default();
        activity.counting(CountedClicks::All).probed(clicks(50, 1));
        activity.campaign.report_fetched(40, Duration::from_secs(2));
        let mut probed = |counted, count, at| activity.counting(counted).probed(clicks(count, at));
        assert_eq!(probed(CountedClicks::EmClicks, 30, 20), ProbeVerdict::NoBase);
        assert_eq!(probed(CountedClicks::EmClicks, 31, 40), ProbeVerdict::NoBase, "no report since");
        activity.campaign.report_fetched(41, Duration::from_secs(50));
        let mut probed = |counted, count, at| activity.counting(counted).probed(clicks(count, at));
        let as_of = Duration::from_secs(60);
        assert_eq!(probed(CountedClicks::EmClicks, 31, 60), ProbeVerdict::Unmoved { as_of });
    }

    #[test]
    fn what_is_known_of_an_activity_is_its_campaign() {
        let mut activity = ProbedActivity::default();
        activity.counting(CountedClicks::All).probed(clicks(50, 1));
        assert_eq!(ProbedActivity::campaign_of(Some(&activity)), activity.campaign);
        assert_eq!(ProbedActivity::campaign_of(None), ProbedCampaign::default());
        assert_ne!(activity.campaign, ProbedCampaign::default());
    }
}
