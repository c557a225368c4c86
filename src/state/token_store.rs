//! Port `TokenStore`: the store of the token record, with read, compare-and-set and notification of changes.

use std::{error::Error, fmt::Debug};

use futures_util::future::BoxFuture;

use super::{durability::Durability, record::TokenRecord};

/// Keeps the token record.
///
/// Fails closed: without reading the record, or writing the intent to renew, no renewal is sent, since a rotating
/// refresh token can be used only once. The current access token stays in use meanwhile.
///
/// Dropping a future does not stop a write that has begun: it may have written or not.
pub trait TokenStore: Debug + Send + Sync + 'static {
    /// Whether the record outlives the process.
    fn durability(&self) -> Durability;

    /// The record; `None` until the first was written.
    ///
    /// # Errors
    /// [`TokenStoreError`]: the record could not be read.
    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>>;

    /// Replaces the record if its version still is `expected` (`None`: if there is no record). After [`Swap::Done`]
    /// it is as durable as [`TokenStore::durability`] says.
    ///
    /// # Errors
    /// [`TokenStoreError`]: the record is either the old or the new one, never a mixture.
    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>>;

    /// Waits until the record is known to have another version than `seen`, by any writer. May return early: read the
    /// record, and wait again with its version.
    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()>;
}

/// The version of the token record: increases with each write, so no two writes have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub(crate) u64);

/// A token record with its version.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The version to pass to the next compare-and-set.
    pub version: Version,
    /// The record.
    pub record: TokenRecord,
}

/// The result of a compare-and-set.
#[derive(Debug, Clone)]
pub enum Swap {
    /// The record was written and has this version.
    Done(Version),
    /// Nothing was written: the record has another version, which is returned (`None`: there is no record).
    Conflict(Option<Box<Stored>>),
}

/// The token record could not be read or written. Never contains any part of the record.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TokenStoreError(#[from] Box<dyn Error + Send + Sync>);

// === impl Version ===

impl Version {
    /// The version after `last`.
    pub(super) fn after(last: Option<Self>) -> Self {
        Self(last.map_or(1, |Self(last)| last + 1))
    }
}

// === impl Swap ===

impl Swap {
    pub(crate) fn conflict(held: Option<Stored>) -> Self {
        Self::Conflict(held.map(Box::new))
    }
}

// === impl TokenStoreError ===

impl TokenStoreError {
    /// Wraps the backend's error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
