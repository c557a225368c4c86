//! `GET /cache`: which entries, in which order.

use std::time::Duration;

use serde_json::Value;

use crate::support::in_process::{InProcess, key, path};

async fn rows(proxy: &InProcess, query: &str) -> Vec<Value> {
    let answer = proxy.admin(&format!("/cache?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}

async fn ids(proxy: &InProcess, query: &str) -> Vec<String> {
    let id = |row: Value| row["id"].as_str().unwrap().to_owned();
    rows(proxy, query).await.into_iter().map(id).collect()
}

fn ids_of(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| key(*number).id.to_string()).collect()
}

/// Reports 1 to 3, each a minute younger than the one before, and asked for as often as its number.
async fn three_reports() -> InProcess {
    let proxy = InProcess::new();
    for number in 1..=3 {
        for _ in 0..=number {
            assert_eq!(proxy.get(&path(number)).await.status, 200);
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    proxy
}

#[tokio::test(start_paused = true)]
async fn entries_are_sorted_by_each_column_either_way() {
    let proxy = three_reports().await;
    for (query, expected) in [
        ("sort=age&order=desc", [1, 2, 3]),
        ("sort=age", [3, 2, 1]),
        ("sort=hits&order=desc", [3, 2, 1]),
        ("sort=next_refresh", [1, 2, 3]),
        ("sort=unchanged&order=desc", [1, 2, 3]),
    ] {
        assert_eq!(ids(&proxy, query).await, ids_of(&expected), "{query}");
    }
    let third = ids(&proxy, "sort=age&order=desc&per_page=2&page=2").await;
    assert_eq!(third, ids_of(&[3]), "the pages are of the sorted list");
    assert_eq!(proxy.admin("/cache?sort=name").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_first_and_can_be_shown_alone() {
    let proxy = three_reports().await;
    proxy.vendor_fails(404);
    assert_eq!(proxy.get(&path(4)).await.status, 404);
    proxy.vendor.clear_faults();
    assert!(ids(&proxy, "trouble=1").await == ids_of(&[4]));
    proxy.vendor_fails(500);
    tokio::time::sleep(Duration::from_secs(230)).await;
    assert_eq!(proxy.get(&path(2)).await.status, 200);
    proxy.settled(key(2)).await;
    assert_eq!(ids(&proxy, "trouble=1&sort=trouble&order=desc").await, ids_of(&[2, 4]));
    let all = rows(&proxy, "sort=trouble&order=desc").await;
    assert_eq!((all.len(), &all[0]["last_error"]), (4, &"the upstream answered 500".into()));
    assert_eq!((&all[0]["state"], &all[0]["answer"]), (&"stale".into(), &"report".into()));
}

#[tokio::test(start_paused = true)]
async fn empty_reports_and_parts_of_an_id_are_found() {
    let proxy = three_reports().await;
    let empty = "/v3/reports/email_reports/00000009-0000-4000-8000-000000000000/links";
    assert_eq!(proxy.get(empty).await.status, 200);
    assert_eq!(ids(&proxy, "empty=1").await, ["00000009-0000-4000-8000-000000000000"]);
    assert_eq!(ids(&proxy, "q=0002-0000-4").await, ids_of(&[2]));
    assert!(ids(&proxy, "q=%22").await.is_empty());
}
