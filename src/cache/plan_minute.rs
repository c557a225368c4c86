//! The refresh plan's minute: sums the demand, sets the price of a call, and says how many calls are reserved for misses.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{ReportCache, plan::PlanControl};
use crate::refresh::{DemandSlice, PriceController, PriceStatus, UtcTime};

/// What the quota counts of the UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUse {
    /// The calls used so far.
    pub used: u32,
    /// How many of our calls were used when the upstream reported the quota as used up; `None`: it did not, today.
    pub exceeded_after: Option<u32>,
}

/// What the plan asks of the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanMinute {
    /// The calls to be reserved for misses.
    pub reserved: u32,
    /// The price of a call.
    pub price_level: PriceLevel,
    /// Whether the demand was summed in this minute: every five minutes.
    pub slice: SliceDone,
}

/// Whether the price of a call is above that of a day with ample calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceLevel {
    /// It is not.
    Ample,
    /// It is: reports are refreshed less often than they would be.
    Scarce,
}

/// Whether the demand was summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceDone {
    /// Yes.
    Yes,
    /// Not yet.
    NotYet,
}

// === impl ReportCache ===

impl ReportCache {
    /// How often [`ReportCache::plan_minute`] is to be called.
    pub const PLAN_MINUTE: Duration = PriceController::TICK;

    /// Sets the price for the next minute; `utc` is the calendar time. Takes some milliseconds each five minutes, so it
    /// does not belong on a worker thread. `None`: there is no plan.
    pub fn plan_minute(&self, quota: QuotaUse, utc: SystemTime) -> Option<PlanMinute> {
        let plan = self.plan.as_ref()?;
        let (now, utc) = (self.options.clock.at(Instant::now()), utc_time(utc));
        let since = now.saturating_sub(plan.control().last_slice);
        let slice = if since >= DemandSlice::LENGTH {
            let mut slice = DemandSlice::new(now, since);
            let hits = |key| Some(self.store.get(&key)?.hits());
            self.store.statistics().add_to(&mut slice, hits);
            let summary = slice.finish();
            plan.set_unexpected(summary.unexpected(plan.options.unexpected_clicks));
            let mut control = plan.control();
            control.last_slice = now;
            control.controller.observe(&summary, utc);
            SliceDone::Yes
        } else {
            SliceDone::NotYet
        };
        let mut control = plan.control();
        let PlanControl { controller, ceiling, last_minute, .. } = &mut *control;
        if let Some(used) = quota.exceeded_after {
            controller.quota_exceeded(used);
        }
        controller.tick(quota.used, utc);
        ceiling.pass(now.saturating_sub(std::mem::replace(last_minute, now)));
        plan.set_price(controller.price());
        let price_level = if controller.is_scarce() { PriceLevel::Scarce } else { PriceLevel::Ample };
        Some(PlanMinute { reserved: controller.reserved() as u32, price_level, slice })
    }

    /// The price of a call and what it is computed from; `None`: there is no plan.
    pub fn plan_status(&self, utc: SystemTime) -> Option<PriceStatus> {
        self.plan.as_ref().map(|plan| plan.control().controller.status(utc_time(utc)))
    }
}

fn utc_time(time: SystemTime) -> UtcTime {
    UtcTime::since_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
