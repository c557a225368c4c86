//! The offline share: the calls that a replica may make while the shared store is away, so that all replicas together do
//! not overrun the day.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

/// The fleet's limits, of which each replica has its share.
#[derive(Debug, Clone, Copy)]
pub(super) struct FleetLimits {
    /// Calls per day; `None`: not limited.
    pub(super) per_day: Option<NonZeroU32>,
    /// The calls of a day that refreshes leave to misses: all that the replicas may use without the store.
    pub(super) reserved: u32,
    /// The least time between two calls of the fleet.
    pub(super) interval: Duration,
    /// The replicas that share the calls.
    pub(super) replicas: NonZeroU32,
}

/// Spaces this replica's calls while the store is away, or others may not know yet that it is back. Pure: time is an argument.
#[derive(Debug, Default)]
pub(super) struct OfflineShare {
    next: Option<Instant>,
}

// === impl OfflineShare ===

impl OfflineShare {
    /// Takes the next place of this replica in the second. Returns how long the call has to wait.
    ///
    /// # Errors
    /// The same, if that is longer than `horizon`: no place is taken.
    pub(super) fn take(
        &mut self,
        limits: FleetLimits,
        horizon: Duration,
        now: Instant,
    ) -> Result<Duration, Duration> {
        let wait = self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        if wait > horizon {
            return Err(wait);
        }
        self.next = Some(now + wait + limits.interval * limits.replicas.get());
        Ok(wait)
    }

    /// No place before this time.
    pub(super) fn not_before(&mut self, time: Instant) {
        self.next = self.next.max(Some(time));
    }
}

// === impl FleetLimits ===

impl FleetLimits {
    /// The calls of a day that this replica may make without the store, if so many were counted when it was last there.
    pub(super) fn day_share(self, spent: u64) -> u64 {
        let Some(per_day) = self.per_day else { return u64::MAX };
        let left = u64::from(per_day.get()).saturating_sub(spent);
        u64::from(self.reserved).min(left) / u64::from(self.replicas.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FleetLimits = FleetLimits {
        per_day: NonZeroU32::new(10_000),
        reserved: 200,
        interval: Duration::from_millis(275),
        replicas: NonZeroU32::new(4).unwrap(),
    };

    /// The calls that all replicas can make together within `span`, each as fast as it may.
    fn made_by_all(limits: FleetLimits, spent: u64, span: Duration) -> u64 {
        let start = Instant::now();
        let made_by_one = || {
            let (mut share, mut now, mut offline) = (OfflineShare::default(), start, 0);
            while offline < limits.day_share(spent) {
                now += share.take(limits, Duration::MAX, now).unwrap();
                if now > start + span {
                    break;
                }
                offline += 1;
            }
            offline
        };
        (0..limits.replicas.get()).map(|_replica| made_by_one()).sum()
    }

    #[test]
    fn together_the_shares_are_the_reserve_or_what_is_left_of_the_day() {
        let day = Duration::from_hours(24);
        for (spent, calls) in [(0, 200), (9_799, 200), (9_900, 100), (9_998, 0), (12_000, 0)] {
            assert_eq!(made_by_all(LIMITS, spent, day), calls, "{spent} spent");
        }
    }

    #[test]
    fn together_they_make_no_more_calls_a_second_than_the_fleet_may() {
        let limits = FleetLimits { reserved: 10_000, ..LIMITS };
        // Each replica's first call may come at the same moment: one call each more than the places of the time.
        assert_eq!(made_by_all(limits, 0, Duration::from_secs(11)), 44);
        let unlimited = FleetLimits { per_day: None, reserved: 0, ..LIMITS };
        assert_eq!(made_by_all(unlimited, 0, Duration::from_secs(11)), 44);
    }

    #[test]
    fn a_call_that_cannot_wait_takes_no_place() {
        let (mut share, now) = (OfflineShare::default(), Instant::now());
        let mut take = |horizon| share.take(LIMITS, horizon, now);
        assert_eq!(take(Duration::ZERO), Ok(Duration::ZERO));
        let wait = Duration::from_millis(1_100);
        assert_eq!(take(Duration::from_secs(1)), Err(wait));
        assert_eq!(take(Duration::from_secs(5)), Ok(wait));
        assert_eq!(take(Duration::from_secs(5)), Ok(2 * wait));
    }

    #[test]
    fn a_place_is_put_off_and_never_brought_forward() {
        let (mut share, now) = (OfflineShare::default(), Instant::now());
        let later = Duration::from_secs(2);
        share.not_before(now + later);
        share.not_before(now + later / 2);
        assert_eq!(share.take(LIMITS, Duration::MAX, now), Ok(later));
        assert_eq!(share.take(LIMITS, Duration::MAX, now), Ok(later + Duration::from_millis(1_100)));
    }
}
