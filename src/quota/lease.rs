//! What a ledger and its store hand to each other.

use std::num::NonZeroU32;

use super::lockout::CallKind;
use crate::state::DayStatus;

/// Calls that are written down together. A kill overcounts by at most as many; each write is a flush to the disk.
pub(super) const LEASE: u32 = 8;

/// A call that is counted, and has not left yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservation {
    /// The day that it is counted on.
    pub(super) day: u64,
    /// What the call is for.
    pub(super) kind: CallKind,
}

/// What [`QuotaDay::reserve`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserve {
    /// The call is counted.
    Reserved(Reservation),
    /// The store has to write down some more calls first; then ask again.
    Lease(Lease),
}

/// Calls that a store has to write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// Calls to be made.
    pub(super) calls: u32,
    /// Calls that are made already, which the store could not write down when it was asked.
    pub(super) unrecorded: u32,
    /// The day's calls; `None`: they are not limited.
    pub(super) ceiling: Option<NonZeroU32>,
}

/// A day that a store has to close, or to open again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayMark {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// What it becomes.
    pub(super) status: DayStatus,
}
