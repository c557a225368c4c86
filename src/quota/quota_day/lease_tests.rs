//! Tests: leases that a store records, loses, shares with other processes, or does not grant.

use std::num::NonZeroU32;

use super::{
    super::lease::LEASE,
    tests::{COLD, at, limits},
    *,
};
use crate::state::DayRecord;

#[test]
fn a_failing_store_stops_no_call_and_records_them_later() {
    let now = at(0, 1, 0);
    let mut budget = QuotaDay::new(limits(100), Backing::Store, 0, now);
    let Ok(Reserve::Lease(lease)) = budget.reserve(COLD, now) else { panic!("no lease") };
    budget.lease_failed(lease);
    for _ in 0..LEASE {
        assert!(matches!(budget.reserve(COLD, now), Ok(Reserve::Reserved(_))));
    }
    let Ok(Reserve::Lease(next)) = budget.reserve(COLD, now) else { panic!("no lease") };
    assert_eq!((next.calls, next.unrecorded), (LEASE, LEASE));
    budget.leased(next, 2 * LEASE);
    assert_eq!(budget.today(now).used, LEASE);
}

#[test]
fn calls_that_the_store_has_lost_are_recorded_again() {
    let now = at(0, 1, 0);
    let mut budget = QuotaDay::new(limits(100), Backing::Store, 0, now);
    let Ok(Reserve::Lease(lease)) = budget.reserve(COLD, now) else { panic!("no lease") };
    budget.leased(lease, LEASE);
    for _ in 0..LEASE {
        assert!(matches!(budget.reserve(COLD, now), Ok(Reserve::Reserved(_))));
    }
    for (unrecorded, spent) in [(0, LEASE), (LEASE, 3 * LEASE)] {
        let Ok(Reserve::Lease(next)) = budget.reserve(COLD, now) else { panic!("no lease") };
        assert_eq!(next.unrecorded, unrecorded);
        budget.leased(next, spent);
        for _ in 0..LEASE {
            assert!(matches!(budget.reserve(COLD, now), Ok(Reserve::Reserved(_))));
        }
    }
    assert_eq!(budget.today(now).used, 3 * LEASE);
}

#[test]
fn calls_that_others_take_from_the_same_store_count_as_used() {
    let now = at(0, 1, 0);
    let mut budget = QuotaDay::new(limits(100), Backing::Store, 0, now);
    let Ok(Reserve::Lease(lease)) = budget.reserve(COLD, now) else { panic!("no lease") };
    budget.leased(lease, 100);
    assert_eq!(budget.today(now).used, 100 - LEASE);
}

#[test]
fn a_day_on_which_the_store_grants_no_more_calls_is_used_up() {
    let now = at(0, 1, 0);
    for (granted, spent) in [(3, 100), (0, 100), (0, 130), (0, DayRecord::UNCOUNTED)] {
        let mut budget = QuotaDay::new(limits(100), Backing::Store, 0, now);
        let Ok(Reserve::Lease(lease)) = budget.reserve(COLD, now) else { panic!("no lease") };
        assert_eq!(lease.ceiling, NonZeroU32::new(100));
        budget.leased(Lease { calls: granted, ..lease }, spent);
        for _ in 0..granted {
            assert!(matches!(budget.reserve(COLD, now), Ok(Reserve::Reserved(_))));
        }
        assert!(budget.reserve(COLD, now).is_err(), "{granted} of {spent}");
    }
}
