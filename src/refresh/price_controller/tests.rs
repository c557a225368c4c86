use super::*;
use crate::refresh::DemandSlice;

const LIMITS: PriceLimits = PriceLimits { per_day: 10_000, reserve: 0.02 };

const fn utc(minutes: u64) -> UtcTime {
    UtcTime::since_epoch(Duration::from_mins(minutes))
}

/// A controller and the calls used of the day; in each minute the calls made are those of its price.
struct BudgetedDay {
    controller: PriceController,
    used: f64,
    made: f64,
}

impl BudgetedDay {
    fn new() -> Self {
        Self { controller: PriceController::new(LIMITS, utc(0)), used: 0.0, made: 0.0 }
    }

    /// Runs the given minutes, each with its demand.
    fn run(&mut self, minutes: std::ops::Range<u64>, demand: impl Fn(u64) -> f64) {
        for minute in minutes {
            if minute % 1_440 == 0 {
                self.used = 0.0;
            }
            let demand = demand(minute % 1_440);
            if minute % 5 == 0 {
                let length = DemandSlice::LENGTH;
                let summary = DemandSummary { demand, length, clicked: 0, unclicked: 0 };
                self.controller.observe(&summary, utc(minute));
            }
            self.controller.tick(self.used as u32, utc(minute));
            let left = f64::from(LIMITS.per_day) - self.controller.reserved() - self.used;
            let calls = (demand * 60.0 / self.controller.u).min(left.max(0.0));
            self.used += calls;
            self.made += calls;
            while self.made >= 1.0 {
                self.made -= 1.0;
                self.controller.refreshed();
            }
        }
    }
}

#[test]
fn the_calls_last_until_midnight_and_are_used() {
    let mut day = BudgetedDay::new();
    day.run(0..1_439, |_| 0.5);
    assert!((9_700.0..=10_000.0).contains(&day.used), "{}", day.used);
}

#[test]
fn a_day_with_office_hours_is_planned_from_the_second_on() {
    let office = |minute| if (420..1_080).contains(&minute) { 2.0 } else { 0.0 };
    let mut day = BudgetedDay::new();
    day.run(0..1_440 + 750, office);
    assert!(
        (4_600.0..5_400.0).contains(&day.used),
        "half of the day's work, half of its calls: {}",
        day.used
    );
    day.run(1_440 + 750..2_879, office);
    assert!((9_700.0..=10_000.0).contains(&day.used), "{}", day.used);
}

#[test]
fn the_price_moves_by_a_quarter_a_minute_at_most_and_not_at_all_without_polls() {
    let mut day = BudgetedDay::new();
    day.run(0..60, |_| 0.0);
    assert!((day.controller.u - FIRST_U).abs() < 1e-9);
    day.run(60..61, |_| 50.0);
    assert!((day.controller.u / FIRST_U - MAX_STEP).abs() < 1e-9, "{}", day.controller.u);
}

#[test]
fn calls_of_other_programs_are_estimated_and_the_estimate_fades_each_day() {
    let mut controller = PriceController::new(LIMITS, utc(0));
    controller.quota_exceeded(6_000);
    assert!((controller.status(utc(0)).unseen_by_others - 4_400.0).abs() < 1e-9);
    controller.quota_exceeded(9_000);
    controller.tick(1_000, utc(720));
    assert!((controller.status(utc(720)).calls_left - (10_000.0 - 100.0 - 1_000.0 - 4_400.0)).abs() < 1e-9);
    controller.tick(0, utc(1_440));
    assert!((controller.status(utc(1_440)).unseen_by_others - 4_180.0).abs() < 1e-9);
}

#[test]
fn a_clock_that_steps_ends_no_day_twice_and_moves_the_price_no_faster() {
    let mut day = BudgetedDay::new();
    day.run(0..1_445, |_| 0.5);
    let (days, u) = (day.controller.profile.days().len(), day.controller.u);
    for minute in [1_430, 1_441, 1_435, 1_442] {
        day.controller.tick(0, utc(minute));
    }
    assert_eq!(day.controller.profile.days().len(), days);
    day.controller.tick(0, utc(1_440 * 3));
    assert_eq!(day.controller.profile.days().len(), days + 1);
    assert!((0.3..3.0).contains(&(day.controller.u / u)), "{}", day.controller.u);
}

