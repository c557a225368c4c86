//! A token that this process renews: how it begins, and how it ends.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    fleet::FleetRecords, inputs::RefreshTokenInputs, renewal_state::RenewalState, renewer::Renewer,
    setup_error::TokenSetupError, snapshot::RenewalSnapshot,
};
use crate::state::{Durability, Rotation, Stored, Swap, TokenStore};

/// A token that this process renews.
#[derive(Debug)]
pub(super) struct Renewed {
    pub(super) renewal_state: Arc<RenewalState>,
    pub(super) durability: Durability,
    /// Where replicas share the token.
    pub(super) fleet: Option<Arc<FleetRecords>>,
    /// `None` once [`TokenManager::watch`](super::TokenManager::watch) runs it.
    pub(super) renewer: Mutex<Option<Box<Renewer>>>,
}

/// Writes a new refresh token of the inbox or the settings to the store, and returns the stored record.
pub(super) async fn begin(
    store: &dyn TokenStore,
    inputs: &RefreshTokenInputs,
) -> Result<Option<Stored>, TokenSetupError> {
    let mut stored = store.read().await?;
    loop {
        let (begun, taken) = inputs.at_start(stored.as_ref().map(|stored| &stored.record)).await;
        if let Some(record) = begun {
            let expected = stored.as_ref().map(|stored| stored.version);
            match store.compare_and_set(expected, &record).await? {
                Swap::Done(version) => stored = Some(Stored { version, record }),
                Swap::Conflict(newer) => {
                    tracing::warn!("another process changed the token's record; reading it again");
                    stored = newer.map(|newer| *newer);
                    continue;
                }
            }
        }
        // Only now: until the record is written, the inbox has the only copy.
        if let Some((inbox, left)) = taken {
            inbox.done(&left).await?;
        }
        return Ok(stored);
    }
}

// === impl Renewed ===

impl Renewed {
    pub(super) fn take(&self) -> Option<Box<Renewer>> {
        self.renewer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn is_at_risk(&self) -> bool {
        let is_volatile = match &self.fleet {
            Some(fleet) => fleet.is_at_risk(),
            None => self.durability == Durability::Volatile,
        };
        is_volatile && self.renewal_state.info().rotation == Rotation::Rotating
    }

    pub(super) async fn finish(&self) {
        self.renewal_state.ending.cancel();
        // A renewer that never ran has nothing to finish.
        if self.take().is_none() {
            self.renewal_state.ended.cancelled().await;
        }
    }

    pub(super) fn snapshot(&self) -> RenewalSnapshot {
        let info = self.renewal_state.info();
        RenewalSnapshot {
            renewed_at: info.renewed_at,
            rotation: info.rotation,
            durability: self.durability,
            last_error: info.last_error,
        }
    }
}
