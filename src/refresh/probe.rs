//! The change probe: one call to the statistics endpoint is a look at up to ten campaigns, and shows which have new
//! clicks.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use super::{CampaignStats, CopyStats, Price, ReportForm, UnexpectedClicks};

/// With more expected clicks than this the campaign has almost certainly changed, so it is fetched without a probe.
const SURELY_CHANGED: f64 = 1.5;
/// The least effective number of campaigns in a probe; with fewer, a fetch costs no more.
const LEAST_SHARING: f64 = 2.0;
/// The weight of a new selection in the smoothed number: a memory of about a minute.
const NEW_SELECTION: f64 = 0.1;

/// Selects the campaigns with the most clicks possibly missed, among those not known to have changed. At most as many
/// as one call can query (ten).
#[derive(Debug)]
pub struct ProbeSelection<Id> {
    now: Duration,
    unexpected: UnexpectedClicks,
    most: usize,
    /// A heap whose top is the candidate with the fewest clicks missed, the first to be dropped.
    chosen: BinaryHeap<ProbeCandidate<Id>>,
}

/// A campaign, and the clicks that the responses served from its cached reports may have missed in total.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeCandidate<Id> {
    /// The campaign.
    pub id: Id,
    clicks_missed: f64,
}

/// Whether probes save calls at present. With m campaigns in a probe, a look at one costs 1/m of a call, plus a fetch
/// if it has changed. That is less than fetching it directly as long as `1/m + P(changed) < 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbeBenefit {
    /// The effective number of campaigns in a probe (total of clicks missed ÷ the largest of one campaign), smoothed.
    sharing: f64,
    judged: Judged,
}

/// Whether `sharing` decides if probes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Yes,
    No,
}

// === impl ProbeSelection ===

impl<Id> ProbeSelection<Id> {
    /// The time between two selections.
    pub const INTERVAL: Duration = Duration::from_secs(5);

    /// `most` is the number of campaigns that one call can query.
    pub const fn new(most: usize, now: Duration, unexpected: UnexpectedClicks) -> Self {
        Self { now, unexpected, most, chosen: BinaryHeap::new() }
    }

    /// Considers a campaign with its cached reports and the responses served from each. A campaign without clicks is
    /// never selected: it may not have been sent, and the endpoint rejects the whole call for one unsent campaign.
    pub fn consider(&mut self, id: Id, campaign: &CampaignStats, copies: &[(ReportForm, CopyStats, u32)]) {
        let clicks_missed = copies
            .iter()
            .filter(|(form, copy, _)| {
                let history = campaign.history(*form);
                history.clicks() > 0
                    && copy.known_missing() == 0
                    && copy.expected_clicks(self.now) < SURELY_CHANGED
            })
            .map(|(_, copy, answers)| {
                f64::from(copy.answers_since_current(*answers)) * copy.lack(self.now, self.unexpected).each()
            })
            .sum();
        if clicks_missed > 0.0 {
            self.chosen.push(ProbeCandidate { id, clicks_missed });
            if self.chosen.len() > self.most {
                self.chosen.pop();
            }
        }
    }

    /// The effective number of campaigns: all of them if each missed the same, 1 if one campaign missed all.
    fn sharing(&self) -> f64 {
        let missed = self.chosen.iter().map(|candidate| candidate.clicks_missed);
        let most = missed.clone().fold(0.0, f64::max);
        if most > 0.0 { missed.sum::<f64>() / most } else { 1.0 }
    }

    /// The campaigns to probe, if in total they are worth a call.
    pub fn worth_a_call(self, price: Price) -> Option<Vec<Id>> {
        let missed: f64 = self.chosen.iter().map(|candidate| candidate.clicks_missed).sum();
        let worth = !self.chosen.is_empty() && missed >= price.clicks_missed();
        worth.then(|| self.chosen.into_iter().map(|candidate| candidate.id).collect())
    }
}

// === impl ProbeBenefit ===

impl ProbeBenefit {
    /// Probes are always made; assumes ten campaigns in each.
    pub const ALWAYS: Self = Self { sharing: 10.0, judged: Judged::No };

    /// Probes are made only while the selections observed show that they save calls.
    pub const fn judged() -> Self {
        Self { sharing: 10.0, judged: Judged::Yes }
    }

    /// Records a selection, whether or not it was worth a call.
    pub fn observe<Id>(&mut self, selection: &ProbeSelection<Id>) {
        self.sharing += (selection.sharing() - self.sharing) * NEW_SELECTION;
    }

    /// Whether to probe. If not, reports that are worth a call are fetched.
    pub fn pays(&self) -> bool {
        self.judged == Judged::No || self.sharing >= LEAST_SHARING
    }

    /// The number of clicks expected since the last look from which a fetch is better than a probe.
    fn fetched_from(&self) -> f64 {
        match self.judged {
            Judged::No => SURELY_CHANGED,
            Judged::Yes if self.pays() => self.sharing.ln().min(SURELY_CHANGED),
            Judged::Yes => 0.0,
        }
    }
}

// === impl ProbeCandidate ===

impl<Id> Ord for ProbeCandidate<Id> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.clicks_missed.total_cmp(&self.clicks_missed)
    }
}

impl<Id> PartialOrd for ProbeCandidate<Id> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Id> PartialEq for ProbeCandidate<Id> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<Id> Eq for ProbeCandidate<Id> {}

// === impl CopyStats ===

