//! The call ratio: calls made ÷ calls predicted, which corrects the price's formula by what was observed.

use std::time::Duration;

/// The time constant of the two decayed sums.
const CALLS_MEMORY: Duration = Duration::from_hours(2);
/// Added to both sums, so that a few calls do not move the ratio much.
const CALLS_ASSUMED: f64 = 20.0;

/// The decayed sums of calls made and calls predicted. The ratio shows what the formula leaves out, such as keys that
/// are polled less often than they are worth a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct CallRatio {
    made: f64,
    predicted: f64,
}

// === impl CallRatio ===

impl CallRatio {
    /// The stored sums, decayed by the time since they were stored.
    pub(super) fn restored((made, predicted): (f64, f64), passed: Duration) -> Self {
        let fade = fade(passed);
        Self { made: made * fade, predicted: predicted * fade }
    }

    /// The calls made and predicted, to be stored.
    pub(super) const fn sums(self) -> (f64, f64) {
        (self.made, self.predicted)
    }

    pub(super) fn refreshed(&mut self) {
        self.made += 1.0;
    }

    /// Decays the sums by the time passed, and adds the calls predicted for it.
    pub(super) fn pass(&mut self, passed: Duration, calls_per_second: f64) {
        let fade = fade(passed);
        self.made *= fade;
        self.predicted = self.predicted * fade + calls_per_second * passed.as_secs_f64();
    }

    pub(super) fn ratio(self) -> f64 {
        (self.made + CALLS_ASSUMED) / (self.predicted + CALLS_ASSUMED)
    }
}

fn fade(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / CALLS_MEMORY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_come_as_predicted_are_a_ratio_of_one_and_a_few_others_prove_little() {
        let mut calls = CallRatio::default();
        assert!((calls.ratio() - 1.0).abs() < 1e-9);
        for _ in 0..10 {
            calls.refreshed();
            calls.pass(Duration::from_secs(1), 0.0);
        }
        assert!((1.4..1.5).contains(&calls.ratio()), "{}", calls.ratio());
        for _ in 0..1_000 {
            calls.pass(Duration::from_mins(1), 0.5);
        }
        assert!(calls.ratio() < 0.02, "{}", calls.ratio());
    }

    #[test]
    fn a_restart_goes_on_with_both_sums_which_fade_meanwhile() {
        let mut calls = CallRatio::default();
        calls.pass(Duration::from_secs(100), 0.8);
        (0..30).for_each(|_| calls.refreshed());
        assert_eq!(calls.sums(), (30.0, 80.0));
        let (made, predicted) = CallRatio::restored(calls.sums(), CALLS_MEMORY).sums();
        assert!((made - 30.0 / 1_f64.exp()).abs() < 1e-9 && (predicted - 80.0 / 1_f64.exp()).abs() < 1e-9);
    }
}
