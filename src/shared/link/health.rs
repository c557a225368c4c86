//! Whether the link is up, and when to connect: a state machine of failures in a row, with back-off. Pure: time and chance
//! are arguments.

use std::time::Duration;

use tokio::time::Instant;

use super::DownReason;
use crate::backoff::{Backoff, Jitter};

/// Failures in a row that take the link down.
const LIMIT: u32 = 3;
/// The pauses between probes of a store that is away.
const PROBES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
/// Replicas that lost the store at one moment must not all come back at one moment.
const SPREAD: f64 = 0.2;
/// An outage is over when the link has been up for so long: a store that refuses each write but accepts connections must
/// not be probed without pauses.
pub(super) const STABLE: Duration = Duration::from_secs(10);

/// Whether operations are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// They are.
    Up,
    /// They fail at once.
    Down {
        /// The last failure.
        why: DownReason,
        /// When it went down.
        since: Instant,
    },
}

/// The state machine.
#[derive(Debug, Clone)]
pub(super) struct LinkHealth {
    state: LinkState,
    failures: u32,
    /// The last pause between probes.
    pause: Duration,
    up_since: Instant,
    connect_at: Instant,
}

// === impl LinkState ===

impl LinkState {
    /// Whether operations are tried.
    pub(crate) const fn is_up(self) -> bool {
        match self {
            Self::Up => true,
            Self::Down { .. } => false,
        }
    }

    /// Whether connecting has failed: before the first attempt has ended it has not.
    pub(crate) fn is_outage(self) -> bool {
        match self {
            Self::Up => false,
            Self::Down { why, .. } => why != DownReason::NotYetConnected,
        }
    }
}

// === impl LinkHealth ===

impl LinkHealth {
    /// Down, with a connect due at once.
    pub(super) const fn new(now: Instant) -> Self {
        let state = LinkState::Down { why: DownReason::NotYetConnected, since: now };
        Self { state, failures: 0, pause: Duration::ZERO, up_since: now, connect_at: now }
    }

    pub(super) const fn state(&self) -> LinkState {
        self.state
    }

    /// When the next connect is due, if there is no connection.
    pub(super) const fn connect_at(&self) -> Instant {
        self.connect_at
    }

    /// There is a new connection, and the store is a primary.
    pub(super) const fn connected(&mut self, now: Instant) {
        if !self.state.is_up() {
            self.state = LinkState::Up;
            self.up_since = now;
            // A trial: the next failure takes it down again, until an operation has succeeded.
            self.failures = LIMIT - 1;
        }
    }

    /// Whether a success would change anything.
    pub(super) const fn has_failures(&self) -> bool {
        self.failures > 0
    }

    /// An operation succeeded.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A connection ended, an operation waited in vain for one, or there is none to be had.
    pub(super) fn failed(&mut self, why: DownReason, now: Instant, jitter: Jitter) {
        self.failures = self.failures.saturating_add(1);
        let since = match self.state {
            LinkState::Up if self.failures < LIMIT && !why.is_certain() => {
                self.connect_at = now;
                return;
            }
            LinkState::Up => {
                if now.duration_since(self.up_since) >= STABLE {
                    self.pause = Duration::ZERO;
                }
                now
            }
            LinkState::Down { since, .. } => since,
        };
        self.state = LinkState::Down { why, since };
        self.pause = PROBES.after(self.pause);
        self.connect_at = now + jitter.spread(self.pause, SPREAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: Jitter = Jitter(0.5);

    fn up(now: Instant) -> LinkHealth {
        let mut health = LinkHealth::new(now);
        health.connected(now);
        health.succeeded();
        health
    }

    fn pauses(health: &mut LinkHealth, now: Instant, count: usize) -> Vec<u64> {
        let failed = |health: &mut LinkHealth| {
            health.failed(DownReason::Unreachable, now, MIDDLE);
            u64::try_from((health.connect_at() - now).as_millis()).unwrap()
        };
        (0..count).map(|_| failed(health)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_take_it_down_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut health = up(now);
        for _ in 0..2 {
            health.failed(DownReason::TimedOut, now, MIDDLE);
            assert_eq!((health.state(), health.connect_at()), (LinkState::Up, now), "connects at once");
            health.connected(now);
        }
        health.succeeded();
        for _ in 0..2 {
            health.failed(DownReason::Lost, now, MIDDLE);
            assert!(health.state().is_up());
        }
        health.failed(DownReason::TimedOut, now, MIDDLE);
        assert_eq!(health.state(), LinkState::Down { why: DownReason::TimedOut, since: now });
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_names_takes_it_down_at_once() {
        let now = Instant::now();
        let mut health = up(now);
        health.failed(DownReason::Replica, now, MIDDLE);
        assert_eq!(health.state(), LinkState::Down { why: DownReason::Replica, since: now });
        assert_eq!(health.connect_at(), now + Duration::from_millis(500), "with back-off");
    }

    #[tokio::test(start_paused = true)]
    async fn probes_are_made_at_pauses_that_double_and_an_outage_keeps_its_beginning() {
        let now = Instant::now();
        let mut health = LinkHealth::new(now);
        assert_eq!(pauses(&mut health, now, 6), [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        let LinkState::Down { why, since } = health.state() else { panic!("up") };
        assert_eq!((why, since), (DownReason::Unreachable, now));
        let later = now + Duration::from_secs(9);
        health.failed(DownReason::Loading, later, Jitter(1.0));
        assert_eq!(health.state(), LinkState::Down { why: DownReason::Loading, since: now });
        assert_eq!(health.connect_at(), later + Duration::from_secs(6), "spread by a fifth");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_again_soon_is_probed_at_growing_pauses_and_one_that_was_stable_is_not() {
        let now = Instant::now();
        let mut health = LinkHealth::new(now);
        assert_eq!(pauses(&mut health, now, 3), [500, 1_000, 2_000]);
        health.connected(now);
        assert!(health.state().is_up());
        assert_eq!(pauses(&mut health, now, 1), [4_000], "one failure of a trial is enough");
        health.connected(now);
        health.succeeded();
        let later = now + STABLE;
        health.failed(DownReason::OutOfMemory, later, MIDDLE);
        assert_eq!(health.connect_at(), later + Duration::from_millis(500));
    }
}
