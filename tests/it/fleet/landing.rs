//! Telling the other replicas how a fetch has ended, over a link that fails meanwhile: nobody waits for a lease's end.

use std::time::Duration;

use http::StatusCode;
use link_report_proxy::simulator::{BodyShape, Fault, Scope};
use tokio::time::{Instant, sleep};

use super::{Fleet, faulty_store::LinkFault};
use crate::support::in_process::{Answer, path};

async fn ask(fleet: &Fleet, replica: usize) -> Answer {
    fleet.replicas[replica].get(&path(1)).await
}

/// Replica 0 is asked, with its link in this state once it has the lease; which it has after 100 ms, while the vendor's
/// answer takes a second.
async fn fetched_while(fault: LinkFault) -> Fleet {
    let fleet = Fleet::of(2, &[]);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::Next(1));
    let asking = fleet.replicas[0].get_meanwhile(&path(1));
    sleep(Duration::from_millis(100)).await;
    fleet.links[0].set(fault);
    assert_eq!(asking.await.unwrap().status, StatusCode::OK);
    fleet
}

#[tokio::test(start_paused = true)]
async fn a_report_that_the_store_did_not_hear_of_is_told_again_with_its_true_age() {
    for fault in [LinkFault::Cut, LinkFault::RequestLost, LinkFault::ReplyLost] {
        let fleet = fetched_while(fault).await;
        sleep(Duration::from_secs(3)).await;
        fleet.links[0].set(LinkFault::None);
        sleep(Duration::from_secs(2)).await;
        let answer = ask(&fleet, 1).await;
        assert_eq!((answer.status, answer.headers["age"].as_bytes()), (200, &b"5"[..]), "{fault:?}");
        assert_eq!(fleet.vendor.calls(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_the_store_did_not_hear_of_is_told_again_with_the_rest_of_its_back_off() {
    let fleet = Fleet::of(3, &[]);
    Fleet::has_met().await;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    fleet.vendor.inject(Fault::Status { status, shape: BodyShape::Array }, Scope::Next(1));
    fleet.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::Next(1));
    let asking = fleet.replicas[0].get_meanwhile(&path(1));
    sleep(Duration::from_millis(100)).await;
    fleet.links[0].set(LinkFault::Cut);
    assert_eq!(asking.await.unwrap().status, StatusCode::BAD_GATEWAY);
    sleep(Duration::from_secs(2)).await;
    fleet.links[0].set(LinkFault::None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((ask(&fleet, 1).await.status, fleet.vendor.calls()), (502, 1), "backed off: 5 s from its end");
    sleep(Duration::from_millis(2_100)).await;
    assert_eq!((ask(&fleet, 2).await.status, fleet.vendor.calls()), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_grant_was_not_heard_of_holds_nobody_up() {
    for fault in [LinkFault::ReplyLost, LinkFault::Slow(Duration::from_secs(1))] {
        let fleet = Fleet::of(2, &[]);
        Fleet::has_met().await;
        fleet.links[0].set(fault);
        assert_eq!(ask(&fleet, 0).await.status, 200, "{fault:?}");
        fleet.links[0].set(LinkFault::None);
        let asked = Instant::now();
        assert_eq!(ask(&fleet, 1).await.status, 200, "{fault:?}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{fault:?}: {:?}", asked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_not_told_for_ever() {
    let fleet = fetched_while(LinkFault::Cut).await;
    // `LEASE_MARGIN` and twice `quota.max_wait` and `upstream.attempt_timeout`
    sleep(Duration::from_secs(36)).await;
    fleet.links[0].set(LinkFault::None);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&fleet, 1).await.status, 200);
    assert_eq!(fleet.vendor.calls(), 2);
}
