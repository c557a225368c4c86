//! Tests: a plan of the day that speaks each minute, through the handle and over restarts.

use tokio::time::{Instant, advance};

use super::{
    PlannedRationing, Quota, QuotaMode, Scarcity,
    day::DAY,
    lease::LEASE,
    snapshot::DayCount,
    test_host::{Host, MINUTE, day, refused},
};
use crate::report::{QuotaPressure, Reason};

async fn refresh_is_admitted(quota: &Quota) -> bool {
    quota.admit(Reason::Refresh).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_plan_takes_over_from_the_even_pace_and_a_new_process_has_an_even_pace_until_it_speaks() {
    let host = Host::at(DAY / 24);
    let mut quota = host.run();
    host.spend(&quota, 5_000).await;
    for _restart in 0..2 {
        assert_eq!(day(&quota).mode, QuotaMode::MissesOnly);
        assert!((950..=958).contains(&day(&quota).reserved), "23 hours' share of a tenth");
        assert_eq!(quota.quota_pressure(Instant::now()), QuotaPressure::Stopped);
        assert!(!refresh_is_admitted(&quota).await);
        for (scarcity, mode) in
            [(Scarcity::Scarce, QuotaMode::Throttled), (Scarcity::Ample, QuotaMode::Normal)]
        {
            quota.ration(PlannedRationing { reserved: 200, scarcity });
            advance(MINUTE).await;
            assert_eq!((day(&quota).mode, day(&quota).reserved), (mode, 200));
            assert_eq!(quota.quota_pressure(Instant::now()), QuotaPressure::Normal);
            assert!(refresh_is_admitted(&quota).await);
        }
        quota = host.run();
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_each_minute_finds_a_quota_exceeded_until_a_probe_takes_it_back() {
    let host = Host::at(DAY / 24);
    let quota = host.run();
    let used = day(&quota).used + 1;
    refused(&quota).await;
    for _ in 0..60 {
        assert_eq!(day(&quota).exceeded_after, Some(used));
        advance(MINUTE).await;
    }
    advance(MINUTE).await;
    host.spend(&quota, 1).await;
    for _ in 0..DAY.as_secs() / 60 {
        let DayCount { exceeded_after, yesterday_exceeded_after, .. } = day(&quota);
        assert_eq!((exceeded_after, yesterday_exceeded_after), (None, None));
        advance(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_exceeded_that_stood_till_midnight_is_known_to_the_processes_of_the_next_day() {
    let host = Host::at(DAY * 23 / 24);
    let quota = host.run();
    let used = day(&quota).used + 1;
    refused(&quota).await;
    advance(MINUTE * 59).await;
    // The store has counted the rest of a lease as well.
    let restarted = host.run();
    let known = day(&restarted).exceeded_after.unwrap();
    assert!((used..used + LEASE).contains(&known), "{known}");
    advance(MINUTE).await;
    for quota in [&quota, &restarted, &host.run()] {
        let DayCount { exceeded_after, yesterday_exceeded_after, .. } = day(quota);
        assert_eq!(exceeded_after, None);
        assert!(yesterday_exceeded_after.is_some_and(|known| (used..used + LEASE).contains(&known)));
    }
}
