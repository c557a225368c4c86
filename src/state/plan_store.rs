//! Port `PlanStore`: the store of the refresh plan.

use std::{error::Error, fmt::Debug};

use futures_util::future::BoxFuture;

use super::{durability::Durability, plan_record::PlanRecord};

/// Keeps the refresh plan: the state of the price controller, and the statistics of the campaigns.
///
/// It is written each few minutes and as a whole; the last write wins. Losing it is harmless: without it the click rates
/// and the usual demand of each hour are learned again. So a process starts and runs also if it cannot be read or
/// written, and [`Durability::Volatile`] stores need not be written to.
///
/// Dropping a future does not stop a write that has begun: it may have written or not.
pub trait PlanStore: Debug + Send + Sync + 'static {
    /// Whether the record outlives the process.
    fn durability(&self) -> Durability;

    /// The record that was written last, its times to the millisecond; `None` until the first was written. Its values
    /// may be impossible (they are checked when the plan is restored from it).
    ///
    /// # Errors
    /// [`PlanStoreError`]: the record could not be read.
    fn read(&self) -> BoxFuture<'_, Result<Option<PlanRecord>, PlanStoreError>>;

    /// Replaces the record.
    ///
    /// # Errors
    /// [`PlanStoreError`]: the old record is still there. Always if there are more than [`PlanRecord::MAX_CAMPAIGNS`].
    fn write(&self, record: PlanRecord) -> BoxFuture<'_, Result<(), PlanStoreError>>;
}

/// The refresh plan could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PlanStoreError(#[from] Box<dyn Error + Send + Sync>);

// === impl PlanStoreError ===

impl PlanStoreError {
    /// Wraps the backend's error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
