//! Calls made to calls predicted: the price's formula is held against what really happens.

use std::time::Duration;

/// How long calls made and calls predicted are compared for, by e.
const CALLS_MEMORY: Duration = Duration::from_hours(2);
/// So many calls that came as predicted are assumed: a few real ones prove little.
const CALLS_ASSUMED: f64 = 20.0;

/// Calls made to calls predicted: what the formula does not know, such as polls too seldom for their price.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct CallRatio {
    made: f64,
    predicted: f64,
}

// === impl CallRatio ===

impl CallRatio {
    /// What was stored, so long ago.
    pub(super) fn restored((made, predicted): (f64, f64), passed: Duration) -> Self {
        let fade = fade(passed);
        Self { made: made * fade, predicted: predicted * fade }
    }

    /// For the store.
    pub(super) const fn sums(self) -> (f64, f64) {
        (self.made, self.predicted)
    }

    pub(super) fn refreshed(&mut self) {
        self.made += 1.0;
    }

    /// That time has passed, in which so many calls a second were to be expected.
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
}
