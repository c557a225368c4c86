//! What becomes of old copies while calls are scarce.

use std::sync::{Arc, Mutex};

use link_report_proxy::{
    cache::ServedFrom,
    report::{LocalDenial, QuotaPressure, QuotaPressureFn, Reason},
};
use tokio::time::sleep;

use super::harness::{CacheHarness, at_rest, from, options, report, seconds};
use crate::support::in_process::key;

/// A cache whose quota pressure the test sets.
fn scarce(quota_pressure: QuotaPressure) -> (CacheHarness, Arc<Mutex<QuotaPressure>>) {
    let now = Arc::new(Mutex::new(quota_pressure));
    let set = Arc::clone(&now);
    let probe = QuotaPressureFn::new(move |_now| *set.lock().unwrap());
    (CacheHarness::with_calls_that_are(probe, options()), now)
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_refreshed_later_the_scarcer_calls_are() {
    let (mut harness, _) = scarce(QuotaPressure::Delayed { factor: 2.0 });
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(301)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.is_clear().await;
    sleep(seconds(299)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    assert_eq!(harness.call().await.call.reason, Reason::Refresh);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_too_old_and_put_off_is_answered_at_once_as_rationed_and_no_error() {
    let (mut harness, now) = scarce(QuotaPressure::Delayed { factor: 10.0 });
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(1_000)).await;
    for quota_pressure in [QuotaPressure::Delayed { factor: 10.0 }, QuotaPressure::Stopped] {
        *now.lock().unwrap() = quota_pressure;
        let served = harness.ask(key(1)).await.unwrap().unwrap();
        assert!(matches!(served.from, ServedFrom::Rationed), "{:?}", served.from);
        harness.is_clear().await;
    }
    *now.lock().unwrap() = QuotaPressure::Normal;
    let asking = harness.ask(key(1));
    harness.call().await.answers(report(key(1), 2, 2));
    assert_eq!(from(&asking.await.unwrap()), "fetched");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_the_quota_refuses_is_no_error_while_the_copy_is_young_enough() {
    let (mut harness, _) = scarce(QuotaPressure::Normal);
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(301)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.fails(LocalDenial::DailyQuota { retry_after: seconds(3_600) });
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale", "and it is left alone for a while");
    harness.is_clear().await;
    sleep(seconds(5)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.fails(LocalDenial::RateLimit { retry_after: seconds(1) });
    at_rest().await;
    assert_eq!(
        from(&harness.ask(key(1)).await.unwrap()),
        "stale",
        "nor is a turn in the second that was not to be had"
    );
    assert_eq!(harness.metric("refreshes_total{result=\"error\"}"), 0.0);
    sleep(seconds(600)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "fallback");
}

#[tokio::test(start_paused = true)]
async fn nobody_forces_a_refresh_while_calls_are_scarce_and_a_cold_key_is_fetched() {
    let (mut harness, _) = scarce(QuotaPressure::Stopped);
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(120)).await;
    assert_eq!(from(&harness.ask_anew(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
    let _asking = harness.ask(key(2));
    assert_eq!(harness.call().await.call.reason, Reason::Miss);
}
