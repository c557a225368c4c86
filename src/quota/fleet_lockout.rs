//! What a replica knows of the fleet's lockout: no replica makes a call after one has heard `quota_exceeded`, but a probe in the
//! end. Pure: times are arguments.

use std::time::Duration;

use tokio::time::Instant;

use crate::shared::Epoch;

/// The fleet's lockout, as this replica knows it.
#[derive(Debug, Default)]
pub(super) struct FleetLockout {
    /// No call before this time: a replica has heard `quota_exceeded`, or is finding out whether it still holds.
    until: Option<Instant>,
    /// The store's epoch in which it knew of a lockout: so in this one it knows its end too.
    announced_in: Option<Epoch>,
}

/// What has become of the lockout that this replica began, or knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnLockout {
    /// Nothing, as far as the store knows; or there was none.
    Unchanged,
    /// Another replica's probe was answered.
    Over,
    /// The store does not know of it, or no longer: it is to be told, for this time.
    Lost(Duration),
}

// === impl FleetLockout ===

impl FleetLockout {
    /// How long it still lasts; `None`: there is none, or it is time for a probe.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.until.and_then(|until| until.checked_duration_since(now))
    }

    /// This replica has heard `quota_exceeded`; `None`: its probe was answered. The store is told next.
    pub(super) fn begin(&mut self, until: Option<Instant>) {
        *self = Self { until, announced_in: None };
    }

    /// The store knows of what this replica began.
    pub(super) fn announced(&mut self, epoch: Option<Epoch>) {
        self.announced_in = epoch;
    }

    /// The store has refused a call.
    pub(super) fn told(&mut self, until: Instant, epoch: Option<Epoch>) {
        *self = Self { until: Some(until), announced_in: epoch };
    }

    /// By a heartbeat, the fleet has a lockout for this time, or none, in this epoch of the store.
    pub(super) fn learn(&mut self, ends_in: Option<Duration>, epoch: Epoch, now: Instant) -> OwnLockout {
        match (ends_in, self.rest(now)) {
            // A longer one that was not announced.
            (Some(ends_in), Some(rest)) if self.announced_in.is_none() && rest > ends_in => {
                OwnLockout::Lost(rest)
            }
            (Some(ends_in), _) => {
                self.told(now + ends_in, Some(epoch));
                OwnLockout::Unchanged
            }
            (None, Some(rest)) if self.announced_in != Some(epoch) => OwnLockout::Lost(rest),
            (None, _) => {
                let is_over = self.announced_in == Some(epoch);
                *self = Self::default();
                if is_over { OwnLockout::Over } else { OwnLockout::Unchanged }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3_600);
    const FIRST: Epoch = Epoch(1);
    const SECOND_EPOCH: Epoch = Epoch(2);

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_the_store_that_knew_of_it_no_longer_does() {
        let (mut lockout, now) = (FleetLockout::default(), Instant::now());
        assert_eq!(lockout.learn(None, FIRST, now), OwnLockout::Unchanged);
        assert_eq!(lockout.learn(Some(HOUR), FIRST, now), OwnLockout::Unchanged);
        assert_eq!(lockout.rest(now + SECOND), Some(HOUR - SECOND));
        // Its time is over, but no probe was answered yet.
        let late = now + HOUR + SECOND;
        assert_eq!(lockout.learn(Some(Duration::from_millis(1)), FIRST, late), OwnLockout::Unchanged);
        assert_eq!(lockout.learn(None, FIRST, late + SECOND), OwnLockout::Over);
        assert_eq!(lockout.learn(None, FIRST, late + SECOND), OwnLockout::Unchanged);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_has_lost_it_or_was_not_told_of_it_is_told_while_it_lasts() {
        let now = Instant::now();
        let mut lockout = FleetLockout::default();
        lockout.begin(Some(now + HOUR));
        for ends_in in [None, Some(Duration::from_millis(1))] {
            assert_eq!(
                lockout.learn(ends_in, FIRST, now + SECOND),
                OwnLockout::Lost(HOUR - SECOND),
                "not told"
            );
        }
        lockout.announced(Some(FIRST));
        assert_eq!(lockout.learn(Some(HOUR), FIRST, now), OwnLockout::Unchanged);
        for _heartbeat in 0..2 {
            let lost = OwnLockout::Lost(HOUR - SECOND);
            assert_eq!(lockout.learn(None, SECOND_EPOCH, now + SECOND), lost);
        }
        assert_eq!(lockout.learn(Some(HOUR), SECOND_EPOCH, now), OwnLockout::Unchanged);
        assert_eq!(
            lockout.learn(None, FIRST, now + 2 * HOUR),
            OwnLockout::Unchanged,
            "its time is over anyway"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_store_knows_of_it_the_store_says_how_long_it_lasts() {
        let now = Instant::now();
        let mut lockout = FleetLockout::default();
        lockout.begin(Some(now + HOUR));
        assert_eq!(lockout.learn(Some(HOUR), FIRST, now), OwnLockout::Unchanged, "told by another replica");
        lockout.begin(Some(now + HOUR));
        lockout.announced(Some(FIRST));
        // Another replica's probe is under way.
        assert_eq!(lockout.learn(Some(30 * SECOND), FIRST, now), OwnLockout::Unchanged);
        assert_eq!(lockout.rest(now), Some(30 * SECOND));
        lockout.begin(Some(now + HOUR));
        lockout.announced(Some(FIRST));
        assert_eq!(lockout.learn(None, FIRST, now), OwnLockout::Over, "though it was to last longer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_from_before_the_probe_was_answered_brings_nothing_back() {
        let now = Instant::now();
        let mut lockout = FleetLockout::default();
        assert_eq!(lockout.learn(Some(HOUR), FIRST, now), OwnLockout::Unchanged);
        // The probe's answer is told to the store, while a heartbeat still tells of the time for the probe.
        lockout.begin(None);
        assert_eq!(lockout.learn(Some(30 * SECOND), FIRST, now), OwnLockout::Unchanged);
        assert_eq!(lockout.learn(None, FIRST, now + SECOND), OwnLockout::Over);
        assert_eq!(lockout.rest(now + SECOND), None);
    }
}
