//! Tests: limits that change within a day.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::{
    super::lease::LEASE,
    tests::{COLD, at, limits},
    *,
};

fn used(day: &mut QuotaDay, now: SystemTime) -> u32 {
    day.today(now).used
}

/// Counts a call; a lease is granted as a store would.
fn count(day: &mut QuotaDay, now: SystemTime) -> Result<(), DailyQuotaExhausted> {
    loop {
        match day.reserve(COLD, now)? {
            Reserve::Reserved(_) => return Ok(()),
            Reserve::Lease(lease) => {
                let spent = used(day, now) + lease.calls;
                day.leased(lease, spent);
            }
        }
    }
}

#[test]
fn calls_made_stay_counted_whatever_the_limit_becomes() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 6_000, noon);
    day.set_limits(limits(5_000));
    assert!(count(&mut day, noon).is_err(), "6,000 are made already");
    assert_eq!(used(&mut day, noon), 6_000);
    day.set_limits(limits(6_001));
    assert_eq!(count(&mut day, noon), Ok(()));
    assert!(count(&mut day, noon).is_err());
    assert_eq!(day.today(noon).remaining, Some(0));
}

#[test]
fn what_was_assumed_at_the_start_grows_with_the_limit_and_never_shrinks() {
    let noon = at(0, 12, 0);
    for backing in [Backing::Memory, Backing::Store] {
        let mut day = QuotaDay::assumed(limits(4_000), backing, noon);
        let mut becomes = |limit, expected: u32| {
            day.set_limits(limits(limit));
            assert_eq!(used(&mut day, noon), expected, "{limit}");
            assert_eq!(day.assumed_today(), expected, "{limit}");
        };
        // A process that starts now would assume as many.
        becomes(10_000, 5_000);
        becomes(2_000, 5_000);
        becomes(10_000, 5_000);
        becomes(10_001, 5_001);
        assert_eq!(used(&mut day, at(1, 0, 0)), 0, "the next day is known from its begin");
    }
}

#[test]
fn a_lockout_and_what_it_has_shown_outlast_a_change_of_the_limit() {
    let noon = at(0, 12, 0);
    let mut day = QuotaDay::new(limits(10_000), Backing::Memory, 7_000, noon);
    day.exceeded(noon, 0.0);
    day.set_limits(limits(5_000));
    assert_eq!((day.today(noon).external, day.today(noon).exceeded_after), (0, Some(5_000)));
    day.set_limits(limits(12_000));
    assert!(count(&mut day, noon).is_err(), "the upstream decides");
    assert_eq!((day.today(noon).external, day.today(noon).exceeded_after), (5_000, Some(7_000)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Call,
    Limit(u32),
}

proptest! {
    #[test]
    fn however_the_limit_changes_no_call_is_made_beyond_it(
        steps in proptest::collection::vec(
            prop_oneof![8 => Just(Step::Call), 1 => (1..40_u32).prop_map(Step::Limit)],
            1..300,
        ),
        stored in any::<bool>(),
    ) {
        let (noon, backing) = (at(0, 12, 0), if stored { Backing::Store } else { Backing::Memory });
        let (mut limit, mut made, mut highest) = (20_u32, 0_u32, 20_u32);
        let mut day = QuotaDay::new(limits(limit), backing, 0, noon);
        for step in steps {
            match step {
                Step::Call => match count(&mut day, noon) {
                    Ok(()) => {
                        made += 1;
                        prop_assert!(made <= limit, "call {} of {}", made, limit);
                    }
                    // A lease may hold calls back until it is used up.
                    Err(_) => prop_assert!(made + LEASE >= limit, "denied after {} of {}", made, limit),
                },
                Step::Limit(new) => {
                    limit = new;
                    highest = highest.max(new);
                    day.set_limits(DayLimits { calls: NonZeroU32::new(new), reserve: 0.1 });
                }
            }
        }
        prop_assert!(made <= highest);
    }
}
