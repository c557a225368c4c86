//! A key whose calls fail: how often it is called for, and what is answered meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use link_report_proxy::{
    cache::RefreshWaiting,
    report::{
        Cause, Exchange, FetchError, InvalidReport, LocalDenial, QuotaPressure, QuotaPressureFn, Reason,
        Unreachable, UpstreamFailure, UpstreamLimit,
    },
};
use tokio::time::sleep;

use super::{
    harness::{CacheHarness, from, negative_answer, report, seconds, with_clicks},
    planned::{plan, planned_options},
};
use crate::support::in_process::{key, timed};

/// Every way in which a call that was made can end without an answer.
fn causes() -> Vec<FetchError> {
    let answered = |limit| FetchError {
        exchange: Exchange { status: Some(429), ..Exchange::default() },
        ..UpstreamFailure::TooManyRequests { limit, retry_after: seconds(1) }.into()
    };
    let mut causes: Vec<FetchError> = [
        Cause::Upstream(UpstreamFailure::Unauthorized),
        Cause::Upstream(UpstreamFailure::Forbidden),
        Cause::Upstream(UpstreamFailure::Status { status: 302 }),
        Cause::Upstream(UpstreamFailure::Status { status: 405 }),
        Cause::Upstream(UpstreamFailure::Status { status: 410 }),
        Cause::Upstream(UpstreamFailure::Status { status: 500 }),
        Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)),
        Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Broken)),
        Cause::Upstream(UpstreamFailure::Invalid(InvalidReport::Malformed)),
        Cause::Upstream(UpstreamFailure::Invalid(InvalidReport::TooLarge { limit: 1 })),
        Cause::Upstream(UpstreamFailure::Timeout),
        Cause::Internal,
    ]
    .map(FetchError::from)
    .into();
    causes.push(answered(UpstreamLimit::PerSecond));
    causes.push(answered(UpstreamLimit::Unspecified));
    causes
}

