//! Port `SnapshotStore`: the store of the cache's snapshot, with which a new process continues where the last one ended.

use std::{error::Error, fmt::Debug, ops::ControlFlow};

use futures_util::future::BoxFuture;

use super::durability::Durability;
use crate::report::Representation;

/// Keeps one snapshot of the cache: a sequence of records, whose contents are the cache's affair.
///
/// Fails open: losing the snapshot costs the calls that fetch the reports again. It is written as a whole; the last
/// write wins. Operations are done in the order of their calls, so that after [`SnapshotStore::remove`] no earlier
/// write is left.
///
/// Dropping a future does not stop a write that has begun: it may have written or not.
pub trait SnapshotStore: Debug + Send + Sync + 'static {
    /// Whether the snapshot outlives the process.
    fn durability(&self) -> Durability;

    /// Passes the records of the snapshot that was written last to `take`, in their order, until it breaks off. None if
    /// there is no snapshot.
    ///
    /// # Errors
    /// [`SnapshotStoreError`]: it could not be read to the end.
    fn read(&self, take: TakeRecord) -> BoxFuture<'_, Result<(), SnapshotStoreError>>;

    /// Replaces the snapshot. Each record is asked for when it is written, on a thread that may block: so their bodies are
    /// never all held at one time. Returns the size in bytes.
    ///
    /// # Errors
    /// [`SnapshotStoreError`]: the old snapshot is still there.
    fn write(&self, records: SnapshotRecords) -> BoxFuture<'_, Result<u64, SnapshotStoreError>>;

    /// Removes the snapshot: after a purge it must not come back.
    ///
    /// # Errors
    /// [`SnapshotStoreError`]: it may still be there.
    fn remove(&self) -> BoxFuture<'_, Result<(), SnapshotStoreError>>;
}

/// One record of a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotRecord {
    /// What it is about; at most [`SnapshotRecord::MAX_FIELDS`] bytes, and never empty.
    pub fields: Vec<u8>,
    /// The body of a report, which is shared with the cache.
    pub body: Option<Representation>,
}

/// The records of a snapshot to be written.
pub type SnapshotRecords = Box<dyn Iterator<Item = SnapshotRecord> + Send>;

/// Takes a record that was read: its fields, and its body, which may be empty.
pub type TakeRecord = Box<dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + Send>;

/// The snapshot could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SnapshotStoreError(#[from] Box<dyn Error + Send + Sync>);

// === impl SnapshotRecord ===

impl SnapshotRecord {
    /// The most bytes of `fields`.
    pub const MAX_FIELDS: usize = 64 * 1024;

    /// The bytes of the body.
    pub(super) fn body(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], Representation::body)
    }
}

// === impl SnapshotStoreError ===

impl SnapshotStoreError {
    /// Wraps the backend's error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