#[test]
fn a_clock_that_was_ahead_over_midnight_at_the_start_stops_neither_the_price_nor_the_profile() {
    let mut day =
        BudgetedDay { controller: PriceController::new(LIMITS, utc(1_440 + 600)), ..BudgetedDay::new() };
    day.run(540..660, |_| 5.0);
    assert!(day.controller.u > 1.5 * FIRST_U, "{}", day.controller.u);
    day.run(660..1_441, |_| 0.5);
    let days: Vec<_> = day.controller.profile.days().collect();
    assert_eq!((days.len(), days[0][0], days[0][23]), (1, None, Some(1_800.0)));
}

#[test]
fn a_clock_that_was_a_day_ahead_for_some_minutes_ends_no_day_twice_and_counts_each_hour_as_itself() {
    let mut day = BudgetedDay::new();
    day.run(0..2_040, |_| 0.5);
    day.run(3_480..3_485, |_| 0.5);
    day.run(2_045..2_881, |_| 0.5);
    assert_eq!(day.controller.profile.days().len(), 2, "it was closed while the clock was ahead");
    assert!((0.3..3.0).contains(&(day.controller.u / FIRST_U)), "{}", day.controller.u);
    day.run(2_881..4_321, |_| 0.5);
    let days: Vec<_> = day.controller.profile.days().collect();
    assert_eq!((days.len(), *days[2]), (3, [Some(1_800.0); 24]));
}

#[test]
fn a_clock_that_was_a_week_ahead_leaves_no_day_but_this_one_open() {
    let mut day = BudgetedDay::new();
    day.run(0..600, |_| 0.5);
    day.run(10_680..10_685, |_| 0.5);
    day.run(605..4_321, |_| 0.5);
    assert_eq!(day.controller.profile.days().len(), 3, "the first was closed while the clock was ahead");
}

#[test]
fn a_restart_continues_from_the_record_and_another_budget_makes_another_price() {
    let mut day = BudgetedDay::new();
    day.run(0..2_000, |_| 0.5);
    day.controller.quota_exceeded(6_000);
    let record = day.controller.record(utc(2_000));
    let mut again = PriceController::restore(LIMITS, record.clone(), utc(2_000));
    assert_eq!(again.record(utc(2_000)), record);
    assert_eq!(again.price(), day.controller.price());
    again.tick(0, utc(2_001));
    assert_eq!(again.profile.days().len(), 1, "the day goes on");
    let half = PriceController::restore(PriceLimits { per_day: 5_000, ..LIMITS }, record, utc(2_000));
    assert!((half.u / day.controller.u - 2.0).abs() < 1e-9);
}

#[test]
fn a_record_that_cannot_be_true_is_ignored() {
    let mut day = BudgetedDay::new();
    day.run(0..3_000, |_| 0.5);
    let (now, good) = (utc(3_000), day.controller.record(utc(3_000)));
    let mut records =
        vec![PriceRecord { per_day: 0, ..good.clone() }, PriceRecord { u: 0.0, ..good.clone() }];
    for wrong in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let mut day_before = good.clone();
        day_before.days[0][23] = Some(wrong);
        let mut today = good.clone();
        today.today[7].1 = wrong;
        records.extend([
            day_before,
            today,
            PriceRecord { calls: (1.0, wrong), ..good.clone() },
            PriceRecord { recent: (1.0, wrong, 1.0), ..good.clone() },
            PriceRecord { unseen: wrong, ..good.clone() },
        ]);
    }
    for u in [f64::NAN, f64::INFINITY, -1.0] {
        records.push(PriceRecord { u, ..good.clone() });
    }
    for record in records {
        let told = format!("{record:?}");
        let controller = PriceController::restore(LIMITS, record, now);
        assert_eq!(controller, PriceController::new(LIMITS, now), "{told}");
    }
    assert_ne!(PriceController::restore(LIMITS, good, now), PriceController::new(LIMITS, now));
}

