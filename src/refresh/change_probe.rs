//! The change probe as a whole: when a probe may be made, of which campaigns, whether its verdicts are relied on, and
//! what its failures mean.
//!
//! Verdicts are not relied on before fifty *unmoved* have been confirmed, each by the next report that is fetched of its
//! campaign. Until then campaigns are refreshed as if there were no probes, so that no call is made only to confirm one.
//! A campaign is not probed again while its verdict waits for that. The contradiction of a single verdict switches
//! probes off, also later: reports and probes of a campaign are compared for as long as there are both.

use std::{hash::Hash, time::Duration};

use super::{
    EmailClicks, ProbeVerdict, ProbedCampaign, ShadowCheck, ShadowMode, ShadowStatus, UnmovedCheck,
    probe_suspects::ProbeSuspects,
};
use crate::backoff::Backoff;

/// This many verdicts *unmoved* must be confirmed before any is relied on.
const CONFIRMED: u32 = 50;
/// The least time between two probes: as they are used; until they are proven; and, in the mode `verify`, afterwards. A
/// probe whose verdicts are not relied on is a call that saves none.
const INTERVAL: Duration = Duration::from_secs(5);
const UNPROVEN_INTERVAL: Duration = Duration::from_mins(1);
const VERIFY_INTERVAL: Duration = Duration::from_mins(10);
/// The pauses after probes that failed, other than by being rejected.
const AFTER_FAILURE: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_mins(10));
/// After this many rejected probes in a row it is not a few bad campaigns: one costs at most five.
const REJECTED_IN_A_ROW: u32 = 20;
/// The weight of a probe in the smoothed age of the statistics.
const NEW_LAG: f64 = 0.1;

/// Why probes are switched off until the process restarts: the label `reason` of `probe_switched_off_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOffReason {
    /// Reports showed new clicks that `em_clicks` did not: a verdict *unmoved* was wrong, or would be.
    Contradicted,
    /// 403: the access token may not read statistics.
    Forbidden,
    /// The endpoint rejected many probes in a row, of ever other campaigns.
    Rejected,
}

/// Decides about probes. `Id` is a campaign's.
#[derive(Debug)]
pub struct ChangeProbe<Id> {
    check: ShadowCheck<ProbeOffReason>,
    suspects: ProbeSuspects<Id>,
    next_at: Duration,
    failed_in_a_row: u32,
    rejected_in_a_row: u32,
    /// How old the statistics are when they are read, smoothed, in seconds.
    lag: f64,
}

// === impl ProbeOffReason ===

impl ProbeOffReason {
    /// Each label.
    pub const ALL: [Self; 3] = [Self::Contradicted, Self::Forbidden, Self::Rejected];

    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contradicted => "contradicted",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
        }
    }
}

// === impl ChangeProbe ===

impl<Id: Copy + Eq + Hash> ChangeProbe<Id> {
    /// At the start of the process.
    pub fn new(mode: ShadowMode) -> Self {
        Self {
            check: ShadowCheck::new(mode, CONFIRMED),
            suspects: ProbeSuspects::new(),
            next_at: Duration::ZERO,
            failed_in_a_row: 0,
            rejected_in_a_row: 0,
            lag: 0.0,
        }
    }

    /// Whether verdicts are relied on, and if probes are switched off, why.
    pub const fn status(&self) -> ShadowStatus<ProbeOffReason> {
        self.check.status()
    }

    /// How many campaigns are left out of probes.
    pub fn left_out(&self, now: Duration) -> usize {
        self.suspects.left_out(now)
    }

    /// How old the statistics are when they are read, on average.
    pub const fn lag(&self) -> Duration {
        Duration::from_millis((self.lag * 1e3) as u64)
    }

    /// Whether a probe may be made at `now`.
    pub fn is_due(&self, now: Duration) -> bool {
        match self.check.status() {
            ShadowStatus::Off | ShadowStatus::SwitchedOff(_) => false,
            ShadowStatus::Verifying | ShadowStatus::Trusted => now >= self.next_at,
        }
    }

    /// Whether a campaign may be part of a probe, and the probe is likely to tell something of it. If verdicts are relied
    /// on and this is false, the campaign's reports are refreshed as if there were no probes.
    pub fn admit(&self, id: Id, campaign: &ProbedCampaign, now: Duration) -> bool {
        let waits = match self.check.status() {
            ShadowStatus::Off | ShadowStatus::SwitchedOff(_) => return false,
            ShadowStatus::Verifying => campaign.is_unconfirmed(),
            ShadowStatus::Trusted => false,
        };
        !waits && campaign.can_tell(self.lag(), now) && self.suspects.admit(id, now)
    }

    /// The campaigns that the next probe must be of, whatever they are worth, to find the one that the endpoint rejects.
    /// Otherwise select them.
    pub fn demanded_batch(&self) -> Option<&[Id]> {
        self.suspects.next_batch()
    }

