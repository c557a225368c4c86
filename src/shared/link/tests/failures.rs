//! Each fault, and each trap of the crate `redis`: over pipes, in paused time.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::{
    super::{DownReason, testing::StoreFault},
    fixture::{Fixture, NODE, SECOND, TIMEOUT, timed},
};
use crate::shared::SharedStoreError;

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_no_store_and_operations_fail_at_once_until_there_is_one() {
    let fixture =
        Fixture::start("redis://valkey", |store| store.server(NODE, |server| server.refuses = true));
    let (reply, took) = timed(fixture.count()).await;
    assert_eq!((reply, took), (Err(SharedStoreError::Away), Duration::ZERO));
    assert!(fixture.has_metric("shared_up 0"));
    fixture.store.server(NODE, |server| server.refuses = false);
    fixture.until_up().await;
    assert_eq!(fixture.count().await, Ok(Value::Int(1)));
    assert!(fixture.has_metric("shared_up 1"));
    assert!(fixture.has_metric("shared_operations_total{op=\"count\",result=\"ok\"} 1"));
    assert!(fixture.has_metric("shared_operations_total{op=\"count\",result=\"away\"} 1"));
    assert!(fixture.has_metric("shared_operation_duration_seconds_count{op=\"count\"} 2"));
    assert!(fixture.has_metric("shared_operations_total{op=\"listen\",result=\"refused\"} 0"));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_leads_to_a_new_connection_and_its_late_reply_answers_nobody() {
    let fixture = Fixture::up().await;
    fixture.store.fail_next(&[StoreFault::LateReply(TIMEOUT + Duration::from_millis(1))]);
    let (reply, took) = timed(fixture.echo("late")).await;
    assert_eq!((reply, took), (Err(SharedStoreError::TimedOut), TIMEOUT));
    assert_eq!(fixture.echo("next").await, Ok("next".to_owned()));
    assert_eq!(fixture.store.connects().len(), 2);
    assert!(fixture.link.current.watch().borrow().state().is_up(), "one failure is none");
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_a_lost_reply_and_a_doubled_one_cost_a_connection_each_at_most() {
    let fixture = Fixture::up().await;
    fixture.store.fail_next(&[StoreFault::LostRequest]);
    assert_eq!(fixture.count().await, Err(SharedStoreError::TimedOut));
    assert_eq!((fixture.counted(), fixture.count().await), (0, Ok(Value::Int(1))));
    fixture.store.fail_next(&[StoreFault::LostReply]);
    assert_eq!(fixture.count().await, Err(SharedStoreError::TimedOut));
    assert_eq!((fixture.counted(), fixture.count().await), (2, Ok(Value::Int(3))));
    fixture.store.fail_next(&[StoreFault::Doubled]);
    assert_eq!(fixture.count().await, Ok(Value::Int(5)));
    fixture.store.fail_next(&[StoreFault::CutBefore, StoreFault::CutAfter]);
    assert_eq!(fixture.count().await, Err(SharedStoreError::Lost));
    assert_eq!(fixture.count().await, Err(SharedStoreError::Lost));
    assert_eq!((fixture.counted(), fixture.count().await), (6, Ok(Value::Int(7))));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_three_timeouts_and_then_nobody_waits() {
    let fixture = Fixture::up().await;
    fixture.store.server(NODE, |server| server.hangs = true);
    for _ in 0..3 {
        let (reply, took) = timed(fixture.count()).await;
        assert!(reply.is_err() && took <= TIMEOUT, "{took:?}");
    }
    assert_eq!(fixture.until_down().await, DownReason::TimedOut);
    for _ in 0..100 {
        assert_eq!(timed(fixture.count()).await, (Err(SharedStoreError::Away), Duration::ZERO));
    }
    assert!(fixture.has_metric("shared_up 0"));
    let connects = fixture.store.connects().len();
    tokio::time::sleep(60 * SECOND).await;
    let probes = fixture.store.connects().len() - connects;
    assert!((5..=20).contains(&probes), "{probes} probes in a minute");
    fixture.store.server(NODE, |server| server.hangs = false);
    let ((), took) = timed(fixture.until_up()).await;
    assert!(took <= 6 * SECOND, "{took:?}");
    assert!(fixture.count().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn operations_that_share_a_lost_connection_are_one_failure() {
    let fixture = Fixture::up().await;
    fixture.store.server(NODE, |server| server.latency = Duration::from_millis(100));
    let many = futures_util::future::join_all((0..10).map(|_| fixture.count()));
    let cut = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fixture.store.cut();
        fixture.store.server(NODE, |server| server.latency = Duration::ZERO);
    };
    let (replies, ()) = tokio::join!(many, cut);
    assert!(replies.iter().all(|reply| reply == &Err(SharedStoreError::Lost)), "{replies:?}");
    assert!(fixture.count().await.is_ok());
    assert!(fixture.link.current.watch().borrow().state().is_up());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_the_server_closes_is_replaced_before_it_is_needed() {
    let fixture = Fixture::up().await;
    fixture.reconnect().await;
    assert_eq!(fixture.count().await, Ok(Value::Int(1)));
}

#[tokio::test(start_paused = true)]
async fn a_demoted_primary_is_left_by_name_and_asked_for_its_role_with_back_off() {
    let fixture = Fixture::up().await;
    fixture.store.server(NODE, |server| server.role = "slave");
    assert_eq!(fixture.count().await, Err(SharedStoreError::Refused("READONLY".into())));
    assert_eq!(fixture.until_down().await, DownReason::Replica);
    assert_eq!(timed(fixture.count()).await, (Err(SharedStoreError::Away), Duration::ZERO));
    let connects = fixture.store.connects().len();
    tokio::time::sleep(10 * SECOND).await;
    assert!(fixture.store.connects().len() - connects <= 6, "with back-off");
    assert!(!fixture.link.current.watch().borrow().state().is_up(), "SCRIPT LOAD succeeds on a replica");
    fixture.store.server(NODE, |server| server.role = "master");
    fixture.until_up().await;
    assert_eq!(fixture.count().await, Ok(Value::Int(1)));
}

#[tokio::test(start_paused = true)]
async fn each_word_of_the_server_about_itself_takes_the_link_down_and_no_other_does() {
    for (error, reason) in [
        ("LOADING Redis is loading the dataset in memory", DownReason::Loading),
        ("MASTERDOWN Link with MASTER is down", DownReason::PrimaryDown),
        ("NOREPLICAS Not enough good replicas to write.", DownReason::TooFewReplicas),
        ("MISCONF Errors writing to the AOF file: No space left on device", DownReason::DiskFailing),
        ("OOM command not allowed when used memory > 'maxmemory'.", DownReason::OutOfMemory),
        ("NOPERM this user has no permissions to run the 'evalsha' command", DownReason::NotPermitted),
        ("NOAUTH Authentication required.", DownReason::PasswordMissing),
        ("CLUSTERDOWN The cluster is down", DownReason::ClusterDown),
        ("ASK 3999 other:6379", DownReason::SlotMoving),
        ("TRYAGAIN Multiple keys request during rehashing of slot", DownReason::SlotMoving),
        ("BUSY Redis is busy running a script.", DownReason::Busy),
    ] {
        let fixture = Fixture::up().await;
        fixture.store.server(NODE, |server| server.error = Some(error));
        let word = error.split(' ').next().unwrap();
        assert_eq!(fixture.count().await, Err(SharedStoreError::Refused(word.into())));
        assert_eq!(fixture.until_down().await, reason);
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(fixture.until_down().await, reason, "a probe's result too");
        fixture.store.server(NODE, |server| server.error = None);
        fixture.until_up().await;
    }
    let fixture = Fixture::up().await;
    fixture.store.fail_next(&[
        StoreFault::Error("WRONGTYPE Operation against a key"),
        StoreFault::Error("ERR syntax"),
    ]);
    assert_eq!(fixture.count().await, Err(SharedStoreError::Refused("WRONGTYPE".into())));
    assert_eq!(fixture.count().await, Err(SharedStoreError::Refused("ERR".into())));
    assert_eq!(fixture.store.connects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_connections_but_no_writes_is_not_probed_without_pauses() {
    let fixture = Fixture::up().await;
    let start = Instant::now();
    while start.elapsed() < 60 * SECOND {
        fixture.store.fail_next(&[StoreFault::Error("OOM command not allowed")]);
        fixture.until_up().await;
        let _refused = fixture.count().await;
    }
    assert!(fixture.store.connects().len() < 20, "{}", fixture.store.connects().len());
}

#[tokio::test(start_paused = true)]
async fn a_script_that_the_server_has_forgotten_is_loaded_and_run_in_one_operation() {
    let fixture = Fixture::up().await;
    fixture.store.forget_scripts();
    assert_eq!(fixture.count().await, Ok(Value::Int(1)));
    assert_eq!(fixture.store.connects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_redis_is_named_and_left() {
    let fixture = Fixture::up().await;
    fixture.store.fail_next(&[StoreFault::Error("HTTP/1.1 400 Bad Request")]);
    assert!(matches!(fixture.count().await, Err(SharedStoreError::Malformed(_))));
    assert!(fixture.count().await.is_ok());
    assert_eq!(fixture.store.connects().len(), 2, "on a new connection");
    fixture.store.server(NODE, |server| server.error = Some("HTTP/1.1 400 Bad Request"));
    fixture.store.cut();
    fixture.until_down_because(DownReason::Malformed).await;
}
