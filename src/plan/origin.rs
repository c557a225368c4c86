//! Click times of a campaign: the data of the simulated upstream.

use std::time::Duration;

/// The times of a campaign's clicks, sorted; times before the start of the replay are negative.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClickTimes {
    nanos: Vec<i64>,
}

// === impl ClickTimes ===

impl ClickTimes {
    /// Clicks at these times, in nanoseconds since the start.
    pub fn new(nanos: impl IntoIterator<Item = i64>) -> Self {
        let mut nanos: Vec<i64> = nanos.into_iter().collect();
        nanos.sort_unstable();
        Self { nanos }
    }

    /// The number of clicks up to and including `at`.
    pub fn count(&self, at: Duration) -> u32 {
        self.count_at(at.as_nanos() as i64)
    }

    pub(super) fn count_at(&self, nanos: i64) -> u32 {
        self.nanos.partition_point(|click| *click <= nanos) as u32
    }

    /// All click times, in nanoseconds since the start.
    pub fn nanos(&self) -> &[i64] {
        &self.nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_counts_from_its_own_time_on() {
        let clicks = ClickTimes::new([20_000_000_000, -5, 10_000_000_000]);
        assert_eq!([9, 10, 19, 20, 99].map(|at| clicks.count(Duration::from_secs(at))), [1, 2, 2, 3, 3]);
    }
}
