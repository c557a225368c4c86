use super::*;

const TODAY: u64 = 20_000;

fn usage(backing: Backing) -> UsageByDay {
    UsageByDay::new(DayUsage::new(TODAY, 0, backing), backing)
}

#[test]
fn what_the_fleet_has_counted_takes_the_place_of_what_was_assumed_unless_the_store_has_that_already() {
    for (unrecorded, leased, spent, used, left) in [
        (55, 0, 7, 10, 5),
        (55, 8, 7, 10, 5),
        (50, 8, 30, 30, 0),
        (49, 0, 7, 10, 0),
        (0, 0, 90, 90, 0),
        (49, 8, 7, 60, 49),
        (49, 8, 61, 61, 49),
    ] {
        let mut day =
            DayUsage { used: 60, unrecorded, leased, ..DayUsage::assumed(TODAY, 50, Backing::Store) };
        for again in [spent, 0] {
            day.learn(again);
            assert_eq!(
                (day.used, day.unrecorded, day.assumed),
                (used, left, 0),
                "{unrecorded} and {leased}, {again} spent"
            );
        }
    }
}

#[test]
fn a_call_that_was_never_sent_does_not_count_for_the_day_that_the_clock_shows_next() {
    let mut usage = usage(Backing::Memory);
    usage.count();
    assert_eq!(usage.change_to(TODAY + 5), Some(DateChange::ClockSet));
    (0..3).for_each(|_| usage.count());
    for never_sent in [TODAY + 5, TODAY + 5, TODAY] {
        usage.refund(never_sent);
    }
    assert_eq!(usage.current().used, 1);
    assert_eq!(usage.change_to(TODAY), Some(DateChange::ClockSet));
    assert_eq!(usage.current().used, 1, "its own call was never sent either");
}

#[test]
fn a_call_that_was_never_sent_leaves_its_place_in_the_lease() {
    for (backing, leased) in [(Backing::Memory, 0), (Backing::Store, 2)] {
        let mut usage = usage(backing);
        (0..3).for_each(|_| usage.count());
        (0..2).for_each(|_| usage.refund(TODAY));
        assert_eq!((usage.current().used, usage.current().leased), (1, leased));
    }
}

#[test]
fn a_day_that_is_shown_again_gives_its_lease_up_and_records_the_calls_made_meanwhile() {
    for (backing, unrecorded) in [(Backing::Memory, 0), (Backing::Store, 3)] {
        let mut usage = usage(backing);
        usage.count();
        usage.current_mut().leased = 7;
        usage.change_to(TODAY + 5);
        (0..3).for_each(|_| usage.count());
        usage.change_to(TODAY);
        let DayUsage { used, leased, unrecorded: to_record, .. } = *usage.current();
        assert_eq!((used, leased, to_record), (4, 0, unrecorded));
    }
}

#[test]
fn the_next_day_is_a_midnight_unless_the_clock_was_wrong() {
    assert_eq!(usage(Backing::Memory).change_to(TODAY + 1), Some(DateChange::Midnight));
    assert_eq!(usage(Backing::Memory).correct_to(TODAY + 1), Some(DateChange::ClockSet));
    assert_eq!(usage(Backing::Memory).correct_to(TODAY), None);
}

#[test]
fn only_days_with_calls_are_kept_and_of_them_the_last_few() {
    let mut usage = usage(Backing::Memory);
    usage.change_to(TODAY + 1);
    assert!(usage.yesterday().is_none());
    for day in 2..9 {
        usage.count();
        usage.change_to(TODAY + day);
        assert_eq!(usage.yesterday().map(|yesterday| yesterday.used), Some(1));
    }
    usage.change_to(TODAY + 20);
    assert!(usage.yesterday().is_none(), "of other days there may be calls");
    let known = (0..9).filter(|day| usage.of(TODAY + day).is_some());
    assert_eq!(known.collect::<Vec<_>>(), [6, 7]);
}
