//! A purge reaches what is in flight.

use std::time::Duration;

use super::{
    super::{super::*, backend::Backend},
    replica::{LEASE, Replica, one, secs},
};
use crate::report::testing::key;

pub(in super::super) async fn a_result_of_a_flight_before_a_purge_of_its_key_is_refused(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    first.fetch(1, "held").await;
    let fence = first.lease(2).await.fence;
    let purged = second.purge(PurgeScope::Key(one())).await;
    assert!(purged > fence);
    assert_eq!(first.get().await, None);
    assert_eq!(first.land(2, fence, "older").await, None);
    on.faults.put_clock_forward(secs(3_599));
    assert_eq!(first.land(2, fence, "older").await, None, "however late");
    assert_eq!(first.get().await, None);
}

pub(in super::super) async fn a_result_of_a_flight_before_a_purge_of_all_is_refused(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    first.fetch(1, "held").await;
    let fence = first.lease(2).await.fence;
    second.purge(PurgeScope::All).await;
    assert_eq!(first.get().await, None);
    on.faults.put_clock_forward(secs(86_400));
    assert_eq!(first.land(2, fence, "older").await, None);
    assert_eq!(first.get().await, None);
}

pub(in super::super) async fn a_purge_ends_the_flight_and_the_back_off_of_its_key(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let before = first.lease(1).await.fence;
    first.purge(PurgeScope::Key(one())).await;
    // What it fetched is not to be kept: another may fetch at once.
    let after = second.lease(1).await.fence;
    assert!(after > before);
    assert_eq!(first.look(1, Fence(0)).await, LookedUp::InFlight { ends_in: LEASE });
    second.fail(1, secs(60), "failed").await;
    first.purge(PurgeScope::Key(one())).await;
    assert!(matches!(first.look(2, Fence(0)).await, LookedUp::Leased(_)));
}

pub(in super::super) async fn a_purge_of_all_ends_every_flight(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    let before = first.lease(1).await.fence;
    second.purge(PurgeScope::All).await;
    // Prolonged or taken by another, its fence is that of a flight after the purge.
    let after = first.lease(1).await.fence;
    assert!(after > before);
    first.fail(1, secs(60), "failed").await;
    second.purge(PurgeScope::All).await;
    assert!(second.lease(1).await.fence > after);
}

pub(in super::super) async fn a_purge_of_one_key_leaves_the_others(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    replica.fetch(1, "held").await;
    replica.purge(PurgeScope::Key(key(2))).await;
    assert_eq!(replica.body().await.as_deref(), Some("held"));
}

pub(in super::super) async fn a_report_fetched_after_a_purge_is_kept(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    for (flight, scope) in [(1, PurgeScope::Key(one())), (2, PurgeScope::All)] {
        replica.purge(scope).await;
        let look_up = LookUp { answers: 5, ..replica.look_up(flight, Fence(0)) };
        let LookedUp::Leased(lease) = replica.look_with(look_up).await else { panic!("no lease") };
        assert_eq!(replica.land(flight, lease.fence, "new").await, Some(lease.fence));
        let report = replica.get().await.unwrap();
        assert_eq!((&*report.body, report.age), (b"new".as_slice(), Duration::ZERO));
    }
}

pub(in super::super) async fn a_purge_of_all_that_a_store_has_lost_is_given_back_by_a_recovery(on: &Backend) {
    let [mut knows, mut other] = Replica::fleet(on).await;
    let fence = knows.fetch(1, "held").await;
    on.faults.copy().await;
    let purged = knows.purge(PurgeScope::All).await;
    knows.beat().await;
    let giving_back = |replica: &Replica| Recovery { purged, ..replica.recovery() };
    // The one that knows it begins the epoch.
    on.faults.put_back().await;
    let state = knows.recover_with(giving_back(&knows)).await;
    assert!(state.purged == purged && state.sequence > purged.into());
    assert_eq!(knows.get().await, None);
    let report = LookedUp::Leased(FlightLease { fence: Fence(state.sequence.0 + 1), answers: 0 });
    assert_eq!(knows.look(2, Fence(0)).await, report, "it is fetched again");
    // Another one does.
    on.faults.put_back().await;
    let state = other.recover_with(Recovery { force: true, ..other.recovery() }).await;
    assert_eq!((state.purged, other.get().await.map(|report| report.fence)), (Fence(0), Some(fence)));
    let merged = knows.recover_with(giving_back(&knows)).await;
    assert!(merged.purged == purged && merged.epoch == state.epoch && merged.sequence > state.sequence);
    assert_eq!(other.get().await, None);
    // Whoever knows less lowers nothing.
    assert_eq!(other.recover().await.purged, purged);
    // Nothing else is left of it.
    on.faults.flush().await;
    assert_eq!(knows.recover_with(giving_back(&knows)).await.purged, purged);
}

pub(in super::super) async fn what_is_fetched_after_a_purge_of_all_was_given_back_is_kept(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    for force in [true, false] {
        let purged = Fence(replica.seen.sequence.0 + (3 << 20));
        let state = replica.recover_with(Recovery { purged, force, ..replica.recovery() }).await;
        assert!(state.purged == purged && state.sequence > purged.into());
        replica.fetch(1, "new").await;
        assert_eq!(replica.body().await.as_deref(), Some("new"));
    }
}
