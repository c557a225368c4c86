//! The room for requests in flight: a caller that hangs up makes none.

use link_report_proxy::{
    cache::{Miss, Permit, Unanswered},
    simulator::{Fault, Scope},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{Instant, sleep},
};
use tower::ServiceExt as _;

use super::harness::{CacheHarness, at_rest, from, report, seconds};
use crate::support::in_process::{InProcess, key, path};

#[tokio::test(start_paused = true)]
async fn callers_that_hang_up_at_once_make_no_more_calls_than_may_be_in_flight() {
    const MOST: u64 = 8;
    let proxy = InProcess::with(&[("SERVER__MAX_IN_FLIGHT", "8")]);
    proxy.vendor.inject(Fault::Hang, Scope::All);
    for number in 1..=50 {
        let caller = proxy.get_meanwhile(&path(number));
        for _ in 0..50 {
            yield_now().await;
        }
        caller.abort();
    }
    at_rest().await;
    assert_eq!(proxy.vendor.calls(), MOST);
    let refused = proxy.get(&path(100)).await;
    assert_eq!((refused.status, refused.json()["error_key"].as_str()), (503, Some("overloaded")));
    // The calls end at their deadline, and with them the crowd.
    sleep(seconds(20)).await;
    proxy.vendor.clear_faults();
    assert_eq!(proxy.get(&path(101)).await.status, 200);
}

/// A place that is taken, as long as it is.
fn place(room: &std::sync::Arc<Semaphore>) -> Permit {
    let place: OwnedSemaphorePermit = room.clone().try_acquire_owned().unwrap();
    Permit::new(place)
}

#[tokio::test(start_paused = true)]
async fn a_leader_s_place_goes_with_its_call_and_a_waiter_s_with_the_waiter() {
    let room = std::sync::Arc::new(Semaphore::new(10));
    let mut harness = CacheHarness::new();
    let ask = || {
        let Err(Unanswered::Miss(miss)) = harness.cache.lookup(key(1).into(), Instant::now()) else {
            panic!("nothing is held")
        };
        tokio::spawn(harness.cache.clone().oneshot(Miss { permit: place(&room), ..miss }))
    };
    let (leader, waiters) = (ask(), [ask(), ask()]);
    let call = harness.call().await;
    at_rest().await;
    assert_eq!(room.available_permits(), 7);
    leader.abort();
    waiters[0].abort();
    at_rest().await;
    assert_eq!(room.available_permits(), 8, "the call's, and one waiter's");
    call.answers(report(key(1), 2, 1));
    at_rest().await;
    assert_eq!(room.available_permits(), 10);
}

#[tokio::test(start_paused = true)]
async fn refreshes_behind_answers_are_bounded_too_and_made_up_for() {
    let mut harness = CacheHarness::new();
    for number in 0..1_100 {
        harness.hold(key(number), report(key(number), 2, 1)).await;
    }
    sleep(seconds(301)).await;
    for number in 0..1_100 {
        assert_eq!(from(&harness.ask(key(number)).await.unwrap()), "stale");
    }
    let mut calls = Vec::new();
    while let Some(call) = harness.made_call().await {
        calls.push(call);
    }
    assert_eq!(calls.len(), 1_024);
    for call in calls {
        let key = call.call.key;
        call.answers(report(key, 2, 2));
    }
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1_099)).await.unwrap()), "stale");
    assert_eq!(harness.call().await.call.key, key(1_099));
}
