//! How long an answer is good, and what comes after.

use link_report_proxy::{
    cache::{CacheOptions, Forward, RefreshWaiting, ServedFrom},
    report::{Cause, LifetimePolicy, LocalDenial, Reason, UpstreamFailure},
};
use tokio::time::sleep;

use super::{
    harness::{CacheHarness, at_rest, from, negative_answer, options, report, seconds, with_clicks},
    planned::{plan, planned_options},
};
use crate::support::in_process::{key, timed};

#[tokio::test(start_paused = true)]
async fn a_stale_answer_comes_at_once_and_is_refreshed_once_behind() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(300)).await;
    for _ in 0..20 {
        let (served, waited) = timed(harness.ask(key(1))).await;
        assert_eq!((from(&served.unwrap()), waited), ("stale", seconds(0)));
    }
    let call = harness.call().await;
    assert_eq!(call.call.reason, Reason::Refresh);
    harness.is_clear().await;
    call.answers(report(key(1), 3, 2));
    at_rest().await;
    let served = harness.ask(key(1)).await.unwrap();
    assert_eq!((from(&served), served.unwrap().entry.answer()), ("hit", &report(key(1), 3, 2)));
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn failing_refreshes_pause_for_longer_and_longer_and_never_replace_a_good_copy() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(300)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    for (pause, cause) in [
        (5, Cause::Upstream(UpstreamFailure::Timeout)),
        (10, Cause::Internal),
        (20, Cause::Upstream(UpstreamFailure::Status { status: 500 })),
        // Denied here: no worse for the key.
        (5, Cause::Local(LocalDenial::CircuitOpen { retry_after: seconds(1) })),
        (40, Cause::Upstream(UpstreamFailure::Unauthorized)),
        (5, Cause::Local(LocalDenial::NoToken)),
        (60, Cause::Upstream(UpstreamFailure::Timeout)),
    ] {
        harness.call().await.fails(cause.clone());
        at_rest().await;
        for at in [0, pause - 1] {
            sleep(seconds(at)).await;
            let (served, waited) = timed(harness.ask(key(1))).await;
            let served = served.unwrap().unwrap();
            assert_eq!((served.entry.answer(), waited), (&report(key(1), 2, 1), seconds(0)));
            assert!(
                matches!(&served.from, ServedFrom::StaleIfError(error) if error.cause == cause),
                "{:?}",
                served.from
            );
            harness.is_clear().await;
        }
        sleep(seconds(1)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "fallback", "{pause}");
    }
    // The vendor is back: all is forgotten.
    harness.call().await.answers(report(key(1), 2, 9));
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    assert_eq!(harness.metric("refreshes_total{result=\"error\"}"), 7.0);
    assert_eq!(harness.metric("refreshes_total{result=\"changed\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_waits_for_a_call_and_stands_in_if_that_fails() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(900)).await;
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    assert_eq!(call.call.reason, Reason::Refresh, "not cold: there is something to fall back on");
    call.fails(UpstreamFailure::Status { status: 503 });
    let served = asking.await.unwrap().unwrap();
    assert!(
        matches!(&served.from, ServedFrom::StaleIfError(error) if error.cause == Cause::Upstream(UpstreamFailure::Status { status: 503 }))
    );
    let (served, waited) = timed(harness.ask(key(1))).await;
    assert_eq!(
        (from(&served.unwrap()), waited),
        ("fallback", seconds(0)),
        "nobody waits for the next to fail"
    );
    harness.is_clear().await;
    sleep(seconds(600)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "fallback", "nor for the one after it");
    harness.call().await.answers(report(key(1), 2, 1));
    at_rest().await;
    sleep(seconds(900)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "fallback");
    sleep(seconds(2_699)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(
        from(&asking.await.unwrap()),
        "fallback",
        "a failure long past says nothing, but this is the last second in which the copy is better than an error"
    );
    sleep(seconds(2)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "error");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_that_is_renewed_is_told_as_a_call_for_a_stale_one() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(900)).await;
    let asking = harness.ask(key(1));
    harness.call().await.answers(report(key(1), 2, 1));
    let served = asking.await.unwrap().unwrap();
    assert!(matches!(served.from, ServedFrom::Fetched { forward: Forward::Stale, .. }), "{:?}", served.from);
    assert_eq!(served.entry.unchanged_for(tokio::time::Instant::now()), seconds(900));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_for_its_own_time_and_stands_in_for_nothing() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), negative_answer()).await;
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
    sleep(seconds(1)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(asking.await.unwrap().unwrap_err().cause, Cause::Upstream(UpstreamFailure::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_report_without_links_is_fresh_for_a_shorter_time() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 0, 1)).await;
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    sleep(seconds(1)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_spread_within_the_jitter_on_both_sides() {
    let lifetimes = LifetimePolicy { ttl_jitter: 0.1, ..options().lifetimes };
    let mut harness = CacheHarness::with(CacheOptions { lifetimes, ..options() });
    let mut fresh = Vec::new();
    for number in 0..200 {
        harness.hold(key(number), report(key(number), 2, 1)).await;
        fresh.push(harness.memory().peek(&key(number)).unwrap().lifetime().fresh);
    }
    fresh.sort_unstable();
    assert!(seconds(270) <= fresh[0] && fresh[0] < seconds(285), "{:?}", fresh[0]);
    assert!(seconds(315) < fresh[199] && fresh[199] <= seconds(330), "{:?}", fresh[199]);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_stale_is_wanted_every_caller_waits_and_every_failure_shows() {
    let lifetimes = LifetimePolicy {
        stale_while_revalidate: seconds(0),
        stale_if_error: seconds(0),
        ..options().lifetimes
    };
    let mut harness = CacheHarness::with(CacheOptions { lifetimes, ..options() });
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(300)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "error");
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_is_limited_to_one_an_interval_whoever_demands_it() {
    let mut harness = CacheHarness::new();
    let cold = harness.ask_anew(key(1));
    harness.call().await.answers(report(key(1), 2, 1));
    assert!(matches!(
        cold.await.unwrap().unwrap().from,
        ServedFrom::Fetched { forward: Forward::UriMiss, .. }
    ));
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
    sleep(seconds(1)).await;
    let crowd: Vec<_> = (0..20).map(|_| harness.ask_anew(key(1))).collect();
    let call = harness.call().await;
    harness.is_clear().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit", "others don't wait");
    call.fails(UpstreamFailure::Timeout);
    for asking in crowd {
        assert_eq!(from(&asking.await.unwrap()), "fallback");
    }
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "hit", "a failure counts too");
    harness.is_clear().await;
    sleep(seconds(1)).await;
    let anew = harness.ask_anew(key(1));
    harness.call().await.answers(report(key(1), 2, 2));
    assert!(matches!(
        anew.await.unwrap().unwrap().from,
        ServedFrom::Fetched { forward: Forward::Request, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_grows_too_old_while_its_caller_waits_stands_in_for_nothing() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(3_595)).await;
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    sleep(seconds(10)).await;
    call.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "error");
}

#[tokio::test(start_paused = true)]
async fn the_age_that_an_answer_comes_with_is_added_to_ours() {
    let mut harness = CacheHarness::new();
    let asking = harness.ask(key(1));
    harness.call().await.answers_at_age(seconds(100), report(key(1), 2, 1));
    assert_eq!(asking.await.unwrap().unwrap().age, seconds(100));
    sleep(seconds(199)).await;
    let served = harness.ask(key(1)).await.unwrap();
    assert_eq!((from(&served), served.unwrap().age), ("hit", seconds(299)));
    sleep(seconds(1)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale", "fresh for 300 s in all");
    harness.call().await.fails(UpstreamFailure::Timeout);
    sleep(seconds(3_600 - 300)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    let served = asking.await.unwrap();
    assert_eq!((from(&served), served.unwrap().age), ("fallback", seconds(3_600)), "kept for an hour in all");
    sleep(seconds(1)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "error");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_comes_older_than_its_lifetime_costs_no_call_a_poll() {
    let mut harness = CacheHarness::with(CacheOptions { client_no_cache_interval: seconds(60), ..options() });
    for age in [300, 599, 3_600, 100_000] {
        harness.memory().purge_all();
        let mut calls = 0;
        for second in 0..3_600 {
            let asking = [harness.ask(key(1)), harness.ask(key(1))];
            if let Some(call) = harness.made_call().await {
                calls += 1;
                call.answers_at_age(seconds(age), report(key(1), 2, 1));
            }
            for asking in asking {
                let served = asking.await.unwrap().unwrap();
                assert!(served.age >= seconds(age), "{second}");
            }
            sleep(seconds(1)).await;
        }
        assert!((12..=24).contains(&calls), "{calls} calls an hour, {age} s old");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_of_what_came_old_is_limited_by_when_it_came() {
    let mut harness = CacheHarness::new();
    let asking = harness.ask(key(1));
    harness.call().await.answers_at_age(seconds(200), report(key(1), 2, 1));
    asking.await.unwrap().unwrap();
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_demanded_anew_stands_in_for_nothing_either() {
    let mut harness = CacheHarness::with(CacheOptions { client_no_cache_interval: seconds(10), ..options() });
    harness.hold(key(1), negative_answer()).await;
    sleep(seconds(20)).await;
    let asking = harness.ask_anew(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "error");
}

#[tokio::test(start_paused = true)]
async fn under_the_plan_a_report_that_comes_old_is_not_refreshed_before_the_shortest_interval_either() {
    let mut harness = CacheHarness::with(planned_options(plan(RefreshWaiting::Rarely)));
    // Worth a call at once, then older than `stale_while_revalidate`, and than `stale_if_error`.
    for (key, age) in [(key(1), 0), (key(2), 30), (key(3), 700), (key(4), 100_000)] {
        let (mut calls, mut waits) = (0, 0);
        for second in 0..600 {
            let asking = harness.ask(key);
            if let Some(call) = harness.made_call().await {
                calls += 1;
                waits += u32::from(!asking.is_finished());
                call.answers_at_age(seconds(age), with_clicks(key, second * 10_000));
            }
            asking.await.unwrap().unwrap();
            sleep(seconds(1)).await;
        }
        assert!((30..=60).contains(&calls), "{calls} calls in ten minutes, {age} s old");
        let misses = if age > 3_600 { calls } else { 1 };
        assert_eq!(waits, misses, "{age} s old");
    }
}
