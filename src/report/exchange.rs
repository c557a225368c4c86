//! What one exchange with the upstream looked like, whatever it brought.

use std::{
    num::NonZeroU16,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

/// What one exchange with the upstream looked like: for logs, metrics and `Cache-Status`. It decides nothing about the
/// answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The upstream's status; `None` if no answer came.
    pub status: Option<u16>,
    /// The upstream's own request id (`x-amzn-RequestId`): the vendor's support asks for it.
    pub request_id: Option<Arc<str>>,
    /// The access token that the call carried; `None` where it was not sent.
    pub sent_generation: Option<SentGeneration>,
    /// The upstream's `Date`: its daily quota ends at midnight by its own clock. `None` for an answer that a cache on the
    /// way had stored.
    pub date: Option<SystemTime>,
    /// From sending the request to the end of the body.
    pub elapsed: Duration,
    /// Who made the exchange.
    pub origin: Origin,
    /// Which of the flights that replicas share it was; `None`: nothing is shared, or the store is away.
    pub flight: Option<FlightNumber>,
}

/// Who made the exchange that brought an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// This replica called the upstream.
    #[default]
    Upstream,
    /// Another replica did; the answer comes from the store that the replicas share.
    SharedStore,
}

/// A flight that replicas share. All replicas know its number, so what each of them draws by it is the same. Sixteen bits
/// are enough to draw by, and an [`Exchange`], which every error holds, does not grow by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightNumber(pub NonZeroU16);

/// Which access token a call carried: each newer one has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentGeneration(pub u64);

/// Shows that a call's token was refused, before the call ends: a request carries it, and whoever gets the 401 notes it
/// before looking for a newer token. The attempt's deadline may strike meanwhile, and what has come is a 401 all the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefusalNote(Arc<OnceLock<SentGeneration>>);

// === impl RefusalNote ===

impl RefusalNote {
    /// The upstream answered 401 to this token. Of several the first is kept.
    pub(crate) fn refused(&self, sent: SentGeneration) {
        let _kept = self.0.get_or_init(|| sent);
    }

    /// The token that was refused, if one was.
    pub(crate) fn read(&self) -> Option<SentGeneration> {
        self.0.get().copied()
    }
}

/// An answer that an exchange with the upstream has brought.
pub trait Exchanged: Send + Sync {
    /// The exchange.
    fn exchange(&self) -> &Exchange;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_is_read_wherever_the_note_was_taken() {
        let note = RefusalNote::default();
        let taken = note.clone();
        assert_eq!(note.read(), None);
        taken.refused(SentGeneration(3));
        taken.refused(SentGeneration(4));
        assert_eq!(note.read(), Some(SentGeneration(3)));
    }
}
