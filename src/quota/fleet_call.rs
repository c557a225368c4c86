//! What a call asks of the fleet, and what the fleet says to it.

use std::time::Duration;

use tokio::time::Instant;

use super::pacer::Priority;
use crate::shared::CallCount;

/// A refresh that would have to wait longer is put off: it can come again, and a miss must not wait for it.
const REFRESH_HORIZON: Duration = Duration::from_millis(300);

/// What a call needs to know of the day.
#[derive(Debug, Clone, Copy)]
pub(super) struct FleetCall {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// It is made only while fewer calls are counted; `None`: always.
    pub(super) ceiling: Option<u32>,
    pub(super) priority: Priority,
    /// How long it may still wait.
    pub(super) patience: Duration,
}

/// The fleet's consent to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FleetTurn {
    /// The calls counted on the day; `None`: the store is away.
    pub(super) spent: Option<u64>,
    /// The first call after a lockout.
    pub(super) role: LockoutRole,
    /// Whether it was counted before, by this replica too.
    pub(super) count: CallCount,
}

/// Whether a call ends the fleet's lockout, if it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockoutRole {
    /// There is no lockout.
    None,
    /// It does.
    Probe,
}

/// Why the fleet makes no call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FleetDenial {
    /// So many calls are counted, as many as this call's lane may use.
    Exhausted {
        /// On the day of the call.
        spent: u64,
    },
    /// There is a lockout, or this replica's share of a day without the store is used; for this time, or until midnight.
    DayClosed(Option<Duration>),
    /// It would have to wait too long.
    Late(Duration),
    /// The day of the call is over: the fleet counts a later one.
    DayIsOver,
}

// === impl FleetCall ===

impl FleetCall {
    /// How long it may wait for a place.
    pub(super) fn horizon(&self, latest: Instant) -> Duration {
        let left = latest.saturating_duration_since(Instant::now());
        match self.priority {
            Priority::Miss => left,
            Priority::Refresh => left.min(REFRESH_HORIZON),
        }
    }
}
