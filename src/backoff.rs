//! Exponential back-off: the pause doubles with each failure in a row, up to a maximum; and jitter.
//!
//! [`Backoff`] is pure: it reads no clock and draws no random number; only [`Jitter::draw`] does. The `backon` crate is
//! not used: it is an iterator with its own jitter. Here the pause is computed from a number of failures that the
//! caller keeps anyway, or from the pause before, and tests choose the random number.

use std::time::Duration;

/// Pauses that start at `first` and double up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
}

/// A random number in `0.0..=1.0`, to spread in time what many replicas would otherwise do at the same moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Jitter(pub(crate) f64);

// === impl Backoff ===

impl Backoff {
    /// A `max` below `first` counts as `first`.
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// The pause after a failure that follows `failures` others in a row: `first` for 0.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures);
        self.first.saturating_mul(factor).min(self.max.max(self.first))
    }

    /// The pause after `pause`; `first` after zero.
    pub(crate) fn after(self, pause: Duration) -> Duration {
        pause.saturating_mul(2).clamp(self.first, self.max.max(self.first))
    }
}

// === impl Jitter ===

impl Jitter {
    /// A new random number.
    pub(crate) fn draw() -> Self {
        Self(fastrand::f64())
    }

    /// The number of a seed: the same for all who know the seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed).f64())
    }

    /// `duration`, made longer or shorter by up to `share` of it.
    pub(crate) fn spread(self, duration: Duration, share: f64) -> Duration {
        duration.mul_f64(1.0 + (self.0 * 2.0 - 1.0) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn seeds_that_follow_each_other_are_spread_evenly() {
        let mut tenths = [0; 10];
        for seed in 0..10_000 {
            tenths[(Jitter::of(seed).0 * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|tenth| (900..1_100).contains(tenth)), "{tenths:?}");
        assert_eq!(Jitter::of(7), Jitter::of(7));
    }

    #[test]
    fn the_pause_doubles_up_to_the_maximum_by_count_and_by_the_pause_before() {
        let backoff = Backoff::new(5 * SECOND, 60 * SECOND);
        let mut pause = Duration::ZERO;
        for (failures, seconds) in (0..).zip([5, 10, 20, 40, 60, 60]) {
            pause = backoff.after(pause);
            assert_eq!([pause, backoff.pause(failures)], [SECOND * seconds; 2]);
        }
        assert_eq!(backoff.pause(u32::MAX), 60 * SECOND);
    }

    #[test]
    fn a_maximum_below_the_first_pause_does_not_shorten_it() {
        let backoff = Backoff::new(60 * SECOND, SECOND);
        assert_eq!([backoff.pause(3), backoff.after(Duration::ZERO)], [60 * SECOND; 2]);
    }

    #[test]
    fn a_duration_is_spread_to_both_sides() {
        let spread = [0.0, 0.5, 1.0].map(|random| Jitter(random).spread(10 * SECOND, 0.2).as_secs());
        assert_eq!(spread, [8, 10, 12]);
    }
}
