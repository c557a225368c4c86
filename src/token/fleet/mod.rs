//! The token of a fleet: one record in the shared store, sealed, and a copy of it in each replica's own store.
//!
//! The compare-and-set of the intent is the lock of a renewal. A new pair of tokens is written to the replica's own store
//! first, then to the shared one, and then used; the other replicas read it within about a second. So the pair outlives
//! the shared store, which may lose what it has acknowledged: every replica that knows of a newer pair writes it back
//! ([`reconcile`]). A pair that comes after another one of the same generation is kept beside that one, as a refresh token to
//! fall back to. When a replica may renew is decided by [`rules`]; both are pure.

mod claim;
mod error;
mod known;
mod reconcile;
mod records;
mod rules;
mod sealed;

pub(super) use claim::{Claim, Denied};
pub(super) use error::RecordError;
pub(crate) use known::FleetTokenSnapshot;
pub(crate) use records::FleetRecords;
pub(super) use rules::{AccessLeft, NotYet, PATIENCE, WaitReason};
