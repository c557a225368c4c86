//! Port `CallCounter`: the store of the daily call count.

use std::{error::Error, fmt::Debug, num::NonZeroU32};

use futures_util::future::BoxFuture;

use super::{
    durability::Durability,
    ledger_record::{DayRecord, DayStatus, LedgerRecord},
};

/// Counts the calls of each UTC day (days since 1970-01-01).
///
/// Fails open: a call that cannot be recorded here is made anyway, and recorded once the counter works again, since a
/// full disk must not stop the service; meanwhile the process's own count and the upstream's limit the day. Only the
/// start fails closed: if the count cannot be read, the process does not start.
///
/// Dropping a future does not stop a write that has begun: it may have counted or not.
pub trait CallCounter: Debug + Send + Sync + 'static {
    /// Whether the count outlives the process.
    fn durability(&self) -> Durability;

    /// The recorded days; `None` until the first call was counted or the first day marked.
    ///
    /// # Errors
    /// [`CallCounterError`]: the count could not be read.
    fn read(&self) -> BoxFuture<'_, Result<Option<LedgerRecord>, CallCounterError>>;

    /// Counts calls on a day before they are made. Also on a closed day, since the caller may make a probe call.
    ///
    /// # Errors
    /// [`CallCounterError`]: the calls may or may not have been counted.
    fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>>;

    /// Marks a day as closed or open. Its count stays.
    ///
    /// # Errors
    /// [`CallCounterError`]: the day may or may not have been marked.
    fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>>;
}

/// Calls to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallClaim {
    /// The day on which they are counted: days since 1970-01-01.
    pub day: u64,
    /// Calls that are made already: all counted, even above the ceiling.
    pub made: u32,
    /// Calls that are still to be made.
    pub wanted: u32,
    /// Calls still to be made are granted only up to this count of the day; `None`: not limited.
    pub ceiling: Option<NonZeroU32>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallGrant {
    /// How many of the wanted calls may be made.
    pub granted: u32,
    /// The day's record, including these calls.
    pub day: DayRecord,
}

/// The daily count could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CallCounterError(#[from] Box<dyn Error + Send + Sync>);

// === impl CallClaim ===

impl CallClaim {
    /// Adds the claim to `day`, which must be the claim's day.
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
    /// Wraps the backend's error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
