//! The token's record in the store, asked for off the workers: a disk can hang.

use std::{io, path::PathBuf, sync::Arc};

use tokio::task::spawn_blocking;

use crate::state::{Durability, StateError, StateStore, Stored, Swap, TokenRecord, Version};

/// The store, for async callers.
#[derive(Debug, Clone)]
pub(super) struct TokenVault(pub(super) Arc<dyn StateStore>);

// === impl TokenVault ===

impl TokenVault {
    pub(super) fn durability(&self) -> Durability {
        self.0.durability()
    }

    pub(super) async fn read(&self) -> Result<Option<Stored>, StateError> {
        self.ask(<dyn StateStore>::token).await
    }

    pub(super) async fn write(
        &self,
        expected: Option<Version>,
        record: &TokenRecord,
    ) -> Result<Swap, StateError> {
        let record = record.clone();
        self.ask(move |store| store.compare_and_set(expected, &record)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn StateStore) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let store = Arc::clone(&self.0);
        // Only a panic in the store, or a runtime that is gone, ends it so.
        let interrupted =
            |error| StateError::Io { path: PathBuf::from("state.dir"), source: io::Error::other(error) };
        spawn_blocking(move || question(&*store)).await.map_err(interrupted)?
    }
}
