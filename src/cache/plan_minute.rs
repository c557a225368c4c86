//! The refresh plan's minute: sums the demand, sets the price of a call, and says how many calls are reserved for misses.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    PriceLevel, ReportCache,
    plan::{PlanControl, RefreshPlan},
};
use crate::{
    refresh::{DemandSlice, PriceController, PriceStatus, UtcTime},
    state::PlanRecord,
};

/// What the quota counts of the UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUse {
    /// The calls used so far.
    pub used: u32,
    /// How many of our calls were used when the upstream reported yesterday's quota as used up; `None`: it did not.
    pub yesterday_exceeded_after: Option<u32>,
}

/// What the plan asks of the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanMinute {
    /// `None`: lifetimes are fixed.
    pub rationing: Option<PlannedCalls>,
    /// Whether the demand was summed in this minute: every five minutes.
    pub slice: SliceDone,
}

/// What the plan makes of the calls left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedCalls {
    /// The calls to be reserved for misses.
    pub reserved: u32,
    /// Whether calls are scarce.
    pub price_level: PriceLevel,
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
    /// does not belong on a worker thread.
    pub fn plan_minute(&self, quota: QuotaUse, utc: SystemTime) -> PlanMinute {
        let Some(plan) = &self.plan else { return PlanMinute { rationing: None, slice: SliceDone::NotYet } };
        let (now, utc) = (self.options.clock.at(Instant::now()), utc_time(utc));
        let is_first = plan.control().day.is_none();
        if is_first {
            // The snapshot may know activities that the stored plan does not.
            self.share_unexpected(plan, now);
        }
        let slice = self.slice(plan, now, utc);
        let mut control = plan.control();
        let PlanControl { controller, ceiling, last_minute, day, price_level, .. } = &mut *control;
        let is_new_day = day.replace(utc.day()) != Some(utc.day());
        if let Some(used) = quota.yesterday_exceeded_after.filter(|_| is_new_day) {
            controller.quota_exceeded(used);
        }
        controller.tick(quota.used, utc);
        ceiling.pass(now.saturating_sub(std::mem::replace(last_minute, now)));
        *price_level = price_level.next(controller.scarcity());
        let rationing = PlannedCalls { reserved: controller.reserved() as u32, price_level: *price_level };
        plan.set_price(control.controller.price());
        PlanMinute { rationing: Some(rationing), slice }
    }

    /// Each five minutes: sums the demand.
    fn slice(&self, plan: &RefreshPlan, now: Duration, utc: UtcTime) -> SliceDone {
        let since = now.saturating_sub(plan.control().last_slice);
        if since < DemandSlice::LENGTH {
            return SliceDone::NotYet;
        }
        let mut slice = DemandSlice::new(now, since);
        let keys = self.keys_per_campaign();
        self.store.statistics().add_to(&mut slice, keys, |key| Some(self.store.get(&key)?.hits()));
        let summary = slice.finish();
        let mut control = plan.control();
        plan.set_unexpected(summary.unexpected(control.unexpected_clicks));
        control.last_slice = now;
        control.controller.observe(&summary, utc);
        SliceDone::Yes
    }

    /// Shares the allowance for unexpected clicks between the activities that are polled, as far as an earlier process knew:
    /// with the whole of it each, many reports would be worth a call at once until the first slice.
    fn share_unexpected(&self, plan: &RefreshPlan, now: Duration) {
        let mut polled = DemandSlice::new(now, Duration::ZERO);
        self.store.statistics().count_polled(&mut polled);
        let control = plan.control();
        plan.set_unexpected(polled.finish().unexpected(control.unexpected_clicks));
    }

    /// The plan, to be stored. `None`: lifetimes are fixed.
    pub fn plan_record(&self, utc: SystemTime) -> Option<PlanRecord> {
        let price = self.plan.as_ref()?.control().controller.record(utc_time(utc));
        Some(PlanRecord { price, campaigns: self.store.statistics().campaigns() })
    }

    /// Continues a stored plan; to be called before the first request. Returns the number of campaigns that it knows.
    pub fn restore_plan(&self, record: PlanRecord, utc: SystemTime) -> usize {
        let PlanRecord { price, campaigns } = record;
        let Some(plan) = &self.plan else { return 0 };
        plan.restore(price, utc_time(utc));
        let now = self.options.clock.at(Instant::now());
        let known = self.store.statistics().restore(&campaigns, now);
        self.share_unexpected(plan, now);
        known
    }

    /// The price of a call and what it is computed from; `None`: there is no plan.
    pub fn plan_status(&self, utc: SystemTime) -> Option<PriceStatus> {
        self.plan.as_ref().map(|plan| plan.control().controller.status(utc_time(utc)))
    }
}

fn utc_time(time: SystemTime) -> UtcTime {
    UtcTime::since_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
