//! Lease write: records a lease in the store; a slow disk may take longer than a call can wait.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use super::lease::{DayMark, Lease};
use crate::state::{CallClaim, CallCounter, CallCounterError, CallGrant};

/// How long calls wait for a store write; after that they are made before they are recorded.
const PATIENCE: Duration = Duration::from_secs(2);

/// A write under way. It cannot be cancelled, and is kept until it ends, also when the call that began it is gone: a
/// second write beside it would record the same calls twice.
#[derive(Debug)]
pub(super) struct PendingLease {
    lease: Lease,
    waiting: CallsWaiting,
    write: JoinHandle<Result<CallGrant, CallCounterError>>,
    latest: Instant,
}

/// Whether calls still wait for the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallsWaiting {
    /// They wait.
    Yes,
    /// They waited for [`PATIENCE`], and are made before the store has recorded them.
    NoLonger,
}

/// The result of a write, or of waiting for it.
#[derive(Debug)]
pub(super) enum LeaseOutcome {
    /// `lease.calls` were granted and recorded; `spent` is the store's count of the day now.
    Done { lease: Lease, spent: u32 },
    /// The calls may or may not have been added.
    Failed { lease: Lease },
    /// Still being written after [`PATIENCE`]: calls no longer wait.
    NotYet,
}

// === impl PendingLease ===

impl PendingLease {
    /// Starts the write in its own task, so that it continues when the waiting calls are cancelled.
    pub(super) fn begin(counter: Arc<dyn CallCounter>, lease: Lease) -> Self {
        let Lease { day, calls, unrecorded, ceiling } = lease;
        let claim = CallClaim { day, made: unrecorded, wanted: calls, ceiling };
        Self {
            lease,
            waiting: CallsWaiting::Yes,
            write: tokio::spawn(async move { counter.take(claim).await }),
            latest: Instant::now() + PATIENCE,
        }
    }

    /// Waits for the write, for [`PATIENCE`] after its begin at most. May be called again only after
    /// [`LeaseOutcome::NotYet`].
    pub(super) async fn end(&mut self) -> LeaseOutcome {
        let problem = match timeout_at(self.latest, &mut self.write).await {
            Ok(Ok(Ok(CallGrant { granted, day }))) => {
                return LeaseOutcome::Done { lease: self.written(granted), spent: day.spent };
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_panic)) => "a bug".to_owned(),
            Err(_late) => return LeaseOutcome::NotYet,
        };
        log_not_recorded(&problem);
        LeaseOutcome::Failed {
            lease: match self.waiting {
                CallsWaiting::Yes => self.lease,
                // They are counted in `unrecorded` already.
                CallsWaiting::NoLonger => Lease { calls: 0, ..self.lease },
            },
        }
    }

    /// Releases the lease's calls before they are recorded; the caller counts them as unrecorded. `None` if they were
    /// released before.
    pub(super) fn release_early(&mut self) -> Option<Lease> {
        match std::mem::replace(&mut self.waiting, CallsWaiting::NoLonger) {
            CallsWaiting::Yes => {
                log_not_recorded("the write takes too long");
                Some(self.lease)
            }
            CallsWaiting::NoLonger => None,
        }
    }

    fn written(&self, granted: u32) -> Lease {
        match self.waiting {
            CallsWaiting::Yes => Lease { calls: granted, ..self.lease },
            CallsWaiting::NoLonger => {
                let unrecorded = self.lease.unrecorded.saturating_add(granted);
                Lease { calls: 0, unrecorded, ..self.lease }
            }
        }
    }
}

/// Has the store mark a day as closed or open. Waits for [`PATIENCE`] at most; the write continues after that.
pub(super) async fn mark(counter: Arc<dyn CallCounter>, mark: DayMark) {
    let DayMark { day, status } = mark;
    let write = tokio::spawn(async move { counter.mark(day, status).await });
    let problem = match timeout(PATIENCE, write).await {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_panic)) => "a bug".to_owned(),
        Err(_late) => "the write takes too long".to_owned(),
    };
    tracing::error!(
        "cannot record in state.dir that the quota day is {}, a restart may not know it: {problem}",
        status.as_str()
    );
}

