//! Polls at a fixed period: a report is refreshed just before the poll that will find it worth a call.

use link_report_proxy::{
    cache::RefreshWaiting,
    report::{NoClicks, QuotaPressure, QuotaPressureFn, Reason, ReportKey, UpstreamFailure},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

use super::{
    harness::{CacheHarness, at_rest, from, seconds, with_clicks},
    planned::{plan, planned_options},
};
use crate::support::in_process::key;

fn harness() -> CacheHarness {
    CacheHarness::with(planned_options(plan(RefreshWaiting::Rarely)))
}

/// A campaign with a click a second, and a client that has polled its report three times, each 20 s. The last poll was just
/// now, and a refresh is scheduled in 19 s.
async fn polled_each_20_seconds(harness: &mut CacheHarness) {
    harness.hold(key(1), with_clicks(key(1), 0)).await;
    sleep(seconds(1_000)).await;
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 1_000)).await, "fetched");
    for clicks in [1_020, 1_040] {
        sleep(seconds(20)).await;
        assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), clicks)).await, "stale");
        at_rest().await;
    }
    sleep(seconds(20)).await;
    assert_eq!(
        from(&harness.ask(key(1)).await.unwrap()),
        "hit",
        "a refresh now would be old at the next poll"
    );
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_made_a_second_before_the_next_poll() {
    let mut harness = harness();
    polled_each_20_seconds(&mut harness).await;
    for clicks in [1_079, 1_099] {
        let polled = Instant::now();
        let call = harness.call().await;
        assert_eq!(call.call.reason, Reason::Refresh);
        assert_eq!(polled.elapsed().as_secs_f64().round(), 19.0);
        call.answers(with_clicks(key(1), clicks));
        sleep(seconds(1)).await;
        let served = harness.ask(key(1)).await.unwrap();
        assert_eq!(from(&served), "hit");
        assert_eq!(served.unwrap().age.as_secs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_known_to_be_current_by_then_is_not_refreshed() {
    let mut harness = harness();
    polled_each_20_seconds(&mut harness).await;
    sleep(seconds(17)).await;
    // The other report shows no more clicks.
    let listed = ReportKey { no_clicks: NoClicks::Listed, ..key(1) };
    harness.hold(listed, with_clicks(key(1), 1_040)).await;
    sleep(seconds(4)).await;
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn an_earlier_poll_has_the_refresh_made_at_once_and_only_once() {
    let mut harness = harness();
    polled_each_20_seconds(&mut harness).await;
    sleep(seconds(15)).await;
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 1_075)).await, "stale");
    sleep(seconds(9)).await;
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_purged_by_then_is_not_refreshed() {
    let mut harness = harness();
    polled_each_20_seconds(&mut harness).await;
    harness.memory().purge(key(1).id);
    sleep(seconds(60)).await;
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_goes_before_its_refresh_takes_no_memory_until_then() {
    let mut harness = harness();
    polled_each_20_seconds(&mut harness).await;
    let held = Arc::downgrade(&harness.memory().peek(&key(1)).unwrap());
    harness.memory().purge(key(1).id);
    assert!(held.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn no_refresh_is_made_ahead_while_calls_are_reserved_for_misses() {
    let reserved = Arc::new(AtomicBool::new(false));
    let pressure = {
        let reserved = Arc::clone(&reserved);
        QuotaPressureFn::new(move |_now| match reserved.load(Ordering::Relaxed) {
            true => QuotaPressure::Stopped,
            false => QuotaPressure::Normal,
        })
    };
    let mut harness =
        CacheHarness::with_calls_that_are(pressure, planned_options(plan(RefreshWaiting::Rarely)));
    polled_each_20_seconds(&mut harness).await;
    reserved.store(true, Ordering::Relaxed);
    sleep(seconds(30)).await;
    harness.is_clear().await;
    // The next poll that comes at the predicted time is one after a gap: no period is known any more.
    reserved.store(false, Ordering::Relaxed);
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.answers(with_clicks(key(1), 1_090));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_that_fails_is_backed_off_like_any_other() {
    let mut harness = harness();
    polled_each_20_seconds(&mut harness).await;
    harness.call().await.fails(UpstreamFailure::Status { status: 503 });
    at_rest().await;
    sleep(seconds(1)).await;
    let served = harness.ask(key(1)).await.unwrap();
    assert_eq!(from(&served), "fallback", "the report before");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_polled_ten_times_a_second_is_refreshed_within_a_second_of_being_worth_it() {
    let mut harness = harness();
    harness.hold(key(1), with_clicks(key(1), 0)).await;
    sleep(seconds(10_000)).await;
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 10)).await, "fetched");
    let fetched = Instant::now();
    let stale_at = loop {
        sleep(Duration::from_millis(101)).await;
        if from(&harness.ask(key(1)).await.unwrap()) == "stale" {
            break fetched.elapsed().as_secs_f64();
        }
    };
    // Nearly ten responses a second, which each lack half of what a thousandth of a click a second makes: the first price
    // of 4.5 clicks is reached after about 29 s.
    assert!((29.0..31.0).contains(&stale_at), "{stale_at} s");
    harness.call().await.answers(with_clicks(key(1), 10));
}
