//! The port for the count of a day's calls.

use std::{error::Error, fmt::Debug, num::NonZeroU32};

use futures_util::future::BoxFuture;

use super::{
    durability::Durability,
    ledger_record::{DayRecord, DayStatus, LedgerRecord},
};

/// Counts the calls of each UTC day (days since 1970-01-01).
///
/// Fails open: a call that cannot be counted here is made all the same and counted when the counter works again, since
/// a full disk must not end all service; the process's own count and the upstream's bound the day meanwhile. Only the
/// start fails closed: a count that cannot be read is not guessed at.
///
/// A future that is dropped may have counted or not; what it began is brought to its end.
pub trait CallCounter: Debug + Send + Sync + 'static {
    /// Whether what is counted here outlives the process.
    fn durability(&self) -> Durability;

    /// The days of which something is known; `None` until the first call was counted.
    ///
    /// # Errors
    /// [`CallCounterError`]: nothing is known of any day.
    fn read(&self) -> BoxFuture<'_, Result<Option<LedgerRecord>, CallCounterError>>;

    /// Counts calls on a day, before they are made. A day that is closed is counted on too: whether a call may go
    /// nevertheless, to find out, is for the caller to know.
    ///
    /// # Errors
    /// [`CallCounterError`]: the calls may or may not have been counted.
    fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>>;

    /// Closes a day, or opens it again. Its count stays.
    ///
    /// # Errors
    /// [`CallCounterError`]: the day may or may not have been marked.
    fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>>;
}

/// Calls to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallClaim {
    /// The day they are counted on.
    pub day: u64,
    /// Calls that are made already: counted whatever the ceiling is.
    pub made: u32,
    /// Calls to be made.
    pub wanted: u32,
    /// The day's count may not exceed this by calls that are still to be made; `None`: they are not limited.
    pub ceiling: Option<NonZeroU32>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallGrant {
    /// Of the calls that were wanted, so many may be made.
    pub granted: u32,
    /// How the day stands, these included.
    pub day: DayRecord,
}

/// The count cannot be used now.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CallCounterError(#[from] Box<dyn Error + Send + Sync>);

// === impl CallClaim ===

impl CallClaim {
    /// Counts on this day, which is the claim's.
    pub(super) fn count_on(self, day: &mut DayRecord) -> CallGrant {
        day.spent = day.spent.saturating_add(self.made);
        let left = self.ceiling.map_or(u32::MAX, |ceiling| ceiling.get().saturating_sub(day.spent));
        let granted = self.wanted.min(left);
        day.spent = day.spent.saturating_add(granted);
        CallGrant { granted, day: *day }
    }
}

// === impl CallCounterError ===

impl CallCounterError {
    /// What the backend says.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
