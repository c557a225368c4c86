//! The quota day, shared by all calls: runs it at the upstream's time of day, and records its count in the store.

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
    /// One lease write at a time: calls that wait for the lock will find calls in the lease. Holds a write that is
    /// still under way.
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

    /// Runs `with` on the day, then updates the mode gauge and logs a change of mode.
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
                    tracing::info!("daily quota scarce: reports are refreshed less often");
                }
                QuotaMode::MissesOnly => {
                    tracing::warn!(
                        "daily quota low: refreshes stopped, remaining calls reserved for uncached reports"
                    );
                }
                QuotaMode::Exhausted => tracing::warn!(
                    "daily quota used up, by our count or by the upstream's: no calls until midnight UTC, except for \
                     probes"
                ),
            }
        }
        result
    }

    /// A response carried this `Date`. Logs once when the upstream's clock begins to differ from ours.
    pub(super) fn observe(&self, date: SystemTime) {
        let (ours, at) = (self.clock.now(), Instant::now());
        let differs = {
            let mut day = self.day();
            let before = day.upstream_clock.skew(ours, at);
            day.upstream_clock.observe(date, ours, at);
            let after = day.upstream_clock.skew(ours, at);
            let differs = (before.is_none() && !after.is_none()).then_some(after);
            if differs.is_some() {
                let now = day.upstream_clock.now(ours, at);
                day.quota_day.correct_to(now);
            }
            differs
        };
        if let Some(skew) = differs {
            let ahead_seconds = skew.ahead_seconds();
            tracing::warn!(
                ahead_seconds,
                "the upstream's clock differs from ours, the quota day follows the upstream's; check this host's clock"
            );
        }
    }

    pub(super) fn skew(&self) -> ClockSkew {
        self.day().upstream_clock.skew(self.clock.now(), Instant::now())
    }

    /// Counts a call, after recording a lease in the store if one is needed.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`]: nothing was counted.
    pub(super) async fn reserve(&self, priority: Priority) -> Result<Reservation, DailyQuotaExhausted> {
        let mut leasing: Option<MutexGuard<'_, _>> = None;
        loop {
            match self.with(|day, now| day.reserve(priority, now))? {
                Reserve::Reserved(reservation) => return Ok(reservation),
                Reserve::Lease(lease) => match &mut leasing {
                    Some(writing) => self.write_down(lease, writing).await,
                    None => leasing = Some(self.leasing.lock().await),
                },
            }
        }
    }

    /// Records in the store that a day is closed or open, for a restart.
    pub(super) async fn mark(&self, mark: DayMark) {
        if let Some(counter) = &self.counter {
            lease_write::mark(Arc::clone(counter), mark).await;
        }
    }

    /// Records the lease in the store, or waits for the write that is still under way.
    async fn write_down(&self, lease: Lease, slot: &mut Option<PendingLease>) {
        let Some(counter) = &self.counter else {
            return self.with(|day, _now| day.lease_failed(lease));
        };
        let writing = slot.get_or_insert_with(|| PendingLease::begin(Arc::clone(counter), lease));
        match writing.end().await {
            LeaseOutcome::Done { lease, spent } => self.with(|day, _now| day.leased(lease, spent)),
            LeaseOutcome::Failed { lease } => self.with(|day, _now| day.lease_failed(lease)),
            // Not written a second time: the slow disk will still finish this write.
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
