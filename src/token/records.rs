//! Where the renewer keeps the token's record: in this replica's own store, or in the fleet's.

use std::{sync::Arc, time::SystemTime};

use super::fleet::{AccessLeft, Claim, Denied, FleetRecords, RecordError};
use crate::state::{Durability, Stored, Swap, TokenRecord, TokenStore, Version};

/// The token's record.
#[derive(Debug)]
pub enum TokenRecords {
    /// In a store that this replica shares with nobody; other processes may share it.
    Own {
        /// The store.
        store: Arc<dyn TokenStore>,
        /// The version that was read or written last.
        seen: Option<Version>,
    },
    /// In the shared store, with a copy in the replica's own.
    Fleet(Arc<FleetRecords>),
}

// === impl TokenRecords ===

impl TokenRecords {
    /// Whether the record outlives this process.
    pub(super) fn durability(&self) -> Durability {
        match self {
            Self::Own { store, .. } => store.durability(),
            Self::Fleet(_) => Durability::Durable,
        }
    }

    pub(super) async fn read(&mut self) -> Result<Option<Stored>, RecordError> {
        match self {
            Self::Own { store, seen } => {
                let stored = store.read().await?;
                *seen = stored.as_ref().map(|stored| stored.version);
                Ok(stored)
            }
            Self::Fleet(fleet) => fleet.read().await,
        }
    }

    /// Writes another record, unless the one that was read has changed since.
    pub(super) async fn replace(
        &mut self,
        expected: Option<Version>,
        record: &TokenRecord,
    ) -> Result<Swap, RecordError> {
        match self {
            Self::Own { store, seen } => write(&**store, seen, expected, record).await,
            Self::Fleet(fleet) => fleet.replace(expected, record).await,
        }
    }

    /// Writes the intent to renew, while so much is left of the access token; this also proves that the result can be
    /// written.
    pub(super) async fn claim(&mut self, stored: &Stored, left: AccessLeft) -> Result<Claim, Denied> {
        match self {
            Self::Own { store, seen } => {
                let begun = TokenRecord { intent: Some(SystemTime::now()), ..stored.record.clone() };
                match write(&**store, seen, Some(stored.version), &begun).await? {
                    Swap::Done(version) => Ok(Claim::unshared(version, begun)),
                    Swap::Conflict(newer) => Err(Denied::Theirs(newer)),
                }
            }
            Self::Fleet(fleet) => fleet.claim(stored, left).await,
        }
    }

    /// Nothing was sent with the claim.
    pub(super) async fn withdraw(&self) {
        match self {
            // The next attempt finds the intent, and nobody else waits for it.
            Self::Own { .. } => {}
            Self::Fleet(fleet) => fleet.withdraw().await,
        }
    }

    /// The claim's refresh token is invalid, and there is no other.
    pub(super) async fn give_up(&self) {
        match self {
            Self::Own { .. } => {}
            Self::Fleet(fleet) => fleet.give_up().await,
        }
    }

    /// Whether a replica of the fleet has found a moment ago that the record's refresh token is invalid: then this one need
    /// not ask.
    pub(super) fn is_refused(&self, record: &TokenRecord) -> bool {
        self.fleet().is_some_and(|fleet| fleet.is_refused(record))
    }

    /// Writes the answer to the refresh token of `asked`.
    pub(super) async fn keep(
        &mut self,
        expected: Version,
        asked: &TokenRecord,
        answer: &TokenRecord,
    ) -> Result<Swap, RecordError> {
        match self {
            Self::Own { store, seen } => write(&**store, seen, Some(expected), answer).await,
            Self::Fleet(fleet) => fleet.keep(asked, answer).await,
        }
    }

    /// Waits until another process may have written the record.
    pub(super) async fn changed(&self) {
        match self {
            Self::Own { store, seen } => store.changed(*seen).await,
            Self::Fleet(fleet) => fleet.changed().await,
        }
    }

    /// The fleet, if there is one.
    pub(super) const fn fleet(&self) -> Option<&Arc<FleetRecords>> {
        match self {
            Self::Own { .. } => None,
            Self::Fleet(fleet) => Some(fleet),
        }
    }
}

impl From<Arc<dyn TokenStore>> for TokenRecords {
    fn from(store: Arc<dyn TokenStore>) -> Self {
        Self::Own { store, seen: None }
    }
}

async fn write(
    store: &dyn TokenStore,
    seen: &mut Option<Version>,
    expected: Option<Version>,
    record: &TokenRecord,
) -> Result<Swap, RecordError> {
    let swap = store.compare_and_set(expected, record).await?;
    *seen = match &swap {
        Swap::Done(version) => Some(*version),
        Swap::Conflict(newer) => newer.as_ref().map(|stored| stored.version),
    };
    Ok(swap)
}
