//! File backend of both ports: [`StateFile`], with its blocking work in a disk queue.

use std::{fmt, path::Path, sync::Arc, time::SystemTime};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::watch;

use super::{
    call_counter::{CallClaim, CallCounter, CallCounterError, CallGrant},
    damage::SetAside,
    disk_queue::DiskQueue,
    durability::Durability,
    error::StateError,
    ledger_record::{DayStatus, LedgerRecord},
    record::TokenRecord,
    state_file::StateFile,
    token_store::{Stored, Swap, TokenStore, TokenStoreError, Version},
};

/// Both records in one file, locked against other processes while this lives. A write is durable when its future ends.
pub struct FileStore {
    file: Arc<StateFile>,
    queue: DiskQueue,
    /// The version of the token record that was last read or written.
    version: watch::Sender<Option<Version>>,
}

// === impl FileStore ===

impl FileStore {
    /// Opens the state in this directory, which is created if it does not exist (mode 0700; the file: 0600). Blocks.
    ///
    /// # Errors
    /// [`StateError::Locked`] while another process has it open, [`StateError::Damaged`] if the file is not what was
    /// written, [`StateError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        StateFile::open(dir).map(Self::of)
    }

    /// As [`FileStore::open`], but a damaged file is renamed and a new one begun, so that the process can start. The
    /// renamed file still has the old data.
    ///
    /// # Errors
    /// [`StateError::Locked`] and [`StateError::Io`] as [`FileStore::open`]; [`StateError::Damaged`] only if the new
    /// file cannot be read either.
    pub fn open_or_set_aside(dir: &Path, now: SystemTime) -> Result<(Self, Option<SetAside>), StateError> {
        let (file, set_aside) = StateFile::open_or_set_aside(dir, now)?;
        Ok((Self::of(file), set_aside))
    }

    fn of(file: StateFile) -> Self {
        Self { file: Arc::new(file), queue: DiskQueue::default(), version: watch::Sender::default() }
    }

    /// The number of damaged files that were set aside next to this one. Blocks.
    pub(super) fn damaged_files(&self) -> usize {
        self.file.damaged_files()
    }

    async fn run<T, E>(
        &self,
        work: impl FnOnce(&StateFile) -> Result<T, StateError> + Send + 'static,
        error: impl Fn(Box<dyn std::error::Error + Send + Sync>) -> E,
    ) -> Result<T, E>
    where
        T: Send + 'static,
    {
        let file = Arc::clone(&self.file);
        match self.queue.run(move || work(&file)).await {
            Ok(done) => done.map_err(|wrong| error(wrong.into())),
            Err(interrupted) => Err(error(interrupted.into())),
        }
    }

    fn seen(&self, version: Option<Version>) {
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

impl TokenStore for FileStore {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>> {
        async {
            let stored = self.run(StateFile::token, TokenStoreError::new).await?;
            self.seen(stored.as_ref().map(|stored| stored.version));
            Ok(stored)
        }
        .boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>> {
        async move {
            let new = new.clone();
            let write = move |file: &StateFile| file.compare_and_set(expected, &new);
            let swap = self.run(write, TokenStoreError::new).await?;
            self.seen(match &swap {
                Swap::Done(version) => Some(*version),
                Swap::Conflict(newer) => newer.as_ref().map(|stored| stored.version),
            });
            Ok(swap)
        }
        .boxed()
    }

    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()> {
        // No other process can write, so only this process's own reads and writes have to be watched.
        let mut version = self.version.subscribe();
        async move {
            // Fails only after the store is dropped.
            let _newer = version.wait_for(|known| *known != seen).await;
        }
        .boxed()
    }
}

impl CallCounter for FileStore {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<LedgerRecord>, CallCounterError>> {
        self.run(StateFile::ledger, CallCounterError::new).boxed()
    }

    fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>> {
        self.run(move |file| file.take(claim), CallCounterError::new).boxed()
    }

    fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>> {
        self.run(move |file| file.mark(day, status), CallCounterError::new).boxed()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("file", &self.file).finish_non_exhaustive()
    }
}
