//! What goes when memory is full: never the answer that was just paid for.

use link_report_proxy::{cache::CacheOptions, report::UpstreamFailure};
use tokio::time::sleep;

use super::harness::{CacheHarness, from, negative_answer, noon, options, report, seconds};
use crate::support::in_process::key;

const MOST: u64 = 1 << 20;
/// A report of 64 KiB has so many (empty) links.
const LINKS_OF_64_KIB: usize = (64 << 10) / 3;
const LARGE: u32 = 1_000_000;

fn full() -> CacheHarness {
    CacheHarness::with(CacheOptions { max_bytes: MOST, ..options() })
}

async fn fill(harness: &mut CacheHarness, keys: std::ops::Range<u32>) {
    for number in keys {
        harness.hold(key(number), report(key(number), 2, 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_report_that_is_polled_among_many_small_ones_costs_one_call_a_lifetime() {
    let mut harness = full();
    for number in 0..3_000 {
        harness.hold(key(number), report(key(number), 2, 1)).await;
        assert_eq!(from(&harness.ask(key(number)).await.unwrap()), "hit", "{number}");
    }
    let large = report(key(LARGE), LINKS_OF_64_KIB, 1);
    let mut answered = Vec::new();
    for _ in 0..10 {
        answered.push(harness.ask_and_answer(key(LARGE), &large).await);
        // A scrape: what was to be evicted is.
        harness.memory().observe(noon());
        sleep(seconds(29)).await;
    }
    assert_eq!(answered, [&["fetched"][..], &["hit"; 9]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_used_outlives_those_that_nobody_used_since() {
    let mut harness = full();
    let large = report(key(LARGE), LINKS_OF_64_KIB, 1);
    let mut answered = Vec::new();
    for round in 0..10 {
        answered.push(harness.ask_and_answer(key(LARGE), &large).await);
        fill(&mut harness, round * 500..(round + 1) * 500).await;
    }
    assert_eq!(answered, [&["fetched"][..], &["hit"; 9]].concat());
    let evicted = harness.metric("cache_evictions_total{cause=\"size\"}");
    assert!(evicted > 3_000.0, "memory was turned over: {evicted}");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_never_turned_away_for_what_is_used_more() {
    let mut harness = full();
    fill(&mut harness, 0..2_000).await;
    for number in 2_000..2_100 {
        for used in 1_500..2_000 {
            let _used_or_gone = harness.memory().lookup(&key(used), tokio::time::Instant::now());
        }
        harness.hold(key(number), report(key(number), 2, 1)).await;
        assert_eq!(from(&harness.ask(key(number)).await.unwrap()), "hit", "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_for_anything_goes_when_it_is_met_and_by_and_by() {
    let mut harness = full();
    fill(&mut harness, 0..200).await;
    harness.hold(key(200), negative_answer()).await;
    sleep(seconds(2 * 3_600 + 1)).await;
    let asking = harness.ask(key(7));
    let _hanging = harness.call().await;
    assert!(harness.memory().peek(&key(7)).is_none(), "met");
    // Nobody asks for the others again.
    fill(&mut harness, 1_000..1_100).await;
    assert_eq!(harness.memory().keys().len(), 100);
    assert_eq!(harness.metric("cache_evictions_total{cause=\"expired\"}"), 201.0);
    assert_eq!(harness.metric("cache_evictions_total{cause=\"size\"}"), 0.0);
    asking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_report_too_large_for_memory_is_served_and_its_key_is_backed_off() {
    let mut harness = CacheHarness::with(CacheOptions { max_bytes: 32 << 10, ..options() });
    let large = report(key(1), LINKS_OF_64_KIB, 1);
    for pause in [5, 10, 20, 40, 60] {
        let crowd: Vec<_> = (0..3).map(|_| harness.ask(key(1))).collect();
        harness.call().await.answers(large.clone());
        for asking in crowd {
            assert_eq!(asking.await.unwrap().unwrap().entry.answer(), &large);
        }
        sleep(seconds(pause - 1)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "error");
        harness.is_clear().await;
        sleep(seconds(1)).await;
    }
    assert_eq!(harness.metric("cache_bytes"), 0.0);
    harness.hold(key(1), report(key(1), 2, 2)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit", "it has shrunk");
}

#[tokio::test(start_paused = true)]
async fn a_report_whose_gzip_variant_has_no_room_costs_no_call_more() {
    let large = report(key(1), LINKS_OF_64_KIB, 1);
    let mut roomy = full();
    roomy.hold(key(1), large.clone()).await;
    let max_bytes = roomy.metric("cache_bytes") as u64;
    let mut harness = CacheHarness::with(CacheOptions { max_bytes, ..options() });
    let mut answered = Vec::new();
    for _ in 0..4 {
        answered.push(harness.ask_and_answer(key(1), &large).await);
        let entry = harness.memory().peek(&key(1)).unwrap();
        harness.memory().encode(key(1), &entry).await;
        assert!(entry.gzip().is_some(), "for who has asked for it");
    }
    assert_eq!(answered, [&["fetched"][..], &["hit"; 3]].concat());
    assert_eq!(harness.metric("cache_bytes") as u64, max_bytes);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_and_loses_its_room_is_called_for_no_sooner() {
    let mut harness = full();
    harness.hold(key(LARGE), report(key(LARGE), 2, 1)).await;
    sleep(seconds(300)).await;
    for (answered, pause) in [("stale", 5), ("fallback", 9)] {
        assert_eq!(from(&harness.ask(key(LARGE)).await.unwrap()), answered);
        harness.call().await.fails(UpstreamFailure::Timeout);
        sleep(seconds(pause)).await;
    }
    for number in 0..60 {
        let large = report(key(number), LINKS_OF_64_KIB, 1);
        assert_eq!(harness.ask_and_answer(key(number), &large).await, "fetched");
    }
    assert!(harness.memory().peek(&key(LARGE)).is_none());
    assert_eq!(from(&harness.ask(key(LARGE)).await.unwrap()), "error", "the second pause has not ended");
    assert!(harness.has_no_call());
    sleep(seconds(1)).await;
    assert_eq!(harness.ask_and_answer(key(LARGE), &report(key(LARGE), 2, 1)).await, "fetched");
}
