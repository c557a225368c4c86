//! The day as all calls share it: asked at the upstream's time of day, with a store that keeps its count.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::{sync::MutexGuard, time::Instant};

use super::{
    budget::DailyQuotaExhausted,
    burn_rate::QuotaMode,
    clock::WallClock,
    lease::{DayMark, Lease, Reservation, Reserve},
    lease_write::{self, LeaseOutcome, PendingLease},
    pacer::Priority,
    quota_day::QuotaDay,
    upstream_clock::{ClockSkew, UpstreamClock},
};
use crate::{state::CallCounter, telemetry::QuotaMetrics};

#[derive(Debug)]
pub(super) struct SharedDay {
    day: Mutex<Day>,
    clock: WallClock,
    counter: Option<Arc<dyn CallCounter>>,
    /// One lease at a time: those who wait for it will find calls in it. And what the store is still at.
    leasing: tokio::sync::Mutex<Option<PendingLease>>,
    metrics: QuotaMetrics,
}

#[derive(Debug)]
struct Day {
    quota_day: QuotaDay,
    upstream_clock: UpstreamClock,
    mode: QuotaMode,
}

// === impl SharedDay ===

impl SharedDay {
    pub(super) fn new(
        quota_day: QuotaDay,
        clock: WallClock,
        counter: Option<Arc<dyn CallCounter>>,
        metrics: QuotaMetrics,
    ) -> Self {
        let day = Day { quota_day, upstream_clock: UpstreamClock::default(), mode: QuotaMode::Normal };
        Self { day: Mutex::new(day), clock, counter, leasing: tokio::sync::Mutex::new(None), metrics }
    }

    /// Asks the day. The gauge follows its mode, and each change is a line of log.
    pub(super) fn with<T>(&self, with: impl FnOnce(&mut QuotaDay, SystemTime) -> T) -> T {
        let mut day = self.day();
        let now = day.upstream_clock.now(self.clock.now(), Instant::now());
        let result = with(&mut day.quota_day, now);
        let mode = day.quota_day.mode(now);
        if mode != day.mode {
            day.mode = mode;
            self.metrics.mode(mode.as_str());
            drop(day);
            match mode {
                QuotaMode::Normal => {
                    tracing::info!("daily quota sufficient again: reports are refreshed as usual");
                }
                QuotaMode::Throttled => {
                    tracing::info!(
                        "daily quota used faster than an even pace: reports are refreshed less often"
                    );
                }
                QuotaMode::MissesOnly => {
                    tracing::warn!(
                        "daily quota low: refreshes stopped, remaining calls reserved for uncached reports"
                    );
                }
                QuotaMode::Exhausted => tracing::warn!(
                    "quota: the day's calls are spent, or the upstream says so: none until midnight UTC, except for \
                     probes"
                ),
            }
        }
        result
    }

    /// An answer carried the upstream's time of day.
    pub(super) fn observe(&self, date: SystemTime) {
        let (ours, at) = (self.clock.now(), Instant::now());
        let (before, after) = {
            let mut day = self.day();
            let before = day.upstream_clock.skew(ours, at);
            day.upstream_clock.observe(date, ours, at);
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

    pub(super) fn skew(&self) -> ClockSkew {
        self.day().upstream_clock.skew(self.clock.now(), Instant::now())
    }

    /// Counts a call, and has the store write it down where one keeps the count.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`], and nothing was counted.
    pub(super) async fn reserve(&self, priority: Priority) -> Result<Reservation, DailyQuotaExhausted> {
        let mut leasing: Option<MutexGuard<'_, _>> = None;
        loop {
            match self.with(|day, now| day.reserve(priority, now))? {
                Reserve::Reserved(line) => return Ok(line),
                Reserve::Lease(lease) => match &mut leasing {
                    Some(writing) => self.write_down(lease, writing).await,
                    None => leasing = Some(self.leasing.lock().await),
                },
            }
        }
    }

    /// Has the store close a day or open it again, for the run that comes after a crash.
    pub(super) async fn mark(&self, mark: DayMark) {
        if let Some(counter) = &self.counter {
            lease_write::mark(Arc::clone(counter), mark).await;
        }
    }

    /// Has the store write calls down as gone, or learns what became of those that it was still at.
    async fn write_down(&self, lease: Lease, slot: &mut Option<PendingLease>) {
        let Some(counter) = &self.counter else {
            return self.with(|day, _now| day.lease_failed(lease));
        };
        let writing = slot.get_or_insert_with(|| PendingLease::begin(Arc::clone(counter), lease));
        match writing.end().await {
            LeaseOutcome::Done { lease, spent } => self.with(|day, _now| day.leased(lease, spent)),
            LeaseOutcome::Failed { lease } => self.with(|day, _now| day.lease_failed(lease)),
            // Not written a second time: a slow disk gets to it yet.
            LeaseOutcome::NotYet => {
                let lease = writing.release_early().unwrap_or(lease);
                return self.with(|day, _now| day.lease_failed(lease));
            }
        }
        *slot = None;
    }

    fn day(&self) -> std::sync::MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
