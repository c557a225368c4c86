//! The price controller: sets the price of a call each minute, so that the day's calls last until midnight UTC.

use std::time::Duration;

use super::{
    DemandForecast, DemandProfile, DemandSummary, Price, PriceRecord, PriceStatus, UtcTime,
    call_ratio::CallRatio,
};

/// The time constant with which the price approaches its target.
const SMOOTHING: Duration = Duration::from_mins(5);
/// The largest factor by which u changes in one tick.
const MAX_STEP: f64 = 1.25;
/// The limits of u.
const BOUNDS: (f64, f64) = (1e-3, 1e4);
/// The first u with a budget of [`FIRST_PER_DAY`], before any demand is known.
const FIRST_U: f64 = 3.0;
const FIRST_PER_DAY: f64 = 10_000.0;
/// The limits of the call ratio. Where probes replace many calls the ratio would be lower: then a normal day ends
/// with unused calls, which are kept on purpose for a day with unexpected clicks.
const CALLS_RATIO: (f64, f64) = (0.5, 1.5);
/// The reserve is at least an hour's share of the day's reserve.
const LAST_SHARE: f64 = 1.0 / 24.0;
/// The calls of other programs are estimated at this many times those observed; the estimate is reduced each day.
const UNSEEN_MARGIN: f64 = 1.1;
const UNSEEN_KEPT_A_DAY: f64 = 0.95;

/// The operator's settings for the price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceLimits {
    /// The calls a UTC day.
    pub per_day: u32,
    /// The share of them, 0 to 1, reserved for uncached reports.
    pub reserve: f64,
}

/// Sets the price. The controlled variable is `u = sqrt(2 * price)`: refreshes use demand/u calls a second.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceController {
    limits: PriceLimits,
    u: f64,
    profile: DemandProfile,
    forecast: DemandForecast,
    calls: CallRatio,
    /// The calls a day that other programs use of the same quota, estimated at a `quota_exceeded`.
    unseen: f64,
    reserved: f64,
    /// The calls left for refreshes and probes.
    left: f64,
    rest_of_day: Option<f64>,
    last_tick: UtcTime,
    /// The days before this one are closed.
    open_day: u64,
}

// === impl PriceController ===

impl PriceController {
    /// How often [`Self::tick`] is to be called.
    pub const TICK: Duration = Duration::from_mins(1);

    /// A controller without any history.
    pub fn new(limits: PriceLimits, now: UtcTime) -> Self {
        let per_day = f64::from(limits.per_day);
        let reserved = per_day * limits.reserve * LAST_SHARE;
        Self {
            limits,
            u: first_u(limits),
            profile: DemandProfile::default(),
            forecast: DemandForecast::default(),
            calls: CallRatio::default(),
            unseen: 0.0,
            reserved,
            left: per_day - reserved,
            rest_of_day: None,
            last_tick: now,
            open_day: 0,
        }
    }

    /// Takes over new limits. With another budget `u` is scaled accordingly.
    pub fn set_limits(&mut self, limits: PriceLimits) {
        let u = self.u * first_u(limits) / first_u(self.limits);
        (self.u, self.limits) = (u.clamp(BOUNDS.0, BOUNDS.1), limits);
    }

    /// Continues from a stored record. With another budget `u` is scaled accordingly. A record that cannot be true,
    /// such as one with a negative sum, is ignored.
    pub fn restore(limits: PriceLimits, record: PriceRecord, now: UtcTime) -> Self {
        if !record.is_possible() {
            return Self::new(limits, now);
        }
        let PriceRecord { at, per_day, u, calls, recent, unseen, days, today } = record;
        let passed = now.since(at);
        Self {
            u: (u * f64::from(per_day) / f64::from(limits.per_day.max(1))).clamp(BOUNDS.0, BOUNDS.1),
            profile: DemandProfile::from_days(days).with_today(today),
            forecast: DemandForecast::restored(recent, passed),
            calls: CallRatio::restored(calls, passed),
            unseen,
            last_tick: at.min(now),
            ..Self::new(limits, now)
        }
    }

