//! A cache that continues from what an earlier one has left.

use link_report_proxy::{
    cache::{CacheOptions, PlanClock, QuotaUse, RefreshWaiting, RestoredRecord, SnapshotAge},
    report::ReportKey,
};
use tokio::time::{Instant, sleep};

use super::{
    harness::{CacheHarness, noon, seconds, with_clicks},
    planned::{plan, planned_options},
};
use crate::support::in_process::key;

/// Everyone asks for each report once. Returns the number of calls.
async fn poll(harness: &mut CacheHarness, keys: &[ReportKey]) -> usize {
    let mut calls = 0;
    for key in keys {
        let asking = harness.ask(*key);
        if let Some(call) = harness.made_call().await {
            calls += 1;
            call.answers(with_clicks(*key, 100));
        }
        asking.await.unwrap().unwrap();
    }
    calls
}

fn pass_minute(harness: &CacheHarness, used: usize, begun: Instant) {
    let quota_use = QuotaUse { used: used.try_into().unwrap(), yesterday_exceeded_after: None };
    harness.memory().plan_minute(quota_use, noon() + begun.elapsed());
}

/// The clicks that a response misses for all that is not known, of each.
fn unexpected(harness: &CacheHarness, key: ReportKey) -> f64 {
    let entry = harness.memory().peek(&key).unwrap();
    harness.memory().planned_view(&key, &entry, Instant::now()).unwrap().lack.unexpected
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_thousand_reports_share_the_unexpected_clicks_as_before() {
    let (keys, begun): (Vec<_>, _) = ((0..1_000).map(key).collect(), Instant::now());
    let mut first = CacheHarness::with(planned_options(plan(RefreshWaiting::Rarely)));
    let mut used = poll(&mut first, &keys).await;
    assert_eq!(used, 1_000);
    for minute in 0..1_060 {
        if minute % 20 == 0 {
            used += poll(&mut first, &keys).await;
        }
        sleep(seconds(60)).await;
        pass_minute(&first, used, begun);
    }
    let before = poll(&mut first, &keys).await;
    let shared = unexpected(&first, key(1));

    let clock = PlanClock::starting_at(noon() + begun.elapsed());
    let options = CacheOptions { clock, ..planned_options(plan(RefreshWaiting::Rarely)) };
    // Without it the activities are known from the snapshot alone, from the first minute on.
    for plan_is_kept in [true, false] {
        let mut second = CacheHarness::with(options.clone());
        let memory = second.memory();
        if plan_is_kept {
            let utc = noon() + begun.elapsed();
            memory.restore_plan(first.memory().plan_record(utc).unwrap(), utc);
        }
        let now = Instant::now();
        let age = SnapshotAge { now, elapsed: seconds(0) };
        for record in first.memory().snapshot(now, 1 << 30) {
            let body = record.body.as_ref().map(|body| body.body().to_vec()).unwrap_or_default();
            let restored = memory.restore(age, &record.fields, &body);
            assert!(matches!(restored, RestoredRecord::Entry | RestoredRecord::Known));
        }
        if !plan_is_kept {
            pass_minute(&second, used, begun);
        }
        let ratio = unexpected(&second, key(1)) / shared;
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}, {plan_is_kept}");
        assert_eq!((before, poll(&mut second, &keys).await), (0, 0), "none is worth a call");
    }
}
