//! The shared token: a sealed record with compare-and-set, which is also the lock of a renewal.

use bytes::Bytes;

/// A token record, encrypted, at most 64 KiB; only replicas with the fleet's key can open it. Safe to print: it shows its length.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken(pub Bytes);

/// The token record of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedToken {
    /// Increases with each write.
    pub version: u64,
    /// Increases with each pair of tokens.
    pub generation: u64,
    /// The record.
    pub token: SealedToken,
}

/// Replaces the record, if its version still is `expected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSwap {
    /// 0: there is no record.
    pub expected: u64,
    /// The new record; its version is one more than `expected`.
    pub generation: u64,
    /// The new record.
    pub token: SealedToken,
}

/// The result of a [`TokenSwap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSwapped {
    /// Written, with this version. Also if the record of that version has the same bytes already: the reply to an
    /// earlier try was lost.
    Done(u64),
    /// Nothing was written: the store has this record (`None`: no record).
    Conflict(Option<SharedToken>),
}

/// A time before some writes: which connection they are sent on, if it stays. See
/// [`SharedStore::write_safety`](super::SharedStore::write_safety).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteMark(pub u64);

/// Whether what was written so far outlives the server, as far as it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSafety {
    /// Nothing speaks against it.
    Kept,
    /// The server has replicas, and none of them has confirmed the writes; or the connection on which they were sent is gone,
    /// so that nobody can be asked.
    Unreplicated,
    /// The server is rewriting its append-only file: if it is killed meanwhile, it may lose all that it holds.
    Rewriting,
}

// === impl SealedToken ===

impl std::fmt::Debug for SealedToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SealedToken({} bytes)", self.0.len())
    }
}
