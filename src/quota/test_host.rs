//! A host for tests: its clock can be set, and its store outlives each process.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{InitialCount, Quota, QuotaLimits, WallClock, day::DAY, snapshot::DayCount};
use crate::report::testing::good;
use crate::{
    report::{Exchange, FetchError, Fetched, Reason, UpstreamFailure, UpstreamLimit},
    state::{CallCounter, MemoryStore},
    telemetry::Metrics,
};

pub(super) const HOUR: i64 = 3_600;
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// The true time, a clock that may be wrong, and a store that outlives each process.
pub(super) struct Host {
    start: SystemTime,
    began: Instant,
    /// By how many seconds the clock is ahead of the true time.
    wrong_by: Arc<AtomicI64>,
    /// Seconds in which the machine slept.
    slept: Arc<AtomicI64>,
    counter: Arc<dyn CallCounter>,
}

// === impl Host ===

impl Host {
    /// A host whose true time is this long after midnight UTC.
    pub(super) fn at(into_day: Duration) -> Self {
        Self {
            start: SystemTime::UNIX_EPOCH + DAY * 20_000 + into_day,
            began: Instant::now(),
            wrong_by: Arc::default(),
            slept: Arc::default(),
            counter: Arc::new(MemoryStore::default()),
        }
    }

    pub(super) fn true_time(&self) -> SystemTime {
        self.start + self.began.elapsed() + seconds(&self.slept)
    }

    /// The true time and the clock go on, the process does not.
    pub(super) fn sleep(&self, seconds: i64) {
        self.slept.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) fn set_clock(&self, wrong_by_seconds: i64) {
        self.wrong_by.store(wrong_by_seconds, Ordering::SeqCst);
    }

    /// Starts a process now, with the store's record.
    pub(super) fn run(&self) -> Quota {
        let (start, began) = (self.start, self.began);
        let (wrong_by, slept) = (Arc::clone(&self.wrong_by), Arc::clone(&self.slept));
        let clock = WallClock::told_by(move || {
            let (truth, apart) = (start + began.elapsed() + seconds(&slept), seconds(&wrong_by));
            if wrong_by.load(Ordering::SeqCst) < 0 { truth - apart } else { truth + apart }
        });
        let limits = QuotaLimits {
            per_second: None,
            per_day: NonZeroU32::new(10_000),
            reserve: 0.1,
            max_wait: Duration::ZERO,
        };
        let record = self.counter.read().now_or_never().unwrap().unwrap();
        Quota::new(
            limits,
            InitialCount::Stored { counter: Arc::clone(&self.counter), record },
            clock,
            Metrics::new().quota,
        )
    }

    /// Makes `calls` calls whose responses have no `Date`.
    pub(super) async fn spend(&self, quota: &Quota, calls: u32) {
        for _ in 0..calls {
            quota.admit(Reason::Miss).await.unwrap().learn(&Ok(good())).await;
        }
    }
}

fn seconds(count: &AtomicI64) -> Duration {
    Duration::from_secs(count.load(Ordering::SeqCst).unsigned_abs())
}

pub(super) async fn answered_at(quota: &Quota, date: SystemTime) {
    let answer = good();
    let exchange = Exchange { date: Some(date), ..answer.exchange };
    quota.admit(Reason::Miss).await.unwrap().learn(&Ok(Fetched { exchange, ..answer })).await;
}

pub(super) async fn refused(quota: &Quota) {
    let exceeded =
        UpstreamFailure::TooManyRequests { limit: UpstreamLimit::PerDay, retry_after: Duration::ZERO };
    quota.admit(Reason::Miss).await.unwrap().learn::<Fetched>(&Err(FetchError::from(exceeded))).await;
}

pub(super) fn day(quota: &Quota) -> DayCount {
    quota.snapshot().day
}
