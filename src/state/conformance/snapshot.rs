//! What each backend must do with the snapshot of the cache.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use super::{super::*, Fixture, claim, plan::plan, swap, take};
use crate::report::Representation;

fn records(numbers: std::ops::Range<u32>) -> SnapshotRecords {
    Box::new(numbers.map(|number| SnapshotRecord {
        fields: number.to_string().into_bytes(),
        body: (number % 2 == 0).then(|| Representation::new(format!("body {number}").as_bytes())),
    }))
}

/// Fields and bodies, up to so many of them.
async fn read(stores: &StateStores, most: usize) -> Vec<(String, String)> {
    let read = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&read);
    let take: TakeRecord = Box::new(move |fields, body| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut list = list.lock().unwrap();
        list.push((text(fields), text(body)));
        if list.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    stores.snapshot_store.read(take).await.unwrap();
    std::mem::take(&mut *read.lock().unwrap())
}

pub(super) async fn keeps_the_last_snapshot(Fixture { stores, .. }: &Fixture) {
    assert_eq!(read(stores, 9).await, []);
    stores.snapshot_store.write(records(0..5)).await.unwrap();
    assert!(stores.snapshot_store.write(records(7..9)).await.unwrap() > 0);
    let expected = [("7", ""), ("8", "body 8")].map(|(fields, body)| (fields.to_owned(), body.to_owned()));
    assert_eq!(read(stores, 9).await, expected);
    assert_eq!(read(stores, 1).await, expected[..1], "broken off");
    stores.snapshot_store.remove().await.unwrap();
    assert_eq!(read(stores, 9).await, []);
    stores.snapshot_store.remove().await.unwrap();
}

pub(super) async fn removes_what_is_being_written(Fixture { stores, .. }: &Fixture) {
    let store = &stores.snapshot_store;
    let (written, removed) = tokio::join!(store.write(records(0..5)), store.remove());
    written.unwrap();
    removed.unwrap();
    assert_eq!(read(stores, 9).await, []);
}

pub(super) async fn keeps_the_stores_apart(Fixture { stores, .. }: &Fixture) {
    swap(stores, None, "one").await.unwrap();
    take(stores, claim(20_000, 8)).await;
    stores.plan_store.write(plan(3)).await.unwrap();
    stores.snapshot_store.write(records(0..5)).await.unwrap();
    stores.snapshot_store.remove().await.unwrap();
    assert!(stores.token_store.read().await.unwrap().is_some());
    assert_eq!(stores.call_counter.read().await.unwrap().unwrap().latest().spent, 8);
    assert!(stores.plan_store.read().await.unwrap().is_some());
}
