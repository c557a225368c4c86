//! Quota pressure, cached for a second: it is read for every response that is not fresh.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::report::QuotaPressure;

/// How long a computed value is used, so that a thousand responses do not compute it a thousand times.
const VALID_FOR: Duration = Duration::from_secs(1);

/// The last computed quota pressure.
#[derive(Debug)]
pub(super) struct ScarcityCell {
    born: Instant,
    valid_until_ms: AtomicU64,
    /// The bits of the delay factor as f64: 0 means normal, infinity means stopped.
    factor: AtomicU64,
}

// === impl ScarcityCell ===

impl ScarcityCell {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), valid_until_ms: AtomicU64::new(0), factor: AtomicU64::new(0) }
    }

    /// `None`: it has to be computed again.
    pub(super) fn get(&self, now: Instant) -> Option<QuotaPressure> {
        if self.age_ms(now) >= self.valid_until_ms.load(Ordering::Acquire) {
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

    /// What was computed counts no longer.
    pub(super) fn expire(&self) {
        self.valid_until_ms.store(0, Ordering::Relaxed);
    }

    pub(super) fn set(&self, quota_pressure: QuotaPressure, now: Instant) -> QuotaPressure {
        let factor = match quota_pressure {
            QuotaPressure::Normal => 0.0,
            QuotaPressure::Delayed { factor } => factor,
            QuotaPressure::Stopped => f64::INFINITY,
        };
        self.factor.store(factor.to_bits(), Ordering::Relaxed);
        // Who sees the new time sees the new factor too.
        self.valid_until_ms.store(self.age_ms(now + VALID_FOR), Ordering::Release);
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
    async fn a_computed_value_is_used_for_a_second() {
        let (cell, start) = (ScarcityCell::new(), Instant::now());
        assert_eq!(cell.get(start), None);
        for quota_pressure in [
            QuotaPressure::Normal,
            QuotaPressure::Delayed { factor: 1.0 },
            QuotaPressure::Delayed { factor: 1.5 },
            QuotaPressure::Stopped,
        ] {
            assert_eq!(cell.set(quota_pressure, start), quota_pressure);
            assert_eq!(cell.get(start + Duration::from_millis(999)), Some(quota_pressure));
            assert_eq!(cell.get(start + VALID_FOR), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_has_expired_is_computed_again_at_once() {
        let (cell, start) = (ScarcityCell::new(), Instant::now());
        cell.set(QuotaPressure::Stopped, start);
        cell.expire();
        assert_eq!(cell.get(start), None);
    }
}
