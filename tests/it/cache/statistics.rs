//! What is known of an activity beside its entries, and the age of what came late.

use link_report_proxy::{
    cache::CacheOptions,
    report::{NoClicks, ReportKey, UpstreamFailure},
    telemetry::EvictionCause,
};
use tokio::time::{Instant, advance, sleep};

use super::harness::{CacheHarness, at_rest, from, options, report, seconds, with_clicks};
use crate::support::in_process::key;

#[tokio::test(start_paused = true)]
async fn an_answer_that_came_before_it_was_stored_is_never_shown_younger_than_it_is() {
    let mut harness = CacheHarness::new();
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    let answered_at = Instant::now();
    advance(seconds(3)).await;
    call.answers_since(answered_at, report(key(1), 2, 1));
    assert_eq!(asking.await.unwrap().unwrap().age, seconds(3));
    advance(seconds(296)).await;
    let served = harness.ask(key(1)).await.unwrap();
    assert_eq!((from(&served), served.unwrap().age), ("hit", seconds(299)));
    let held = harness.memory().peek(&key(1)).unwrap();
    let now = Instant::now();
    assert_eq!((held.stored_for(now), held.unchanged_for(now)), (seconds(296), seconds(299)));
    advance(seconds(1)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale", "fresh for 300 s in all");
}

#[tokio::test(start_paused = true)]
async fn both_reports_of_an_activity_tell_of_the_same_clicks() {
    let mut harness = CacheHarness::new();
    let start = Instant::now();
    let listed = ReportKey { no_clicks: NoClicks::Listed, ..key(1) };
    for (asked, clicks) in [(key(1), 5), (listed, 8)] {
        harness.hold(asked, with_clicks(asked, clicks)).await;
        sleep(seconds(10)).await;
    }
    let shown = harness.memory().statistics(key(1).id).unwrap();
    let changes: Vec<_> = shown.changes().map(|change| (change.difference, change.at - start)).collect();
    assert_eq!((shown.last_look().unwrap().clicks(), changes), (8, vec![(3, seconds(10))]));
    assert_eq!([NoClicks::Omitted, NoClicks::Listed].map(|form| shown.form(form).fetches), [1, 1]);
    assert_eq!(harness.memory().statistics(key(2).id), None);
}

#[tokio::test(start_paused = true)]
async fn statistics_outlive_their_entry_and_its_hits_are_counted_on() {
    let mut harness = CacheHarness::with(CacheOptions { max_bytes: 16 << 10, ..options() });
    let answered = |harness: &CacheHarness| {
        let shown = harness.memory().statistics(key(1).id).unwrap();
        let form = shown.form(NoClicks::Omitted);
        let held = harness.memory().peek(&key(1));
        (form.fetches, form.hits_since_last_fetch(held.map(|held| held.hits())))
    };
    harness.hold(key(1), with_clicks(key(1), 5)).await;
    let before = harness.memory().statistics(key(1).id);
    for _ in 0..3 {
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    }
    assert_eq!(harness.memory().statistics(key(1).id), before, "a hit writes nothing");
    assert_eq!(answered(&harness), (1, 3));
    for number in 2..60 {
        harness.hold(key(number), report(key(number), 2, 1)).await;
    }
    assert!(harness.memory().peek(&key(1)).is_none(), "evicted");
    assert_eq!(answered(&harness), (1, 3));
    let removed = harness.memory().statistics(key(1).id).unwrap().form(NoClicks::Omitted).removed.unwrap();
    assert_eq!(removed.why, EvictionCause::Size);
    sleep(seconds(1)).await;
    harness.hold(key(1), with_clicks(key(1), 9)).await;
    assert_eq!(answered(&harness), (2, 0));
    harness.ask(key(1)).await.unwrap().unwrap();
    assert_eq!((answered(&harness), harness.memory().peek(&key(1)).unwrap().hits()), ((2, 1), 4));
    let shown = harness.memory().statistics(key(1).id).unwrap();
    assert_eq!(shown.changes().map(|change| change.difference).collect::<Vec<_>>(), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_leaves_the_statistics_as_they_are() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), with_clicks(key(1), 5)).await;
    let before = harness.memory().statistics(key(1).id);
    sleep(seconds(300)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    harness.call().await.fails(UpstreamFailure::Timeout);
    at_rest().await;
    assert_eq!(harness.memory().statistics(key(1).id), before);
}
