//! The upstream's 400 and 404: for how long each is the answer, and what becomes of the report before it.

use std::sync::{Arc, Mutex};

use link_report_proxy::{
    cache::{Forward, ServedFrom},
    report::{Cause, LocalDenial, QuotaPressure, QuotaPressureFn, Reason, UpstreamFailure},
};
use tokio::time::sleep;

use super::harness::{CacheHarness, at_rest, from, negative_answer, options, report, seconds};
use crate::support::in_process::key;

/// Polls each second for so long, answers every call with a refusal, and tells when the calls came.
async fn calls_at(harness: &mut CacheHarness, time: u64) -> Vec<u64> {
    let mut calls = Vec::new();
    for second in 0..time {
        let asking = harness.ask(key(1));
        if let Some(call) = harness.made_call().await {
            calls.push(second);
            call.answers(negative_answer());
        }
        assert_eq!(asking.await.unwrap().unwrap().entry.answer(), &negative_answer());
        sleep(seconds(1)).await;
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_repeated_lives_twice_as_long_each_time_up_to_an_hour() {
    let mut harness = CacheHarness::new();
    let calls = calls_at(&mut harness, 3 * 3_600 + 60).await;
    assert_eq!(calls, [0, 60, 180, 420, 900, 1_860, 3_780, 7_380]);
    harness.memory().purge(key(1).id);
    assert_eq!(calls_at(&mut harness, 100).await, [0, 60], "a purge begins anew");
    sleep(seconds(80)).await;
    let asking = harness.ask(key(1));
    harness.call().await.answers(report(key(1), 2, 1));
    asking.await.unwrap().unwrap();
    sleep(seconds(901)).await;
    assert_eq!(calls_at(&mut harness, 61).await, [0, 60], "a report begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_asked_for_again_hours_later_is_a_new_one() {
    let mut harness = CacheHarness::new();
    calls_at(&mut harness, 200).await;
    sleep(seconds(3 * 3_600)).await;
    assert_eq!(calls_at(&mut harness, 61).await, [0, 60]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_refusal_asks_as_a_refresh_and_not_as_a_miss() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), negative_answer()).await;
    sleep(seconds(60)).await;
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    assert_eq!(call.call.reason, Reason::Refresh);
    call.answers(negative_answer());
    let served = asking.await.unwrap().unwrap();
    assert!(matches!(served.from, ServedFrom::Fetched { forward: Forward::Stale, .. }), "{:?}", served.from);
}

#[tokio::test(start_paused = true)]
async fn an_expired_refusal_whose_refresh_is_put_off_is_the_answer_and_asked_about_later() {
    for cause in [
        LocalDenial::DailyQuota { retry_after: seconds(3_600) },
        LocalDenial::RateLimit { retry_after: seconds(1) },
    ]
    .map(Cause::from)
    {
        let mut harness = CacheHarness::new();
        harness.hold(key(1), negative_answer()).await;
        sleep(seconds(60)).await;
        for _ in 0..3 {
            let asking = harness.ask(key(1));
            harness.call().await.fails(cause.clone());
            let served = asking.await.unwrap().unwrap();
            assert_eq!(served.entry.answer(), &negative_answer());
            match &served.from {
                ServedFrom::Rationed => assert!(cause.is_daily_quota()),
                ServedFrom::StaleIfError(error) => assert!(error.cause == cause && !cause.is_daily_quota()),
                other => panic!("{other:?}"),
            }
            sleep(seconds(4)).await;
            let again = if cause.is_daily_quota() { "rationed" } else { "fallback" };
            assert_eq!(from(&harness.ask(key(1)).await.unwrap()), again);
            harness.is_clear().await;
            sleep(seconds(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_calls_are_scarce_an_expired_refusal_is_the_answer() {
    let now = Arc::new(Mutex::new(QuotaPressure::Stopped));
    let told = Arc::clone(&now);
    let probe = QuotaPressureFn::new(move |_now| *told.lock().unwrap());
    let mut harness = CacheHarness::with_calls_that_are(probe, options());
    harness.hold(key(1), negative_answer()).await;
    sleep(seconds(120)).await;
    for quota_pressure in [QuotaPressure::Stopped, QuotaPressure::Delayed { factor: 3.0 }] {
        *now.lock().unwrap() = quota_pressure;
        let served = harness.ask(key(1)).await.unwrap();
        assert_eq!((from(&served), served.unwrap().entry.answer()), ("rationed", &negative_answer()));
        harness.is_clear().await;
    }
    sleep(seconds(60)).await;
    harness.ask(key(1));
    assert_eq!(harness.call().await.call.reason, Reason::Refresh);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_the_report_behind_it_which_stands_in_for_an_error_that_follows() {
    let mut harness = CacheHarness::new();
    let good = report(key(1), 100, 1);
    harness.hold(key(1), good.clone()).await;
    let alone = harness.metric("cache_bytes");
    sleep(seconds(301)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    harness.call().await.answers(negative_answer());
    at_rest().await;
    let served = harness.ask(key(1)).await.unwrap();
    assert_eq!(
        (from(&served), served.unwrap().entry.answer()),
        ("hit", &negative_answer()),
        "it is the answer"
    );
    assert!(harness.metric("cache_bytes") > alone, "both are weighed");
    sleep(seconds(60)).await;
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    assert_eq!(call.call.reason, Reason::Refresh);
    call.fails(UpstreamFailure::Status { status: 503 });
    let served = asking.await.unwrap();
    assert_eq!((from(&served), served.unwrap().entry.answer()), ("fallback", &good));
    // Nobody waits for the next to fail.
    let served = harness.ask(key(1)).await.unwrap();
    assert_eq!((from(&served), served.unwrap().entry.answer()), ("fallback", &good));
    harness.is_clear().await;
    let served = harness.memory().stale_if_error(&key(1), None, LocalDenial::Overloaded.into()).unwrap();
    assert_eq!(served.entry.answer(), &good);
    // It is a day's stand-in by its own age, however old the refusal is.
    sleep(seconds(3_600 - 361 - 1)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    let served = asking.await.unwrap();
    assert_eq!((from(&served), served.unwrap().entry.answer()), ("fallback", &good));
    sleep(seconds(5)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "error");
}

#[tokio::test(start_paused = true)]
async fn the_report_behind_a_refusal_that_comes_again_is_the_same_and_so_is_its_gzip_variant() {
    let mut harness = CacheHarness::new();
    let good = report(key(1), 100, 1);
    harness.hold(key(1), good.clone()).await;
    let first = harness.memory().peek(&key(1)).unwrap();
    harness.memory().encode(key(1), &first).await;
    let weight = harness.metric("cache_bytes");
    sleep(seconds(301)).await;
    for answer in [negative_answer(), good.clone()] {
        let asking = harness.ask(key(1));
        harness.call().await.answers(answer);
        asking.await.unwrap().unwrap();
        sleep(seconds(60)).await;
    }
    let again = harness.memory().peek(&key(1)).unwrap();
    assert_eq!(again.answer(), &good);
    assert!(again.unchanged_for(tokio::time::Instant::now()) > seconds(301));
    assert_eq!(again.gzip().unwrap().body().as_ptr(), first.gzip().unwrap().body().as_ptr());
    assert_eq!(harness.metric("cache_bytes"), weight, "the refusal is gone");
}

#[tokio::test(start_paused = true)]
async fn a_second_refusal_in_a_row_a_minute_later_drops_the_report() {
    let lifetimes =
        link_report_proxy::report::LifetimePolicy { negative_ttl: seconds(10), ..options().lifetimes };
    let mut harness = CacheHarness::with(link_report_proxy::cache::CacheOptions { lifetimes, ..options() });
    let good = report(key(1), 100, 1);
    harness.hold(key(1), good.clone()).await;
    let alone = harness.metric("cache_bytes");
    sleep(seconds(901)).await;
    // At 0, 10 and 30 s the gateway may be at fault for a moment; at 70 s it is not.
    for lifetime in [10, 20, 40] {
        let asking = harness.ask(key(1));
        harness.call().await.answers(negative_answer());
        asking.await.unwrap().unwrap();
        assert!(harness.metric("cache_bytes") > alone, "{lifetime}: kept behind");
        sleep(seconds(lifetime)).await;
    }
    let asking = harness.ask(key(1));
    harness.call().await.answers(negative_answer());
    asking.await.unwrap().unwrap();
    assert!(harness.metric("cache_bytes") < alone, "dropped");
    sleep(seconds(80)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "error");
}

#[tokio::test(start_paused = true)]
async fn an_empty_report_that_does_not_change_lives_twice_as_long_each_time_up_to_15_minutes() {
    let mut harness = CacheHarness::new();
    let mut fresh = Vec::new();
    for version in [1, 1, 1, 1, 1, 1, 2, 2] {
        let asking = harness.ask(key(1));
        harness.call().await.answers(report(key(1), 0, version));
        asking.await.unwrap().unwrap();
        at_rest().await;
        fresh.push(harness.memory().peek(&key(1)).unwrap().lifetime().fresh.as_secs());
        sleep(seconds(fresh[fresh.len() - 1])).await;
    }
    assert_eq!(fresh, [60, 120, 240, 480, 900, 900, 60, 120]);
    harness.memory().purge_all();
    harness.hold(key(1), report(key(1), 0, 2)).await;
    assert_eq!(harness.memory().peek(&key(1)).unwrap().lifetime().fresh, seconds(60));
}
