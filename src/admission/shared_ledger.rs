//! The day's ledger as all calls share it: asked at the upstream's time of day, with a store that keeps its count.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::{sync::MutexGuard, time::Instant};

use super::{
    bucket::Lane,
    clock::WallClock,
    lease::{DayMark, Entry, Lease, Line},
    ledger::{DaySpent, Ledger},
    pace::Step,
    upstream_clock::{Skew, UpstreamClock},
    writing::{self, Writing, Written},
};
use crate::{state::Store, telemetry::QuotaMetrics};

#[derive(Debug)]
pub(super) struct SharedLedger {
    day: Mutex<Day>,
    clock: WallClock,
    store: Option<Arc<dyn Store>>,
    /// One lease at a time: those who wait for it will find calls in it. And what the store is still at.
    leasing: tokio::sync::Mutex<Option<Writing>>,
    metrics: QuotaMetrics,
}

#[derive(Debug)]
struct Day {
    ledger: Ledger,
    upstream_clock: UpstreamClock,
    step: Step,
}

// === impl SharedLedger ===

impl SharedLedger {
    pub(super) fn new(
        ledger: Ledger,
        clock: WallClock,
        store: Option<Arc<dyn Store>>,
        metrics: QuotaMetrics,
    ) -> Self {
        let day = Day { ledger, upstream_clock: UpstreamClock::default(), step: Step::Normal };
        Self { day: Mutex::new(day), clock, store, leasing: tokio::sync::Mutex::new(None), metrics }
    }

    /// Asks the ledger. The gauge follows its step, and each change is a line of log.
    pub(super) fn with<T>(&self, with: impl FnOnce(&mut Ledger, SystemTime) -> T) -> T {
        let mut day = self.day();
        let now = day.upstream_clock.now(self.clock.now(), Instant::now());
        let result = with(&mut day.ledger, now);
        let step = day.ledger.step(now);
        if step != day.step {
            day.step = step;
            self.metrics.step(step.as_str());
            drop(day);
            match step {
                Step::Normal => tracing::info!("quota: calls are ample again"),
                Step::Stretched => tracing::info!("quota: reports are refreshed less often, to last the day"),
                Step::ColdOnly => tracing::warn!("quota: what is left of the day is kept for cold keys"),
                Step::Spent => tracing::warn!(
                    "quota: the day's calls are spent, or the upstream says so: none until midnight UTC, except for \
                     probes"
                ),
            }
        }
        result
    }

    /// An answer carried the upstream's time of day.
    pub(super) fn heard(&self, date: SystemTime) {
        let (ours, at) = (self.clock.now(), Instant::now());
        let (before, after) = {
            let mut day = self.day();
            let before = day.upstream_clock.skew(ours, at);
            day.upstream_clock.heard(date, ours, at);
            (before, day.upstream_clock.skew(ours, at))
        };
        if before.is_none() && !after.is_none() {
            let ahead_seconds = after.ahead_seconds();
            tracing::warn!(
                ahead_seconds,
                "the upstream's clock differs from ours: its midnight begins the day"
            );
        }
    }

    pub(super) fn skew(&self) -> Skew {
        self.day().upstream_clock.skew(self.clock.now(), Instant::now())
    }

    /// Counts a call, and has the store write it down where one keeps the count.
    ///
    /// # Errors
    /// [`DaySpent`], and nothing was counted.
    pub(super) async fn enter(&self, lane: Lane) -> Result<Line, DaySpent> {
        let mut leasing: Option<MutexGuard<'_, _>> = None;
        loop {
            match self.with(|ledger, now| ledger.enter(lane, now))? {
                Entry::Entered(line) => return Ok(line),
                Entry::Lease(lease) => match &mut leasing {
                    Some(writing) => self.write_down(lease, writing).await,
                    None => leasing = Some(self.leasing.lock().await),
                },
            }
        }
    }

    /// Has the store close a day or open it again, for the run that comes after a crash.
    pub(super) async fn mark(&self, mark: DayMark) {
        if let Some(store) = &self.store {
            writing::mark(Arc::clone(store), mark).await;
        }
    }

    /// Has the store write calls down as gone, or learns what became of those that it was still at.
    async fn write_down(&self, lease: Lease, slot: &mut Option<Writing>) {
        let Some(store) = &self.store else {
            return self.with(|ledger, _now| ledger.unleased(lease));
        };
        let writing = slot.get_or_insert_with(|| Writing::begin(Arc::clone(store), lease));
        match writing.end().await {
            Written::Done { lease, spent } => self.with(|ledger, _now| ledger.leased(lease, spent)),
            Written::Failed { lease } => self.with(|ledger, _now| ledger.unleased(lease)),
            // Not written a second time: a slow disk gets to it yet.
            Written::NotYet => {
                let lease = writing.give_out().unwrap_or(lease);
                return self.with(|ledger, _now| ledger.unleased(lease));
            }
        }
        *slot = None;
    }

    fn day(&self) -> std::sync::MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
