//! Calls that a store is writing down, which may take it longer than a call can wait.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::lease::{DayMark, Lease};
use crate::state::{DayRecord, StateError, StateStore};

/// A disk that takes longer has failed, for the calls that wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A write that has begun cannot be called back. Kept until it ends, whoever began it: a second one beside it would
/// count the same calls twice, and hold another thread.
#[derive(Debug)]
pub(super) struct PendingLease {
    lease: Lease,
    write: JoinHandle<Result<DayRecord, StateError>>,
    latest: Instant,
}

/// What has become of a write.
#[derive(Debug)]
pub(super) enum LeaseOutcome {
    /// The store's count of the lease's day is now this.
    Done { lease: Lease, spent: u32 },
    /// The calls may or may not have been added.
    Failed { lease: Lease },
    /// Calls wait for it no longer.
    NotYet,
}

// === impl PendingLease ===

impl PendingLease {
    pub(super) fn begin(store: Arc<dyn StateStore>, lease: Lease) -> Self {
        let calls = lease.calls.saturating_add(lease.unrecorded);
        Self {
            lease,
            write: spawn_blocking(move || store.add_calls(lease.day, calls)),
            latest: Instant::now() + PATIENCE,
        }
    }

    /// Waits for its end, but not past its time. Not to be asked again after any answer but [`LeaseOutcome::NotYet`].
    pub(super) async fn end(&mut self) -> LeaseOutcome {
        let lease = self.lease;
        let problem = match timeout_at(self.latest, &mut self.write).await {
            Ok(Ok(Ok(record))) => return LeaseOutcome::Done { lease, spent: record.spent },
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_panic)) => "a bug".to_owned(),
            Err(_late) => return LeaseOutcome::NotYet,
        };
        log_untaken(&problem);
        LeaseOutcome::Failed { lease }
    }

    /// Its calls are made before it ends, and so they are owed when it does. `None` if they were given out before.
    pub(super) fn release_early(&mut self) -> Option<Lease> {
        let lease = self.lease;
        self.lease = Lease { calls: 0, unrecorded: lease.calls.saturating_add(lease.unrecorded), ..lease };
        (lease.calls > 0).then(|| {
            log_untaken("it takes too long");
            lease
        })
    }
}

/// Has a store close a day or open it again. Waits for it, but not for longer than a call can.
pub(super) async fn mark(store: Arc<dyn StateStore>, mark: DayMark) {
    let DayMark { day, status } = mark;
    let write = spawn_blocking(move || store.mark_day(day, status));
    let problem = match timeout_at(Instant::now() + PATIENCE, write).await {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_panic)) => "a bug".to_owned(),
        Err(_late) => "it takes too long".to_owned(),
    };
    tracing::error!("quota: cannot write to state.dir that the day is {}: {problem}", status.as_str());
}

fn log_untaken(problem: &str) {
    tracing::error!("cannot write the call count to state.dir; a crash now would lose it: {problem}");
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroU32,
        sync::{
            Mutex,
            atomic::{AtomicU32, Ordering},
            mpsc,
        },
        time::SystemTime,
    };

    use super::*;
    use crate::{
        quota::{InitialCount, Quota, QuotaLimits, WallClock},
        report::Reason,
        state::{DayStatus, Durability, LedgerRecord, MemoryStore, Stored, Swap, TokenRecord, Version},
        telemetry::Metrics,
    };

    /// A disk that takes nothing before the other end of `recovery` is gone.
    #[derive(Debug)]
    struct Slow {
        memory: MemoryStore,
        recovery: Mutex<mpsc::Receiver<()>>,
        asked: AtomicU32,
    }

    impl Slow {
        fn asked(&self) -> u32 {
            self.asked.load(Ordering::SeqCst)
        }
    }

    impl StateStore for Slow {
        fn durability(&self) -> Durability {
            Durability::Durable
        }

        fn token(&self) -> Result<Option<Stored>, StateError> {
            self.memory.token()
        }

        fn compare_and_set(&self, expected: Option<Version>, new: &TokenRecord) -> Result<Swap, StateError> {
            self.memory.compare_and_set(expected, new)
        }

        fn ledger(&self) -> Result<Option<LedgerRecord>, StateError> {
            self.memory.ledger()
        }

        fn mark_day(&self, day: u64, status: DayStatus) -> Result<(), StateError> {
            self.memory.mark_day(day, status)
        }

        fn add_calls(&self, day: u64, calls: u32) -> Result<DayRecord, StateError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.recovery.lock().unwrap().recv().unwrap_err();
            self.memory.add_calls(day, calls)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_is_slow_for_a_while_ends_no_service_and_counts_each_call_once() {
        let (recover, recovery) = mpsc::channel();
        let store = Arc::new(Slow {
            memory: MemoryStore::default(),
            recovery: Mutex::new(recovery),
            asked: AtomicU32::new(0),
        });
        let limits = QuotaLimits {
            per_second: None,
            per_day: NonZeroU32::new(10_000),
            reserve: 0.1,
            max_wait: Duration::ZERO,
        };
        let opening = InitialCount::Stored { store: Arc::clone(&store) as Arc<dyn StateStore>, record: None };
        let noon = WallClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
        let quota = Quota::new(limits, opening, noon, Metrics::new().quota);
        let (leaver, first) = [(); 2]
            .map(|()| {
                let quota = quota.clone();
                tokio::spawn(async move { quota.admit(Reason::Miss).await.map(drop) })
            })
            .into();
        while store.asked() == 0 {
            tokio::task::yield_now().await;
        }
        leaver.abort();
        tokio::time::advance(PATIENCE).await;
        first.await.unwrap().unwrap();
        for _ in 0..30 {
            quota.admit(Reason::Miss).await.unwrap();
        }
        assert_eq!((store.asked(), quota.snapshot().day.used), (1, 5_031), "no second write, no second wait");
        drop(recover);
        let mut calls = 31;
        while store.asked() == 1 {
            quota.admit(Reason::Miss).await.unwrap();
            calls += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(quota.snapshot().day.used, 5_000 + calls);
        let written = store.ledger().unwrap().unwrap().latest().spent;
        assert!((5_000 + calls..=5_008 + calls).contains(&written), "{written} for {calls} calls");
    }
}
