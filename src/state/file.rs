//! File backend of the ports: [`StateFile`], [`PlanFile`] and [`SnapshotFile`], each with its blocking work in a disk
//! queue of its own.

use std::{fmt, path::Path, sync::Arc, time::SystemTime};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::watch;

use super::{
    call_counter::{CallClaim, CallCounter, CallCounterError, CallGrant},
    damage::SetAside,
    disk_health::DiskHealth,
    disk_queue::DiskQueue,
    durability::Durability,
    error::StateError,
    ledger_record::{DayStatus, LedgerRecord},
    plan_file::PlanFile,
    plan_record::PlanRecord,
    plan_store::{PlanStore, PlanStoreError},
    record::TokenRecord,
    snapshot_file::SnapshotFile,
    snapshot_store::{SnapshotRecords, SnapshotStore, SnapshotStoreError, TakeRecord},
    state_file::StateFile,
    token_store::{Stored, Swap, TokenStore, TokenStoreError, Version},
};

/// All records in one directory, locked against other processes while this lives. A write is durable when its future
/// ends.
pub struct FileStore {
    state: Queued<StateFile>,
    plan: Queued<PlanFile>,
    snapshot: Queued<SnapshotFile>,
    /// The version of the token record that was last read or written.
    version: watch::Sender<Option<Version>>,
}

/// A file with its own queue, so that a token never waits for a plan to be written.
struct Queued<F> {
    file: Arc<F>,
    queue: DiskQueue,
    health: DiskHealth,
}

// === impl FileStore ===

impl FileStore {
    /// Opens the state in this directory, which is created if it does not exist (mode 0700; the files: 0600). Blocks.
    ///
    /// # Errors
    /// [`StateError::Locked`] while another process has it open, [`StateError::Damaged`] if a file is not what was
    /// written, [`StateError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let state = StateFile::open(dir)?;
        let plan = PlanFile::of(dir, state.dir_lock());
        plan.read()?;
        let snapshot = SnapshotFile::of(dir, state.dir_lock());
        snapshot.check()?;
        Ok(Self::of(state, plan, snapshot))
    }

    /// As [`FileStore::open`]; `None`, and nothing is created, if there is no state in the directory.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn open_existing(dir: &Path) -> Result<Option<Self>, StateError> {
        if StateFile::exists(dir) { Self::open(dir).map(Some) } else { Ok(None) }
    }

    /// As [`FileStore::open`], but damaged files are renamed and new ones begun, so that the process can start. The
    /// renamed files still have the old data. A refresh plan or a snapshot of the cache that cannot be read does not keep it
    /// from starting either.
    ///
    /// # Errors
    /// [`StateError::Locked`] and [`StateError::Io`] as [`FileStore::open`]; [`StateError::Damaged`] only if the new
    /// file cannot be read either.
    pub fn open_or_set_aside(dir: &Path, now: SystemTime) -> Result<(Self, Vec<SetAside>), StateError> {
        let (state, state_file) = StateFile::open_or_set_aside(dir, now)?;
        let plan = PlanFile::of(dir, state.dir_lock());
        let plan_file = plan.set_aside_if_damaged(now);
        let snapshot = SnapshotFile::of(dir, state.dir_lock());
        let snapshot_file = snapshot.set_aside_if_damaged(now);
        let set_aside = [state_file, plan_file, snapshot_file].into_iter().flatten().collect();
        Ok((Self::of(state, plan, snapshot), set_aside))
    }

    fn of(state: StateFile, plan: PlanFile, snapshot: SnapshotFile) -> Self {
        let (state, plan, snapshot) = (Queued::of(state), Queued::of(plan), Queued::of(snapshot));
        Self { state, plan, snapshot, version: watch::Sender::default() }
    }

    /// Whether tokens and calls are stored durably at the moment.
    pub(super) fn health(&self) -> DiskHealth {
        self.state.health.clone()
    }

    /// The number of damaged files in the directory that were set aside. Blocks.
    pub(super) fn damaged_files(&self) -> usize {
        let (state, plan, snapshot) = (&self.state.file, &self.plan.file, &self.snapshot.file);
        state.damaged_files() + plan.damaged_files() + snapshot.damaged_files()
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
            let stored = self.state.run(StateFile::token, TokenStoreError::new).await?;
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
            let swap = self.state.run(write, TokenStoreError::new).await?;
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
        self.state.run(StateFile::ledger, CallCounterError::new).boxed()
    }

    fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>> {
        self.state.run(move |file| file.take(claim), CallCounterError::new).boxed()
    }

    fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>> {
        self.state.run(move |file| file.mark(day, status), CallCounterError::new).boxed()
    }
}

