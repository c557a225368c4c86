//! The price controller's stored state, and its status for operators.

use super::{Price, UtcTime};

/// The stored state of the price controller, so that a restart continues from it.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRecord {
    /// The time of writing.
    pub at: UtcTime,
    /// The calls a UTC day that `u` was computed for.
    pub per_day: u32,
    /// The square root of twice the price.
    pub u: f64,
    /// The calls made and the calls predicted (both decayed sums).
    pub calls: (f64, f64),
    /// Of about the last hour: demand × seconds, the same as expected by the profile, and the seconds observed.
    pub recent: (f64, f64, f64),
    /// The calls a day that other programs use of the same quota.
    pub unseen: f64,
    /// The demand of the last days by hour, the oldest day first; `None` for an hour that was not observed.
    pub days: Vec<[Option<f64>; 24]>,
    /// Today so far, for each hour: demand × seconds, and the seconds observed.
    pub today: [(f64, f64); 24],
}

/// The price and the values it is computed from, for the admin port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceStatus {
    /// The price of a call.
    pub price: Price,
    /// The demand of the last slice, in calls a second at u = 1.
    pub demand_now: f64,
    /// The demand of the rest of the day, in calls at u = 1; `None` while nothing is known of it.
    pub demand_rest_of_day: Option<f64>,
    /// The refreshes planned for each hour of this UTC day (0 for past hours); `None` while there is no profile.
    pub planned_calls: Option<[f64; 24]>,
    /// The usual demand of each hour of a UTC day, in calls at u = 1; `None` while there is no profile.
    pub usual_demand: Option<[f64; 24]>,
    /// Calls made ÷ calls predicted, within the controller's limits.
    pub call_ratio: f64,
    /// The demand of the last hour ÷ the usual demand; `None` while there is no profile.
    pub busyness: Option<f64>,
    /// The number of days in the profile, at most seven.
    pub profile_days: usize,
    /// The calls reserved for uncached reports.
    pub reserved: f64,
    /// The calls a day that other programs use of the same quota, estimated.
    pub unseen_by_others: f64,
}

// === impl PriceStatus ===

impl PriceStatus {
    /// The refreshes planned for the rest of the UTC day; `None` while nothing is known of its demand.
    pub fn calls_rest_of_day(&self) -> Option<f64> {
        let u = (2.0 * self.price.clicks_missed()).sqrt();
        self.demand_rest_of_day.map(|demand| self.call_ratio * demand / u)
    }
}

// === impl PriceRecord ===

impl PriceRecord {
    /// Larger sums are not of this program, and could overflow when they are added up.
    const MAX_SUM: f64 = 1e15;

    /// Whether a price controller can have had this state.
    pub(super) fn is_possible(&self) -> bool {
        let Self { at: _, per_day, u, calls, recent, unseen, days, today } = self;
        let sums = [calls.0, calls.1, recent.0, recent.1, recent.2, *unseen];
        let today = today.iter().flat_map(|(demand, seconds)| [*demand, *seconds]);
        let days = days.iter().flatten().copied().flatten();
        let is_sum = |sum: f64| (0.0..=Self::MAX_SUM).contains(&sum);
        *per_day > 0 && *u > 0.0 && u.is_finite() && sums.into_iter().chain(today).chain(days).all(is_sum)
    }
}
