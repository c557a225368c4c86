//! The demand for calls, computed from the polls of the last minutes.

use std::time::Duration;

use super::{CampaignStats, ClickHistory, ReportForm, UnexpectedClicks, UtcTime};

/// The time that the rate of a campaign's polls is taken over.
const POLLS_MEMORY: Duration = Duration::from_hours(1);

/// One pass over all campaigns, every few minutes: sums the demand from their polls since the last pass and their
/// clicks.
#[derive(Debug)]
pub(crate) struct DemandSlice {
    now: Duration,
    seconds: f64,
    /// The share of this slice in the rate of polls, which is of about the last hour.
    share: f64,
    demand: f64,
    clicked: u32,
    unclicked: u32,
}

/// How many calls renew the two forms of a campaign's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeysPerCampaign {
    /// One: one form is derived from the other.
    One,
    /// One for each form.
    Two,
}

/// The result of a pass over all campaigns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemandSummary {
    /// The sum over all keys of sqrt(polls a second × clicks a second). At the price u²/2 it needs demand/u calls a
    /// second. It does not depend on the price, nor on whether the quota is used up.
    pub(super) demand: f64,
    pub(super) length: Duration,
    pub(super) clicked: u32,
    pub(super) unclicked: u32,
}

// === impl DemandSlice ===

impl DemandSlice {
    /// The usual time between two passes.
    pub(crate) const LENGTH: Duration = Duration::from_mins(5);

    /// Begins a pass, `length` after the last one.
    pub(crate) fn new(now: Duration, length: Duration) -> Self {
        let seconds = length.as_secs_f64().max(1.0);
        let share = 1.0 - (-seconds / POLLS_MEMORY.as_secs_f64()).exp();
        Self { now, seconds, share, demand: 0.0, clicked: 0, unclicked: 0 }
    }

    /// Adds a campaign; `answers` are the responses served so far from the cached report of each form (0 if the form
    /// is not cached).
    pub(crate) fn add(&mut self, campaign: &mut CampaignStats, answers: [u32; 2], keys: KeysPerCampaign) {
        let new = ReportForm::BOTH.map(|form| campaign.take_new_answers(form, answers[form.index()]));
        for form in ReportForm::BOTH {
            campaign.count_polls(form, f64::from(new[form.index()]) / self.seconds, self.share);
        }
        if new == [0; 2] {
            // Nobody asked.
        } else if keys == KeysPerCampaign::One {
            campaign.polled(self.now);
            self.add_key(campaign.history(ReportForm::AllLinks), f64::from(new[0]) + f64::from(new[1]));
        } else {
            campaign.polled(self.now);
            for form in ReportForm::BOTH {
                self.add_key(campaign.history(form), f64::from(new[form.index()]));
            }
        }
        self.count(campaign);
    }

    /// Counts a campaign that was polled within a day: these share the allowance for unexpected clicks.
    pub(crate) fn count(&mut self, campaign: &CampaignStats) {
        if campaign.was_polled_within(UtcTime::DAY, self.now) {
            match ReportForm::BOTH.map(|form| campaign.history(form).clicks()).into_iter().max() {
                Some(0) | None => self.unclicked += 1,
                Some(_) => self.clicked += 1,
            }
        }
    }

    fn add_key(&mut self, history: &ClickHistory, new_answers: f64) {
        if history.is_rate_known() {
            self.demand += (new_answers * history.rate().per_second() / self.seconds).sqrt();
        }
    }

    /// Ends the pass.
    pub(crate) fn finish(self) -> DemandSummary {
        let Self { now: _, seconds, share: _, demand, clicked, unclicked } = self;
        DemandSummary { demand, length: Duration::from_secs_f64(seconds), clicked, unclicked }
    }
}

// === impl DemandSummary ===

