//! Options that change while reports are held.

use link_report_proxy::{
    cache::{CacheOptions, RefreshPlanOptions, RefreshWaiting},
    refresh::{PriceLimits, RefreshPolicy},
    report::{LifetimePolicy, UpstreamFailure},
};
use tokio::time::sleep;

use super::{
    harness::{CacheHarness, at_rest, from, negative_answer, options, report, seconds, with_clicks},
    planned::{plan, planned_options},
};
use crate::support::in_process::key;

fn with(change: impl FnOnce(&mut LifetimePolicy)) -> CacheOptions {
    let mut changed = options();
    change(&mut changed.lifetimes);
    changed
}

#[tokio::test(start_paused = true)]
async fn a_longer_ttl_makes_a_held_report_fresh_again_and_costs_no_call() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(400)).await;
    harness.memory().reconfigure(&with(|lifetimes| lifetimes.ttl = seconds(3_600)));
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
    sleep(seconds(3_200)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.answers(report(key(1), 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_ttl_counts_for_what_is_held_and_for_a_report_that_is_under_way() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    let asking = harness.ask(key(2));
    let call = harness.call().await;
    harness.memory().reconfigure(&with(|lifetimes| lifetimes.ttl = seconds(30)));
    call.answers(report(key(2), 2, 1));
    asking.await.unwrap().unwrap();
    sleep(seconds(30)).await;
    for number in [1, 2] {
        assert_eq!(from(&harness.ask(key(number)).await.unwrap()), "stale");
        harness.call().await.answers(report(key(number), 2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_would_soon_be_too_old_is_kept_for_longer_in_the_middle_of_an_outage() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    harness.hold(key(2), report(key(2), 2, 1)).await;
    sleep(seconds(300)).await;
    // Behind a 404 too.
    assert_eq!(harness.ask_and_answer(key(2), &negative_answer()).await, "stale");
    at_rest().await;
    harness.memory().reconfigure(&with(|lifetimes| lifetimes.stale_if_error = seconds(86_400)));
    sleep(seconds(7_200)).await;
    for number in [1, 2] {
        let asking = harness.ask(key(number));
        harness.call().await.fails(UpstreamFailure::Timeout);
        let served = asking.await.unwrap();
        assert_eq!(from(&served), "fallback", "{number}");
        assert_eq!(served.unwrap().entry.answer(), &report(key(number), 2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_known_of_an_entry_is_lost_with_its_lifetime() {
    let jittered = |ttl| with(|lifetimes| (lifetimes.ttl, lifetimes.ttl_jitter) = (seconds(ttl), 0.1));
    let mut harness = CacheHarness::with(jittered(300));
    harness.hold(key(1), report(key(1), 2, 1)).await;
    harness.hold(key(2), negative_answer()).await;
    sleep(seconds(61)).await;
    assert_eq!(harness.ask_and_answer(key(2), &negative_answer()).await, "fetched");
    harness.ask(key(1)).await.unwrap().unwrap();
    let lifetime = |harness: &CacheHarness, number| {
        let held = harness.memory().peek(&key(number)).unwrap();
        (held.lifetime().fresh, held.hits())
    };
    let before = [1, 2].map(|number| lifetime(&harness, number));
    harness.memory().reconfigure(&jittered(600));
    let (fresh, hits) = lifetime(&harness, 1);
    assert_eq!((fresh.as_secs_f64() / before[0].0.as_secs_f64() * 1e6).round(), 2e6, "the same jitter");
    assert_eq!(hits, 1);
    assert_eq!(lifetime(&harness, 2), (seconds(120), before[1].1), "it was repeated");
    harness.memory().reconfigure(&jittered(300));
    assert_eq!([1, 2].map(|number| lifetime(&harness, number)), before);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_cache_drops_what_is_used_least_and_a_larger_one_keeps_all() {
    let mut harness = CacheHarness::new();
    for number in 0..40 {
        harness.hold(key(number), report(key(number), 2, 1)).await;
    }
    for number in 30..40 {
        harness.ask(key(number)).await.unwrap().unwrap();
    }
    let bytes = harness.metric("cache_bytes");
    let quarter = (bytes / 4.0) as u64;
    harness.memory().reconfigure(&CacheOptions { max_bytes: quarter, ..options() });
    assert!(harness.metric("cache_bytes") <= quarter as f64);
    assert_eq!(harness.metric("cache_max_bytes"), quarter as f64);
    let kept = harness.memory().keys();
    assert!(kept.len() >= 9 && kept.iter().all(|kept| (30..40).any(|used| *kept == key(used))), "{kept:?}");
    harness.memory().reconfigure(&options());
    for number in 0..40 {
        assert_ne!(harness.ask_and_answer(key(number), &report(key(number), 2, 1)).await, "error");
    }
    assert_eq!(harness.memory().keys().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn the_plan_goes_by_its_new_limits_at_once() {
    let mut harness = CacheHarness::with(planned_options(plan(RefreshWaiting::Rarely)));
    harness.hold(key(1), with_clicks(key(1), 0)).await;
    sleep(seconds(1_000)).await;
    // A click a second: worth a call after seconds.
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 1_000)).await, "fetched");
    let before = plan(RefreshWaiting::Rarely);
    let rare = RefreshPlanOptions {
        policy: RefreshPolicy { min_refresh_interval: seconds(120), ..before.policy },
        ..before
    };
    harness.memory().reconfigure(&planned_options(rare));
    for _ in 0..11 {
        sleep(seconds(10)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    }
    harness.is_clear().await;
    let tight = RefreshPlanOptions { limits: PriceLimits { per_day: 10, ..before.limits }, ..before };
    harness.memory().reconfigure(&planned_options(tight));
    let dear = harness.memory().plan_status(super::harness::noon()).unwrap().price.clicks_missed();
    harness.memory().reconfigure(&planned_options(before));
    let usual = harness.memory().plan_status(super::harness::noon()).unwrap().price.clicks_missed();
    assert!(dear > 100.0 * usual, "{dear} and {usual}: a call of few is worth more");
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.answers(with_clicks(key(1), 1_100));
}
