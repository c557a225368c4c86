//! The port for the token's record: read, compare-and-set, and notification of changes.

use std::{error::Error, fmt::Debug};

use futures_util::future::BoxFuture;

use super::{durability::Durability, record::TokenRecord};

/// Keeps the token's record.
///
/// Fails closed: a record that cannot be read is not guessed at, and a renewal whose intent cannot be written asks for
/// no token, since a rotating refresh token may be used once. The access token in use goes on meanwhile.
///
/// A future that is dropped may have written or not; what it began is brought to its end.
pub trait TokenStore: Debug + Send + Sync + 'static {
    /// Whether what is written here outlives the process.
    fn durability(&self) -> Durability;

    /// The record; `None` until the first was written.
    ///
    /// # Errors
    /// [`TokenStoreError`]: nothing is known of the record.
    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>>;

    /// Replaces the record if it still is the version that was read (`None`: if there is none). What a [`Swap::Done`]
    /// wrote is as durable as [`TokenStore::durability`] says.
    ///
    /// # Errors
    /// [`TokenStoreError`]: the record is either the old or the new one, and never a mixture.
    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>>;

    /// Waits until the record is known to be another version than this one, whoever wrote it. May be early: read, and
    /// wait again with what was read.
    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()>;
}

/// Which writing of the token's record this is. A record is never the same version twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub(super) u64);

/// A record as it was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// For the compare-and-set.
    pub version: Version,
    /// What it holds.
    pub record: TokenRecord,
}

/// What became of a compare-and-set.
#[derive(Debug, Clone)]
pub enum Swap {
    /// It was written, and is this version.
    Done(Version),
    /// Another was written since, which is the one to go on with: nothing changed.
    Conflict(Option<Box<Stored>>),
}

/// The token's record cannot be used now. Never holds anything of its content.
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
    pub(super) fn conflict(held: Option<Stored>) -> Self {
        Self::Conflict(held.map(Box::new))
    }
}

// === impl TokenStoreError ===

impl TokenStoreError {
    /// What the backend says.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
