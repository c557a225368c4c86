//! Burn rate: rations the daily budget where no plan does, so that refreshes are delayed before a miss is refused.
//!
//! Refreshes may use the calls left today minus the reserve for misses, which shrinks with the hours left. While that
//! lasts until midnight at an even pace, nothing is delayed. When it does not, all entries are refreshed less often, by
//! the same factor. The factor follows from the count and the time alone, so a restart computes the same one. The mode
//! is not stored: after a restart its hysteresis starts at `Normal` again.

use std::num::NonZeroU32;

/// The reserve never shrinks below one hour's share, so that misses just before midnight are served too.
const LAST_SHARE: f64 = 1.0 / 24.0;

/// Burn rates: at the first refreshes begin to be delayed, below the second they no longer are (hysteresis).
const STRETCH: (f64, f64) = (1.05, 1.0);

/// Burn rates: at the first refreshes stop, below the second they are only delayed again (hysteresis).
const STOP: (f64, f64) = (2.0, 1.75);

/// The delay factor is the burn rate to this power. 200 keys polled all day need a factor of 8, reached at a burn rate
/// of 1.3. At 2 the factor is 256: an entry with the usual lifetime would be refreshed once a day.
const STEEPNESS: i32 = 8;

/// A day's limit and reserve, from which the burn rate is computed. Pure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BurnRate {
    limit: NonZeroU32,
    reserve: f64,
}

/// Which calls the rest of the day's budget allows. Ordered from the least to the most strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaMode {
    /// All calls.
    #[default]
    Normal,
    /// All calls, but calls are scarce: refreshes are delayed by a factor, or made rarer by the plan's price.
    Throttled,
    /// Misses only.
    MissesOnly,
    /// None until 00:00 UTC, except probes during a lockout.
    Exhausted,
}

// === impl BurnRate ===

impl BurnRate {
    /// `reserve` is the share of the limit that is reserved for misses, in `0.0..=0.9`.
    pub(crate) const fn new(limit: NonZeroU32, reserve: f64) -> Self {
        Self { limit, reserve }
    }

    /// Calls reserved for misses during the rest of the day; `day_left` is in `0.0..=1.0`.
    pub(super) fn reserved(&self, day_left: f64) -> f64 {
        f64::from(self.limit.get()) * self.reserve * day_left.max(LAST_SHARE)
    }

    /// How tight the budget for refreshes is: at 1 it lasts until midnight at an even pace, at 2 only at half that
    /// pace; infinity: no calls are left for refreshes.
    pub(crate) fn burn_rate(&self, used: u32, day_left: f64) -> f64 {
        let limit = f64::from(self.limit.get());
        let left = limit - f64::from(used) - self.reserved(day_left);
        let even = limit * (1.0 - self.reserve) * day_left;
        if left > 0.0 { even / left } else { f64::INFINITY }
    }
}

// === impl QuotaMode ===

impl QuotaMode {
    /// The burn rates from which on refreshes are delayed, and stopped.
    pub const BURN_RATES: [f64; 2] = [STRETCH.0, STOP.0];

    /// Each label of `quota_mode`.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Throttled, Self::MissesOnly, Self::Exhausted];

    /// The label in metrics and in `GET /quota`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Throttled => "throttled",
            Self::MissesOnly => "misses_only",
            Self::Exhausted => "exhausted",
        }
    }

    /// The mode at this burn rate. Between the two burn rates of a threshold the mode stays as it is.
    #[must_use]
    pub fn next(self, burn_rate: f64) -> Self {
        let beyond = |(enter, leave): (f64, f64), inside: Self| {
            burn_rate >= enter || (self >= inside && burn_rate >= leave)
        };
        if beyond(STOP, Self::MissesOnly) {
            Self::MissesOnly
        } else if beyond(STRETCH, Self::Throttled) {
            Self::Throttled
        } else {
            Self::Normal
        }
    }
}

/// The factor by which the time between two refreshes of a key grows at this burn rate.
pub(crate) fn factor(burn_rate: f64) -> f64 {
    burn_rate.max(1.0).powi(STEEPNESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pace() -> BurnRate {
        BurnRate::new(NonZeroU32::new(10_000).unwrap(), 0.1)
    }

    fn steps(burn_rate: impl IntoIterator<Item = f64>) -> Vec<QuotaMode> {
        let mut mode = QuotaMode::Normal;
        burn_rate
            .into_iter()
            .map(|burn_rate| {
                mode = mode.next(burn_rate);
                mode
            })
            .collect()
    }

    #[test]
    fn an_even_day_is_never_tight() {
        for hour in 0..23_u32 {
            let day_left = 1.0 - f64::from(hour) / 24.0;
            let used = 10_000 * hour / 24;
            assert!(pace().burn_rate(used, day_left) < 1.001, "{hour}");
        }
    }

    #[test]
    fn what_is_kept_for_cold_keys_is_not_for_refreshes() {
        assert!(pace().burn_rate(8_900, 1.0).is_finite());
        assert_eq!(pace().burn_rate(9_000, 1.0), f64::INFINITY);
        assert!(pace().burn_rate(9_000, 0.5).is_finite(), "half a day needs half the reserve");
        assert_eq!(
            pace().burn_rate(9_960, 0.001),
            f64::INFINITY,
            "the last minutes keep the reserve of an hour"
        );
    }

    #[test]
    fn refreshes_are_stretched_first_then_stopped_and_a_step_is_left_later_than_entered() {
        use QuotaMode::{MissesOnly, Normal, Throttled};
        assert_eq!(
            steps([1.0, 1.04, 1.05, 1.01, 0.99, 1.5, 2.0, 1.8, 1.7, 1.9, 0.9, f64::INFINITY]),
            [
                Normal, Normal, Throttled, Throttled, Normal, Throttled, MissesOnly, MissesOnly, Throttled,
                Throttled, Normal, MissesOnly
            ]
        );
    }

    #[test]
    fn the_factor_grows_without_a_jump_past_all_use() {
        assert!((factor(0.5) - 1.0).abs() < f64::EPSILON);
        assert!(factor(1.05) < 1.5);
        assert!((factor(2.0) - 256.0).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn more_calls_made_is_never_less_tight(used in 0..10_000_u32, more in 0..10_000_u32, left in 0.0..1.0_f64) {
            prop_assert!(pace().burn_rate(used + more, left) >= pace().burn_rate(used, left));
        }
    }
}
