//! Tests: what a `quota_exceeded` says about the calls of other programs, for the plan of the next days.

use super::{
    super::day::{DAY, day_of},
    tests::{COLD, at, limits},
    *,
};
use crate::state::DayRecord;

/// Today's and yesterday's counts at which the upstream said `quota_exceeded`.
fn exceeded_after(day: &mut QuotaDay, now: SystemTime) -> (Option<u32>, Option<u32>) {
    let today = day.today(now);
    (today.exceeded_after, today.yesterday_exceeded_after)
}

fn probe(day: &mut QuotaDay, now: SystemTime) -> Reservation {
    let Ok(Reserve::Reserved(probe)) = day.reserve(COLD, now) else { panic!("no probe is due") };
    assert_eq!(probe.kind, CallKind::Probe);
    probe
}

#[test]
fn a_quota_exceeded_is_known_all_day_and_the_day_after_and_no_longer() {
    let noon = at(0, 12, 0);
    for used in [4_000, 9_000] {
        let mut day = QuotaDay::new(limits(10_000), Backing::Memory, used, noon);
        assert_eq!(exceeded_after(&mut day, noon), (None, None));
        day.exceeded(noon, 0.0);
        for now in [noon, at(0, 12, 59), at(0, 23, 3_599)] {
            assert_eq!(exceeded_after(&mut day, now), (Some(used), None));
        }
        for now in [at(1, 0, 0), at(1, 12, 0), at(1, 23, 3_599)] {
            assert_eq!(exceeded_after(&mut day, now), (None, Some(used)));
        }
        assert_eq!(exceeded_after(&mut day, at(2, 0, 0)), (None, None));
    }
}

#[test]
fn a_probe_that_is_refused_too_changes_nothing_and_one_that_is_accepted_takes_it_back() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 4_000, noon);
    day.exceeded(noon, 0.0);
    let first = at(0, 13, 0);
    probe(&mut day, first);
    day.exceeded(first, 0.0);
    assert_eq!(
        exceeded_after(&mut day, first),
        (Some(4_000), None),
        "the probe was ours, and not for others"
    );
    let second = first + DAY / 12;
    let probe = probe(&mut day, second);
    assert_eq!(exceeded_after(&mut day, second), (Some(4_000), None));
    day.answered(probe);
    assert_eq!(exceeded_after(&mut day, second), (None, None), "it was not true");
    assert_eq!(exceeded_after(&mut day, at(1, 0, 0)), (None, None));
}

#[test]
fn a_probe_that_was_sent_and_not_answered_is_repeated_after_its_pause_and_another_call_changes_nothing() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 4_000, noon);
    day.exceeded(noon, 0.0);
    let first = at(0, 13, 0);
    let probe = probe(&mut day, first);
    day.inconclusive(Reservation { kind: CallKind::Regular, ..probe }, first);
    assert!(day.check(COLD, first + DAY / 24).is_err(), "the probe is under way");
    day.inconclusive(probe, first);
    assert_eq!(day.check(COLD, first), Err(DailyQuotaExhausted { retry_in: DAY / 24 }));
    assert_eq!(day.check(COLD, first + DAY / 24), Ok(CallKind::Probe));
}

#[test]
fn a_quota_exceeded_just_after_midnight_may_be_yesterday_s_and_says_nothing() {
    let now = at(1, 0, 20);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 12, now);
    day.exceeded(now, 0.0);
    assert_eq!(exceeded_after(&mut day, now), (None, None));
}

#[test]
fn without_a_limit_of_ours_a_quota_exceeded_says_nothing_about_others() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(0), Backing::Memory, 4_000, noon);
    day.exceeded(noon, 0.0);
    assert_eq!(exceeded_after(&mut day, noon), (None, None));
    assert_eq!(exceeded_after(&mut day, at(1, 0, 0)), (None, None));
}

#[test]
fn a_restart_knows_it_of_today_and_of_yesterday() {
    let record =
        |spent| LedgerRecord::of(DayRecord { day: day_of(at(0, 0, 0)), spent, status: DayStatus::Closed });
    for (spent, used, external) in [(4_000, 4_000, 6_000), (DayRecord::UNCOUNTED, 10_000, 0)] {
        let start = at(0, 15, 0);
        let mut day = QuotaDay::resumed(limits(10_000), &record(spent), start, 0.0);
        assert_eq!(exceeded_after(&mut day, start), (Some(used), None));
        assert_eq!(day.today(start).external, external);
        let next_day = at(1, 7, 0);
        let mut day = QuotaDay::resumed(limits(10_000), &record(spent), next_day, 0.0);
        assert_eq!(exceeded_after(&mut day, next_day), (None, Some(used)));
        assert_eq!(day.today(next_day).external, 0);
    }
}
