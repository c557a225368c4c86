//! Rationing: how many of the day's calls refreshes may use.
//!
//! Without a plan of the day the [`BurnRate`](super::BurnRate) spreads them: an even pace. With a plan, its price has
//! spread them already, so that all that is left to do here is to stop refreshes where only the reserve for misses is
//! left. The plan changes the reserve each minute. A new process has an even pace until its plan speaks.

use std::num::NonZeroU32;

use super::burn_rate::QuotaMode;

/// What the plan of the day says about its calls; valid until it says something else, over midnight too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedRationing {
    /// Calls that are reserved for misses during the rest of the day.
    pub reserved: u32,
    /// How the present price of a call compares with an ample day's.
    pub scarcity: Scarcity,
}

/// Whether calls are scarce by the plan. Only shown: the price has made refreshes rarer already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scarcity {
    /// A call costs no more than on an ample day.
    Ample,
    /// A call costs more.
    Scarce,
}

/// What rations the refreshes of a limited day.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Rationing {
    /// The burn rate.
    #[default]
    EvenPace,
    /// The plan.
    Planned(PlannedRationing),
}

// === impl PlannedRationing ===

impl PlannedRationing {
    /// The mode while `left` calls are left of the day. Refreshes go on only when clearly more than the reserve is left
    /// again: neither a refund nor the shrinking of the reserve may switch the mode to and fro.
    pub(super) fn mode(self, left: NonZeroU32, before: QuotaMode) -> QuotaMode {
        let kept = match before {
            QuotaMode::MissesOnly => self.reserved.saturating_add(self.reserved / 20).saturating_add(2),
            QuotaMode::Normal | QuotaMode::Throttled | QuotaMode::Exhausted => self.reserved,
        };
        if left.get() <= kept {
            return QuotaMode::MissesOnly;
        }
        match self.scarcity {
            Scarcity::Ample => QuotaMode::Normal,
            Scarcity::Scarce => QuotaMode::Throttled,
        }
    }
}
