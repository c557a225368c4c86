//! Tests: the lockout after a `quota_exceeded` that our own count contradicts.

use std::time::Duration;

use tokio::time::advance;

use super::{
    Quota, QuotaMode,
    day::DAY,
    test_host::{HOUR, Host, MINUTE, day, refused},
};
use crate::report::{Fetched, Reason, UpstreamFailure, UpstreamLimit};

/// One hour plus the jitter.
const AN_HOUR: Duration = Duration::from_secs(HOUR as u64 + 60);

async fn is_admitted(quota: &Quota) -> bool {
    quota.admit(Reason::Miss).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn one_stray_quota_exceeded_costs_an_hour_and_not_the_day() {
    let host = Host::at(DAY / 24);
    let quota = host.run();
    let before = day(&quota).used;
    refused(&quota).await;
    for _ in 0..59 {
        assert!(!is_admitted(&quota).await && day(&quota).mode == QuotaMode::Exhausted);
        advance(MINUTE).await;
    }
    advance(2 * MINUTE).await;
    assert_eq!(day(&quota).mode, QuotaMode::Exhausted, "until a probe gets a response");
    host.spend(&quota, 30).await;
    let now = day(&quota);
    assert_eq!(
        (now.used, now.mode, now.external),
        (before + 31, QuotaMode::Normal, 0),
        "the day is open again"
    );
    host.spend(&host.run(), 30).await;
}

#[tokio::test(start_paused = true)]
async fn a_day_that_another_program_has_used_up_costs_a_probe_after_1_2_4_and_8_hours() {
    let host = Host::at(DAY / 24);
    let quota = host.run();
    refused(&quota).await;
    let mut probes = Vec::new();
    for minute in 0..22 * 60 {
        advance(MINUTE).await;
        if let Ok(probe) = quota.admit(Reason::Miss).await {
            probes.push(minute / 60);
            let exceeded = UpstreamFailure::TooManyRequests {
                limit: UpstreamLimit::PerDay,
                retry_after: Duration::ZERO,
            };
            probe.learn::<Fetched>(&Err(exceeded.into())).await;
        }
    }
    assert_eq!(probes, [1, 3, 7, 15]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_again_and_again_on_a_closed_day_makes_no_call() {
    let host = Host::at(DAY / 24);
    refused(&host.run()).await;
    for _ in 0..20 {
        let quota = host.run();
        assert!(!is_admitted(&quota).await);
        advance(55 * MINUTE).await;
        assert!(!is_admitted(&quota).await);
    }
    let quota = host.run();
    assert!(day(&quota).used < 5_000, "the count is kept in addition to the status: {}", day(&quota).used);
    advance(AN_HOUR).await;
    assert!(is_admitted(&quota).await, "a process that keeps running sends a probe");
    assert!(!is_admitted(&quota).await, "only one");
}

#[tokio::test(start_paused = true)]
async fn after_a_quota_exceeded_that_our_count_confirms_no_call_is_made_until_midnight() {
    let host = Host::at(DAY * 20 / 24);
    let quota = host.run();
    refused(&quota).await;
    for quota in [quota, host.run()] {
        for _ in 0..3 {
            assert!(!is_admitted(&quota).await);
            advance(AN_HOUR / 2).await;
        }
    }
    let quota = host.run();
    advance(AN_HOUR + MINUTE).await;
    assert!(is_admitted(&quota).await);
}