impl CopyStats {
    /// Where probes are made: whether a report that is worth a call is fetched instead of probed. That is the case
    /// if its known missing clicks alone are worth the call, if it has almost certainly changed, or if its campaign
    /// has no clicks.
    pub fn is_worth_a_fetch_of_its_own(
        &self,
        answers: u32,
        now: Duration,
        price: Price,
        probes: &ProbeBenefit,
    ) -> bool {
        let known = f64::from(self.known_missing());
        let answers = f64::from(self.answers_since_current(answers)) + 1.0;
        known > 0.0 && answers * known >= price.clicks_missed()
            || self.expected_clicks(now) >= probes.fetched_from()
            || self.looked_clicks == 0
    }

    fn expected_clicks(&self, now: Duration) -> f64 {
        self.rate.per_second() * self.seconds_since_look(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const ALWAYS: ProbeBenefit = ProbeBenefit::ALWAYS;

    fn selection(campaigns: &[(u32, u32)]) -> ProbeSelection<usize> {
        selection_of(2, campaigns)
    }

    /// Campaigns given as (clicks, responses served), with the last look 100 s ago.
    fn selection_of(most: usize, campaigns: &[(u32, u32)]) -> ProbeSelection<usize> {
        let mut selection = ProbeSelection::new(most, at(1_100), UnexpectedClicks::shared_by(7.0, 1, 1));
        for (id, (clicks, answers)) in campaigns.iter().enumerate() {
            let mut campaign = CampaignStats::first_look(ReportForm::Clicked, *clicks, at(0));
            campaign.look(ReportForm::Clicked, *clicks, at(1_000));
            let copy = CopyStats::fetched(campaign.history(ReportForm::Clicked), *clicks, 0);
            selection.consider(id, &campaign, &[(ReportForm::Clicked, copy, *answers)]);
        }
        selection
    }

    fn select(campaigns: &[(u32, u32)], price: f64) -> Option<Vec<usize>> {
        selection(campaigns).worth_a_call(Price::from_u((2.0 * price).sqrt())).map(|mut ids| {
            ids.sort_unstable();
            ids
        })
    }

    #[test]
    fn those_that_missed_most_are_probed_if_together_they_are_worth_the_call() {
        let campaigns = [(5, 10), (5, 40), (5, 30), (5, 20)];
        assert_eq!(select(&campaigns, 0.1), Some(vec![1, 2]));
        assert_eq!(select(&campaigns, 100.0), None);
        assert_eq!(select(&[], 0.0), None);
    }

    #[test]
    fn a_campaign_without_clicks_or_without_answers_is_never_probed() {
        assert_eq!(select(&[(0, 1_000), (5, 0), (5, 1)], 1e-6), Some(vec![2]));
    }

    #[test]
    fn what_is_known_to_lack_clicks_or_has_surely_changed_is_fetched_instead() {
        let mut history = crate::refresh::ClickHistory::first_look(0, at(0));
        history.look(100, at(1_000));
        let copy = CopyStats::fetched(&history, 100, 0);
        let price = Price::from_u(2.0);
        assert!(!copy.is_worth_a_fetch_of_its_own(50, at(1_010), price, &ALWAYS), "one click may have come");
        assert!(copy.is_worth_a_fetch_of_its_own(50, at(1_030), price, &ALWAYS));
        history.look(101, at(1_001));
        let copy = copy.campaign_looked(&history, 0);
        assert!(copy.is_worth_a_fetch_of_its_own(1, at(1_002), price, &ALWAYS));
        assert!(!copy.is_worth_a_fetch_of_its_own(0, at(1_002), price, &ALWAYS));
        history.look(103, at(1_002));
        let copy = copy.campaign_looked(&history, 0);
        assert!(copy.is_worth_a_fetch_of_its_own(0, at(1_003), price, &ALWAYS), "three clicks are missed");
    }

    #[test]
    fn a_report_that_is_known_to_lack_nothing_is_probed_though_a_call_costs_nothing() {
        let copy = CopyStats::fetched(&crate::refresh::ClickHistory::first_look(5, at(1_000)), 5, 0);
        assert!(!copy.is_worth_a_fetch_of_its_own(1, at(1_000), Price::from_u(0.0), &ALWAYS));
    }

    #[test]
    fn probes_pay_while_at_least_two_campaigns_share_them() {
        let copy = CopyStats::fetched(&crate::refresh::ClickHistory::first_look(5, at(1_000)), 5, 0);
        let mut benefit = ProbeBenefit::judged();
        let mut observe = |campaigns: &[(u32, u32)]| {
            (0..100).for_each(|_| benefit.observe(&selection_of(3, campaigns)));
            let is_fetched = |now| copy.is_worth_a_fetch_of_its_own(1, at(now), Price::from_u(9.0), &benefit);
            (benefit.pays(), is_fetched(1_000), is_fetched(1_006))
        };
        assert_eq!(observe(&[(5, 100), (5, 100)]), (true, false, false));
        assert_eq!(observe(&[(5, 100), (5, 10)]), (false, true, true), "one missed nearly all of it");
        assert_eq!(observe(&[]), (false, true, true));
        assert_eq!(observe(&[(5, 100), (5, 100), (5, 100)]), (true, false, false), "they do again");
        assert!(ALWAYS.pays());
    }

    #[test]
    fn one_selection_alone_does_not_end_the_probes() {
        let mut benefit = ProbeBenefit::judged();
        benefit.observe(&selection(&[]));
        assert!(benefit.pays());
    }
}
