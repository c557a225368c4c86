//! The change probe as a whole: when a probe may be made, of which campaigns, whether its verdicts are relied on, and
//! what its failures mean.
//!
//! Verdicts are not relied on before fifty *unmoved* have been confirmed, each by the next report that is fetched of its
//! campaign; or, where that shows new clicks, by the next probe, which must count them too. Until then campaigns are refreshed as if there were no probes, so that no call is made only to confirm one.
//! A campaign is not probed again before its next report is fetched. The contradiction of a single verdict switches
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
/// Statistics as old as the last look tell nothing, and half as old they tell only of half the time since. So a campaign is
/// probed only this many times their age after a look; until then its reports are refreshed as if there were no probes.
const LAGS: u32 = 2;
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

    /// How many verdicts *unmoved* have been confirmed.
    pub const fn confirmations(&self) -> u32 {
        self.check.comparisons_agreed()
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
            ShadowStatus::Verifying => campaign.has_verdict(),
            ShadowStatus::Trusted => false,
        };
        !waits && campaign.can_tell(self.lag() * LAGS, now) && self.suspects.admit(id, now)
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
        let was_open = campaign.has_open_verdict();
        let verdict = campaign.probed(clicks);
        match verdict {
            ProbeVerdict::Contradicted => self.check.switch_off(ProbeOffReason::Contradicted),
            ProbeVerdict::Unmoved { .. } | ProbeVerdict::Moved { .. } if was_open => self.check.agreed(),
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
mod tests;
