//! How scarce calls are, remembered for a moment: every answer that is not fresh asks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::report::QuotaPressure;

/// It is worked out this often, and not for each of a thousand answers.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The scarcity as it was a moment ago.
#[derive(Debug)]
pub(super) struct ScarcityCell {
    born: Instant,
    good_until_ms: AtomicU64,
    /// The bits of the factor: 0 is ample, infinity is stopped.
    factor: AtomicU64,
}

// === impl ScarcityCell ===

impl ScarcityCell {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), good_until_ms: AtomicU64::new(0), factor: AtomicU64::new(0) }
    }

    /// `None`: it has to be worked out again.
    pub(super) fn get(&self, now: Instant) -> Option<QuotaPressure> {
        if self.age_ms(now) >= self.good_until_ms.load(Ordering::Relaxed) {
            return None;
        }
        let factor = f64::from_bits(self.factor.load(Ordering::Relaxed));
        Some(if factor < 1.0 {
            QuotaPressure::Normal
        } else if factor.is_finite() {
            QuotaPressure::Delayed { factor }
        } else {
            QuotaPressure::Stopped
        })
    }

    pub(super) fn set(&self, quota_pressure: QuotaPressure, now: Instant) -> QuotaPressure {
        let factor = match quota_pressure {
            QuotaPressure::Normal => 0.0,
            QuotaPressure::Delayed { factor } => factor,
            QuotaPressure::Stopped => f64::INFINITY,
        };
        self.factor.store(factor.to_bits(), Ordering::Relaxed);
        self.good_until_ms.store(self.age_ms(now + GOOD_FOR), Ordering::Relaxed);
        quota_pressure
    }

    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_worked_out_is_good_for_a_second() {
        let (cell, start) = (ScarcityCell::new(), Instant::now());
        assert_eq!(cell.get(start), None);
        for quota_pressure in
            [QuotaPressure::Normal, QuotaPressure::Delayed { factor: 1.5 }, QuotaPressure::Stopped]
        {
            cell.set(quota_pressure, start);
            assert_eq!(cell.get(start + Duration::from_millis(999)), Some(quota_pressure));
            assert_eq!(cell.get(start + GOOD_FOR), None);
        }
    }
}
