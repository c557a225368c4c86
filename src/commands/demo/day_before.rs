//! The refresh plan with which the busy day starts: that of a day before it that was as busy. A proxy that knows nothing
//! needs some minutes to learn the demand, and a quarter of an hour to find the price: longer than anybody watches.

use std::time::{Duration, SystemTime};

use crate::{
    refresh::{PriceRecord, UtcTime},
    state::PlanRecord,
};

const HOUR_SECONDS: f64 = 3600.0;
/// About as long as the price controller remembers the calls that refreshes took.
const REMEMBERED_SECONDS: f64 = 2.0 * HOUR_SECONDS;

/// The plan after a day with this demand in each hour, whose refreshes used `per_day` calls.
pub(super) fn plan_after(demand: f64, per_day: u32, now: SystemTime) -> PlanRecord {
    let per_second = f64::from(per_day) / UtcTime::DAY.as_secs_f64();
    let calls = per_second * REMEMBERED_SECONDS;
    let price = PriceRecord {
        at: UtcTime::since_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)),
        per_day,
        u: demand / per_second,
        calls: (calls, calls),
        recent: (demand * HOUR_SECONDS, demand * HOUR_SECONDS, HOUR_SECONDS),
        unseen: 0.0,
        days: vec![[Some(demand * HOUR_SECONDS); 24]],
        today: [(0.0, 0.0); 24],
    };
    PlanRecord { price, campaigns: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::{PriceController, PriceLimits};

    #[test]
    fn the_plan_expects_about_the_calls_left_from_the_first_minute_at_any_time_of_day() {
        const PER_DAY: u32 = 250_000;
        for hour in 0..24 {
            let now = Duration::from_mins(60 * hour + 1);
            let plan = plan_after(10.0, PER_DAY, SystemTime::UNIX_EPOCH + now);
            let (limits, now) = (PriceLimits { per_day: PER_DAY, reserve: 0.02 }, UtcTime::since_epoch(now));
            let mut controller = PriceController::restore(limits, plan.price, now);
            let price = controller.price();
            let used = now.into_day().div_duration_f64(UtcTime::DAY) * f64::from(PER_DAY);
            controller.tick(used as u32, now);
            let status = controller.status(now);
            assert_eq!(status.price, price, "no time has passed");
            let planned = status.calls_at_this_price().unwrap() / status.calls_left;
            assert!((0.95..1.1).contains(&planned), "{hour}: {planned}");
        }
    }
}
