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

/// Spaces and counts this replica's calls while the store is away. Pure: time is an argument.
#[derive(Debug, Default)]
pub(super) struct OfflineShare {
    next: Option<Instant>,
}

/// Why no call is allowed without the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShareUsed {
    /// The day's share is used.
    Day,
    /// The next call is allowed after this time, which is longer than the call may wait.
    Second(Duration),
}

// === impl OfflineShare ===

impl OfflineShare {
    /// Takes the next place in the second. `spent` are the day's calls as last told, and `offline` those that this replica
    /// has made without the store since. Returns how long the call has to wait.
    ///
    /// # Errors
    /// [`ShareUsed`]
    pub(super) fn take(
        &mut self,
        limits: FleetLimits,
        spent: u64,
        offline: u64,
        horizon: Duration,
        now: Instant,
    ) -> Result<Duration, ShareUsed> {
        if offline >= limits.day_share(spent) {
            return Err(ShareUsed::Day);
        }
        let wait = self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        if wait > horizon {
            return Err(ShareUsed::Second(wait));
        }
        self.next = Some(now + wait + limits.interval * limits.replicas.get());
        Ok(wait)
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
            while let Ok(wait) = share.take(limits, spent, offline, Duration::MAX, now) {
                now += wait;
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
        let mut take = |horizon| share.take(LIMITS, 0, 0, horizon, now);
        assert_eq!(take(Duration::ZERO), Ok(Duration::ZERO));
        let wait = Duration::from_millis(1_100);
        assert_eq!(take(Duration::from_secs(1)), Err(ShareUsed::Second(wait)));
        assert_eq!(take(Duration::from_secs(5)), Ok(wait));
        assert_eq!(take(Duration::from_secs(5)), Ok(2 * wait));
    }
}