#[test]
fn another_budget_changes_the_price_and_the_reserve_at_once() {
    let mut controller = PriceController::new(LIMITS, utc(0));
    controller.set_limits(PriceLimits { per_day: 20_000, reserve: 0.02 });
    assert!((controller.u - FIRST_U / 2.0).abs() < 1e-9);
    controller.tick(0, utc(1));
    assert!((controller.reserved() - 400.0 * 1_439.0 / 1_440.0).abs() < 1e-9);
    controller.set_limits(PriceLimits { per_day: 10_000, reserve: 0.5 });
    assert!((controller.u - FIRST_U).abs() < 1e-9);
}

#[test]
fn the_reserve_shrinks_with_the_day_to_that_of_an_hour() {
    let mut controller = PriceController::new(LIMITS, utc(0));
    assert!((controller.reserved() - 200.0 / 24.0).abs() < 1e-9);
    for (minute, reserved) in [(720, 100.0), (1_380, 200.0 / 24.0), (1_439, 200.0 / 24.0)] {
        controller.tick(0, utc(minute));
        assert!((controller.reserved() - reserved).abs() < 1e-9, "{minute}: {}", controller.reserved());
    }
}

#[test]
fn a_restart_over_midnight_ends_the_day_that_was_not_ended() {
    let mut day = BudgetedDay::new();
    day.run(0..1_430, |_| 0.5);
    let record = day.controller.record(utc(1_430));
    let mut restored = PriceController::restore(LIMITS, record, utc(1_450));
    assert_eq!(restored.profile.days().len(), 0);
    restored.tick(0, utc(1_450));
    assert_eq!(restored.profile.days().len(), 1);
}

#[test]
fn scarcity_is_the_price_in_relation_to_the_first() {
    let mut controller = PriceController::new(LIMITS, utc(0));
    assert!((controller.scarcity() - 1.0).abs() < 1e-9);
    controller.u *= 2.0;
    assert!((controller.scarcity() - 4.0).abs() < 1e-9);
}

#[test]
fn a_slice_counts_for_the_hour_of_its_middle_and_never_for_a_day_that_has_ended() {
    let first = PriceController::new(LIMITS, utc(0));
    let mut controller = PriceController::restore(LIMITS, first.record(utc(0)), utc(0));
    let summary = DemandSummary { demand: 0.5, length: Duration::from_mins(10), clicked: 0, unclicked: 0 };
    for (minute, hour) in [(606, 10), (604, 9), (1_442, 0)] {
        controller.tick(0, utc(minute));
        let before = controller.profile.today()[hour].1;
        controller.observe(&summary, utc(minute));
        assert_eq!(controller.profile.today()[hour].1 - before, 600.0, "{minute}");
    }
}

#[test]
fn the_price_stays_as_it_is_while_no_demand_is_expected_for_the_rest_of_the_day() {
    let mut morning = [Some(0.0); 24];
    morning[..12].fill(Some(3_600.0));
    let record = PriceController::new(LIMITS, utc(1_200)).record(utc(1_200));
    let record = PriceRecord { days: vec![morning], ..record };
    let mut controller = PriceController::restore(LIMITS, record, utc(1_200));
    controller.tick(100, utc(1_201));
    assert_eq!(controller.status(utc(1_201)).demand_rest_of_day, Some(0.0));
    assert_eq!(controller.u, FIRST_U);
}

#[test]
fn the_price_approaches_its_target_within_minutes_by_the_same_factor_up_and_down() {
    for (target, passed, expected) in [
        (3.3, 60, FIRST_U * 1.1_f64.powf(1.0 - (-0.2_f64).exp())),
        (3.0, 60, FIRST_U),
        (2.7, 300, FIRST_U * 0.9_f64.powf(1.0 - (-1.0_f64).exp())),
        (0.01, 300, FIRST_U / MAX_STEP),
    ] {
        let mut controller = PriceController::new(LIMITS, utc(0));
        controller.move_to(target, Duration::from_secs(passed));
        assert!((controller.u - expected).abs() < 1e-9, "{target}: {} not {expected}", controller.u);
    }
}

#[test]
fn the_call_ratio_is_that_of_the_calls_made_within_its_limits() {
    let mut controller = PriceController::new(LIMITS, utc(0));
    for (calls, ratio) in [(5, 1.25), (20, 1.5)] {
        (0..calls).for_each(|_| controller.refreshed());
        assert!((controller.status(utc(0)).call_ratio - ratio).abs() < 1e-9);
    }
}
