//! The fleet's day and second.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use link_report_proxy::{
    report::Unreachable,
    shared::{MemorySharedStore, StoreCopy},
    simulator::{Fault, Limit, Options, Scope},
};
use tokio::{task::JoinSet, time::sleep};

use super::{
    Fleet,
    faulty_store::{FaultyStore, LinkFault},
};
use crate::support::{
    in_process::{InProcess, path},
    pipe::Connection,
};

/// The vendor's limits, as the proxy has them by default.
const LIMITED: [(&str, &str); 3] =
    [("QUOTA__PER_SECOND", "4"), ("QUOTA__PER_DAY", "10000"), ("SHARED__MARGIN", "0")];

/// Each replica is asked for reports of its own at once. Returns the statuses of the answers.
async fn ask_all(fleet: &Fleet, reports_each: u32, from: u32) -> Vec<u16> {
    let mut asking = JoinSet::new();
    for (replica, keys) in fleet.replicas.iter().zip(0..) {
        for report in 0..reports_each {
            asking.spawn(replica.get_meanwhile(&path(from + keys * reports_each + report)));
        }
    }
    asking.join_all().await.into_iter().map(|answer| answer.unwrap().status).collect()
}

async fn used(fleet: &Fleet, replica: usize) -> u64 {
    fleet.replicas[replica].admin("/quota").await.json()["day"]["used"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn together_the_replicas_make_four_calls_a_second() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    let statuses = ask_all(&fleet, 5, 0).await;
    assert_eq!(statuses, [200; 15]);
    assert_eq!(fleet.vendor.calls(), 15);
    assert!(fleet.busiest_second() <= 4, "{}", fleet.busiest_second());
}

#[tokio::test(start_paused = true)]
async fn with_a_slow_store_they_make_fewer_calls_a_second_but_not_more() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    for (link, latency) in fleet.links.iter().zip([0, 120, 240]) {
        link.set(LinkFault::Slow(Duration::from_millis(latency)));
    }
    let mut served = 0;
    for round in 0..4 {
        served += ask_all(&fleet, 3, round * 9).await.iter().filter(|status| **status == 200).count();
    }
    assert_eq!(served, 36);
    assert!(fleet.busiest_second() <= 4, "{}", fleet.busiest_second());
}

