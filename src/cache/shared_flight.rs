//! How a flight of the fleet ended, as the label `result` of `shared_flights_total`; and what is known of the copy that it
//! brought.

use crate::shared::Fence;

/// What came of a fetch that asked the shared store first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedFlightResult {
    /// This replica had the lease, and fetched.
    Leased,
    /// Another replica had fetched it: no call.
    Newer,
    /// Another replica was fetching it, and this one waited: no call.
    InFlight,
    /// Calls for the key fail, as another replica has found out: no call.
    BackOff,
    /// The store could not be asked: this replica fetched.
    Away,
    /// The store held something else than the report: this replica fetched.
    Unusable,
}

/// A replica's copy of a report, as the store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedCopy {
    /// Of the flight that brought it.
    pub(crate) fence: Fence,
    /// Whose flight that was.
    pub(crate) fetched_by: FetchedBy,
}

/// Whose flight brought a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchedBy {
    ThisReplica,
    AnotherReplica,
}

// === impl SharedFlightResult ===

impl SharedFlightResult {
    /// Each value of the label.
    pub(crate) const ALL: [Self; 6] =
        [Self::Leased, Self::Newer, Self::InFlight, Self::BackOff, Self::Away, Self::Unusable];

    /// The label's value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Leased => "leased",
            Self::Newer => "newer",
            Self::InFlight => "in_flight",
            Self::BackOff => "back_off",
            Self::Away => "away",
            Self::Unusable => "unusable",
        }
    }
}

// === impl FetchedBy ===

impl FetchedBy {
    /// The word on the admin port.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ThisReplica => "this_replica",
            Self::AnotherReplica => "another_replica",
        }
    }
}
