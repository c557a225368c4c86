//! Tests: a day whose calls are rationed by the plan.

use std::time::Duration;

use super::{
    super::{
        day::DAY,
        rationing::Scarcity::{self, Ample, Scarce},
    },
    tests::{COLD, at, limits},
    *,
};

fn planned(reserved: u32, scarcity: Scarcity) -> PlannedRationing {
    PlannedRationing { reserved, scarcity }
}

/// A day of 10,000 calls that the plan rations.
fn day(used: u32, now: SystemTime, planned: PlannedRationing) -> QuotaDay {
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, used, now);
    day.ration(planned);
    day
}

fn call(day: &mut QuotaDay, priority: Priority, now: SystemTime) -> Option<Reservation> {
    match day.reserve(priority, now).ok()? {
        Reserve::Reserved(reservation) => Some(reservation),
        Reserve::Lease(_) => panic!("there is no store"),
    }
}

fn shown(day: &mut QuotaDay, now: SystemTime) -> (QuotaMode, QuotaPressure) {
    (day.mode(now), day.quota_pressure(now))
}

#[test]
fn refreshes_stop_where_only_the_plan_s_reserve_is_left_and_misses_go_on_to_the_limit() {
    let now = at(0, 0, 0);
    let mut day = day(0, now, planned(200, Ample));
    let refreshes = std::iter::from_fn(|| call(&mut day, Priority::Refresh, now)).count();
    assert_eq!(refreshes, 9_800, "whatever the pace is");
    assert_eq!(shown(&mut day, now), (QuotaMode::MissesOnly, QuotaPressure::Stopped));
    assert_eq!(day.check(Priority::Refresh, now), Err(DailyQuotaExhausted { retry_in: DAY }));
    let misses = std::iter::from_fn(|| call(&mut day, COLD, now)).count();
    assert_eq!(misses, 200);
    assert_eq!(shown(&mut day, now), (QuotaMode::Exhausted, QuotaPressure::Stopped));
}

#[test]
fn while_calls_are_scarce_the_mode_says_so_and_the_quota_delays_nothing() {
    // By an even pace 9,000 calls at midnight would have stopped the refreshes for the day.
    for (used, scarcity, mode) in [
        (0, Ample, QuotaMode::Normal),
        (0, Scarce, QuotaMode::Throttled),
        (9_000, Ample, QuotaMode::Normal),
        (9_000, Scarce, QuotaMode::Throttled),
        (9_800, Ample, QuotaMode::MissesOnly),
        (9_800, Scarce, QuotaMode::MissesOnly),
        (10_000, Scarce, QuotaMode::Exhausted),
    ] {
        let now = at(0, 0, 0);
        let mut day = day(used, now, planned(200, scarcity));
        let pressure = match mode {
            QuotaMode::Normal | QuotaMode::Throttled => QuotaPressure::Normal,
            QuotaMode::MissesOnly | QuotaMode::Exhausted => QuotaPressure::Stopped,
        };
        assert_eq!(shown(&mut day, now), (mode, pressure), "{used} {scarcity:?}");
        assert_eq!(day.check(Priority::Refresh, now).is_ok(), pressure == QuotaPressure::Normal);
    }
}

#[test]
fn until_the_plan_speaks_the_pace_is_even_and_the_reserve_that_of_the_settings() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 6_000, noon);
    let QuotaPressure::Delayed { factor } = day.quota_pressure(noon) else { panic!("not delayed") };
    assert!(factor > 1.0 && day.mode(noon) == QuotaMode::Throttled);
    assert_eq!(day.today(noon).reserved, 500, "half a day's share of a tenth");
    day.ration(planned(120, Ample));
    assert_eq!(shown(&mut day, noon), (QuotaMode::Normal, QuotaPressure::Normal));
    assert_eq!(day.today(noon).reserved, 120);
}