    /// The state to be stored.
    pub fn record(&self, now: UtcTime) -> PriceRecord {
        PriceRecord {
            at: now,
            per_day: self.limits.per_day,
            u: self.u,
            calls: self.calls.sums(),
            recent: self.forecast.sums(),
            unseen: self.unseen,
            days: self.profile.days().copied().collect(),
            today: self.profile.today(),
        }
    }

    /// The current price.
    pub fn price(&self) -> Price {
        Price::from_u(self.u)
    }

    /// The price in relation to the first one, which suits a day with ample calls: 2 is twice that.
    pub fn scarcity(&self) -> f64 {
        (self.u / first_u(self.limits)).powi(2)
    }

    /// The calls currently reserved for uncached reports.
    pub const fn reserved(&self) -> f64 {
        self.reserved
    }

    /// Counts a call used by a refresh or a probe.
    pub fn refreshed(&mut self) {
        self.calls.refreshed();
    }

    /// The upstream reports the quota as used up after only `used` of our own calls: other programs used the rest.
    pub fn quota_exceeded(&mut self, used: u32) {
        let others = f64::from(self.limits.per_day.saturating_sub(used));
        self.unseen = self.unseen.max(UNSEEN_MARGIN * others);
    }

    /// Records a demand slice that ended at `now`.
    pub fn observe(&mut self, summary: &DemandSummary, now: UtcTime) {
        let middle = now.minus(summary.length / 2);
        // The slice spans midnight and the profile's day is already closed: count it for the first hour of today.
        let spans_midnight = middle.day() < self.last_tick.day() && self.last_tick <= now;
        let hour = if spans_midnight { 0 } else { middle.hour() };
        self.forecast.observe(summary, &mut self.profile, hour);
    }

    /// To be called each minute with the calls used of this UTC day: updates the reserve and the price.
    pub fn tick(&mut self, used: u32, now: UtcTime) {
        let passed = now.since(self.last_tick).min(SMOOTHING);
        // A clock that was ahead has closed this day too early: it is not closed again, but goes on into the next one.
        self.open_day = self.open_day.min(now.day() + 1);
        if now.day() > self.last_tick.day() && now.day() > self.open_day {
            self.profile.close_day();
            self.unseen *= UNSEEN_KEPT_A_DAY;
            self.open_day = now.day();
        }
        // Also if the clock was set back: else no time would pass until it is as late again.
        self.last_tick = now;
        self.calls.pass(passed, self.forecast.last() / self.u);
        let rest = self.forecast.rest_of_day(&self.profile, now);
        self.rest_of_day = rest.demand;
        let per_day = f64::from(self.limits.per_day);
        self.reserved = per_day * self.limits.reserve * rest.share.max(LAST_SHARE);
        self.left = per_day - self.reserved - f64::from(used) - self.unseen;
        if let Some(demand) = rest.demand.filter(|demand| *demand > 0.0) {
            self.move_to(self.call_ratio() * demand / self.left.max(0.5), passed);
        }
    }

    /// The price and the values it is computed from.
    pub fn status(&self, now: UtcTime) -> PriceStatus {
        PriceStatus {
            price: self.price(),
            demand_now: self.forecast.last(),
            demand_rest_of_day: self.rest_of_day,
            demand_by_hour: self.forecast.by_hour(&self.profile, now),
            calls_left: self.left.max(0.0),
            usual_demand: self.profile.usual().copied(),
            call_ratio: self.call_ratio(),
            busyness: self.profile.usual().map(|usual| self.forecast.ratio(usual)),
            profile_days: self.profile.days().len(),
            reserved: self.reserved,
            unseen_by_others: self.unseen,
        }
    }

    fn call_ratio(&self) -> f64 {
        self.calls.ratio().clamp(CALLS_RATIO.0, CALLS_RATIO.1)
    }

    fn move_to(&mut self, target: f64, passed: Duration) {
        let share = 1.0 - (-passed.as_secs_f64() / SMOOTHING.as_secs_f64()).exp();
        let step = (target.max(1e-6) / self.u).powf(share);
        self.u = (self.u * step.clamp(1.0 / MAX_STEP, MAX_STEP)).clamp(BOUNDS.0, BOUNDS.1);
    }
}

fn first_u(limits: PriceLimits) -> f64 {
    FIRST_U * FIRST_PER_DAY / f64::from(limits.per_day.max(1))
}

#[cfg(test)]
mod tests;
