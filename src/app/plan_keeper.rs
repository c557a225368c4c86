//! The refresh plan in the background: each minute it gets the quota's count, and says what to reserve; each few minutes
//! it is stored.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    cache::{PlanMinute, PlannedCalls, PriceLevel, QuotaUse, ReportCache, SliceDone},
    outage::Outage,
    quota::{PlannedRationing, Quota, Scarcity},
    state::{Durability, PlanStore},
};

/// Joins the cache's plan, the quota and the store.
#[derive(Debug)]
pub struct PlanKeeper {
    memory: Arc<ReportCache>,
    quota: Quota,
    store: Arc<dyn PlanStore>,
    storing: Mutex<Outage>,
}

// === impl PlanKeeper ===

impl PlanKeeper {
    /// Continues the stored plan, if there is one. Without it the click rates and the usual demand are learned again, so a
    /// store that cannot be read is no reason not to start.
    pub(super) async fn resume(memory: Arc<ReportCache>, quota: Quota, store: Arc<dyn PlanStore>) -> Self {
        match store.read().await {
            Ok(Some(record)) => {
                let campaigns = memory.restore_plan(record, quota.snapshot().now());
                tracing::info!(campaigns, "the refresh plan continues from state.dir");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the stored refresh plan cannot be read, starting without it: click rates are learned again");
            }
        }
        Self { memory, quota, store, storing: Mutex::default() }
    }

    /// Sets the price of a call now and each minute. Never ends.
    pub(super) async fn each_minute(self: Arc<Self>) {
        let mut minute = interval(ReportCache::PLAN_MINUTE);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minute.tick().await;
            self.minute().await;
        }
    }

    pub(super) async fn minute(&self) {
        let snapshot = self.quota.snapshot();
        let (day, yesterday_exceeded_after) = (&snapshot.day, snapshot.day.yesterday_exceeded_after);
        // A lockout leaves no calls, whatever was counted. Were they planned with, the price would fall until midnight, and
        // then all reports would be worth a call at once.
        let used = match (day.limit, day.remaining) {
            (Some(limit), Some(remaining)) => limit.get().saturating_sub(remaining),
            (_, _) => day.used,
        };
        let planning = Arc::clone(&self.memory);
        // Summing the demand of ten thousand reports takes milliseconds.
        let planned = spawn_blocking(move || {
            planning.plan_minute(QuotaUse { used, yesterday_exceeded_after }, snapshot.now())
        });
        let slice = match planned.await {
            Ok(PlanMinute { rationing: Some(PlannedCalls { reserved, price_level }), slice }) => {
                let scarcity = match price_level {
                    PriceLevel::Ample => Scarcity::Ample,
                    PriceLevel::Scarce => Scarcity::Scarce,
                };
                self.quota.ration(PlannedRationing { reserved, scarcity });
                slice
            }
            Ok(PlanMinute { rationing: None, slice }) => slice,
            Err(error) => {
                tracing::error!(%error, "the refresh plan failed this minute; the price of a call stays");
                return;
            }
        };
        match slice {
            SliceDone::Yes => self.save().await,
            SliceDone::NotYet => {}
        }
    }

    /// Stores the plan, if the store outlives the process.
    pub async fn save(&self) {
        match self.store.durability() {
            Durability::Volatile => return,
            Durability::Durable => {}
        }
        let (memory, utc) = (Arc::clone(&self.memory), self.quota.snapshot().now());
        let Ok(Some(record)) = spawn_blocking(move || memory.plan_record(utc)).await else { return };
        let written = self.store.write(record).await;
        let mut storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => storing.ends(),
            Err(error) if storing.begins() => {
                tracing::warn!(%error, "the refresh plan cannot be stored in state.dir: a restart would learn click rates again");
            }
            Err(_logged_before) => {}
        }
    }
}
