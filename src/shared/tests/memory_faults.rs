//! What a store in memory shows of its faults.

use std::time::Duration;

use super::{
    super::*,
    backend::NOON,
    every_operation::{every_operation, newest_change, recovery},
};

#[tokio::test(start_paused = true)]
async fn a_restart_and_a_fail_over_change_the_identity_and_a_flush_does_not() {
    let store = MemorySharedStore::new(NOON);
    let before = store.identity().await;
    every_operation(&store).await.unwrap();
    let copy = store.copy();
    store.flush();
    store.put_back(copy.clone());
    assert_eq!(store.identity().await, before);
    store.fail_over(copy);
    let after = store.identity().await;
    assert_ne!(after, before);
    store.restart_empty();
    assert_ne!(store.identity().await, after);
    assert_eq!(store.read_token().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn its_clock_is_that_of_the_runtime() {
    let store = MemorySharedStore::new(NOON);
    let clock = async || store.recover(recovery()).await.unwrap().clock;
    assert_eq!(clock().await, NOON);
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(clock().await, NOON + Duration::from_secs(7));
    store.put_clock_back(Duration::from_secs(10));
    assert_eq!(clock().await, NOON - Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_fail_over_wakes_a_reader_that_is_now_ahead() {
    let store = MemorySharedStore::new(NOON);
    let empty = store.copy();
    store.recover(recovery()).await.unwrap();
    let newest = newest_change(&store).await.unwrap();
    let lost = async { store.fail_over(empty) };
    let (read, ()) = tokio::join!(store.changes(newest, Duration::from_secs(30)), lost);
    assert_eq!(read.unwrap().restart, Some(FeedRestart::Anew(ChangeId::default())));
}
