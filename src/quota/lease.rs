//! Leases: the calls that the daily budget takes from its store in advance, and the marks that close or open a day.

use std::num::NonZeroU32;

use super::lockout::CallKind;
use crate::state::DayStatus;

/// Calls per lease. Each lease is one fsync; a kill makes the count too high by at most one lease.
pub(super) const LEASE: u32 = 8;

/// A reservation: a call that is counted and not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservation {
    /// The day on which it is counted: days since 1970-01-01.
    pub(super) day: u64,
    /// What the call is for.
    pub(super) kind: CallKind,
}

/// The result of [`QuotaDay::reserve`](super::quota_day::QuotaDay::reserve).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserve {
    /// The call is counted.
    Reserved(Reservation),
    /// The store has to record this lease first; then reserve again.
    Lease(Lease),
}

/// Calls that a store has to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// Calls that are still to be made.
    pub(super) calls: u32,
    /// Calls that count already but are not recorded: assumed at start, or made while the store failed.
    pub(super) unrecorded: u32,
    /// The day's limit; `None`: not limited.
    pub(super) ceiling: Option<NonZeroU32>,
}

/// A day that the store has to mark as closed or open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayMark {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// The new status.
    pub(super) status: DayStatus,
}