impl PlanStore for FileStore {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<PlanRecord>, PlanStoreError>> {
        self.plan.run(PlanFile::read, PlanStoreError::new).boxed()
    }

    fn write(&self, record: PlanRecord) -> BoxFuture<'_, Result<(), PlanStoreError>> {
        self.plan.run(move |file| file.write(&record), PlanStoreError::new).boxed()
    }
}

impl SnapshotStore for FileStore {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self, take: TakeRecord) -> BoxFuture<'_, Result<(), SnapshotStoreError>> {
        self.snapshot.run(move |file| file.read(take), SnapshotStoreError::new).boxed()
    }

    fn write(&self, records: SnapshotRecords) -> BoxFuture<'_, Result<u64, SnapshotStoreError>> {
        self.snapshot.run(move |file| file.write(records), SnapshotStoreError::new).boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), SnapshotStoreError>> {
        self.snapshot.run(SnapshotFile::remove, SnapshotStoreError::new).boxed()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("file", &self.state.file).finish_non_exhaustive()
    }
}

// === impl Queued ===

impl<F: Send + Sync + 'static> Queued<F> {
    fn of(file: F) -> Self {
        Self { file: Arc::new(file), queue: DiskQueue::default(), health: DiskHealth::default() }
    }

    async fn run<T, E>(
        &self,
        work: impl FnOnce(&F) -> Result<T, StateError> + Send + 'static,
        error: impl Fn(Box<dyn std::error::Error + Send + Sync>) -> E,
    ) -> Result<T, E>
    where
        T: Send + 'static,
    {
        let file = Arc::clone(&self.file);
        let done = match self.queue.run(move || work(&file)).await {
            Ok(done) => done.map_err(|wrong| error(wrong.into())),
            Err(interrupted) => Err(error(interrupted.into())),
        };
        self.health.note(&done);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_refuses_once_is_not_good_until_it_takes_the_next_write() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        let health = store.health();
        assert!(health.is_good());
        let full = |_file: &StateFile| -> Result<(), StateError> {
            Err(StateError::Io { path: "state".into(), source: std::io::ErrorKind::StorageFull.into() })
        };
        store.state.run(full, TokenStoreError::new).await.unwrap_err();
        assert!(!health.is_good());
        store.mark(20_000, DayStatus::Closed).await.unwrap();
        assert!(health.is_good());
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_that_hangs_on_the_disk_delays_no_token_and_keeps_the_directory_locked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(dir.path()).unwrap());
        let (recover, recovery) = mpsc::channel::<()>();
        let hanging = {
            let store = Arc::clone(&store);
            let hang = move |_file: &PlanFile| Ok(recovery.recv().is_ok());
            tokio::spawn(async move { store.plan.run(hang, PlanStoreError::new).await })
        };
        tokio::task::yield_now().await;
        store.compare_and_set(None, &TokenRecord::new("one".into())).await.unwrap();
        store.mark(20_000, DayStatus::Closed).await.unwrap();

        let queue = store.plan.queue.clone();
        hanging.abort();
        assert!(hanging.await.unwrap_err().is_cancelled());
        drop(store);
        let second = FileStore::open(dir.path());
        assert!(matches!(&second, Err(StateError::Locked { .. })), "{second:?}");
        drop(recover);
        queue.run(|| ()).await.unwrap();
        FileStore::open(dir.path()).unwrap();
    }
}
