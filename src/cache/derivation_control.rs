//! The decisions about derivation, with their metrics and log lines: it is relied on, or switched off, only once.

use super::{ClickedSource, DerivationCheck};
use crate::{
    refresh::{ShadowMode, ShadowStatus},
    report::{ActivityId, DerivationMismatch, DerivedComparison},
    telemetry::CacheMetrics,
};

/// The decisions about derivation.
#[derive(Debug)]
pub(super) struct DerivationControl {
    pub(super) check: DerivationCheck<ActivityId>,
    /// As it was last logged.
    told: ShadowStatus<DerivationMismatch>,
}

/// What a comparison has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DerivationChange {
    /// Nothing.
    None,
    /// Derivation is relied on from now on.
    Trusted,
    /// It is no longer used.
    SwitchedOff,
}

// === impl DerivationControl ===

impl DerivationControl {
    /// `None`: it is off.
    pub(super) fn new(mode: ShadowMode, metrics: &CacheMetrics) -> Option<Self> {
        match mode {
            ShadowMode::Off => None,
            ShadowMode::Verify | ShadowMode::On => {
                let check = DerivationCheck::new(mode);
                let told = check.status();
                metrics.derivation.status(told.as_str());
                Some(Self { check, told })
            }
        }
    }

    /// Whether derived reports are served.
    pub(super) const fn is_trusted(&self) -> bool {
        match self.check.status() {
            ShadowStatus::Off | ShadowStatus::Verifying | ShadowStatus::SwitchedOff(_) => false,
            ShadowStatus::Trusted => true,
        }
    }

    /// Whether the report that has just been derived is served. Call it once for each.
    pub(super) fn source(&mut self) -> ClickedSource {
        self.check.source()
    }

    /// Counts a comparison; logs and counts what it changes.
    pub(super) fn compared(
        &mut self,
        campaign: ActivityId,
        comparison: DerivedComparison,
        metrics: &CacheMetrics,
    ) -> DerivationChange {
        metrics.derivation.compared(comparison.as_str());
        let mismatch = self.check.compared(campaign, comparison);
        let status = self.check.status();
        if status == self.told {
            return DerivationChange::None;
        }
        self.told = status;
        metrics.derivation.status(status.as_str());
        if let Some(reason) = mismatch {
            let reason = reason.as_str();
            metrics.derivation.mismatched(reason);
            tracing::warn!(
                id = %campaign,
                reason,
                "cache.derive_clicked is switched off until a restart: this activity's report without no_clicks is not the \
                 one with it less the links that nobody clicked; each report is fetched"
            );
            return DerivationChange::SwitchedOff;
        }
        tracing::info!(
            "derivation is relied on: one call brings an activity's report with no_clicks and the one without"
        );
        DerivationChange::Trusted
    }
}
