use std::{num::NonZeroU32, time::Duration};

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::{
    super::{
        day::{DAY, day_of},
        forecast::Forecast,
        lease::LEASE,
    },
    *,
};
use crate::state::{CallClaim, CallCounter, CallGrant, DayRecord, MemoryStore};

pub(super) const COLD: Priority = Priority::Miss;

pub(super) fn at(days: u32, hours: u64, seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * (20_000 + days) + Duration::from_secs(hours * 3600 + seconds)
}

pub(super) fn limits(calls: u32) -> DayLimits {
    DayLimits { calls: NonZeroU32::new(calls), reserve: 0.1 }
}

fn budget(calls: u32, now: SystemTime) -> QuotaDay {
    QuotaDay::new(limits(calls), Backing::Memory, 0, now)
}

fn count(budget: &mut QuotaDay, now: SystemTime) -> Result<(), DailyQuotaExhausted> {
    budget.reserve(COLD, now).map(drop)
}

/// A store whose record survives a kill -9.
#[derive(Default)]
struct Stored(MemoryStore);

impl Stored {
    fn start(&self, limits: DayLimits, now: SystemTime) -> QuotaDay {
        match CallCounter::read(&self.0).now_or_never().unwrap().unwrap() {
            Some(record) => QuotaDay::resumed(limits, &record, now, 0.0),
            None => QuotaDay::new(limits, Backing::Store, 0, now),
        }
    }

    fn reserve(&self, budget: &mut QuotaDay, now: SystemTime) -> Result<Reservation, DailyQuotaExhausted> {
        loop {
            match budget.reserve(COLD, now)? {
                Reserve::Reserved(line) => return Ok(line),
                Reserve::Lease(lease) => {
                    let Lease { day, calls, unrecorded, ceiling } = lease;
                    let claim = CallClaim { day, made: unrecorded, wanted: calls, ceiling };
                    let CallGrant { granted, day } = self.0.take(claim).now_or_never().unwrap().unwrap();
                    budget.leased(Lease { calls: granted, ..lease }, day.spent);
                }
            }
        }
    }
}

#[test]
fn a_start_without_a_count_assumes_an_even_pace_since_midnight() {
    for (now, used) in
        [(at(0, 0, 0), 0), (at(0, 6, 0), 2_500), (at(0, 12, 1), 5_001), (at(0, 23, 3599), 10_000)]
    {
        assert_eq!(DailyBudget::pro_rata(limits(10_000), now), used);
    }
    let now = at(0, 12, 0);
    let used = DailyBudget::pro_rata(limits(10_000), now);
    let mut budget = QuotaDay::new(limits(10_000), Backing::Memory, used, now);
    assert_eq!(budget.mode(now), QuotaMode::Normal, "and refreshes are not delayed by it");
}

#[test]
fn a_used_up_day_ends_at_midnight_utc() {
    let (before, after) = (at(0, 0, 0), at(1, 0, 0));
    let mut budget = budget(2, before);
    assert_eq!([count(&mut budget, before), count(&mut budget, before)], [Ok(()), Ok(())]);
    assert_eq!(
        count(&mut budget, at(0, 23, 0)),
        Err(DailyQuotaExhausted { retry_in: Duration::from_secs(3600) })
    );
    assert_eq!(budget.today(at(0, 23, 0)).used, 2, "a refusal counts nothing");
    assert_eq!(count(&mut budget, after), Ok(()));
    assert_eq!(budget.today(after).remaining, Some(1));
}

#[test]
fn misses_continue_until_the_reserve_is_used_up_too() {
    let now = at(0, 0, 0);
    let mut budget = budget(100, now);
    let refreshes = std::iter::from_fn(|| budget.reserve(Priority::Refresh, now).ok()).count();
    assert!((40..=90).contains(&refreshes), "{refreshes}");
    assert_eq!(budget.mode(now), QuotaMode::MissesOnly);
    let cold = std::iter::from_fn(|| budget.reserve(COLD, now).ok()).count();
    assert_eq!(refreshes + cold, 100);
    assert_eq!(
        (budget.mode(now), budget.quota_pressure(now)),
        (QuotaMode::Exhausted, QuotaPressure::Stopped)
    );
}

