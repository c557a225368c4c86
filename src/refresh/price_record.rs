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
    /// The demand of each hour of this UTC day, 0 for past hours; `None` while there is no profile.
    pub demand_by_hour: Option<[f64; 24]>,
    /// The calls left for refreshes until midnight UTC: without those reserved, or used by other programs.
    pub calls_left: f64,
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
    /// The refreshes until midnight UTC if the price stayed as it is; `None` while nothing is known of the demand. After
    /// a first start, and when the demand jumps, they are more than the calls left, until the price has risen.
    pub fn calls_at_this_price(&self) -> Option<f64> {
        self.demand_rest_of_day.map(|demand| self.calls_for(demand))
    }

    /// The refreshes planned until midnight UTC; `None` while nothing is known of the demand. No more than the calls
    /// left, since the price will rise until they are enough.
    pub fn planned_calls(&self) -> Option<f64> {
        self.calls_at_this_price().map(|calls| calls.min(self.calls_left))
    }

    /// The same for each hour of this UTC day, 0 for past hours; `None` while there is no profile.
    pub fn planned_calls_by_hour(&self) -> Option<[f64; 24]> {
        let hours = self.demand_by_hour?.map(|demand| self.calls_for(demand));
        let total: f64 = hours.iter().sum();
        let share = if total > self.calls_left { self.calls_left / total } else { 1.0 };
        Some(hours.map(|calls| calls * share))
    }

    fn calls_for(&self, demand: f64) -> f64 {
        let u = (2.0 * self.price.clicks_missed()).sqrt();
        self.call_ratio * demand / u
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::refresh::{DemandSlice, DemandSummary, PriceController, PriceLimits};

    const LIMITS: PriceLimits = PriceLimits { per_day: 10_000, reserve: 0.02 };

    /// A first minute at noon with this demand, after 4,000 calls; `days` is what is known of the days before.
    fn first_minute(demand: f64, days: Option<[Option<f64>; 24]>) -> PriceStatus {
        let noon = UtcTime::since_epoch(Duration::from_hours(12));
        let record = PriceController::new(LIMITS, noon).record(noon);
        let record = PriceRecord { days: days.into_iter().collect(), ..record };
        let mut controller = PriceController::restore(LIMITS, record, noon);
        let length = DemandSlice::LENGTH;
        controller.observe(&DemandSummary { demand, length, clicked: 0, unclicked: 0 }, noon);
        controller.tick(4_000, noon);
        controller.status(noon)
    }

    #[test]
    fn no_more_calls_are_planned_than_are_left_while_the_price_still_has_to_rise() {
        let status = first_minute(50.0, None);
        let (left, at_this_price) = (6_000.0 - status.reserved, status.calls_at_this_price().unwrap());
        assert!(at_this_price > 100_000.0, "{at_this_price}");
        assert_eq!((status.calls_left, status.planned_calls()), (left, Some(left)));
        assert_eq!(status.planned_calls_by_hour(), None);
        let hours = first_minute(50.0, Some([Some(180_000.0); 24])).planned_calls_by_hour().unwrap();
        assert!((hours.iter().sum::<f64>() - left).abs() < 1.0, "{hours:?}");
        assert_eq!(hours[11], 0.0);
        assert!(hours[12..].iter().all(|calls| (calls - left / 12.0).abs() < 1.0), "{hours:?}");
    }

    #[test]
    fn fewer_calls_than_are_left_are_planned_as_the_price_has_it() {
        let status = first_minute(0.1, Some([Some(360.0); 24]));
        let planned = status.planned_calls().unwrap();
        assert!(
            planned < 0.9 * status.calls_left && Some(planned) == status.calls_at_this_price(),
            "{planned}"
        );
        let hours = status.planned_calls_by_hour().unwrap();
        assert!((hours.iter().sum::<f64>() - planned).abs() < 1.0, "{hours:?}");
        let (price, call_ratio) = (Price::from_u(3.0), 0.5);
        let dear = PriceStatus { price, call_ratio, demand_rest_of_day: Some(12.0), ..status };
        assert!((dear.calls_at_this_price().unwrap() - 2.0).abs() < 1e-9);
    }
}