fn log_not_recorded(problem: &str) {
    tracing::error!("cannot write the call count to state.dir; a crash now would lose it: {problem}");
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        num::NonZeroU32,
        sync::atomic::{AtomicU32, Ordering},
        time::SystemTime,
    };

    use futures_util::future::{BoxFuture, FutureExt as _};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        quota::{InitialCount, Quota, QuotaLimits, WallClock},
        report::Reason,
        state::{DayStatus, Durability, LedgerRecord, MemoryStore},
        telemetry::Metrics,
    };

    /// A disk on which every write waits until it has recovered.
    #[derive(Debug, Default)]
    struct Slow {
        memory: MemoryStore,
        recovery: CancellationToken,
        is_full: bool,
        asked: AtomicU32,
    }

    /// Eleven calls a day, of which five are made.
    const SIX_LEFT: Lease = Lease { day: 7, calls: 8, unrecorded: 5, ceiling: NonZeroU32::new(11) };

    impl Slow {
        fn asked(&self) -> u32 {
            self.asked.load(Ordering::SeqCst)
        }
    }

    impl CallCounter for Slow {
        fn durability(&self) -> Durability {
            Durability::Durable
        }

        fn read(&self) -> BoxFuture<'_, Result<Option<LedgerRecord>, CallCounterError>> {
            CallCounter::read(&self.memory)
        }

        fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            async move {
                self.recovery.cancelled().await;
                if self.is_full {
                    return Err(CallCounterError::new(io::Error::from(io::ErrorKind::StorageFull)));
                }
                self.memory.take(claim).await
            }
            .boxed()
        }

        fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>> {
            async move {
                self.recovery.cancelled().await;
                self.memory.mark(day, status).await
            }
            .boxed()
        }
    }

    fn quota(store: &Arc<Slow>) -> Quota {
        let limits = QuotaLimits {
            per_second: None,
            per_day: NonZeroU32::new(10_000),
            reserve: 0.1,
            max_wait: Duration::ZERO,
        };
        let counter = Arc::clone(store) as Arc<dyn CallCounter>;
        let opening = InitialCount::Stored { counter, record: None };
        let noon = WallClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
        Quota::new(limits, opening, noon, Metrics::new().quota)
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_is_slow_for_a_while_stops_no_call_and_each_call_is_counted_once() {
        let store = Arc::new(Slow::default());
        let quota = quota(&store);
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
        store.recovery.cancel();
        let mut calls = 31;
        while store.asked() == 1 {
            quota.admit(Reason::Miss).await.unwrap();
            calls += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(quota.snapshot().day.used, 5_000 + calls);
        let written = CallCounter::read(&*store).await.unwrap().unwrap().latest().spent;
        assert!((5_000 + calls..=5_008 + calls).contains(&written), "{written} for {calls} calls");
    }

    fn write(store: &Arc<Slow>) -> PendingLease {
        PendingLease::begin(Arc::clone(store) as Arc<dyn CallCounter>, SIX_LEFT)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_ends_in_time_brings_the_calls_that_the_store_grants() {
        for is_full in [false, true] {
            let store = Arc::new(Slow { is_full, ..Slow::default() });
            store.recovery.cancel();
            match write(&store).end().await {
                LeaseOutcome::Done { lease, spent } if !is_full => {
                    assert_eq!((lease, spent), (Lease { calls: 6, ..SIX_LEFT }, 11));
                }
                LeaseOutcome::Failed { lease } if is_full => assert_eq!(lease, SIX_LEFT),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_did_not_wait_for_a_late_write_are_not_made_a_second_time_when_it_ends() {
        for is_full in [false, true] {
            let store = Arc::new(Slow { is_full, ..Slow::default() });
            let mut write = write(&store);
            for released in [Some(SIX_LEFT), None] {
                assert!(matches!(write.end().await, LeaseOutcome::NotYet));
                assert_eq!(write.release_early(), released);
            }
            store.recovery.cancel();
            tokio::time::sleep(PATIENCE).await;
            let ended = Lease { calls: 0, ..SIX_LEFT };
            match write.end().await {
                LeaseOutcome::Done { lease, spent } if !is_full => {
                    assert_eq!((lease, spent), (Lease { unrecorded: 11, ..ended }, 11));
                }
                LeaseOutcome::Failed { lease } if is_full => assert_eq!(lease, ended),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_is_closed_even_if_the_disk_is_too_slow_for_the_call_to_wait() {
        let store = Arc::new(Slow::default());
        let began = Instant::now();
        mark(Arc::clone(&store) as Arc<dyn CallCounter>, DayMark { day: 7, status: DayStatus::Closed }).await;
        assert_eq!(began.elapsed(), PATIENCE, "no call waits longer");
        store.recovery.cancel();
        tokio::task::yield_now().await;
        let ledger = CallCounter::read(&*store).await.unwrap().unwrap();
        assert_eq!((ledger.latest().day, ledger.latest().status), (7, DayStatus::Closed));
    }
}
