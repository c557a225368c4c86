//! Where a token record stands in a fleet of replicas that share it.

use serde::{Deserialize, Serialize};

/// All zero in a record that was in no shared store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FleetPosition {
    /// The version of the shared store's record when this one was read from it or written to it.
    pub version: u64,
    /// Counts the fleet's pairs of tokens: a higher one replaces a lower one.
    pub generation: u64,
    /// Who got this pair of tokens.
    pub origin: PairOrigin,
}

/// Who got a pair of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairOrigin {
    /// This replica, and it is not in the shared store yet.
    #[default]
    Unshared,
    /// This replica; it is in the shared store.
    Own,
    /// Another replica.
    Another,
}

/// Names the process that has begun a renewal: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentOwner(pub u64);

// === impl PairOrigin ===

impl PairOrigin {
    /// The word in `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unshared | Self::Own => "this_replica",
            Self::Another => "another_replica",
        }
    }
}
