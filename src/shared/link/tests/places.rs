//! Where the store is, as whom the link logs in, and the change feed: over pipes, in paused time.

use std::time::Duration;

use redis::Value;

use super::{
    super::{DownReason, testing::StoreFault},
    fixture::{Fixture, NODE, SECOND, timed},
};
use crate::{
    settings::{SecretFile, StoreLocation},
    shared::{SharedStoreError, StoreIdentity, WriteSafety},
};

#[tokio::test(start_paused = true)]
async fn a_cluster_s_redirect_is_followed_within_the_operation_and_remembered() {
    let fixture = Fixture::up().await;
    fixture.store.server("10.0.0.2:7000", |_new| ());
    fixture.store.fail_next(&[StoreFault::Error("MOVED 3999 10.0.0.2:7000")]);
    let (reply, took) = timed(fixture.count()).await;
    assert_eq!((reply, took), (Ok(Value::Int(1)), Duration::ZERO));
    fixture.store.server("10.0.0.2:7001", |_new| ());
    fixture.store.fail_next(&[StoreFault::Error("MOVED 3999 :7001")]);
    assert_eq!(fixture.count().await, Ok(Value::Int(2)));
    fixture.reconnect().await;
    assert_eq!(fixture.store.connects(), [NODE, "10.0.0.2:7000", "10.0.0.2:7001", "10.0.0.2:7001"]);
    // The node is gone: begin again with the one in the URL.
    fixture.store.server("10.0.0.2:7001", |server| server.refuses = true);
    fixture.reconnect().await;
    assert_eq!(fixture.store.connects().last().unwrap(), NODE);
}

#[tokio::test(start_paused = true)]
async fn a_node_of_a_cluster_that_has_other_keys_refers_at_the_handshake() {
    let fixture = Fixture::start("redis://valkey", |store| {
        store.server(NODE, |server| server.error = Some("MOVED 3999 other:6379"));
        store.server("other:6379", |_new| ());
    });
    fixture.until_up().await;
    assert_eq!(fixture.store.connects(), [NODE, "other:6379"]);
    fixture.store.server("other:6379", |server| server.error = Some("MOVED 3999 valkey:6379"));
    assert_eq!(fixture.count().await, Err(SharedStoreError::Away));
    assert_eq!(fixture.until_down().await, DownReason::Redirects);
}

#[tokio::test(start_paused = true)]
async fn the_primary_is_asked_of_the_sentinels_again_at_each_connect() {
    let fixture = Fixture::start("redis+sentinel://s0,s1,s2:5000/main", |store| {
        store.server("s0:26379", |server| server.hangs = true);
        store.server("s1:26379", |server| server.refuses = true);
        store.server("s2:5000", |server| server.primary = Some(("valkey", 6379)));
        store.server("spare:6380", |_new| ());
    });
    fixture.until_up().await;
    assert_eq!(fixture.store.connects(), ["s0:26379", "s1:26379", "s2:5000", NODE]);
    fixture.store.server(NODE, |server| server.role = "slave");
    fixture.store.server("s2:5000", |server| server.primary = Some(("spare", 6380)));
    assert_eq!(fixture.count().await, Err(SharedStoreError::Refused("READONLY".into())));
    fixture.until_up().await;
    assert_eq!(fixture.store.connects().last().unwrap(), "spare:6380");
    fixture.store.server("s2:5000", |server| server.primary = None);
    fixture.store.cut();
    fixture.until_down_because(DownReason::NoPrimary).await;
}

