//! A store that ends with the process: what a replica without `state.dir` has.

use std::sync::{Mutex, PoisonError};

use super::{
    ledger_record::{DayRecord, DayStatus, LedgerRecord},
    record::TokenRecord,
    store::{Durability, StateError, StateStore, Stored, Swap, Version},
};

/// Both records, in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    held: Mutex<MemoryRecords>,
}

#[derive(Debug, Default)]
struct MemoryRecords {
    token: Option<Stored>,
    ledger: Option<LedgerRecord>,
}

// === impl MemoryStore ===

impl MemoryStore {
    fn with<T>(&self, act: impl FnOnce(&mut MemoryRecords) -> T) -> T {
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, day: u64, change: impl FnOnce(&mut DayRecord)) -> DayRecord {
        self.with(|held| {
            let ledger = LedgerRecord::after(held.ledger.take(), day, change);
            held.ledger.insert(ledger).latest()
        })
    }
}

impl StateStore for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn token(&self) -> Result<Option<Stored>, StateError> {
        Ok(self.with(|held| held.token.clone()))
    }

    fn compare_and_set(&self, expected: Option<Version>, new: &TokenRecord) -> Result<Swap, StateError> {
        Ok(self.with(|held| {
            let current = held.token.as_ref().map(|stored| stored.version);
            if current != expected {
                return Swap::Conflict;
            }
            let version = Version::after(current);
            held.token = Some(Stored { version, record: new.clone() });
            Swap::Done(version)
        }))
    }

    fn ledger(&self) -> Result<Option<LedgerRecord>, StateError> {
        Ok(self.with(|held| held.ledger.clone()))
    }

    fn add_calls(&self, day: u64, calls: u32) -> Result<DayRecord, StateError> {
        Ok(self.change(day, |latest| latest.take(calls)))
    }

    fn mark_day(&self, day: u64, status: DayStatus) -> Result<(), StateError> {
        self.change(day, |latest| latest.status = status);
        Ok(())
    }
}