#[tokio::test(start_paused = true)]
async fn each_replica_knows_what_all_have_used() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    ask_all(&fleet, 3, 0).await;
    sleep(Duration::from_secs(6)).await;
    for replica in 0..3 {
        assert_eq!(used(&fleet, replica).await, 9);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_on_an_empty_disk_goes_by_the_fleet_s_count() {
    let mut fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    ask_all(&fleet, 3, 0).await;
    fleet.joined_by_a_new_one(&LIMITED);
    Fleet::has_met().await;
    for replica in 0..3 {
        assert_eq!(used(&fleet, replica).await, 6, "replica {replica}");
    }
    assert_eq!(ask_all(&fleet, 1, 9).await, [200; 3]);
    Fleet::has_met().await;
    assert_eq!(used(&fleet, 2).await, 9);
}

#[tokio::test(start_paused = true)]
async fn where_neither_a_replica_nor_the_store_knows_the_count_an_even_pace_is_assumed() {
    let mut fleet = Fleet::of(0, &LIMITED);
    fleet.joined_by_a_new_one(&LIMITED);
    Fleet::has_met().await;
    fleet.joined_by_a_new_one(&LIMITED);
    Fleet::has_met().await;
    // The tests start at 22:13 UTC.
    let of_first = used(&fleet, 0).await;
    assert!((9_250..9_270).contains(&of_first), "{of_first}");
    assert_eq!(used(&fleet, 1).await, of_first);
}

#[tokio::test(start_paused = true)]
async fn together_they_use_the_day_up_and_no_more() {
    let settings = [LIMITED[0], LIMITED[2], ("QUOTA__PER_DAY", "40")];
    let fleet = Fleet::facing(Options { per_day: 40, ..Options::default() }, 4, &settings);
    Fleet::has_met().await;
    let mut served = 0;
    for round in 0..5 {
        served += ask_all(&fleet, 3, round * 12).await.iter().filter(|status| **status == 200).count();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((served, fleet.vendor.calls()), (40, 40));
}

#[tokio::test(start_paused = true)]
async fn a_quota_exceeded_that_one_has_heard_silences_all() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::All);
    assert_eq!(fleet.replicas[0].get(&path(0)).await.status, 503);
    for replica in &fleet.replicas {
        for report in 1..4 {
            assert_eq!(replica.get(&path(report)).await.status, 503);
        }
    }
    assert_eq!(fleet.vendor.calls(), 1);
    // Far below the limit the answer may be wrong. After an hour one call finds out, for all.
    fleet.vendor.clear_faults();
    sleep(Duration::from_secs(3_700)).await;
    assert!(ask_all(&fleet, 1, 10).await.contains(&200));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(ask_all(&fleet, 1, 20).await, [200; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_quota_exceeded_is_remembered_by_the_replicas_when_the_store_loses_it() {
    for loss in 0..3 {
        let fleet = Fleet::of(3, &LIMITED);
        Fleet::has_met().await;
        let before = fleet.store.copy();
        fleet.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::All);
        assert_eq!(fleet.replicas[0].get(&path(0)).await.status, 503);
        sleep(Duration::from_secs(30)).await;
        match loss {
            0 => fleet.store.restart_empty(),
            1 => fleet.store.fail_over(before),
            _ => fleet.store.flush(),
        }
        for minute in 1..59 {
            sleep(Duration::from_secs(60)).await;
            assert_eq!(ask_all(&fleet, 1, 10 * minute).await, [503; 3]);
        }
        assert_eq!(fleet.vendor.calls(), 1, "{loss}");
        fleet.vendor.clear_faults();
        sleep(Duration::from_secs(180)).await;
        assert!(ask_all(&fleet, 1, 1_000).await.contains(&200));
        sleep(Duration::from_secs(6)).await;
        assert_eq!(ask_all(&fleet, 1, 2_000).await, [200; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_that_one_has_heard_holds_all_back() {
    let fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Throttle { limit: Limit::PerSecond, retry_after: None }, Scope::Next(1));
    let of_first = path(0);
    let (first, second) = tokio::join!(fleet.replicas[0].get(&of_first), async {
        sleep(Duration::from_millis(300)).await;
        fleet.replicas[1].get(&path(1)).await
    });
    assert_eq!(second.status, StatusCode::OK);
    let times: Vec<_> = fleet.vendor.seen().iter().map(|seen| seen.at).collect();
    assert!(
        times[1] - times[0] >= Duration::from_secs(1),
        "{:?} after {}",
        times[1] - times[0],
        first.status
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_store_has_nothing_readable_of_makes_no_call_wait_longer() {
    let fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    fleet.links[0].set(LinkFault::NoReport);
    let asked: Vec<_> = (0..8).map(|report| fleet.replicas[0].get_meanwhile(&path(report))).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert!(fleet.busiest_second() <= 4, "{}", fleet.busiest_second());
    assert_eq!(
        fleet.replicas[0].admin("/quota").await.json()["day"]["used"],
        8,
        "each is counted in the store"
    );
}

/// New misses at each replica, more than may be called, for this time.
async fn keep_asking(fleet: &Fleet, first: &mut u32, lasts: Duration) {
    const EVERY: Duration = Duration::from_millis(100);
    for _round in 0..lasts.as_millis() / EVERY.as_millis() {
        for replica in &fleet.replicas {
            *first += 1;
            drop(replica.get_meanwhile(&path(*first)));
        }
        sleep(EVERY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_and_is_back_for_one_before_the_other_costs_no_call_over_the_second() {
    for (first_back, later) in [(0, 0), (0, 700), (1, 3_000), (0, 4_500)] {
        let fleet = Fleet::of(2, &LIMITED);
        Fleet::has_met().await;
        let mut first = 0;
        keep_asking(&fleet, &mut first, Duration::from_secs(3)).await;
        for link in &fleet.links {
            link.set(LinkFault::Cut);
        }
        keep_asking(&fleet, &mut first, Duration::from_secs(4)).await;
        fleet.links[first_back].set(LinkFault::None);
        keep_asking(&fleet, &mut first, Duration::from_millis(later)).await;
        fleet.links[1 - first_back].set(LinkFault::None);
        keep_asking(&fleet, &mut first, Duration::from_secs(10)).await;
        let calls = fleet.vendor.calls();
        assert!((40..=84).contains(&calls), "{calls} in 17 s and {later} ms");
        assert!(fleet.busiest_second() <= 4, "{} after {later} ms", fleet.busiest_second());
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_store_each_has_its_share_of_the_reserve_which_the_store_hears_of_later() {
    let settings = [LIMITED[0], LIMITED[2], ("QUOTA__PER_DAY", "400")];
    let fleet = Fleet::facing(Options { per_day: 400, ..Options::default() }, 4, &settings);
    Fleet::has_met().await;
    for link in &fleet.links {
        link.set(LinkFault::Cut);
    }
    // The tests' reserve is a tenth: 40 calls, ten each.
    let mut served = 0;
    for round in 0..15 {
        served += ask_all(&fleet, 1, round * 4).await.iter().filter(|status| **status == 200).count();
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!((served, fleet.vendor.calls()), (40, 40));
    assert!(fleet.busiest_second() <= 4, "{}", fleet.busiest_second());
    for link in &fleet.links {
        link.set(LinkFault::None);
    }
    sleep(Duration::from_secs(12)).await;
    for replica in 0..4 {
        assert_eq!(used(&fleet, replica).await, 40);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_lost_begins_with_what_the_replicas_know() {
    let fleet = Fleet::of(3, &LIMITED[..2]);
    Fleet::has_met().await;
    ask_all(&fleet, 4, 0).await;
    sleep(Duration::from_secs(6)).await;
    // A new store has lost nobody knows how many calls: the margin of 40 is added.
    assert_eq!(used(&fleet, 0).await, 40 + 12);
    fleet.store.restart_empty();
    sleep(Duration::from_secs(30)).await;
    for replica in 0..3 {
        assert_eq!(used(&fleet, replica).await, 40 + 12 + 40);
    }
    assert_eq!(ask_all(&fleet, 1, 50).await, [200; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_on_from_an_older_copy_forgets_no_call() {
    type Loss = fn(&MemorySharedStore, StoreCopy);
    let losses: [(&str, Loss); 3] = [
        ("a failover", MemorySharedStore::fail_over),
        ("a restore that nothing tells of", MemorySharedStore::put_back),
        ("FLUSHALL", |store, _copy| store.flush()),
    ];
    for (what, lose) in losses {
        let fleet = Fleet::of(3, &LIMITED[..2]);
        Fleet::has_met().await;
        ask_all(&fleet, 1, 0).await;
        let copy = fleet.store.copy();
        ask_all(&fleet, 4, 10).await;
        let before = used(&fleet, 0).await.max(used(&fleet, 1).await).max(used(&fleet, 2).await);
        lose(&fleet.store, copy);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(ask_all(&fleet, 1, 50).await, [200; 3], "{what}");
        sleep(Duration::from_secs(6)).await;
        let after = [used(&fleet, 0).await, used(&fleet, 1).await, used(&fleet, 2).await];
        assert!(after[0] >= before + 3 && after[0] <= before + 3 + 40, "{what}: {before}, then {after:?}");
        assert_eq!(after, [after[0]; 3], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_on_the_way_counts_a_call_too_many_and_none_too_few() {
    for (fault, counted) in [
        (LinkFault::RequestLost, 1),
        (LinkFault::ReplyLost, 2),
        (LinkFault::Slow(Duration::from_millis(300)), 1),
        // Its place is gone when the reply comes. The next one is longer, and it is the same call.
        (LinkFault::Slow(Duration::from_millis(200)), 1),
    ] {
        let fleet = Fleet::of(2, &LIMITED);
        Fleet::has_met().await;
        fleet.links[0].set(fault);
        assert_eq!(fleet.replicas[0].get(&path(0)).await.status, 200);
        fleet.links[0].set(LinkFault::None);
        sleep(Duration::from_secs(12)).await;
        assert_eq!((used(&fleet, 1).await, fleet.vendor.calls()), (counted, 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_left_are_not_counted() {
    let settings = [LIMITED[0], LIMITED[2], ("QUOTA__PER_DAY", "40")];
    for (store, may_call) in [(LinkFault::None, 40), (LinkFault::Cut, 2)] {
        let fleet = Fleet::facing(Options { per_day: 40, ..Options::default() }, 2, &settings);
        Fleet::has_met().await;
        fleet.links.iter().for_each(|link| link.set(store));
        for replica in &fleet.replicas {
            replica.set_connection(Connection::Nowhere(Unreachable::Connect));
        }
        let mut asked = 0;
        for _call in 0..25 {
            assert_eq!(ask_all(&fleet, 1, asked).await, [502; 2], "{store:?}");
            asked += 2;
        }
        // At most one each, which is the next call.
        for replica in 0..2 {
            assert!((1..=2).contains(&used(&fleet, replica).await), "{store:?}");
        }
        for replica in &fleet.replicas {
            replica.set_connection(Connection::Vendor);
        }
        let mut served = 0;
        for _call in 0..21 {
            served += ask_all(&fleet, 1, asked).await.iter().filter(|status| **status == 200).count();
            asked += 2;
        }
        assert_eq!((served, fleet.vendor.calls()), (may_call, may_call as u64), "{store:?}");
        fleet.links.iter().for_each(|link| link.set(LinkFault::None));
        sleep(Duration::from_secs(30)).await;
        for replica in 0..2 {
            assert_eq!(used(&fleet, replica).await, may_call as u64, "{store:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_asks_nothing_of_the_store() {
    let fleet = Fleet::of(1, &LIMITED);
    Fleet::has_met().await;
    fleet.replicas[0].get(&path(0)).await;
    let before = fleet.links[0].operations();
    for _hit in 0..100 {
        assert_eq!(fleet.replicas[0].get(&path(0)).await.status, 200);
    }
    assert_eq!(fleet.links[0].operations(), before);
}

/// One more replica, which knows nothing of the day.
fn newcomer(fleet: &Fleet) -> InProcess {
    let link = Arc::new(FaultyStore::to(&fleet.store));
    InProcess::replica_without_a_count(fleet.vendor.clone(), Some(link), &LIMITED)
}

#[tokio::test(start_paused = true)]
async fn what_a_new_replica_assumes_of_the_day_is_not_added_to_what_the_others_have_counted() {
    let fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    ask_all(&fleet, 3, 0).await;
    // At 22:13 it assumes that nine tenths of the day are used.
    let newcomer = newcomer(&fleet);
    sleep(Duration::from_secs(12)).await;
    assert_eq!((used(&fleet, 0).await, used(&fleet, 1).await), (6, 6));
    assert_eq!(newcomer.admin("/quota").await.json()["day"]["used"], 6);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_count_begins_with_what_a_new_replica_assumes() {
    let fleet = Fleet::of(0, &LIMITED);
    let _first = newcomer(&fleet);
    let second = newcomer(&fleet);
    sleep(Duration::from_secs(12)).await;
    let assumed = second.admin("/quota").await.json()["day"]["used"].as_u64().unwrap();
    assert!((9_000..9_400).contains(&assumed), "{assumed}");
}

#[tokio::test(start_paused = true)]
async fn while_the_count_of_a_lost_store_is_restored_a_miss_waits_and_is_served() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    for loss in 0..10 {
        // At some moment between two heartbeats.
        sleep(Duration::from_millis(4_000 + 311 * u64::from(loss))).await;
        fleet.store.flush();
        assert_eq!(ask_all(&fleet, 1, 3 * loss).await, [200; 3]);
    }
}
