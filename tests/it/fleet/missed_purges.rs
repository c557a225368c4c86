//! Purges that reach a replica though it has lost its place in the feed of changes, and what that costs.

use std::time::Duration;

use http::Method;
use link_report_proxy::{
    shared::StoreValue,
    simulator::{Options, synthetic_id},
};
use tokio::time::sleep;

use super::{Fleet, faulty_store::LinkFault};
use crate::support::in_process::{path, request};

/// Until a replica whose link works again has noticed, and has read the feed.
const RETURNED: Duration = Duration::from_secs(20);

/// The age of the report that a replica answers with.
async fn age(fleet: &Fleet, replica: usize, report: u32) -> u64 {
    let answer = fleet.replicas[replica].get(&path(report)).await;
    assert_eq!(answer.status, 200);
    answer.headers["age"].to_str().unwrap().parse().unwrap()
}

/// The purge of a report, on the admin port.
fn of(report: u32) -> String {
    format!("/cache/{}", synthetic_id(1, report + 1))
}

/// Purges at the first replica.
async fn purge(fleet: &Fleet, target: &str) {
    let purged = fleet.replicas[0].admin_as("127.0.0.1:5", request(Method::DELETE, target, &[])).await;
    assert_eq!(purged.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_a_replica_that_started_without_the_store() {
    for (target, lost) in
        [(of(1), None), ("/cache".to_owned(), None), ("/cache".to_owned(), Some(StoreValue::Changes))]
    {
        let fleet = Fleet::of(2, &[]);
        fleet.links[1].set(LinkFault::Cut);
        Fleet::has_met().await;
        assert_eq!(age(&fleet, 1, 1).await, 0);
        sleep(Duration::from_secs(5)).await;
        purge(&fleet, &target).await;
        sleep(Duration::from_secs(5)).await;
        lost.into_iter().for_each(|lost| fleet.store.evict(lost));
        fleet.links[1].set(LinkFault::None);
        sleep(RETURNED).await;
        assert_eq!(age(&fleet, 1, 1).await, 0, "{target} {lost:?}");
        sleep(RETURNED).await;
        assert_eq!(age(&fleet, 1, 1).await, 20, "and is heeded once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_a_replica_that_was_cut_off_for_longer_than_the_feed_remembers() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    for report in [1, 2] {
        age(&fleet, 1, report).await;
    }
    fleet.links[1].set(LinkFault::Cut);
    purge(&fleet, &of(1)).await;
    // Of other keys; so many at once are not yet a purge of all.
    for batch in 1..4 {
        for report in 0..400 {
            purge(&fleet, &of(batch * 1_000 + report)).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    fleet.links[1].set(LinkFault::None);
    sleep(RETURNED).await;
    assert_eq!(age(&fleet, 1, 1).await, 0);
    assert_eq!((age(&fleet, 1, 2).await, fleet.vendor.calls()), (23, 3), "the store has it: no call");
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_an_emptied_store_was_told_first_reaches_who_returns_later() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    age(&fleet, 1, 1).await;
    fleet.links[1].set(LinkFault::Cut);
    sleep(Duration::from_secs(1)).await;
    fleet.store.restart_empty();
    purge(&fleet, &of(1)).await;
    sleep(RETURNED).await;
    fleet.links[1].set(LinkFault::None);
    sleep(RETURNED).await;
    assert_eq!(age(&fleet, 1, 1).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_a_store_lost_before_a_long_outage_is_told_again() {
    for meanwhile in [None, Some(of(2))] {
        let fleet = Fleet::of(2, &[]);
        Fleet::has_met().await;
        age(&fleet, 1, 1).await;
        fleet.links[1].set(LinkFault::Cut);
        let copy = fleet.store.copy();
        purge(&fleet, &of(1)).await;
        sleep(Duration::from_secs(1)).await;
        fleet.links[0].set(LinkFault::Cut);
        if let Some(another) = &meanwhile {
            purge(&fleet, another).await;
        }
        sleep(Duration::from_mins(10)).await;
        fleet.store.fail_over(copy);
        fleet.links.iter().for_each(|link| link.set(LinkFault::None));
        sleep(RETURNED).await;
        assert_eq!(age(&fleet, 1, 1).await, 0, "{meanwhile:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_from_before_its_start_takes_nothing_from_a_replica_that_meets_the_store_later() {
    for target in [of(1), "/cache".to_owned()] {
        let mut fleet = Fleet::of(1, &[]);
        Fleet::has_met().await;
        purge(&fleet, &target).await;
        sleep(Duration::from_mins(2)).await;
        fleet.joined_by_a_new_one(&[]);
        fleet.links[1].set(LinkFault::Cut);
        assert_eq!(age(&fleet, 1, 1).await, 0);
        sleep(Duration::from_secs(5)).await;
        fleet.links[1].set(LinkFault::None);
        sleep(RETURNED).await;
        assert_eq!((age(&fleet, 1, 1).await, fleet.vendor.calls()), (25, 1), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_purge_in_a_copy_of_the_store_drops_nothing_that_was_fetched_since() {
    for target in [of(1), "/cache".to_owned()] {
        let fleet = Fleet::of(2, &[]);
        Fleet::has_met().await;
        age(&fleet, 0, 1).await;
        purge(&fleet, &target).await;
        // It is not told again.
        sleep(Duration::from_mins(2)).await;
        for replica in [0, 1] {
            age(&fleet, replica, 1).await;
        }
        let copy = fleet.store.copy();
        age(&fleet, 0, 2).await;
        sleep(Duration::from_secs(5)).await;
        let held = fleet.replicas[1].admin("/cache").await.json()["items"][0]["hits"].clone();
        fleet.store.fail_over(copy);
        sleep(RETURNED).await;
        assert_eq!((age(&fleet, 1, 1).await, fleet.vendor.calls()), (25, 3), "{target}");
        let hits = fleet.replicas[1].admin("/cache").await.json()["items"][0]["hits"].clone();
        assert_eq!(hits.as_u64().unwrap(), held.as_u64().unwrap() + 1, "{target}: it is the same entry");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_purged_long_ago_is_not_served_from_an_older_copy_of_the_store() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    age(&fleet, 0, 1).await;
    let copy = fleet.store.copy();
    purge(&fleet, "/cache").await;
    sleep(Duration::from_mins(5)).await;
    fleet.store.fail_over(copy);
    sleep(RETURNED).await;
    assert_eq!(age(&fleet, 1, 1).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_on_its_way_from_the_store_when_it_is_purged_is_not_kept() {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    for replica in [0, 1] {
        age(&fleet, replica, 1).await;
    }
    // Past `cache.ttl`: it is refreshed behind this answer. The feed is being read.
    sleep(Duration::from_secs(312)).await;
    fleet.links[0].set(LinkFault::Frozen(Duration::from_secs(10)));
    age(&fleet, 1, 1).await;
    sleep(Duration::from_secs(5)).await;
    fleet.links[0].set(LinkFault::Cut);
    purge(&fleet, &of(1)).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(age(&fleet, 0, 1).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_restarts_empty_costs_no_call_for_what_the_replicas_hold() {
    let fleet = Fleet::facing(Options { per_second: 0, ..Options::default() }, 3, &[]);
    Fleet::has_met().await;
    for replica in 0..3 {
        for report in 0..10 {
            age(&fleet, replica, report).await;
        }
    }
    fleet.links.iter().for_each(|link| link.set(LinkFault::Cut));
    sleep(Duration::from_mins(2)).await;
    fleet.store.restart_empty();
    fleet.links.iter().for_each(|link| link.set(LinkFault::None));
    sleep(RETURNED).await;
    for replica in 0..3 {
        for report in 0..10 {
            assert_eq!(age(&fleet, replica, report).await, 140);
        }
    }
    assert_eq!(fleet.vendor.calls(), 10);
}
