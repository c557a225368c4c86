//! The change probe: one call to the statistics endpoint looks at ten campaigns at once, and tells which of them have
//! new clicks.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use super::{CampaignStats, CopyStats, Price, ReportForm, UnexpectedClicks};

/// A campaign that must have got more clicks than this by now has surely changed: a probe would tell nothing.
const SURELY_CHANGED: f64 = 1.5;
/// So many campaigns must share a probe, or a fetch does as well.
const LEAST_SHARING: f64 = 2.0;
/// The share of a new selection in the smoothed figure: a memory of about a minute.
const NEW_SELECTION: f64 = 0.1;

/// Picks the campaigns that owe most among those of which nobody knows whether they changed. Bounded by the ten that
/// one call can ask for.
#[derive(Debug)]
pub struct ProbeSelection<Id> {
    now: Duration,
    unexpected: UnexpectedClicks,
    most: usize,
    /// The least of them comes first out of it.
    chosen: BinaryHeap<ProbeCandidate<Id>>,
}

/// A campaign, and the clicks that the answers of its cached copies may have missed together.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeCandidate<Id> {
    /// Which.
    pub id: Id,
    owes: f64,
}

/// Whether probes pay at present. With m campaigns in one, a look at one costs 1/m of a call, and another call if it has
/// changed: fewer than a fetch as long as `1/m + P(changed) < 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbeBenefit {
    /// How many campaigns share a probe, counted in those that owe as much as the one that owes most; smoothed.
    sharing: f64,
    judged: Judged,
}

/// Do the figures decide whether probes pay?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Yes,
    No,
}

// === impl ProbeSelection ===

impl<Id> ProbeSelection<Id> {
    /// How often a selection is worth making.
    pub const INTERVAL: Duration = Duration::from_secs(5);

    /// `most` is what one call can ask for.
    pub const fn new(most: usize, now: Duration, unexpected: UnexpectedClicks) -> Self {
        Self { now, unexpected, most, chosen: BinaryHeap::new() }
    }

    /// Considers a campaign with its cached copies and the answers given of each. One without clicks is never asked for:
    /// the endpoint refuses ten for the sake of one that was not sent.
    pub fn consider(&mut self, id: Id, campaign: &CampaignStats, copies: &[(ReportForm, CopyStats, u32)]) {
        let owes = copies
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
        if owes > 0.0 {
            self.chosen.push(ProbeCandidate { id, owes });
            if self.chosen.len() > self.most {
                self.chosen.pop();
            }
        }
    }

    /// How many campaigns it is worth: as many as it has if they owe the same, one if one owes all.
    fn sharing(&self) -> f64 {
        let owed = self.chosen.iter().map(|candidate| candidate.owes);
        let most = owed.clone().fold(0.0, f64::max);
        if most > 0.0 { owed.sum::<f64>() / most } else { 1.0 }
    }

    /// The campaigns to ask for, if together they are worth the call.
    pub fn worth_a_call(self, price: Price) -> Option<Vec<Id>> {
        let owed: f64 = self.chosen.iter().map(|candidate| candidate.owes).sum();
        let worth = !self.chosen.is_empty() && owed >= price.clicks_missed();
        worth.then(|| self.chosen.into_iter().map(|candidate| candidate.id).collect())
    }
}

// === impl ProbeBenefit ===

impl ProbeBenefit {
    /// Takes it for granted that ten share a probe.
    pub const ALWAYS: Self = Self { sharing: 10.0, judged: Judged::No };

    /// Judges by the selections to come.
    pub const fn judged() -> Self {
        Self { sharing: 10.0, judged: Judged::Yes }
    }

    /// A selection was made, whether or not it was worth a call.
    pub fn observe<Id>(&mut self, selection: &ProbeSelection<Id>) {
        self.sharing += (selection.sharing() - self.sharing) * NEW_SELECTION;
    }

    /// Do probes pay? If not, what is worth a call is fetched.
    pub fn pays(&self) -> bool {
        self.judged == Judged::No || self.sharing >= LEAST_SHARING
    }

    /// With so many clicks expected since the last look, a fetch is better than a probe.
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
        other.owes.total_cmp(&self.owes)
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
    /// Where probes are made, a copy that is worth a call is fetched only if it is known to lack clicks that are worth
    /// it, if it has surely changed, or if its campaign has no clicks; the others wait for a probe.
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

    /// A campaign with some clicks that nobody has looked at for 100 s; its copy gave so many answers.
    fn selection(campaigns: &[(u32, u32)]) -> ProbeSelection<usize> {
        let mut selection = ProbeSelection::new(2, at(1_100), UnexpectedClicks::shared_by(7.0, 1, 1));
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
    fn those_that_owe_most_are_probed_if_together_they_are_worth_the_call() {
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
    fn what_is_known_to_lack_or_has_surely_changed_is_fetched_instead() {
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
    }

    #[test]
    fn probes_pay_while_at_least_two_campaigns_share_them() {
        let copy = CopyStats::fetched(&crate::refresh::ClickHistory::first_look(5, at(1_000)), 5, 0);
        let mut benefit = ProbeBenefit::judged();
        let mut observe = |campaigns: &[(u32, u32)]| {
            (0..100).for_each(|_| benefit.observe(&selection(campaigns)));
            (benefit.pays(), copy.is_worth_a_fetch_of_its_own(1, at(1_006), Price::from_u(9.0), &benefit))
        };
        assert_eq!(observe(&[(5, 100), (5, 100)]), (true, false));
        assert_eq!(observe(&[(5, 100), (5, 10)]), (false, true), "one owes nearly all of it");
        assert_eq!(observe(&[]), (false, true));
        assert!(ALWAYS.pays());
    }
}
