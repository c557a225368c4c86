//! Reports and flights of the fleet: one call for a key, whichever replica is asked.

use std::time::Duration;

use http::{Method, StatusCode};
use link_report_proxy::{
    inbound::ResponseFuture,
    shared::StoreValue,
    simulator::{BodyShape, Fault, Limit, Options, Scope, synthetic_id},
};
use tokio::{task::JoinSet, time::sleep};

use super::{Fleet, faulty_store::LinkFault};
use crate::support::in_process::{OLD, path, request, timed};

/// What the data port of a replica answers: status, `Age` in seconds, `Cache-Status`.
async fn ask(fleet: &Fleet, replica: usize, report: u32) -> (u16, u64, String) {
    let answer = fleet.replicas[replica].get(&path(report)).await;
    let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status, header("age").parse().unwrap_or(0), header("cache-status"))
}

#[tokio::test(start_paused = true)]
async fn a_report_that_another_replica_has_fetched_costs_no_call_and_has_its_true_age() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    assert_eq!(ask(&fleet, 0, 1).await.2, "link-report-proxy; fwd=uri-miss; stored");
    sleep(Duration::from_secs(40)).await;
    let (status, age, how) = ask(&fleet, 1, 1).await;
    assert_eq!((status, age, how.as_str()), (200, 40, "link-report-proxy; hit; ttl=260; detail=shared"));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 50, "from its own memory");
    assert_eq!(fleet.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_uncached_report_that_is_asked_for_everywhere_at_once_costs_one_call() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Latency(Duration::from_secs(3)), Scope::All);
    let mut asking = JoinSet::new();
    for _caller in 0..20 {
        for replica in &fleet.replicas {
            asking.spawn(replica.get_meanwhile(&path(1)));
        }
    }
    for answer in asking.join_all().await {
        assert_eq!(answer.unwrap().status, StatusCode::OK);
    }
    assert_eq!(fleet.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_report_reaches_every_memory_that_holds_it_within_a_second() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    for replica in 0..3 {
        ask(&fleet, replica, 1).await;
    }
    sleep(Duration::from_secs(310)).await;
    ask(&fleet, 0, 1).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fleet.vendor.calls(), 2);
    for replica in 0..3 {
        assert_eq!(ask(&fleet, replica, 1).await.1, 1);
    }
    assert_eq!(fleet.vendor.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_replicas_make_as_many_calls_for_polled_reports_as_one() {
    let mut calls = Vec::new();
    for replicas in [1, 10] {
        let fleet = Fleet::of(replicas, &[]);
        Fleet::has_met().await;
        for _round in 0..240 {
            for replica in 0..replicas {
                for report in 0..4 {
                    assert_eq!(ask(&fleet, replica, report).await.0, 200);
                }
            }
            sleep(Duration::from_secs(30)).await;
        }
        calls.push(fleet.vendor.calls());
    }
    assert_eq!(calls[0], calls[1], "in two hours");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_a_memory_would_not_serve_without_a_call_costs_one_from_the_store_too() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    ask(&fleet, 0, 1).await;
    sleep(Duration::from_secs(400)).await;
    let (_, age, how) = ask(&fleet, 1, 1).await;
    assert_eq!((age, how.as_str()), (400, "link-report-proxy; hit; ttl=-100; detail=shared"));
    ask(&fleet, 1, 1).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!((ask(&fleet, 1, 1).await.1, fleet.vendor.calls()), (1, 2), "refreshed behind the last one");
    // `cache.ttl` and `cache.stale_while_revalidate`
    sleep(Duration::from_secs(901)).await;
    let (_, age, how) = ask(&fleet, 2, 1).await;
    assert_eq!((age, how.as_str()), (0, "link-report-proxy; fwd=uri-miss; stored"));
    assert_eq!(fleet.vendor.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_report_of_the_store_that_is_too_old_is_served_if_the_call_fails() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    ask(&fleet, 0, 1).await;
    sleep(Duration::from_hours(5)).await;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    fleet.vendor.inject(Fault::Status { status, shape: BodyShape::Array }, Scope::All);
    let remembered = "hit; ttl=-17700; detail=upstream_error";
    for (replica, how) in [
        (1, "fwd=stale; fwd-status=500; detail=upstream_error"),
        (1, remembered),
        (2, remembered),
        (2, remembered),
    ] {
        let answer = fleet.replicas[replica].get(&path(1)).await;
        assert_eq!((answer.status, answer.cache_status()), (200, how), "{replica}");
    }
    assert_eq!(fleet.vendor.calls(), 2, "and the failure is known to all");
    assert_eq!(ask(&fleet, 2, 2).await.0, 502);
    sleep(Duration::from_hours(20)).await;
    assert_eq!(ask(&fleet, 1, 1).await.0, 502, "`cache.stale_if_error`");
}

#[tokio::test(start_paused = true)]
async fn thirty_four_hot_keys_cost_as_many_calls_with_ten_replicas_as_with_one() {
    let mut calls = Vec::new();
    for replicas in [1, 3, 10] {
        let vendor = Options { per_second: 0, ..Options::default() };
        let fleet = Fleet::facing(vendor, replicas, &[("CACHE__TTL_JITTER", "0.1")]);
        Fleet::has_met().await;
        for _round in 0..720 {
            for replica in &fleet.replicas {
                for report in 0..34 {
                    if let ResponseFuture::Later(answer) = replica.call(&path(report)) {
                        answer.await.unwrap();
                    }
                }
            }
            sleep(Duration::from_secs(10)).await;
        }
        calls.push(fleet.vendor.calls() as f64);
    }
    for fleet in &calls {
        assert!((0.98..1.02).contains(&(fleet / calls[0])), "in two hours: {calls:?}");
    }
    assert!((750.0..850.0).contains(&calls[0]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_costs_one_call_a_pause_and_not_one_for_each_replica() {
    let fleet = Fleet::of(5, &[]);
    Fleet::has_met().await;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    fleet.vendor.inject(Fault::Status { status, shape: BodyShape::Array }, Scope::All);
    for _second in 0..60 {
        for replica in 0..5 {
            assert_eq!(ask(&fleet, replica, 1).await.0, 502);
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(fleet.vendor.calls(), 4, "after 0, 5, 15 and 35 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_every_replica() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    for replica in 0..3 {
        ask(&fleet, replica, 1).await;
    }
    let target = format!("/cache/{}", synthetic_id(1, 2));
    let purged = fleet.replicas[1].admin_as("127.0.0.1:5", request(Method::DELETE, &target, &[])).await;
    assert!(purged.status < 300, "{}", purged.status);
    sleep(Duration::from_secs(1)).await;
    sleep(Duration::from_secs(30)).await;
    for replica in 0..3 {
        let (status, age, _) = ask(&fleet, replica, 1).await;
        assert_eq!((status, age), (200, 0));
    }
    assert_eq!(fleet.vendor.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_the_store_did_not_hear_is_told_when_it_is_back() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    for replica in 0..2 {
        ask(&fleet, replica, 1).await;
    }
    fleet.links[0].set(LinkFault::Cut);
    let purged = fleet.replicas[0].admin_as("127.0.0.1:5", request(Method::DELETE, "/cache", &[])).await;
    assert!(purged.status < 300, "{}", purged.status);
    sleep(Duration::from_secs(20)).await;
    fleet.links[0].set(LinkFault::None);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 0, "purged here too");
}

#[tokio::test(start_paused = true)]
async fn without_the_store_each_replica_fetches_for_itself() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    for link in &fleet.links {
        link.set(LinkFault::Cut);
    }
    for replica in 0..2 {
        assert_eq!(ask(&fleet, replica, 1).await.0, 200);
    }
    assert_eq!(fleet.vendor.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_in_a_flight_delays_the_others_by_its_lease_at_most() {
    let mut fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Hang, Scope::Next(1));
    let asking = fleet.replicas[0].get_meanwhile(&path(1));
    sleep(Duration::from_millis(100)).await;
    fleet.links[0].set(LinkFault::Cut);
    drop(fleet.replicas.remove(0));
    asking.abort();
    let mut waited = 0;
    while ask(&fleet, 0, 1).await.0 != 200 {
        waited += 1;
        assert!(waited < 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_every_replica_is_asked_for_at_once_costs_one_call() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Latency(Duration::from_millis(300)), Scope::All);
    for replica in 0..3 {
        ask(&fleet, replica, 1).await;
    }
    sleep(Duration::from_secs(310)).await;
    for replica in 0..3 {
        ask(&fleet, replica, 1).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.vendor.calls(), 2);
    for replica in 0..3 {
        assert_eq!(ask(&fleet, replica, 1).await.1, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_in_the_store_that_is_too_old_to_be_served_at_once_is_fetched_again() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    ask(&fleet, 0, 1).await;
    sleep(OLD).await;
    let (status, age, how) = ask(&fleet, 1, 1).await;
    assert_eq!((status, age, how.as_str()), (200, 0, "link-report-proxy; fwd=uri-miss; stored"));
    sleep(OLD).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 0, "the same where it is held");
    assert_eq!(fleet.vendor.calls(), 3);
}

/// Replica 1 has fetched a report without the store, which has one that is 20 s older.
async fn younger_than_the_store_s() -> Fleet {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    fleet.links[1].set(LinkFault::Cut);
    ask(&fleet, 0, 1).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 0);
    fleet.links[1].set(LinkFault::None);
    fleet
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_has_fetched_without_the_store_is_not_replaced_by_an_older_report() {
    let fleet = younger_than_the_store_s().await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 10);
}

#[tokio::test(start_paused = true)]
async fn an_older_report_of_the_store_stands_in_for_no_younger_one_whose_refresh_fails() {
    let fleet = younger_than_the_store_s().await;
    fleet.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::All);
    // Past `cache.ttl`: refreshed behind this answer, which fails.
    sleep(Duration::from_secs(400)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 400);
    sleep(Duration::from_secs(10)).await;
    assert_eq!((ask(&fleet, 1, 1).await.1, fleet.vendor.calls()), (410, 3));
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_the_store_has_not_heard_is_not_undone_by_what_the_store_has() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    ask(&fleet, 0, 1).await;
    sleep(Duration::from_secs(20)).await;
    fleet.links[0].set(LinkFault::RequestLost);
    let target = format!("/cache/{}", synthetic_id(1, 2));
    fleet.replicas[0].admin_as("127.0.0.1:5", request(Method::DELETE, &target, &[])).await;
    sleep(Duration::from_millis(10)).await;
    fleet.links[0].set(LinkFault::None);
    assert_eq!(ask(&fleet, 0, 1).await.1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_repeated_when_the_store_has_lost_it() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    ask(&fleet, 0, 1).await;
    let before = fleet.store.copy();
    let target = format!("/cache/{}", synthetic_id(1, 2));
    fleet.replicas[0].admin_as("127.0.0.1:5", request(Method::DELETE, &target, &[])).await;
    sleep(Duration::from_secs(1)).await;
    fleet.store.fail_over(before);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_all_reaches_a_replica_that_was_cut_off_until_the_feed_had_dropped_it() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    ask(&fleet, 1, 1).await;
    fleet.links[1].set(LinkFault::Cut);
    fleet.replicas[0].admin_as("127.0.0.1:5", request(Method::DELETE, "/cache", &[])).await;
    sleep(Duration::from_secs(1)).await;
    fleet.store.evict(StoreValue::Changes);
    fleet.links[1].set(LinkFault::None);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 0);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&fleet, 1, 1).await.1, 20, "and is heeded once");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_purged_takes_no_older_report_from_a_store_that_has_just_lost_the_purge() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    ask(&fleet, 1, 1).await;
    let before = fleet.store.copy();
    sleep(Duration::from_secs(20)).await;
    fleet.replicas[0].admin_as("127.0.0.1:5", request(Method::DELETE, "/cache", &[])).await;
    sleep(Duration::from_secs(1)).await;
    fleet.store.put_back(before);
    // The other replica finds it out first, and begins an epoch.
    ask(&fleet, 1, 2).await;
    assert_eq!(ask(&fleet, 0, 1).await.1, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_until_the_other_replicas_are_told_of_it() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::All);
    let asking = fleet.replicas[0].get_meanwhile(&path(1));
    sleep(Duration::from_millis(500)).await;
    fleet.links[0].set(LinkFault::ReplyLost);
    let (answer, waited) = timed(asking).await;
    assert_eq!((answer.unwrap().status, waited), (200, Duration::from_millis(500)));
}

#[tokio::test(start_paused = true)]
async fn a_miss_waits_for_the_store_twice_at_most() {
    for fault in [LinkFault::RequestLost, LinkFault::ReplyLost] {
        let fleet = Fleet::of(2, &[]);
        Fleet::has_met().await;
        fleet.links[0].set(fault);
        let (answer, waited) = timed(ask(&fleet, 0, 1)).await;
        assert_eq!((answer.0, waited), (200, Duration::from_millis(500)), "{fault:?}");
    }
}