#[tokio::test(start_paused = true)]
async fn a_password_in_a_file_is_read_at_each_connect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    std::fs::write(&path, "redis://lrp:old@valkey").unwrap();
    let location = StoreLocation::File(SecretFile::new(&path));
    let fixture = Fixture::at(location, |store| store.server(NODE, |server| server.password = Some("old")));
    fixture.until_up().await;
    fixture.store.server(NODE, |server| server.password = Some("new"));
    fixture.store.cut();
    fixture.until_down_because(DownReason::WrongPassword).await;
    std::fs::write(&path, "redis://lrp:new@valkey").unwrap();
    fixture.until_up().await;
    std::fs::remove_file(&path).unwrap();
    fixture.store.cut();
    fixture.until_down_because(DownReason::UrlFile).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_needs_a_password_says_so() {
    let fixture =
        Fixture::start("redis://valkey", |store| store.server(NODE, |server| server.password = Some("x")));
    fixture.until_down_because(DownReason::PasswordMissing).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_server_s_identity_at_the_start_waits_for_the_first_connection() {
    let fixture = Fixture::start("redis://valkey", |_store| ());
    assert_eq!(fixture.link.identity().await, Ok(StoreIdentity("one".into())));
}

#[tokio::test(start_paused = true)]
async fn the_server_s_identity_is_asked_anew_and_a_replica_s_is_refused() {
    let fixture = Fixture::up().await;
    assert_eq!(fixture.link.identity().await, Ok(StoreIdentity("one".into())));
    fixture.store.server(NODE, |server| {
        server.replid = "two".to_owned();
        server.rewriting = true;
    });
    assert_eq!(fixture.link.identity().await, Ok(StoreIdentity("two".into())));
    let info = fixture.link.current.watch().borrow().info().cloned().unwrap();
    assert!(info.rewriting && info.identity == StoreIdentity("two".into()));
    fixture.store.server(NODE, |server| server.role = "slave");
    assert!(matches!(fixture.link.identity().await, Err(SharedStoreError::Refused(_))));
    assert_eq!(fixture.until_down().await, DownReason::Replica);
}

#[tokio::test(start_paused = true)]
async fn writes_are_safe_unless_the_server_rewrites_its_file_or_has_replicas_that_do_not_confirm_them() {
    let fixture = Fixture::up().await;
    for (rewriting, replicas, safety) in [
        (false, (0, 0), WriteSafety::Kept),
        (false, (2, 1), WriteSafety::Kept),
        (false, (2, 0), WriteSafety::Unreplicated),
        (true, (0, 0), WriteSafety::Rewriting),
    ] {
        fixture.store.server(NODE, |server| {
            server.rewriting = rewriting;
            server.replicas = replicas;
        });
        assert_eq!(fixture.link.write_safety(fixture.link.write_mark()).await, Ok(safety));
    }
    assert_eq!(fixture.store.count("WAIT"), 2, "it holds up other operations");
    fixture.store.server(NODE, |server| server.role = "slave");
    assert!(fixture.link.write_safety(fixture.link.write_mark()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn writes_of_a_connection_that_is_gone_are_confirmed_by_nobody() {
    for replicas in [(0, 0), (2, 2)] {
        let fixture = Fixture::up().await;
        fixture.store.server(NODE, |server| server.replicas = replicas);
        let mark = fixture.link.write_mark();
        fixture.count().await.unwrap();
        fixture.reconnect().await;
        assert_eq!(fixture.link.write_safety(mark).await, Ok(WriteSafety::Unreplicated), "{replicas:?}");
        let mark = fixture.link.write_mark();
        fixture.count().await.unwrap();
        assert_eq!(fixture.link.write_safety(mark).await, Ok(WriteSafety::Kept), "{replicas:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_feed_is_read_on_its_own_connection_and_holds_up_no_operation() {
    let fixture = Fixture::up().await;
    let block = 5 * SECOND;
    let reading = fixture.listen("0-0", block);
    let counting = async {
        tokio::time::sleep(SECOND).await;
        timed(fixture.count()).await
    };
    let ((changes, waited), counted) = tokio::join!(timed(reading), counting);
    assert_eq!(counted, (Ok(Value::Int(1)), Duration::ZERO));
    assert_eq!((changes, waited), (Ok(Value::Array(vec![Value::Int(1)])), SECOND));
    let none = timed(fixture.listen("1-0", block)).await;
    assert_eq!(none, (Ok(Value::Nil), block));
    assert_eq!(fixture.store.connects().len(), 2, "one for each");
    assert_eq!(fixture.store.count("XREAD"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_is_silent_for_longer_than_it_blocks_is_given_up() {
    let fixture = Fixture::up().await;
    let block = 5 * SECOND;
    assert_eq!(fixture.listen("1-0", block).await, Ok(Value::Nil));
    fixture.store.server(NODE, |server| server.hangs = true);
    let silent = timed(fixture.listen("1-0", block)).await;
    assert_eq!(silent, (Err(SharedStoreError::TimedOut), block + 2 * SECOND));
    fixture.store.server(NODE, |server| server.hangs = false);
    assert_eq!(fixture.listen("1-0", block).await, Ok(Value::Nil));
    assert_eq!(fixture.store.connects().len(), 3, "on a new connection");
}

#[tokio::test(start_paused = true)]
async fn the_feed_follows_the_commands_to_another_server() {
    let fixture = Fixture::up().await;
    let reading = fixture.listen("1-0", 5 * SECOND);
    let failing = async {
        tokio::time::sleep(SECOND).await;
        fixture.store.server(NODE, |server| server.role = "slave");
        fixture.count().await
    };
    let ((reply, waited), refused) = tokio::join!(timed(reading), failing);
    assert_eq!((reply, waited), (Err(SharedStoreError::Lost), SECOND));
    assert!(refused.is_err());
    assert_eq!(fixture.listen("0-0", SECOND).await, Err(SharedStoreError::Away));
}

#[tokio::test(start_paused = true)]
async fn a_feed_s_connection_is_not_older_than_the_commands_one() {
    let fixture = Fixture::up().await;
    assert_eq!(fixture.listen("1-0", SECOND).await, Ok(Value::Nil));
    assert_eq!(fixture.listen("1-0", SECOND).await, Ok(Value::Nil));
    assert_eq!(fixture.store.connects().len(), 2);
    // It may have led to a primary of the past, as the command connection did.
    fixture.store.fail_next(&[StoreFault::LostRequest]);
    assert_eq!(fixture.count().await, Err(SharedStoreError::TimedOut));
    fixture.until_up().await;
    assert_eq!(fixture.listen("1-0", SECOND).await, Ok(Value::Nil));
    assert_eq!(fixture.store.connects().len(), 4);
}