#[test]
fn quota_exceeded_closes_the_day_whatever_our_count_is_and_shows_the_calls_of_others() {
    let noon = at(0, 12, 0);
    for (limit, used, retry_in, external) in
        [(0, 0, DAY / 24, 0), (10_000, 7_998, DAY / 24, 2_001), (10_000, 7_999, DAY / 2, 2_000)]
    {
        let mut budget = QuotaDay::new(limits(limit), Backing::Memory, used, noon);
        count(&mut budget, noon).unwrap();
        assert_eq!(budget.exceeded(noon, 0.0), None, "there is no store to record it");
        assert_eq!(count(&mut budget, noon), Err(DailyQuotaExhausted { retry_in }));
        let today = budget.today(noon);
        assert!(today.remaining.is_none_or(|left| left == 0));
        assert_eq!(
            (today.mode, today.external, today.forecast),
            (QuotaMode::Exhausted, external, Forecast::Exhausted)
        );
        assert_eq!(count(&mut budget, at(1, 0, 0)), Ok(()), "the probe");
        assert!(count(&mut budget, at(1, 0, 0)).is_err(), "and no other call");
        assert_eq!(budget.today(at(1, 0, 0)).external, 0);
    }
}

#[test]
fn a_call_that_was_counted_yesterday_is_not_made_today() {
    let (before, after) = (at(0, 23, 3599), at(1, 0, 0));
    let mut budget = budget(10, before);
    let Ok(Reserve::Reserved(line)) = budget.reserve(COLD, before) else { panic!("not entered") };
    assert!(budget.is_valid(line, before) && !budget.is_valid(line, after));
    budget.refund(line, after);
    assert_eq!(budget.today(after).used, 0);
    let Ok(Reserve::Reserved(line)) = budget.reserve(COLD, after) else { panic!("not entered") };
    budget.exceeded(after, 0.0);
    assert!(!budget.is_valid(line, after), "nor after a quota_exceeded while it waited");
}

#[test]
fn a_clock_set_back_allows_no_call_twice() {
    let mut budget = budget(1, at(3, 0, 0));
    assert_eq!(count(&mut budget, at(3, 0, 0)), Ok(()));
    for earlier in [at(2, 23, 3599), at(3, 0, 1), at(0, 5, 0)] {
        assert!(count(&mut budget, earlier).is_err());
    }
    assert_eq!(count(&mut budget, at(1, 0, 0)), Ok(()), "a clock that was days ahead does not cost days");
}

#[test]
fn without_a_limit_nothing_is_refused() {
    let mut budget = budget(0, at(0, 23, 0));
    assert!((0..100_000).all(|_| budget.reserve(Priority::Refresh, at(0, 23, 0)).is_ok()));
    assert_eq!(budget.today(at(0, 23, 0)).remaining, None);
}

#[test]
fn a_day_that_an_earlier_process_closed_ends_at_midnight_whatever_the_clock_shows_at_the_next_start() {
    for spent in [9, DayRecord::UNCOUNTED] {
        let day = DayRecord { day: day_of(at(1, 0, 0)), spent, status: DayStatus::Closed };
        for start in [at(1, 5, 0), at(2, 0, 1)] {
            let mut budget = QuotaDay::resumed(limits(10), &LedgerRecord::of(day), start, 0.5);
            let (last, probe) = (at(2, 0, 29), at(2, 0, 30));
            assert_eq!((budget.mode(start), budget.mode(last)), (QuotaMode::Exhausted, QuotaMode::Exhausted));
            assert!(matches!(budget.check(COLD, probe), Ok(CallKind::Probe)), "{probe:?}");
        }
    }
}

#[test]
fn a_day_closed_by_a_clock_that_was_ahead_does_not_close_today() {
    let tomorrow = DayRecord { day: day_of(at(1, 0, 0)), spent: 20, status: DayStatus::Closed };
    let today = at(0, 5, 0);
    let mut budget = QuotaDay::resumed(limits(10_000), &LedgerRecord::of(tomorrow), today, 0.5);
    assert_eq!((budget.mode(today), budget.today(today).used), (QuotaMode::Normal, 20));
    let mut at_midnight = Vec::new();
    for minutes in [0, 59, 60] {
        at_midnight.push(budget.check(COLD, at(1, 0, minutes * 60)).is_ok());
    }
    assert_eq!(at_midnight, [false, false, true], "and tomorrow is open too");
}

