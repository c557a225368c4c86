//! The lease of a flight.

use std::time::Duration;

use super::{
    super::{super::*, backend::Backend},
    replica::{LEASE, Replica, ms, one, secs},
};

const fn in_flight(ends_in: Duration) -> LookedUp {
    LookedUp::InFlight { ends_in }
}

fn back_off(ends_in: Duration, why: &str) -> LookedUp {
    LookedUp::BackOff { ends_in, why: why.into() }
}

pub(in super::super) async fn one_replica_has_the_lease_and_the_others_wait(on: &Backend) {
    let [first, second, third] = Replica::fleet(on).await;
    let lease = first.lease(1).await;
    assert!(lease.sequence() > first.seen.sequence);
    assert_eq!(second.look(1, Fence(0)).await, in_flight(LEASE));
    on.faults.put_clock_forward(secs(5));
    assert_eq!(third.look(1, Fence(0)).await, in_flight(secs(15)));
    assert_eq!(first.look(2, Fence(0)).await, in_flight(secs(15)), "another flight of the same replica");
    first.land(1, lease.fence, "body").await;
    assert!(matches!(second.look(1, Fence(0)).await, LookedUp::Newer(_)));
}

pub(in super::super) async fn the_same_nonce_prolongs_the_lease_under_the_same_fence(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let lease = first.lease(1).await;
    on.faults.put_clock_forward(secs(15));
    assert_eq!(first.lease(1).await, lease);
    on.faults.put_clock_forward(secs(15));
    assert_eq!(second.look(1, Fence(0)).await, in_flight(secs(5)));
    let other = LookUp { key: crate::report::testing::key(2), ..second.look_up(2, Fence(0)) };
    let LookedUp::Leased(other) = second.look_with(other).await else { panic!("no lease") };
    assert!(other.fence > lease.fence);
}

pub(in super::super) async fn a_lease_that_ended_goes_to_the_next(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let lease = first.lease(1).await;
    on.faults.put_clock_forward(LEASE - ms(1));
    assert_eq!(second.look(1, Fence(0)).await, in_flight(ms(1)));
    on.faults.put_clock_forward(ms(1));
    assert!(second.lease(1).await.fence > lease.fence);
    assert_eq!(first.look(1, Fence(0)).await, in_flight(LEASE), "a lease that is lost is not prolonged");
}

pub(in super::super) async fn a_failed_flight_has_all_replicas_back_off(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let lease = first.lease(1).await;
    first.fail(1, secs(5), "upstream_500").await;
    assert_eq!(second.look(1, Fence(0)).await, back_off(secs(5), "upstream_500"));
    on.faults.put_clock_forward(secs(4));
    assert_eq!(first.look(1, Fence(0)).await, back_off(secs(1), "upstream_500"));
    on.faults.put_clock_forward(secs(1));
    assert!(second.lease(1).await.fence > lease.fence);
    second.fail(1, Duration::ZERO, "no pause").await;
    assert!(matches!(first.look(3, Fence(0)).await, LookedUp::Leased(_)));
}

pub(in super::super) async fn a_failure_is_ignored_once_another_flight_has_the_lease(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    first.lease(1).await;
    on.faults.put_clock_forward(LEASE);
    second.lease(1).await;
    first.fail(1, secs(60), "late").await;
    assert_eq!(first.look(2, Fence(0)).await, in_flight(LEASE));
    on.faults.put_clock_forward(LEASE + secs(60));
    second.fail(1, secs(60), "a minute late").await;
    assert!(matches!(first.look(3, Fence(0)).await, LookedUp::Leased(_)));
}

pub(in super::super) async fn a_repeated_failure_does_not_prolong_the_back_off(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    first.lease(1).await;
    first.fail(1, secs(5), "first").await;
    on.faults.put_clock_forward(secs(3));
    first.fail(1, secs(5), "again").await;
    assert_eq!(second.look(1, Fence(0)).await, back_off(secs(2), "first"));
}

pub(in super::super) async fn a_long_reason_is_cut(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    replica.lease(1).await;
    let why = format!("{}é{}", "x".repeat(63), "y".repeat(100));
    replica.fail(1, secs(5), &why).await;
    assert_eq!(replica.look(2, Fence(0)).await, back_off(secs(5), &"x".repeat(63)));
}

pub(in super::super) async fn a_clock_put_back_ends_a_lease(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    first.lease(1).await;
    on.faults.put_clock_back(secs(1));
    assert_eq!(second.look(1, Fence(0)).await, in_flight(LEASE + secs(1)), "a small step ends none");
    on.faults.put_clock_back(ms(1));
    assert!(matches!(second.look(1, Fence(0)).await, LookedUp::Leased(_)));
}

pub(in super::super) async fn an_evicted_flight_is_taken_anew(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let late = first.lease(1).await.fence;
    on.faults.evict(StoreValue::Flight(one())).await;
    let fence = second.lease(1).await.fence;
    assert_eq!(second.land(1, fence, "newer").await, Some(fence));
    assert_eq!(first.land(1, late, "older").await, None);
}
