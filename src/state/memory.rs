//! Memory backend of the ports, used without `state.dir`: the state is lost when the process ends.

use std::sync::{Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::watch;

use super::{
    call_counter::{CallClaim, CallCounter, CallCounterError, CallGrant},
    durability::Durability,
    ledger_record::{DayStatus, LedgerRecord},
    plan_record::PlanRecord,
    plan_store::{PlanStore, PlanStoreError},
    record::TokenRecord,
    snapshot_store::{SnapshotRecord, SnapshotRecords, SnapshotStore, SnapshotStoreError, TakeRecord},
    token_store::{Stored, Swap, TokenStore, TokenStoreError, Version},
};

/// All records, in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    token: watch::Sender<Option<Stored>>,
    ledger: Mutex<Option<LedgerRecord>>,
    plan: Mutex<Option<PlanRecord>>,
    snapshot: Mutex<Vec<SnapshotRecord>>,
}

// === impl MemoryStore ===

impl MemoryStore {
    fn ledger<T>(&self, act: impl FnOnce(&mut Option<LedgerRecord>) -> T) -> T {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn plan<T>(&self, act: impl FnOnce(&mut Option<PlanRecord>) -> T) -> T {
        act(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn snapshot<T>(&self, act: impl FnOnce(&mut Vec<SnapshotRecord>) -> T) -> T {
        act(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TokenStore for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>> {
        ready(Ok(self.token.borrow().clone())).boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>> {
        let mut swap = Swap::Conflict(None);
        self.token.send_if_modified(|held| {
            let current = held.as_ref().map(|stored| stored.version);
            if current != expected {
                swap = Swap::conflict(held.clone());
                return false;
            }
            let version = Version::after(current);
            *held = Some(Stored { version, record: new.clone() });
            swap = Swap::Done(version);
            true
        });
        ready(Ok(swap)).boxed()
    }

    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()> {
        let mut token = self.token.subscribe();
        async move {
            let is_another = |held: &Option<Stored>| held.as_ref().map(|stored| stored.version) != seen;
            // Fails only after the store is dropped.
            let _newer = token.wait_for(is_another).await;
        }
        .boxed()
    }
}

impl CallCounter for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<LedgerRecord>, CallCounterError>> {
        ready(Ok(self.ledger(|held| held.clone()))).boxed()
    }

    fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>> {
        let grant = self.ledger(|held| {
            let (ledger, grant) = LedgerRecord::after(held.take(), claim.day, |day| claim.count_on(day));
            *held = Some(ledger);
            grant
        });
        ready(Ok(grant)).boxed()
    }

    fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>> {
        self.ledger(|held| {
            let (ledger, ()) = LedgerRecord::after(held.take(), day, |latest| latest.status = status);
            *held = Some(ledger);
        });
        ready(Ok(())).boxed()
    }
}

impl PlanStore for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<PlanRecord>, PlanStoreError>> {
        ready(Ok(self.plan(|held| held.clone()))).boxed()
    }

    fn write(&self, record: PlanRecord) -> BoxFuture<'_, Result<(), PlanStoreError>> {
        let checked = record.check().map_err(PlanStoreError::new);
        ready(checked.map(|()| self.plan(|held| *held = Some(record)))).boxed()
    }
}

impl SnapshotStore for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn read(&self, mut take: TakeRecord) -> BoxFuture<'_, Result<(), SnapshotStoreError>> {
        self.snapshot(|held| {
            let _broken_off = held.iter().try_for_each(|record| take(&record.fields, record.body()));
        });
        ready(Ok(())).boxed()
    }

    fn write(&self, records: SnapshotRecords) -> BoxFuture<'_, Result<u64, SnapshotStoreError>> {
        let records: Vec<_> = records.collect();
        let size = |record: &SnapshotRecord| (record.fields.len() + record.body().len()) as u64;
        let bytes = records.iter().map(size).sum();
        self.snapshot(|held| *held = records);
        ready(Ok(bytes)).boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), SnapshotStoreError>> {
        self.snapshot(Vec::clear);
        ready(Ok(())).boxed()
    }
}
