//! Epoch, sequence and fence: how a replica notices that the store has lost acknowledged writes.
//!
//! Redis can lose writes that it acknowledged: in a failover, or when it restarts from an older copy or empty. Each
//! replica remembers the epoch and the highest sequence that it was told, and passes both with each operation.

use std::time::Duration;

/// Names one uninterrupted history of the store; a new one begins whenever writes may have been lost. Random, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// How the store's epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochBegin {
    /// After what.
    pub origin: EpochOrigin,
    /// How long ago, by the store's clock.
    pub age: Duration,
    /// The calls that were added to the day's count, since the store may have lost as many.
    pub charged: u64,
}

/// Why an epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochOrigin {
    /// The store was empty, and the replica that began it knew of no epoch: the store is new, or all replicas are.
    NewStore,
    /// A replica knew an earlier epoch: the store has lost writes, or may have.
    Fork,
}

/// The store's counter: increases with each operation that grants or writes something, and never restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// A fencing token: the sequence number at which a flight was granted, or a key was purged. What has a lower fence never
/// replaces what has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence(pub u64);

/// What a replica was told last; passed with each guarded operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSeen {
    /// `None`: this replica knows no epoch yet.
    pub epoch: Option<Epoch>,
    /// The highest sequence of that epoch that it was told.
    pub sequence: Sequence,
}

/// The result of a guarded operation: refused, without any effect, if the store is not the one that the replica has seen.
pub type Guarded<T> = Result<T, StoreChanged>;

/// Why a guarded operation was refused. [`SharedStore::recover`](super::SharedStore::recover) comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreChanged {
    /// The store is empty: it restarted without its data, or was flushed, or is new.
    Empty,
    /// It has another epoch: other replicas have recovered, or this replica is new.
    OtherEpoch(Epoch),
    /// It has the same epoch, but a lower sequence than the replica was told: an older copy.
    RolledBack,
}

// === impl EpochOrigin ===

impl EpochOrigin {
    /// The word on the admin port and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewStore => "new_store",
            Self::Fork => "fork",
        }
    }
}

// === impl Fence ===

impl From<Fence> for Sequence {
    fn from(fence: Fence) -> Self {
        Self(fence.0)
    }
}
