//! Members of the fleet: heartbeats, and recovery after the store has lost writes.

use std::time::Duration;

use super::{Epoch, Fence, Sequence};

/// Names a replica for as long as its process lives: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// Names the history of the server behind the store, as Redis's `master_replid` does: it changes with a promotion and
/// with a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreIdentity(pub Box<str>);

/// A day, and the calls counted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpentDay {
    /// Days since 1970-01-01.
    pub day: u64,
    /// The calls counted on it.
    pub spent: u64,
}

/// A replica says, each few seconds, that it lives and what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which replica.
    pub member: MemberId,
    /// The highest count that it was told. The store's is raised to it.
    pub told: SpentDay,
    /// The calls that it made on `told.day` while the store was away: all of them, so a repeated heartbeat adds nothing.
    /// A store that was recovered since may add them twice, which is the safe side.
    pub offline: u64,
}

/// What the store knows of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetState {
    /// The store's epoch.
    pub epoch: Epoch,
    /// Its sequence.
    pub sequence: Sequence,
    /// The day that it counts.
    pub today: SpentDay,
    /// A lockout ends after this time; `None`: there is none.
    pub locked_out_for: Option<Duration>,
    /// The replicas that had a heartbeat in the last minute, this one included.
    pub members: u64,
    /// The version of the token record; 0: there is none.
    pub token_version: u64,
    /// The last purge of all reports: what has a lower fence is not to be served.
    pub purged: Fence,
    /// The store's wall clock, milliseconds since 1970: for the gauge of the skew only.
    pub clock: Duration,
}

/// Begins a new epoch, if nobody has begun one since `known`; else only tells the store what this replica knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The epoch that the replica knows; `None`: it is new.
    pub known: Option<Epoch>,
    /// The highest sequence that it was told.
    pub seen: Sequence,
    /// The epoch to begin.
    pub fresh: Epoch,
    /// The highest count that it was told. The day is today's even if it was told nothing: else the day is only known
    /// when the next call is taken.
    pub told: SpentDay,
    /// Added to the count: the calls that can be made in ten seconds, and then be forgotten by all. Less is added if the
    /// last recovery was less than ten seconds ago.
    pub margin: u64,
    /// Begin it though the sequence looks right: the server's identity has changed. Not again for the same change: a
    /// replica that has joined the new epoch forgets the old identity.
    pub force: bool,
}
