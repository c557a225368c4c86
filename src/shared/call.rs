//! The shared quota: counts each call of the day and gives it its place in the second, in one operation.

use std::time::Duration;

/// Takes one call, just before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRequest {
    /// The quota day on which it is counted: days since 1970-01-01, by the upstream's clock.
    pub day: u64,
    /// It is granted only while fewer calls than this are counted on the day. The caller's lane decides it: misses have
    /// the whole limit, refreshes leave a reserve.
    pub ceiling: u64,
    /// The least time between two calls of the fleet, at most 25 s. Zero: calls are not spaced.
    pub interval: Duration,
    /// The longest time that the call may have to wait for its place, at most 30 s.
    pub horizon: Duration,
    /// Whether it is counted already.
    pub count: CallCount,
}

/// What a granted call adds to the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallCount {
    /// One.
    One,
    /// Nothing: it takes the place of a call that was counted on this day and never made.
    Counted,
}

// === impl CallCount ===

impl CallCount {
    /// In calls.
    pub(super) const fn calls(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Counted => 0,
        }
    }
}

/// The answer to a [`CallRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTurn {
    /// It is counted; make it after `wait`. If by then much more time has passed, take another one: the place is gone.
    Granted {
        /// From the moment of the operation.
        wait: Duration,
        /// The calls counted on the day, this one included.
        spent: u64,
        /// The first call after a lockout: all others wait for its result, but no longer than 30 s.
        probe: bool,
    },
    /// Refused: the count has reached the ceiling.
    Exhausted {
        /// The calls counted on the day.
        spent: u64,
    },
    /// Refused: it would have to wait for longer than its horizon.
    Late {
        /// How long it would have to wait.
        wait: Duration,
    },
    /// Refused: the upstream said `quota_exceeded`.
    LockedOut {
        /// Ends after this time; or a probe is under way, and its result is known by then.
        ends_in: Duration,
    },
    /// Refused: the day is over, the store counts a later one already.
    DayIsOver,
    /// Refused: by the store's clock the day does not begin for more than five minutes. One of both clocks is wrong.
    DayNotBegun {
        /// Until the day begins.
        begins_in: Duration,
    },
}

/// The upstream said `quota_exceeded`: no replica makes a call until the lockout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutRequest {
    /// The day that is used up; ignored if the store counts a later one.
    pub day: u64,
    /// How long the lockout lasts, unless its day ends before: after either, the first call is a probe. A shorter one does
    /// not shorten a longer one. Zero: it is over, since a probe was answered.
    pub lasts: Duration,
}

/// The upstream said `throttled`: all replicas wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleRequest {
    /// No call of the fleet leaves for this time, at most a minute. A shorter one does not shorten a longer one.
    pub hold: Duration,
}
