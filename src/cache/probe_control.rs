//! The change probe's decisions, with its metrics and log lines: it is switched off, or relied on, only once.

use std::time::Duration;

use crate::{
    refresh::{
        ChangeProbe, CopyStats, Price, ProbeBenefit, ProbeOffReason, ProbeSelection, ShadowMode, ShadowStatus,
    },
    report::ActivityId,
    telemetry::CacheMetrics,
};

/// The decisions about probes.
#[derive(Debug)]
pub(super) struct ProbeControl {
    pub(super) change_probe: ChangeProbe<ActivityId>,
    pub(super) benefit: ProbeBenefit,
    /// As it was last logged.
    told: ShadowStatus<ProbeOffReason>,
    confirmations_counted: u32,
    passage: ProbePassage,
}

/// Whether the circuit breaker let the last probe through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbePassage {
    Open,
    /// Only a report's call can close the circuit, so from now on no report waits for a probe.
    Closed,
}

// === impl ProbeControl ===

impl ProbeControl {
    pub(super) fn new(mode: ShadowMode) -> Self {
        let change_probe = ChangeProbe::new(mode);
        let told = change_probe.status();
        Self {
            change_probe,
            benefit: ProbeBenefit::judged(),
            told,
            confirmations_counted: 0,
            passage: ProbePassage::Open,
        }
    }

    /// Whether there are probes, or may be again: what reports show is compared with them.
    pub(super) const fn compares(&self) -> bool {
        match self.change_probe.status() {
            ShadowStatus::Off | ShadowStatus::SwitchedOff(_) => false,
            ShadowStatus::Verifying | ShadowStatus::Trusted => true,
        }
    }

    /// Whether what probes tell is applied.
    pub(super) const fn is_trusted(&self) -> bool {
        match self.change_probe.status() {
            ShadowStatus::Off | ShadowStatus::Verifying | ShadowStatus::SwitchedOff(_) => false,
            ShadowStatus::Trusted => true,
        }
    }

    /// Whether a report that is worth a call waits for a probe of its campaign instead. Not while probes pause after a
    /// failure or are not let through, nor if the report is better fetched anyway.
    pub(super) fn comes_first(&self, copy: &CopyStats, answers: u32, now: Duration, price: Price) -> bool {
        self.is_trusted()
            && self.passage == ProbePassage::Open
            && self.change_probe.is_due(now.saturating_add(ProbeSelection::<ActivityId>::INTERVAL))
            && !copy.is_worth_a_fetch_of_its_own(answers, now, price, &self.benefit)
    }

    /// Whether a probe was let through, the last one there was.
    pub(super) const fn passed(&mut self, passage: ProbePassage) {
        self.passage = passage;
    }

    /// Counts the confirmations since the last time, and logs and counts a change of the status.
    pub(super) fn tell(&mut self, metrics: &CacheMetrics) {
        let confirmations = self.change_probe.confirmations();
        let before = std::mem::replace(&mut self.confirmations_counted, confirmations);
        metrics.probes.confirmed(confirmations.saturating_sub(before));
        let status = self.change_probe.status();
        if status == self.told {
            return;
        }
        self.told = status;
        metrics.probes.status(status.as_str());
        match status {
            ShadowStatus::Off | ShadowStatus::Verifying => {}
            ShadowStatus::Trusted => tracing::info!(
                "the change probe is relied on: reports are fetched where the statistics endpoint shows new clicks"
            ),
            ShadowStatus::SwitchedOff(reason) => {
                let why = match reason {
                    ProbeOffReason::Contradicted => {
                        "reports showed clicks that the statistics endpoint did not count"
                    }
                    ProbeOffReason::Forbidden => "the access token may not read statistics",
                    ProbeOffReason::Rejected => "the statistics endpoint rejected many calls in a row",
                };
                let reason = reason.as_str();
                metrics.probes.switched_off(reason);
                tracing::warn!(
                    reason,
                    "upstream.change_probe is switched off until a restart: {why}; reports are refreshed without it"
                );
            }
        }
    }
}