    /// A probe is made.
    pub const fn begin(&mut self, now: Duration) {
        let interval = match self.check.status() {
            ShadowStatus::Verifying if self.check.is_proven() => VERIFY_INTERVAL,
            ShadowStatus::Verifying => UNPROVEN_INTERVAL,
            ShadowStatus::Off | ShadowStatus::Trusted | ShadowStatus::SwitchedOff(_) => INTERVAL,
        };
        self.next_at = now.saturating_add(interval);
    }

    /// The endpoint answered a probe of `batch`, with statistics of some or all of it. Pass these to
    /// [`verdict`](Self::verdict) afterwards.
    pub fn answered(&mut self, batch: &[Id], found: &[(Id, EmailClicks)], now: Duration) {
        (self.failed_in_a_row, self.rejected_in_a_row) = (0, 0);
        self.suspects.answered(batch, now);
        for id in batch {
            if !found.iter().any(|(found, _)| found == id) {
                self.suspects.leave_out(*id, now);
            }
        }
        if !found.is_empty() {
            let ages = found.iter().map(|(_, clicks)| now.saturating_sub(clicks.as_of).as_secs_f64());
            self.lag += (ages.sum::<f64>() / found.len() as f64 - self.lag) * NEW_LAG;
        }
    }

    /// What a campaign's statistics tell. The verdict is to be applied only if the [`status`](Self::status) is `Trusted`.
    pub fn verdict(&mut self, campaign: &mut ProbedCampaign, clicks: EmailClicks) -> ProbeVerdict {
        let verdict = campaign.probed(clicks);
        match verdict {
            ProbeVerdict::Contradicted => self.check.switch_off(ProbeOffReason::Contradicted),
            ProbeVerdict::NoBase
            | ProbeVerdict::NotNewer
            | ProbeVerdict::Unmoved { .. }
            | ProbeVerdict::Moved { .. } => {}
        }
        verdict
    }

    /// A report of a campaign was fetched, in either form, while the two are paired. `clicks` is the sum of its
    /// `unique_clicks`, `at` when the upstream generated it.
    pub fn report_fetched(
        &mut self,
        campaign: &mut ProbedCampaign,
        clicks: u32,
        at: Duration,
    ) -> UnmovedCheck {
        let check = campaign.report_fetched(clicks, at);
        match check {
            UnmovedCheck::Confirmed => self.check.agreed(),
            UnmovedCheck::Open => {}
        }
        check
    }

    /// The endpoint rejected a probe of `batch` for at least one of its campaigns: 404 or 400.
    pub fn rejected(&mut self, batch: &[Id], now: Duration) {
        self.suspects.rejected(batch, now);
        self.rejected_in_a_row += 1;
        if self.rejected_in_a_row >= REJECTED_IN_A_ROW {
            self.check.switch_off(ProbeOffReason::Rejected);
        }
    }

    /// 403: the access token may not read statistics. It may still read reports.
    pub const fn forbidden(&mut self) {
        self.check.switch_off(ProbeOffReason::Forbidden);
    }