#[test]
fn refreshes_go_on_when_clearly_more_than_the_reserve_is_left() {
    let now = at(0, 20, 0);
    let mut day = day(9_899, now, planned(100, Ample));
    let last = call(&mut day, Priority::Refresh, now).unwrap();
    assert_eq!(day.mode(now), QuotaMode::MissesOnly);
    day.refund(last, now);
    assert_eq!(day.mode(now), QuotaMode::MissesOnly, "a call that was never sent switches nothing");
    for (reserved, mode) in [
        (99, QuotaMode::MissesOnly),
        (95, QuotaMode::MissesOnly),
        (94, QuotaMode::Normal),
        (100, QuotaMode::Normal),
    ] {
        day.ration(planned(reserved, Ample));
        assert_eq!(day.mode(now), mode, "{reserved} of 101");
    }
    day.ration(planned(101, Ample));
    assert_eq!(day.mode(now), QuotaMode::MissesOnly, "the plan may raise the reserve too");
}

#[test]
fn the_plan_s_reserve_holds_over_midnight_until_the_plan_changes_it() {
    let (evening, midnight) = (at(0, 23, 3_599), at(1, 0, 0));
    let mut day = day(9_995, evening, planned(8, Scarce));
    assert_eq!(shown(&mut day, evening), (QuotaMode::MissesOnly, QuotaPressure::Stopped));
    assert_eq!(shown(&mut day, midnight), (QuotaMode::Throttled, QuotaPressure::Normal));
    let today = day.today(midnight);
    assert_eq!((today.used, today.reserved, today.remaining), (0, 8, Some(10_000)));
    day.ration(planned(200, Ample));
    assert_eq!(day.today(midnight).reserved, 200);
    // Twice an even pace: by the burn rate refreshes would be delayed.
    assert!((0..5_000).all(|_| call(&mut day, Priority::Refresh, at(1, 6, 0)).is_some()));
    assert_eq!(shown(&mut day, at(1, 6, 0)), (QuotaMode::Normal, QuotaPressure::Normal));
}

#[test]
fn a_quota_exceeded_stops_a_planned_day_too_and_the_probe_goes_out_as_before() {
    let noon = at(0, 12, 0);
    let mut day = day(4_000, noon, planned(100, Ample));
    day.exceeded(noon, 0.0);
    assert_eq!(shown(&mut day, noon), (QuotaMode::Exhausted, QuotaPressure::Stopped));
    assert_eq!(day.today(noon).reserved, 0, "nothing is left");
    assert_eq!(day.check(COLD, noon), Err(DailyQuotaExhausted { retry_in: DAY / 24 }));
    let due = noon + DAY / 24;
    assert_eq!(
        shown(&mut day, due),
        (QuotaMode::Exhausted, QuotaPressure::Normal),
        "a refresh can be the probe"
    );
    let probe = call(&mut day, Priority::Refresh, due).unwrap();
    day.answered(probe);
    assert_eq!(shown(&mut day, due), (QuotaMode::Normal, QuotaPressure::Normal));
}

#[test]
fn a_limit_below_the_reserve_allows_misses_only() {
    let now = at(0, 0, 0);
    let mut day = day(0, now, planned(u32::MAX, Ample));
    assert_eq!(shown(&mut day, now), (QuotaMode::MissesOnly, QuotaPressure::Stopped));
    assert_eq!(day.today(now).reserved, 10_000);
    assert!(call(&mut day, COLD, now).is_some());
}

#[test]
fn a_day_without_a_limit_has_no_reserve_and_no_scarcity() {
    let now = at(0, 23, 0);
    let mut day = QuotaDay::new(limits(0), Backing::Memory, 0, now);
    day.ration(planned(500, Scarce));
    assert!((0..20_000).all(|_| call(&mut day, Priority::Refresh, now).is_some()));
    assert_eq!(shown(&mut day, now), (QuotaMode::Normal, QuotaPressure::Normal));
    let today = day.today(now + Duration::from_secs(1));
    assert_eq!((today.reserved, today.remaining), (0, None));
}
