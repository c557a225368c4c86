//! What is held: its weight, its hits, its end.

use std::sync::Arc;

use link_report_proxy::{
    cache::CacheOptions,
    report::{NoClicks, ReportKey},
};
use tokio::time::sleep;

use super::harness::{CacheHarness, at_rest, negative_answer, options, report, seconds};
use crate::support::in_process::key;

#[tokio::test(start_paused = true)]
async fn the_gzip_variant_is_weighed_made_once_and_kept_while_the_report_is_the_same() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 400, 1)).await;
    let (entry, before) = (harness.memory().peek(&key(1)).unwrap(), harness.metric("cache_bytes"));
    assert_eq!(before, entry.weight() as f64);
    for _ in 0..2 {
        harness.memory().encode(key(1), &entry).await;
    }
    let variant = entry.gzip().unwrap();
    let (least, grown) =
        ((size_of_val(variant) + variant.weight()) as f64, harness.metric("cache_bytes") - before);
    assert!((least..least + 64.0).contains(&grown), "{grown}, with the place that it is in: {least}");
    let made = variant.body().as_ptr();
    sleep(seconds(300)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    harness.call().await.answers(report(key(1), 400, 1));
    at_rest().await;
    let renewed = harness.memory().peek(&key(1)).unwrap();
    assert!(!Arc::ptr_eq(&renewed, &entry));
    assert_eq!(renewed.gzip().unwrap().body().as_ptr(), made);
    assert_eq!(harness.metric("cache_bytes"), before + grown);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_real_weight_and_what_goes_is_counted() {
    const MOST: u64 = 256 << 10;
    let mut harness = CacheHarness::with(CacheOptions { max_bytes: MOST, ..options() });
    for number in 0..1_000 {
        harness.hold(key(number), report(key(number), 100, 1)).await;
    }
    let (entries, bytes) = (harness.metric("cache_entries"), harness.metric("cache_bytes"));
    let weight = harness.memory().peek(&harness.memory().keys()[0]).unwrap().weight();
    assert!(weight > 300 + 400, "the body and the book-keeping: {weight}");
    assert!(bytes <= MOST as f64 && bytes > 0.8 * MOST as f64, "{bytes}");
    assert_eq!(bytes, entries * weight as f64);
    assert_eq!(harness.metric("cache_evictions_total{cause=\"size\"}"), 1_000.0 - entries);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_report_is_shown_and_a_refusal_is_none() {
    let mut harness = CacheHarness::new();
    let oldest = |harness: &CacheHarness| harness.metric("cache_oldest_report_age_seconds");
    harness.hold(key(1), negative_answer()).await;
    sleep(seconds(10)).await;
    assert_eq!(oldest(&harness), 0.0);
    for number in [2, 3, 4] {
        harness.hold(key(number), report(key(number), 2, 1)).await;
        sleep(seconds(10)).await;
    }
    assert_eq!(oldest(&harness), 30.0);
    harness.memory().purge(key(2).id);
    assert_eq!(oldest(&harness), 20.0);
}

#[tokio::test(start_paused = true)]
async fn hits_are_counted_through_refreshes_and_failures() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    for _ in 0..3 {
        harness.ask(key(1)).await.unwrap().unwrap();
    }
    sleep(seconds(300)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    harness.call().await.answers(report(key(1), 2, 2));
    sleep(seconds(300)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    harness.call().await.panics();
    at_rest().await;
    assert_eq!(harness.memory().peek(&key(1)).unwrap().hits(), 5);
    assert_eq!(harness.metric("cache_served_age_seconds_count"), 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_takes_both_reports_of_an_activity_or_everything() {
    let mut harness = CacheHarness::new();
    let listed = ReportKey { no_clicks: NoClicks::Listed, ..key(1) };
    for held in [key(1), listed, key(2)] {
        harness.hold(held, report(held, 2, 1)).await;
    }
    harness.hold(key(3), negative_answer()).await;
    assert_eq!(harness.memory().purge(key(1).id), 2);
    assert_eq!(harness.memory().keys(), [key(2), key(3)]);
    assert_eq!(harness.memory().purge_all(), 2);
    assert_eq!((harness.memory().purge_all(), harness.metric("cache_entries")), (0, 0.0));
    assert_eq!(harness.metric("cache_evictions_total{cause=\"purged\"}"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn an_encode_whose_asker_hangs_up_is_not_begun_again_and_is_weighed() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 100_000, 1)).await;
    let (entry, before) = (harness.memory().peek(&key(1)).unwrap(), harness.metric("cache_bytes"));
    let asked = futures_util::poll!(std::pin::pin!(harness.memory().encode(key(1), &entry)));
    assert!(asked.is_pending());
    // Nobody asks again: it is made all the same.
    while entry.gzip().is_none() {
        tokio::task::yield_now().await;
    }
    at_rest().await;
    assert!(harness.metric("cache_bytes") > before, "weighed");
}