    /// A probe failed in another way, which says nothing about its campaigns.
    pub fn failed(&mut self, now: Duration) {
        self.next_at = self.next_at.max(now.saturating_add(AFTER_FAILURE.pause(self.failed_in_a_row)));
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn clicks(count: u32, seconds: u64) -> EmailClicks {
        EmailClicks { count, as_of: at(seconds) }
    }

    /// A campaign that was probed at 1 s and fetched at 2 s.
    fn campaign(probe: &mut ChangeProbe<u32>) -> ProbedCampaign {
        let mut campaign = ProbedCampaign::default();
        probe.verdict(&mut campaign, clicks(5, 1));
        probe.report_fetched(&mut campaign, 9, at(2));
        campaign
    }

    /// With so many verdicts confirmed.
    fn confirmed(mode: ShadowMode, count: u32) -> ChangeProbe<u32> {
        let mut probe = ChangeProbe::new(mode);
        for _ in 0..count {
            let mut campaign = campaign(&mut probe);
            assert_eq!(probe.verdict(&mut campaign, clicks(5, 3)), ProbeVerdict::Unmoved { as_of: at(3) });
            assert_eq!(probe.report_fetched(&mut campaign, 9, at(4)), UnmovedCheck::Confirmed);
        }
        probe
    }

    #[test]
    fn verdicts_are_relied_on_after_fifty_are_confirmed_and_never_to_verify() {
        assert_eq!(confirmed(ShadowMode::On, CONFIRMED - 1).status(), ShadowStatus::Verifying);
        assert_eq!(confirmed(ShadowMode::On, CONFIRMED).status(), ShadowStatus::Trusted);
        assert_eq!(confirmed(ShadowMode::Verify, CONFIRMED).status(), ShadowStatus::Verifying);
    }

    #[test]
    fn an_em_clicks_that_does_not_move_with_every_link_is_found_and_switches_probes_off() {
        for mut probe in [confirmed(ShadowMode::Verify, 0), confirmed(ShadowMode::On, CONFIRMED)] {
            let mut campaign = campaign(&mut probe);
            probe.verdict(&mut campaign, clicks(5, 30));
            assert_eq!(probe.report_fetched(&mut campaign, 10, at(40)), UnmovedCheck::Open);
            assert_eq!(probe.verdict(&mut campaign, clicks(5, 60)), ProbeVerdict::Contradicted);
            assert_eq!(probe.status(), ShadowStatus::SwitchedOff(ProbeOffReason::Contradicted));
            assert!(!probe.is_due(at(100)) && !probe.admit(1, &ProbedCampaign::default(), at(100)));
        }
    }

    #[test]
    fn a_probe_that_is_not_relied_on_is_made_less_often() {
        for (mut probe, interval) in [
            (confirmed(ShadowMode::On, CONFIRMED), 5),
            (confirmed(ShadowMode::On, 0), 60),
            (confirmed(ShadowMode::Verify, 0), 60),
            (confirmed(ShadowMode::Verify, CONFIRMED), 600),
        ] {
            assert!(probe.is_due(at(1_000)));
            probe.begin(at(1_000));
            assert_eq!([interval - 1, interval].map(|s| probe.is_due(at(1_000 + s))), [false, true]);
        }
        assert!(!confirmed(ShadowMode::Off, 0).is_due(at(1_000)));
    }

    #[test]
    fn a_campaign_whose_verdict_waits_to_be_confirmed_is_not_probed_again_before_verdicts_are_relied_on() {
        for (confirmations, admitted) in [(0, false), (CONFIRMED, true)] {
            let mut probe = confirmed(ShadowMode::On, confirmations);
            let mut campaign = campaign(&mut probe);
            assert!(probe.admit(1, &campaign, at(3)));
            probe.verdict(&mut campaign, clicks(5, 3));
            assert_eq!(probe.admit(1, &campaign, at(10)), admitted);
        }
    }

    #[test]
    fn a_campaign_fetched_after_the_statistics_are_as_of_is_not_probed() {
        let mut probe = confirmed(ShadowMode::On, CONFIRMED);
        let campaign = campaign(&mut probe);
        for _ in 0..100 {
            probe.answered(&[1], &[(1, clicks(5, 700))], at(1_000));
        }
        assert!((probe.lag().as_secs_f64() - 300.0).abs() < 1.0, "{:?}", probe.lag());
        assert!(!probe.admit(1, &campaign, at(300)) && probe.admit(1, &campaign, at(303)));
    }

    #[test]
    fn a_campaign_without_statistics_is_left_out_and_a_rejected_batch_is_searched() {
        let mut probe = confirmed(ShadowMode::On, CONFIRMED);
        let new = ProbedCampaign::default();
        probe.answered(&[1, 2], &[(2, clicks(5, 9))], at(10));
        assert_eq!([1, 2].map(|id| probe.admit(id, &new, at(11))), [false, true]);
        probe.rejected(&[2, 3, 4, 5], at(20));
        assert_eq!(probe.demanded_batch(), Some(&[2, 3][..]));
        probe.answered(&[2, 3], &[(2, clicks(5, 9)), (3, clicks(1, 9))], at(30));
        probe.rejected(&[4], at(40));
        assert_eq!((probe.demanded_batch(), probe.left_out(at(40))), (None, 2));
        assert_eq!(probe.status(), ShadowStatus::Trusted);
    }

    #[test]
    fn a_403_or_twenty_rejected_probes_in_a_row_switch_probes_off() {
        let mut probe = confirmed(ShadowMode::On, CONFIRMED);
        probe.forbidden();
        assert_eq!(probe.status(), ShadowStatus::SwitchedOff(ProbeOffReason::Forbidden));
        for (answered, off) in [(Vec::new(), true), (vec![100], false)] {
            let mut probe = confirmed(ShadowMode::Verify, 0);
            (1..REJECTED_IN_A_ROW).for_each(|id| probe.rejected(&[id], at(10)));
            assert_eq!(probe.status(), ShadowStatus::Verifying);
            if !answered.is_empty() {
                probe.answered(&answered, &[], at(10));
            }
            probe.rejected(&[101], at(10));
            assert_eq!(probe.status() == ShadowStatus::SwitchedOff(ProbeOffReason::Rejected), off);
        }
    }

    #[test]
    fn failures_pause_probes_longer_and_longer_until_one_is_answered() {
        let mut probe = confirmed(ShadowMode::On, CONFIRMED);
        for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
            probe.begin(at(1_000));
            probe.failed(at(1_000));
            assert_eq!([pause - 1, pause].map(|s| probe.is_due(at(1_000 + s))), [false, true]);
            probe.next_at = at(0);
        }
        probe.answered(&[1], &[], at(2_000));
        probe.failed(at(2_000));
        assert!(probe.is_due(at(2_010)));
    }
}
