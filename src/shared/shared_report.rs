//! Shared reports and flights: a key that one replica has fetched costs no other replica a call, and one that is being
//! fetched has all others wait.

use std::time::Duration;

use bytes::Bytes;

use super::{Fence, Sequence};
use crate::report::ReportKey;

/// Names a flight of one replica: a random number, so that a repeated operation is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub u128);

/// Looks a key up, and takes the lease of its flight if there is no newer report and no other flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookUp {
    /// The key.
    pub key: ReportKey,
    /// The flight.
    pub nonce: Nonce,
    /// The fence of the report that this replica has; 0 if it has none.
    pub have: Fence,
    /// How long the lease lasts.
    pub lease: Duration,
    /// The answers that this replica gave with its report since it last said so. They are statistics: a repeated
    /// operation adds them again, unless this flight has the lease.
    pub answers: u64,
}

/// The answer to a [`LookUp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// The store has a newer report than this replica.
    Newer(SharedReport),
    /// This replica has the lease: it fetches. The same nonce again prolongs it, whatever was stored meanwhile.
    Leased(FlightLease),
    /// Another replica fetches.
    InFlight {
        /// Its lease ends after this time, and [`SharedStore::look_up`](super::SharedStore::look_up) may be tried again.
        ends_in: Duration,
    },
    /// The last fetch failed, and the key's back-off lasts.
    BackOff {
        /// Ends after this time.
        ends_in: Duration,
        /// Why it failed: a word of the caller's.
        why: Box<str>,
    },
}

/// The right to fetch a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightLease {
    /// To be passed with the result. A prolonged lease keeps its fence, unless it had ended or the key was purged: what
    /// was asked for before is not to be stored with the new one.
    pub fence: Fence,
    /// The answers that all replicas gave with the report before, as far as they said so.
    pub answers: u64,
}

/// What is stored for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// A report.
    Report,
    /// A negative answer.
    Negative,
}

/// A report or negative answer to be stored. Its body is checked by whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportToStore {
    /// Which of both it is.
    pub kind: ReportKind,
    /// How old it is already.
    pub age: Duration,
    /// How long the upstream has sent this same answer.
    pub unchanged_for: Duration,
    /// The upstream's body, or the negative answer's.
    pub body: Bytes,
    /// Proves who stored it: empty if the fleet has no key.
    pub mac: Bytes,
}

/// A report of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedReport {
    /// Newer ones have higher fences.
    pub fence: Fence,
    /// Which of both it is.
    pub kind: ReportKind,
    /// How old it was when the store replied. Never negative, and never less than the truth but by a step of the store's
    /// clock.
    pub age: Duration,
    /// How long the upstream had sent this same answer.
    pub unchanged_for: Duration,
    /// As stored.
    pub body: Bytes,
    /// As stored.
    pub mac: Bytes,
}

/// The result of a flight that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// The key.
    pub key: ReportKey,
    /// The flight: its lease ends.
    pub nonce: Nonce,
    /// The lease's fence. The report is not stored if the store has a newer one, or the key was purged since. It is
    /// stored though the lease has ended.
    pub fence: Fence,
    /// For how long the store keeps it.
    pub keep: Duration,
    /// The report.
    pub report: ReportToStore,
}

/// The result of a flight that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightFailure {
    /// The key.
    pub key: ReportKey,
    /// The flight: ignored if another one has the lease, or a minute after it ended.
    pub nonce: Nonce,
    /// For how long no replica fetches the key.
    pub back_off: Duration,
    /// Why, for the other replicas: a word, cut at 64 bytes.
    pub why: Box<str>,
}

// === impl ReportKind ===

impl ReportKind {
    /// The word in logs and in signatures.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Negative => "negative",
        }
    }
}

// === impl FlightLease ===

impl FlightLease {
    /// The store's sequence when it was granted.
    pub fn sequence(self) -> Sequence {
        self.fence.into()
    }
}
