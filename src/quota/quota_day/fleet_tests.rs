//! Tests: a day whose calls are shared with other replicas.

use super::{
    super::{day::day_of, rationing::Scarcity},
    tests::{COLD, at, limits},
    *,
};

#[test]
fn a_refresh_is_made_only_below_the_reserve_and_a_miss_up_to_the_limit() {
    let (midnight, noon) = (at(0, 0, 0), at(0, 12, 0));
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 0, midnight);
    for now in [midnight, noon] {
        assert_eq!(day.ceiling(COLD, now), Some(10_000));
    }
    assert_eq!(day.ceiling(Priority::Refresh, midnight), Some(9_000));
    assert_eq!(day.ceiling(Priority::Refresh, noon), Some(9_500));
    for (reserved, ceiling) in [(200, 9_800), (20_000, 0)] {
        day.ration(PlannedRationing { reserved, scarcity: Scarcity::Ample });
        assert_eq!(day.ceiling(Priority::Refresh, noon), Some(ceiling));
    }
    let unlimited = QuotaDay::new(limits(0), Backing::Memory, 0, noon);
    assert_eq!([COLD, Priority::Refresh].map(|lane| unlimited.ceiling(lane, noon)), [None; 2]);
}

#[test]
fn what_the_fleet_has_counted_on_this_day_counts_here_too() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::assumed(limits(10_000), Backing::Memory, noon);
    assert_eq!(day.day(), day_of(noon));
    for (number, spent, used) in
        [(day_of(noon) + 1, 9_000, 5_000), (day_of(noon), 700, 700), (day_of(noon), 600, 700)]
    {
        day.learn(number, spent, OthersCalls::Recent, noon);
        assert_eq!(day.today(noon).used, used);
    }
    day.learn(day_of(noon), u64::MAX, OthersCalls::Recent, noon);
    assert_eq!((day.today(noon).used, day.mode(noon)), (u32::MAX, QuotaMode::Exhausted));
}

#[test]
fn a_probe_of_another_replica_that_was_answered_opens_the_day() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 4_000, noon);
    day.exceeded(noon, 0.0);
    assert!(day.check(COLD, noon).is_err());
    day.end_lockout();
    assert_eq!(day.check(COLD, noon), Ok(CallKind::Regular));
    assert_eq!((day.today(noon).exceeded_after, day.today(noon).external), (None, 0));
    assert_eq!(day.check(COLD, at(1, 0, 0)), Ok(CallKind::Regular));
}

#[test]
fn the_store_is_told_once_that_a_day_is_closed_and_once_that_it_is_open_again() {
    let noon = at(0, 12, 0);
    let mark = |status| Some(DayMark { day: day_of(noon), status });
    let mut day = QuotaDay::new(limits(10_000), Backing::Store, 4_000, noon);
    assert_eq!(day.exceeded(noon, 0.0), mark(DayStatus::Closed));
    assert_eq!(day.exceeded(noon, 0.0), None, "the store knows");
    let due = at(0, 13, 0);
    let Ok(Reserve::Lease(lease)) = day.reserve(COLD, due) else { panic!("no lease") };
    day.leased(lease, 4_000 + lease.calls);
    let Ok(Reserve::Reserved(probe)) = day.reserve(COLD, due) else { panic!("no probe is due") };
    let regular = Reservation { kind: CallKind::Regular, ..probe };
    assert_eq!(day.answered(regular), None, "it was sent before");
    assert_eq!(day.answered(probe), mark(DayStatus::Open));
    assert_eq!(day.answered(probe), None, "the store knows");
}

/// The heartbeat that tells of it may be the first thing that happens on the new day.
#[test]
fn a_lockout_that_another_replica_ends_after_midnight_is_remembered_of_the_day_before() {
    let (noon, morning) = (at(0, 12, 0), at(1, 0, 1));
    let mut day = QuotaDay::new(limits(10_000), Backing::Store, 4_000, noon);
    assert!(day.exceeded(noon, 0.0).is_some());
    day.learn(day_of(morning), 1, OthersCalls::Recent, morning);
    assert_eq!(day.end_lockout(), None, "what the store has of yesterday stays as it is");
    let today = day.today(morning);
    assert_eq!((today.yesterday_exceeded_after, today.exceeded_after), (Some(4_000), None));
    assert_eq!(today.used, 1, "of the new day");
    assert_eq!(day.check(COLD, morning), Ok(CallKind::Regular));
}