#[test]
fn a_midnight_to_a_day_that_a_wrong_clock_has_shown_before_does_not_count_today_s_calls_on_it() {
    let mut budget = budget(10_000, at(0, 1, 0));
    for (now, calls) in [(at(1, 0, 30), 3), (at(0, 2, 0), 5_000)] {
        (0..calls).for_each(|_| count(&mut budget, now).unwrap());
    }
    assert_eq!(budget.today(at(0, 23, 0)).used, 5_003);
    assert_eq!(budget.today(at(1, 0, 0)).used, 3);
}

#[test]
fn a_clock_that_turns_out_to_be_a_day_behind_makes_no_midnight() {
    let mut budget = budget(10_000, at(1, 0, 0));
    for (now, calls) in [(at(1, 0, 0), 2), (at(0, 12, 0), 3)] {
        (0..calls).for_each(|_| count(&mut budget, now).unwrap());
    }
    budget.correct_to(at(1, 12, 0));
    assert_eq!(budget.today(at(1, 12, 0)).used, 5, "the last three were made on this day too");
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Call,
    NotSent,
    Kill,
    TimePasses(u64),
    /// The clock is set, this many seconds off the true time.
    SetClock(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Call),
        1 => Just(Event::NotSent),
        1 => Just(Event::Kill),
        3 => (0..7_200_u64).prop_map(Event::TimePasses),
    ]
}

/// An event, and a clock that is right or wrong by less than two days.
fn event_and_wrong_clock() -> impl Strategy<Value = Event> {
    prop_oneof![
        9 => event(),
        1 => (-172_000..172_000_i64).prop_map(Event::SetClock),
        1 => Just(Event::SetClock(0)),
    ]
}

proptest! {
    #[test]
    fn no_day_has_more_calls_than_its_limit_and_a_kill_costs_at_most_one_lease(
        limit in 1..60_u32,
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut now = at(0, 0, 0);
        let stored = Stored::default();
        let mut budget = stored.start(limits(limit), now);
        let (mut sent, mut kills) = (std::collections::BTreeMap::<u64, u32>::new(), 0);
        for event in events {
            match event {
                Event::Call => {
                    if stored.reserve(&mut budget, now).is_ok() {
                        *sent.entry(day_of(now)).or_default() += 1;
                    }
                }
                Event::NotSent => {
                    if let Ok(line) = stored.reserve(&mut budget, now) {
                        budget.refund(line, now);
                    }
                }
                Event::Kill => {
                    kills += 1;
                    budget = stored.start(limits(limit), now);
                }
                Event::TimePasses(seconds) => now += Duration::from_secs(seconds),
                Event::SetClock(_) => {}
            }
            let (today, made) = (budget.today(now).used, sent.get(&day_of(now)).copied().unwrap_or(0));
            prop_assert!(made <= limit);
            prop_assert!(today >= made, "never fewer than were sent");
            prop_assert!(today <= made + kills * LEASE, "{today} for {made} after {kills} kills");
        }
    }

    #[test]
    fn a_right_clock_finds_all_that_it_has_counted_whatever_other_clocks_have_shown_in_between(
        events in prop::collection::vec(event_and_wrong_clock(), 1..200),
    ) {
        let (mut truth, mut wrong_by, limits) = (at(10, 0, 0), 0_i64, limits(100_000));
        let stored = Stored::default();
        let mut budget = stored.start(limits, truth);
        let mut counted = std::collections::BTreeMap::<u64, u32>::new();
        for event in events {
            let now = if wrong_by < 0 {
                truth - Duration::from_secs(wrong_by.unsigned_abs())
            } else {
                truth + Duration::from_secs(wrong_by.unsigned_abs())
            };
            match event {
                Event::Call => {
                    if stored.reserve(&mut budget, now).is_ok() && wrong_by == 0 {
                        *counted.entry(day_of(now)).or_default() += 1;
                    }
                }
                Event::NotSent => {
                    if let Ok(line) = stored.reserve(&mut budget, now) {
                        budget.refund(line, now);
                    }
                }
                Event::Kill => budget = stored.start(limits, now),
                Event::TimePasses(seconds) => truth += Duration::from_secs(seconds),
                Event::SetClock(by) if wrong_by == 0 => wrong_by = by,
                Event::SetClock(_) => {
                    wrong_by = 0;
                    // A store keeps only the last few days with calls.
                    let _entered = stored.reserve(&mut budget, truth);
                }
            }
            if wrong_by == 0 {
                let counted = counted.get(&day_of(truth)).copied().unwrap_or(0);
                prop_assert!(budget.today(truth).used >= counted);
                prop_assert!(stored.start(limits, truth).today(truth).used >= counted);
            }
        }
    }
}
