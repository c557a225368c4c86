//! Rations the day's calls: refreshes are put off before a cold key is refused.
//!
//! What refreshes may spend is what is left of the day without the reserve, and the reserve is for the hours to come:
//! it shrinks as the day does. As long as that lasts until midnight at the pace of an even day, nothing is put off.
//! Once it does not, each copy is refreshed less often, all by the same factor. The factor follows from the count and
//! the time alone, so that a restart finds the pace where it was.

use std::num::NonZeroU32;

/// The reserve never shrinks below an hour's share: the day's last key is as cold as its first.
const LAST_SHARE: f64 = 1.0 / 24.0;

/// A tightness from which refreshes are stretched, and below which they no longer are.
const STRETCH: (f64, f64) = (1.05, 1.0);

/// A tightness from which refreshes are stopped, and below which they are stretched again.
const STOP: (f64, f64) = (2.0, 1.75);

/// The factor is this power of the tightness. 200 keys that are polled for all day need one of 8, which they reach at
/// a tightness of 1.3; at 2 it is 256, and a copy with the usual lifetime would be refreshed once a day.
const STEEPNESS: i32 = 8;

/// A day's budget. Pure.
#[derive(Debug, Clone, Copy)]
pub(super) struct BurnRate {
    limit: NonZeroU32,
    reserve: f64,
}

/// What calls are made for, as what is left of the day allows. Ordered from ample to nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaMode {
    /// Whatever asks.
    #[default]
    Normal,
    /// Cold keys, and refreshes of copies that are older than usual.
    Throttled,
    /// Cold keys only.
    MissesOnly,
    /// Nothing until 00:00 UTC.
    Exhausted,
}

// === impl BurnRate ===

impl BurnRate {
    /// `reserve` is the share of the limit that is kept for cold keys, in `0.0..=0.9`.
    pub(super) const fn new(limit: NonZeroU32, reserve: f64) -> Self {
        Self { limit, reserve }
    }

    /// The calls that are kept for the cold keys of the rest of the day.
    pub(super) fn reserved(&self, day_left: f64) -> f64 {
        f64::from(self.limit.get()) * self.reserve * day_left.max(LAST_SHARE)
    }

    /// What refreshes have, in proportion to an even day: 1 lasts until midnight at the pace of an even day, 2 at
    /// half of it, infinity is nothing.
    pub(super) fn burn_rate(&self, used: u32, day_left: f64) -> f64 {
        let limit = f64::from(self.limit.get());
        let left = limit - f64::from(used) - self.reserved(day_left);
        let even = limit * (1.0 - self.reserve) * day_left;
        if left > 0.0 { even / left } else { f64::INFINITY }
    }
}

// === impl QuotaMode ===

impl QuotaMode {
    /// Each label of `quota_mode`.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Throttled, Self::MissesOnly, Self::Exhausted];

    /// The mode's word in metrics and in `GET /quota`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Throttled => "throttled",
            Self::MissesOnly => "misses_only",
            Self::Exhausted => "exhausted",
        }
    }

    /// The mode after this one. Between the two tightnesses of a threshold it stays as it is.
    #[must_use]
    pub fn next(self, burn_rate: f64) -> Self {
        let beyond = |(reserve, leave): (f64, f64), inside: Self| {
            burn_rate >= reserve || (self >= inside && burn_rate >= leave)
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

/// By how much the time between two refreshes of a key is stretched at this tightness.
pub(super) fn factor(burn_rate: f64) -> f64 {
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
        assert!(pace().burn_rate(9_000, 0.5).is_finite(), "half a day needs half a reserve");
        assert_eq!(pace().burn_rate(9_960, 0.001), f64::INFINITY, "the last minutes have an hour's");
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
