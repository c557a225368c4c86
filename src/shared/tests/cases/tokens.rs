//! The token record: compare-and-set, and its way back into a store that has lost it.

use super::{
    super::{super::*, backend::Backend},
    replica::Replica,
};

fn sealed(text: &'static str) -> SealedToken {
    SealedToken(text.into())
}

fn swap(expected: u64, text: &'static str) -> TokenSwap {
    TokenSwap { expected, generation: expected / 2, token: sealed(text) }
}

fn record(version: u64, text: &'static str) -> SharedToken {
    SharedToken { version, generation: (version - 1) / 2, token: sealed(text) }
}

async fn swapped(replica: &Replica, swap: TokenSwap) -> TokenSwapped {
    replica.store.swap_token(replica.seen, swap).await.unwrap().unwrap()
}

async fn restored(replica: &Replica, token: SharedToken) -> u64 {
    replica.store.restore_token(replica.seen, token).await.unwrap().unwrap()
}

async fn read(replica: &Replica) -> Option<SharedToken> {
    replica.store.read_token().await.unwrap()
}

pub(in super::super) async fn a_token_is_swapped_only_over_the_version_that_was_read(on: &Backend) {
    let [first, second] = Replica::fleet(on).await;
    assert_eq!(read(&first).await, None);
    assert_eq!(swapped(&first, swap(3, "x")).await, TokenSwapped::Conflict(None));
    assert_eq!(swapped(&first, swap(0, "a")).await, TokenSwapped::Done(1));
    assert_eq!(swapped(&second, swap(0, "b")).await, TokenSwapped::Conflict(Some(record(1, "a"))));
    assert_eq!(swapped(&second, swap(1, "b")).await, TokenSwapped::Done(2));
    assert_eq!(swapped(&first, swap(1, "c")).await, TokenSwapped::Conflict(Some(record(2, "b"))));
    assert_eq!(read(&first).await, Some(record(2, "b")));
}

pub(in super::super) async fn a_repeated_swap_is_done_and_not_written_twice(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    let written = swap(0, "a");
    assert_eq!(swapped(&replica, written.clone()).await, TokenSwapped::Done(1));
    let before = replica.beat().await;
    assert_eq!(swapped(&replica, written.clone()).await, TokenSwapped::Done(1));
    assert_eq!(replica.beat().await, before);
    for other in [TokenSwap { generation: 9, ..written.clone() }, swap(0, "other")] {
        assert!(matches!(swapped(&replica, other).await, TokenSwapped::Conflict(Some(_))));
    }
    assert_eq!(swapped(&replica, swap(1, "b")).await, TokenSwapped::Done(2));
    assert!(matches!(swapped(&replica, written).await, TokenSwapped::Conflict(Some(_))), "too late");
}

pub(in super::super) async fn a_restored_token_never_lowers_the_version(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    assert_eq!(restored(&replica, record(5, "e")).await, 5);
    assert_eq!(restored(&replica, record(4, "d")).await, 5);
    assert_eq!(restored(&replica, record(5, "other")).await, 5);
    assert_eq!(read(&replica).await, Some(record(5, "e")));
    let next = record(7, "g");
    assert_eq!(restored(&replica, next.clone()).await, 7);
    assert_eq!(read(&replica).await, Some(next));
    assert_eq!(swapped(&replica, swap(7, "h")).await, TokenSwapped::Done(8));
}

pub(in super::super) async fn a_repeated_restore_changes_nothing(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    restored(&replica, record(5, "e")).await;
    let before = replica.beat().await;
    assert_eq!(restored(&replica, record(5, "e")).await, 5);
    assert_eq!(replica.beat().await, before);
}

pub(in super::super) async fn an_evicted_token_is_restored(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    swapped(&replica, swap(0, "a")).await;
    swapped(&replica, swap(1, "b")).await;
    on.faults.evict(StoreValue::Token).await;
    assert_eq!(replica.beat().await.token_version, 0);
    assert_eq!(swapped(&replica, swap(2, "c")).await, TokenSwapped::Conflict(None));
    assert_eq!(restored(&replica, record(2, "b")).await, 2);
    assert_eq!(swapped(&replica, swap(2, "c")).await, TokenSwapped::Done(3));
}

pub(in super::super) async fn a_swap_in_an_emptied_store_is_refused(on: &Backend) {
    let [mut first, second] = Replica::fleet(on).await;
    swapped(&first, swap(0, "a")).await;
    on.faults.flush().await;
    let refused = second.store.swap_token(second.seen, swap(0, "b")).await.unwrap();
    assert_eq!(refused, Err(StoreChanged::Empty));
    let epoch = first.recover().await.epoch;
    let refused = second.store.swap_token(second.seen, swap(0, "b")).await.unwrap();
    assert_eq!(refused, Err(StoreChanged::OtherEpoch(epoch)), "version 0 is not the one that it read");
    let refused = second.store.restore_token(second.seen, record(1, "b")).await.unwrap();
    assert_eq!(refused, Err(StoreChanged::OtherEpoch(epoch)));
    assert_eq!(read(&first).await, None);
}