impl DemandSummary {
    /// The unexpected clicks to allow for, from the operator's setting `clicks` (see
    /// [`UnexpectedClicks::shared_by`]).
    pub fn unexpected(&self, clicks: f64) -> UnexpectedClicks {
        UnexpectedClicks::shared_by(clicks, self.clicked, self.unclicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn demand_is_the_sum_of_the_roots_of_polls_times_clicks() {
        let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 0, at(0));
        campaign.look(ReportForm::Clicked, 1_000, at(100));
        let rate = campaign.history(ReportForm::Clicked).rate().per_second();
        let mut slice = DemandSlice::new(at(300), DemandSlice::LENGTH);
        slice.add(&mut campaign, [30, 0], KeysPerCampaign::Two);
        assert!((slice.finish().demand - (0.1 * rate).sqrt()).abs() < 1e-9);
        let mut slice = DemandSlice::new(at(600), DemandSlice::LENGTH);
        slice.add(&mut campaign, [60, 30], KeysPerCampaign::Two);
        assert!(
            (slice.finish().demand - 2.0 * (0.1 * rate).sqrt()).abs() < 1e-9,
            "both forms, new answers only"
        );
    }

    #[test]
    fn the_rate_of_polls_is_that_of_about_the_last_hour() {
        let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 5, at(0));
        assert_eq!(campaign.polls_per_second(ReportForm::Clicked), None);
        let mut answers = 0;
        let mut rate_after = |slices: u32, new: u32| {
            for _ in 0..slices {
                answers += new;
                DemandSlice::new(at(300), DemandSlice::LENGTH).add(
                    &mut campaign,
                    [answers, 0],
                    KeysPerCampaign::Two,
                );
            }
            assert_eq!(campaign.polls_per_second(ReportForm::AllLinks), None);
            campaign.polls_per_second(ReportForm::Clicked).expect("it is polled")
        };
        assert!((rate_after(1, 30) - 0.1).abs() < 1e-6);
        let after_an_hour = rate_after(12, 60);
        assert!((0.15..0.19).contains(&after_an_hour), "{after_an_hour}");
        assert!(rate_after(36, 0) < 0.02);
    }

    #[test]
    fn the_answers_of_both_forms_are_the_demand_of_one_key_where_one_call_renews_both() {
        let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 0, at(0));
        campaign.look(ReportForm::Clicked, 1_000, at(100));
        let rate = campaign.history(ReportForm::Clicked).rate().per_second();
        for (now, answers, keys, expected) in [
            (300, [30, 0], KeysPerCampaign::Two, (0.1 * rate).sqrt()),
            (600, [60, 30], KeysPerCampaign::One, (0.2 * rate).sqrt()),
            (900, [90, 60], KeysPerCampaign::Two, 2.0 * (0.1 * rate).sqrt()),
        ] {
            let mut slice = DemandSlice::new(at(now), DemandSlice::LENGTH);
            slice.add(&mut campaign, answers, keys);
            assert!((slice.finish().demand - expected).abs() < 1e-9, "{now}");
        }
    }

    #[test]
    fn a_rate_that_is_a_guess_adds_no_demand() {
        let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 5, at(0));
        let mut slice = DemandSlice::new(at(300), DemandSlice::LENGTH);
        slice.add(&mut campaign, [30, 0], KeysPerCampaign::Two);
        assert_eq!(slice.finish().demand, 0.0);
    }

    #[test]
    fn campaigns_not_polled_for_a_day_do_not_share_the_allowance() {
        let mut campaigns: Vec<_> =
            (0..240).map(|_| CampaignStats::first_look(ReportForm::Clicked, 5, at(0))).collect();
        let mut walk = |now: u64, answers: u32, polled: usize| {
            let mut slice = DemandSlice::new(at(now), DemandSlice::LENGTH);
            for (index, campaign) in campaigns.iter_mut().enumerate() {
                slice.add(campaign, [if index < polled { answers } else { 1 }, 0], KeysPerCampaign::Two);
            }
            slice.finish().unexpected(7.0)
        };
        let mut unclicked = DemandSlice::new(at(300), DemandSlice::LENGTH);
        for _ in 0..40 {
            let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 0, at(0));
            unclicked.add(&mut campaign, [1, 0], KeysPerCampaign::Two);
        }
        assert_eq!(unclicked.finish().unexpected(7.0), UnexpectedClicks::shared_by(7.0, 0, 40));
        assert_eq!(walk(300, 1, 240), UnexpectedClicks::shared_by(7.0, 240, 0));
        assert_eq!(walk(86_400, 2, 100), UnexpectedClicks::shared_by(7.0, 240, 0));
        assert_eq!(walk(90_000, 3, 100), UnexpectedClicks::shared_by(7.0, 100, 0));
    }
}