/// Every way in which a call can be denied here.
fn denials() -> [Cause; 4] {
    [
        Cause::Local(LocalDenial::RateLimit { retry_after: seconds(1) }),
        Cause::Local(LocalDenial::DailyQuota { retry_after: seconds(3_600) }),
        Cause::Local(LocalDenial::CircuitOpen { retry_after: seconds(10) }),
        Cause::Local(LocalDenial::NoToken),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_cold_key_that_fails_is_called_for_at_growing_pauses_and_answered_with_its_error() {
    for error in causes() {
        let mut harness = CacheHarness::new();
        for pause in [5, 10, 20, 40].into_iter().chain([60; 10]).chain([120, 240, 480, 600, 600]) {
            let crowd: Vec<_> = (0..5).map(|_| harness.ask(key(1))).collect();
            let call = harness.call().await;
            assert_eq!(call.call.reason, Reason::Miss);
            call.ends(Err(error.clone()));
            for asking in crowd {
                assert_eq!(asking.await.unwrap().unwrap_err(), error);
            }
            for at in [0, pause - 1] {
                sleep(seconds(at)).await;
                let (answer, waited) = timed(harness.ask(key(1))).await;
                let remembered = error.clone().remembered();
                assert_eq!((answer.unwrap().unwrap_err(), waited), (remembered, seconds(0)), "{pause}");
                assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "error");
                assert!(harness.has_no_call(), "a call within the pause of {pause} s: {error}");
            }
            sleep(seconds(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_for_an_hour_costs_at_most_21_calls_cold_or_warm() {
    for held in [None, Some(report(key(1), 2, 1)), Some(report(key(1), 0, 1)), Some(negative_answer())] {
        let mut harness = CacheHarness::new();
        if let Some(answer) = held.clone() {
            harness.hold(key(1), answer).await;
        }
        let mut calls = 0;
        for _ in 0..3_600 {
            let asking = [harness.ask(key(1)), harness.ask_anew(key(1))];
            while let Some(call) = harness.made_call().await {
                calls += 1;
                call.fails(UpstreamFailure::Forbidden);
            }
            for asking in asking {
                asking.await.unwrap().ok();
            }
            sleep(seconds(1)).await;
        }
        assert!((15..=21).contains(&calls), "{calls} calls, held at first: {held:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_denied_here_says_nothing_of_the_key() {
    for cause in denials() {
        let mut harness = CacheHarness::new();
        for _ in 0..3 {
            let asking = harness.ask(key(1));
            harness.call().await.fails(cause.clone());
            assert_eq!(asking.await.unwrap().unwrap_err().cause, cause);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_here_makes_no_pause_longer_and_none_shorter() {
    for cause in denials() {
        let mut harness = CacheHarness::new();
        harness.hold(key(1), report(key(1), 2, 1)).await;
        sleep(seconds(300)).await;
        for _ in 0..4 {
            harness.ask(key(1)).await.unwrap().unwrap();
            harness.call().await.fails(cause.clone());
            sleep(seconds(4)).await;
            harness.ask(key(1)).await.unwrap().unwrap();
            harness.is_clear().await;
            sleep(seconds(1)).await;
        }
        for pause in [5, 10, 20] {
            harness.ask(key(1)).await.unwrap().unwrap();
            harness.call().await.fails(UpstreamFailure::Timeout);
            sleep(seconds(pause)).await;
            // Denied in between: neither forgotten nor counted.
            harness.ask(key(1)).await.unwrap().unwrap();
            harness.call().await.fails(cause.clone());
            sleep(seconds(5)).await;
        }
        assert_eq!(harness.memory().peek(&key(1)).unwrap().refresh_failure().unwrap().failures, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_or_a_purge_ends_the_pauses_of_a_failing_key() {
    for answer in [Some(report(key(1), 2, 1)), Some(negative_answer()), None] {
        let mut harness = CacheHarness::new();
        for pause in [5, 10, 20] {
            let asking = harness.ask(key(1));
            harness.call().await.fails(UpstreamFailure::Forbidden);
            asking.await.unwrap().unwrap_err();
            sleep(seconds(pause)).await;
        }
        if let Some(answer) = answer {
            harness.hold(key(1), answer).await;
            harness.memory().purge(key(1).id);
        } else {
            harness.ask(key(1));
            harness.call().await.fails(UpstreamFailure::Forbidden);
            harness.is_clear().await;
            assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "error");
            harness.memory().purge_all();
        }
        let asking = harness.ask(key(1));
        harness.call().await.fails(UpstreamFailure::Timeout);
        asking.await.unwrap().unwrap_err();
        sleep(seconds(5)).await;
        harness.ask(key(1));
        harness.call().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_a_purge_is_not_noted_after_it() {
    let mut harness = CacheHarness::new();
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    harness.memory().purge(key(1).id);
    call.fails(UpstreamFailure::Forbidden);
    asking.await.unwrap().unwrap_err();
    harness.ask(key(1));
    harness.call().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_grows_too_old_takes_its_pauses_with_it() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(3_200)).await;
    for pause in [5, 10, 20, 40, 60, 60, 60, 60] {
        harness.ask(key(1));
        harness.call().await.fails(UpstreamFailure::Forbidden);
        sleep(seconds(pause)).await;
    }
    sleep(seconds(82)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Forbidden);
    assert_eq!(from(&asking.await.unwrap()), "fallback", "its last second");
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "error");
    harness.is_clear().await;
    sleep(seconds(1)).await;
    harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Forbidden);
    sleep(seconds(59)).await;
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_that_fails_counts_for_its_interval() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(60)).await;
    for _ in 0..3 {
        let asking = harness.ask_anew(key(1));
        harness.call().await.fails(UpstreamFailure::Timeout);
        assert_eq!(from(&asking.await.unwrap()), "fallback");
        for _ in 0..59 {
            sleep(seconds(1)).await;
            assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "hit");
            harness.is_clear().await;
        }
        sleep(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_of_what_is_too_old_to_be_served_keeps_to_the_pauses() {
    for (held, age) in [(negative_answer(), 3_661), (report(key(1), 1, 1), 3_601)] {
        let mut harness = CacheHarness::new();
        harness.hold(key(1), held).await;
        sleep(seconds(age)).await;
        for pause in [5, 10, 20] {
            let asking = harness.ask_anew(key(1));
            harness.call().await.ends(Err(UpstreamFailure::Timeout.into()));
            assert_eq!(from(&asking.await.unwrap()), "error");
            for at in [0, pause - 1] {
                sleep(seconds(at)).await;
                assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "error");
                harness.is_clear().await;
            }
            sleep(seconds(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_last_evening_says_nothing_of_the_upstream_this_morning() {
    const NIGHT: u64 = 36_000;
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    let pressure = QuotaPressureFn::new(move |_now| match seen.load(Ordering::Relaxed) {
        true => QuotaPressure::Stopped,
        false => QuotaPressure::Normal,
    });
    let mut options = planned_options(plan(RefreshWaiting::Rarely));
    options.lifetimes.stale_if_error = seconds(3 * NIGHT);
    let mut harness = CacheHarness::with_calls_that_are(pressure, options);
    harness.hold(key(1), with_clicks(key(1), 0)).await;
    sleep(seconds(1_000)).await;
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 1_000)).await, "fetched");
    sleep(seconds(700)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "fallback");
    sleep(seconds(60)).await;
    let asking = harness.ask(key(1));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "fallback", "a minute ago it failed, so nobody waits");

    sleep(seconds(NIGHT)).await;
    stopped.store(true, Ordering::Relaxed);
    assert_eq!(
        from(&harness.ask(key(1)).await.unwrap()),
        "stale",
        "for lack of calls, and not for that error"
    );
    stopped.store(false, Ordering::Relaxed);
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 2_000)).await, "fetched", "it waits");
}
