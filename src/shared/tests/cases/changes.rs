//! The change feed.

use std::time::Duration;

use super::{
    super::{
        super::*,
        backend::{Backend, DAY},
        every_operation::newest_change,
    },
    replica::{Replica, ms, one, secs},
};

async fn page(replica: &Replica, after: ChangeId) -> FeedPage {
    replica.store.changes(after, Duration::ZERO).await.unwrap()
}

async fn newest(replica: &Replica) -> ChangeId {
    newest_change(&*replica.store).await.unwrap()
}

fn kinds(page: FeedPage) -> Vec<ChangeKind> {
    assert_eq!(page.restart, None);
    page.changes.into_iter().map(|change| change.kind).collect()
}

pub(in super::super) async fn every_change_is_in_the_feed_in_order(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let epoch = replica.seen.epoch.unwrap();
    assert_eq!(kinds(page(&replica, ChangeId::default()).await), [ChangeKind::Epoch(epoch)]);
    let start = newest(&replica).await;
    let fence = replica.fetch(1, "body").await;
    replica.lease(2).await;
    replica.fail(2, secs(5), "why").await;
    let key = replica.purge(PurgeScope::Key(one())).await;
    let all = replica.purge(PurgeScope::All).await;
    let swap = TokenSwap { expected: 0, generation: 1, token: SealedToken("a".into()) };
    replica.store.swap_token(replica.seen, swap).await.unwrap().unwrap();
    let restored = SharedToken { version: 5, generation: 1, token: SealedToken("a".into()) };
    replica.store.restore_token(replica.seen, restored).await.unwrap().unwrap();
    replica.lock_out(DAY, secs(5)).await;
    replica.lock_out(DAY, Duration::ZERO).await;
    let read = page(&replica, start).await;
    assert!(read.changes.is_sorted_by(|one, two| one.id < two.id));
    assert_eq!(read.changes.last().map(|change| change.id), Some(newest(&replica).await));
    let expected = [
        ChangeKind::Report { key: one(), fence },
        ChangeKind::Failure { key: one(), why: "why".into() },
        ChangeKind::Purge { key: Some(one()), fence: key },
        ChangeKind::Purge { key: None, fence: all },
        ChangeKind::Token { version: 1 },
        ChangeKind::Token { version: 5 },
        ChangeKind::Lockout,
        ChangeKind::Lockout,
    ];
    assert_eq!(kinds(read.clone()), expected);
    assert_eq!(kinds(page(&replica, read.changes[5].id).await), expected[6..]);
    assert_eq!(kinds(page(&replica, newest(&replica).await).await), []);
}

pub(in super::super) async fn a_read_waits_for_the_first_change(on: &Backend) {
    let [reader, writer] = Replica::fleet(on).await;
    let start = newest(&reader).await;
    let waits = reader.store.changes(start, secs(30));
    let (read, fence) = tokio::join!(waits, writer.fetch(1, "body"));
    assert_eq!(kinds(read.unwrap()), [ChangeKind::Report { key: one(), fence }]);
}

pub(in super::super) async fn a_read_without_a_change_ends_when_its_wait_does(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let start = newest(&replica).await;
    replica.spend().await;
    let read = replica.store.changes(start, ms(20)).await.unwrap();
    assert_eq!(kinds(read), []);
}

pub(in super::super) async fn a_repeated_operation_is_no_second_change(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let fence = replica.fetch(1, "body").await;
    replica.lease(2).await;
    replica.fail(2, secs(5), "why").await;
    let swap = TokenSwap { expected: 0, generation: 1, token: SealedToken("a".into()) };
    replica.store.swap_token(replica.seen, swap.clone()).await.unwrap().unwrap();
    let start = newest(&replica).await;
    replica.land(1, fence, "body").await;
    replica.fail(2, secs(5), "why").await;
    replica.store.swap_token(replica.seen, swap).await.unwrap().unwrap();
    replica.lock_out(DAY, Duration::ZERO).await;
    replica.store.recover(replica.recovery()).await.unwrap();
    assert_eq!(newest(&replica).await, start);
}

pub(in super::super) async fn a_long_feed_is_read_in_pages(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let mut at = newest(&replica).await;
    for _ in 0..300 {
        replica.purge(PurgeScope::All).await;
    }
    let mut lengths = Vec::new();
    loop {
        let read = page(&replica, at).await;
        let Some(last) = read.changes.last() else { break };
        at = last.id;
        lengths.push(read.changes.len());
    }
    assert_eq!(lengths, [256, 44]);
}

pub(in super::super) async fn a_reader_that_fell_behind_the_feed_goes_to_its_end(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let behind = newest(&replica).await;
    for _ in 0..2_048 {
        replica.purge(PurgeScope::All).await;
    }
    let end = newest(&replica).await;
    let restart = FeedPage { changes: Vec::new(), restart: Some(FeedRestart::Missed(end)) };
    assert_eq!(page(&replica, behind).await, restart);
    assert_eq!(page(&replica, ChangeId::default()).await, restart);
    assert_eq!(kinds(page(&replica, end).await), []);
}

/// What a reader is told that has to read a feed from its begin.
fn from_its_begin() -> FeedPage {
    FeedPage { changes: Vec::new(), restart: Some(FeedRestart::Anew(ChangeId::default())) }
}

pub(in super::super) async fn a_reader_of_a_feed_that_was_lost_reads_all_of_the_new_one(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    replica.fetch(1, "body").await;
    let ahead = newest(&replica).await;
    on.faults.flush().await;
    assert_eq!(replica.store.changes(ahead, secs(30)).await, Ok(from_its_begin()));
    // The new feed goes on from now, which is later than the position.
    on.faults.put_clock_forward(secs(1));
    let epoch = replica.recover().await.epoch;
    let fence = replica.purge(PurgeScope::Key(one())).await;
    assert_eq!(page(&replica, ahead).await, from_its_begin());
    let purge = ChangeKind::Purge { key: Some(one()), fence };
    assert_eq!(kinds(page(&replica, ChangeId::default()).await), [ChangeKind::Epoch(epoch), purge]);
}

pub(in super::super) async fn the_change_that_wakes_a_reader_of_a_feed_that_was_lost_is_not_left_out(
    on: &Backend,
) {
    let [reader, mut writer] = Replica::fleet(on).await;
    let start = newest(&reader).await;
    let loses = async {
        on.faults.flush().await;
        on.faults.put_clock_forward(secs(1));
        writer.recover().await.epoch
    };
    let (woken, epoch) = tokio::join!(reader.store.changes(start, secs(30)), loses);
    assert_eq!(woken, Ok(from_its_begin()));
    assert_eq!(kinds(page(&reader, ChangeId::default()).await), [ChangeKind::Epoch(epoch)]);
}

pub(in super::super) async fn a_reader_of_an_older_copy_reads_all_of_it(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    on.faults.copy().await;
    let copied = newest(&replica).await;
    replica.fetch(1, "body").await;
    replica.beat().await;
    let ahead = newest(&replica).await;
    on.faults.put_back().await;
    assert_eq!(replica.store.changes(ahead, secs(30)).await, Ok(from_its_begin()));
    let epoch = replica.recover().await.epoch;
    assert_eq!(kinds(page(&replica, copied).await), [ChangeKind::Epoch(epoch)]);
}
