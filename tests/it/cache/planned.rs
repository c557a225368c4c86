//! `cache.refresh = "planned"`: a report is refreshed when that is worth a call, not when it has an age.

use link_report_proxy::{
    cache::{CacheOptions, QuotaUse, RefreshPlanOptions, RefreshSchedule, RefreshWaiting},
    refresh::{PriceLimits, RefreshPolicy, ShadowMode},
    report::{NoClicks, QuotaPressure, QuotaPressureFn, Reason, ReportKey, UpstreamFailure},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::sleep;

use super::harness::{CacheHarness, at_rest, from, negative_answer, noon, options, seconds, with_clicks};
use crate::support::in_process::key;

const PER_DAY: u32 = 10_000;

pub(super) fn plan(waiting: RefreshWaiting) -> RefreshPlanOptions {
    RefreshPlanOptions {
        policy: RefreshPolicy { min_refresh_interval: seconds(10), stale_while_revalidate: seconds(600) },
        unexpected_clicks: 7.0,
        limits: PriceLimits { per_day: PER_DAY, reserve: 0.02 },
        hour_share: 0.15,
        waiting,
        probes: ShadowMode::Off,
    }
}

pub(super) fn planned_options(plan: RefreshPlanOptions) -> CacheOptions {
    CacheOptions { refresh: RefreshSchedule::Planned(plan), ..options() }
}

fn planned() -> CacheHarness {
    CacheHarness::with(planned_options(plan(RefreshWaiting::Rarely)))
}

fn listed(key: ReportKey) -> ReportKey {
    ReportKey { no_clicks: NoClicks::Listed, ..key }
}

/// A report whose campaign gets a click a second, known from two looks; the last was just now and showed 1,000 clicks.
async fn hold_busy(harness: &mut CacheHarness, key: ReportKey) {
    harness.hold(key, with_clicks(key, 0)).await;
    sleep(seconds(1_000)).await;
    assert_eq!(harness.ask_and_answer(key, &with_clicks(key, 1_000)).await, "fetched");
}

/// A report whose campaign has 100 clicks and has got none for an hour.
async fn hold_quiet(harness: &mut CacheHarness, key: ReportKey) {
    harness.hold(key, with_clicks(key, 100)).await;
    sleep(seconds(3_000)).await;
    assert_eq!(harness.ask_and_answer(key, &with_clicks(key, 100)).await, "fetched");
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_refresh_is_not_worth_a_call_is_a_plain_hit_however_old_it_is() {
    let mut harness = planned();
    hold_quiet(&mut harness, key(1)).await;
    for _minute in 0..28 {
        sleep(seconds(60)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    }
    harness.is_clear().await;
    // A click may come each six minutes, for all that is known: after half an hour it is worth to look.
    sleep(seconds(180)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.answers(with_clicks(key(1), 100));
    at_rest().await;
    assert_eq!(harness.metric("cache_clicks_missed_total"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_refreshed_when_its_answers_times_the_clicks_they_lack_reach_the_price() {
    let mut harness = planned();
    hold_busy(&mut harness, key(1)).await;
    // The first price is 4.5 clicks. For ten seconds it does not matter: that is the shortest interval.
    for (pause, answered) in [(2, "hit"), (2, "hit"), (5, "hit"), (1, "stale"), (1, "stale")] {
        sleep(seconds(pause)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), answered);
    }
    let call = harness.call().await;
    assert_eq!(call.call.reason, Reason::Refresh);
    call.answers(with_clicks(key(1), 1_011));
    harness.is_clear().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    // Five answers since the look before, which each missed half of the eleven clicks on average.
    assert_eq!(harness.metric("cache_clicks_missed_total"), 5.0 * 5.5);
    assert_eq!(harness.metric("cache_answers_total"), 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_look_through_one_report_counts_for_the_activity_s_other_report() {
    let mut harness = planned();
    hold_busy(&mut harness, key(1)).await;
    sleep(seconds(9)).await;
    // The other report shows the same clicks as the first one: that is now known to be current.
    harness.hold(listed(key(1)), with_clicks(key(1), 1_000)).await;
    sleep(seconds(3)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit", "its clicks were looked at 3 s ago");
    // A third report that shows more makes both of the clicks that the first one lacks known.
    sleep(seconds(60)).await;
    assert_eq!(harness.ask_and_answer(listed(key(1)), &with_clicks(key(1), 1_050)).await, "stale");
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale", "fifty clicks are known to be missing");
    harness.call().await.answers(with_clicks(key(1), 1_050));
}

#[tokio::test(start_paused = true)]
async fn reports_that_do_not_add_up_are_refreshed_each_by_its_own_clicks() {
    let mut harness = planned();
    harness.hold(listed(key(1)), with_clicks(key(1), 107)).await;
    sleep(seconds(60)).await;
    harness.hold(key(1), with_clicks(key(1), 100)).await;
    assert_eq!(harness.metric("cache_unpaired_campaigns"), 1.0);
    sleep(seconds(2)).await;
    // Seven clicks less are no known lack of the other report.
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_request_after_a_pause_waits_if_its_answer_alone_would_miss_clicks_worth_a_call() {
    let mut harness = planned();
    hold_busy(&mut harness, key(1)).await;
    sleep(seconds(700)).await;
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    assert!(!asking.is_finished(), "it waits");
    sleep(seconds(5)).await;
    call.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "fallback", "the old report, as the call failed");
    // While calls fail nobody waits.
    sleep(seconds(6)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "fallback");
    harness.call().await.answers(with_clicks(key(1), 1_500));
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
}

#[tokio::test(start_paused = true)]
async fn the_clicks_of_a_night_without_polls_are_not_counted_as_missed_by_the_evening_s_responses() {
    const NIGHT: u64 = 36_000;
    let mut options = planned_options(plan(RefreshWaiting::Rarely));
    options.lifetimes.stale_if_error = seconds(2 * NIGHT);
    let mut harness = CacheHarness::with(options);
    hold_busy(&mut harness, key(1)).await;
    for _request in 0..4 {
        sleep(seconds(2)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    }
    let slice = |at| {
        let quota_use = QuotaUse { used: 0, yesterday_exceeded_after: None };
        harness.memory().plan_minute(quota_use, noon() + seconds(at));
    };
    sleep(seconds(300 - 8)).await;
    slice(300);
    sleep(seconds(NIGHT - 300)).await;
    slice(NIGHT);
    assert_eq!(harness.ask_and_answer(key(1), &with_clicks(key(1), 37_000)).await, "fetched", "it waits");
    assert_eq!(harness.metric("cache_answers_total"), 4.0);
    // They came within five minutes of the look before: on average they miss the clicks of half of that.
    let missed = harness.metric("cache_clicks_missed_total");
    assert!((missed - 4.0 * 150.0).abs() < 20.0, "{missed}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_campaign_s_first_request_after_a_pause_does_not_wait() {
    let mut harness = planned();
    hold_quiet(&mut harness, key(1)).await;
    sleep(seconds(3_000)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn with_before_a_request_waits_half_a_second_for_the_refresh_and_then_gets_the_old_report() {
    let mut harness = CacheHarness::with(planned_options(plan(RefreshWaiting::Shortly)));
    hold_busy(&mut harness, key(1)).await;
    sleep(seconds(20)).await;
    let start = tokio::time::Instant::now();
    let asking = harness.ask(key(1));
    harness.call().await.answers(with_clicks(key(1), 1_020));
    assert_eq!(from(&asking.await.unwrap()), "fetched");
    sleep(seconds(20)).await;
    let (asked_at, asking) = (tokio::time::Instant::now(), harness.ask(key(1)));
    let late = harness.call().await;
    assert_eq!(from(&asking.await.unwrap()), "stale");
    assert_eq!(asked_at.elapsed(), std::time::Duration::from_millis(500));
    late.answers(with_clicks(key(1), 1_040));
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit", "the call that came late is kept");
    assert!(start.elapsed() < seconds(60));
}

#[tokio::test(start_paused = true)]
async fn no_refresh_is_made_while_calls_are_reserved_for_misses() {
    let reserved = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reserved);
    let pressure = move |_now| match seen.load(Ordering::Relaxed) {
        true => QuotaPressure::Stopped,
        false => QuotaPressure::Normal,
    };
    let mut harness = CacheHarness::with_calls_that_are(
        QuotaPressureFn::new(pressure),
        planned_options(plan(RefreshWaiting::Rarely)),
    );
    hold_busy(&mut harness, key(1)).await;
    reserved.store(true, Ordering::Relaxed);
    for wait in [20, 700, 2_000] {
        sleep(seconds(wait)).await;
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale", "served at once, and no error");
    }
    harness.is_clear().await;
    harness.hold(key(2), with_clicks(key(2), 1)).await;
}

#[tokio::test(start_paused = true)]
async fn refreshes_take_no_more_than_their_share_of_an_hour() {
    let hour_share = 15.0 / f64::from(PER_DAY);
    let mut harness = CacheHarness::with(planned_options(RefreshPlanOptions {
        hour_share,
        ..plan(RefreshWaiting::Rarely)
    }));
    hold_busy(&mut harness, key(1)).await;
    let mut calls = 0;
    for second in 1..600 {
        sleep(seconds(5)).await;
        // Many clicks and many requests: worth it at any price.
        for _request in 0..50 {
            harness.ask(key(1)).await.unwrap().unwrap();
        }
        if let Some(call) = harness.made_call().await {
            calls += 1;
            call.answers(with_clicks(key(1), 1_000 + second * 1_000));
        }
    }
    assert_eq!(calls, 15 - 2, "fifteen, two of which were made before");
    // The count fades with the minutes.
    sleep(seconds(1_800)).await;
    let no_calls = QuotaUse { used: 15, yesterday_exceeded_after: None };
    harness.memory().plan_minute(no_calls, noon() + seconds(4_800));
    let asking = harness.ask(key(1));
    harness.call().await.answers(with_clicks(key(1), 999_999));
    assert_eq!(from(&asking.await.unwrap()), "fetched");
}

#[tokio::test(start_paused = true)]
async fn refusals_keep_their_own_lifetime() {
    let mut harness = planned();
    harness.hold(key(1), negative_answer()).await;
    sleep(seconds(59)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    sleep(seconds(1)).await;
    assert_eq!(harness.ask_and_answer(key(1), &negative_answer()).await, "fetched");
    sleep(seconds(119)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit", "twice as long");
}

#[tokio::test(start_paused = true)]
async fn the_price_follows_the_demand_and_is_higher_when_fewer_calls_are_left() {
    let mut harness = planned();
    hold_busy(&mut harness, key(1)).await;
    let mut used = 0;
    let mut clicks = 1_000;
    let mut prices = Vec::new();
    let scarce_price = 1.5 * harness.metric("refresh_price");
    for minute in 1..120 {
        for _request in 0..6 {
            sleep(seconds(10)).await;
            clicks += 10;
            harness.ask(key(1)).await.unwrap().unwrap();
            if let Some(call) = harness.made_call().await {
                used += 1;
                call.answers(with_clicks(key(1), clicks));
            }
        }
        let all_but = if minute < 60 { used } else { PER_DAY - 400 };
        let quota_use = QuotaUse { used: all_but, yesterday_exceeded_after: None };
        harness.memory().plan_minute(quota_use, noon() + seconds(minute * 60));
        prices.push(harness.metric("refresh_price"));
    }
    assert!(used > 50 && harness.metric("refresh_planned_calls") > 0.0, "{used}");
    assert!(prices[58] < prices[0], "one busy report and ten thousand calls: {prices:?}");
    assert!(prices[118] > 50.0 * prices[58], "{prices:?}");
    let shown = harness.metric("refresh_scarce_price");
    assert!(
        (shown / scarce_price - 1.0).abs() < 1e-9,
        "it is that of an ample day, whatever the price: {shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_older_than_stale_if_error_is_a_hit_until_it_is_worth_a_call_and_then_a_miss() {
    let mut harness = planned();
    hold_quiet(&mut harness, key(1)).await;
    hold_busy(&mut harness, key(2)).await;
    sleep(options().lifetimes.stale_if_error + seconds(60)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    // A sweep of what is too old leaves it alone.
    for number in 3..200 {
        harness.hold(key(number), with_clicks(key(number), 1)).await;
    }
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
    let asking = harness.ask(key(2));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "error", "too old to be served instead of an error");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_the_other_one_has_shown_to_be_current_is_served_when_calls_are_spent_or_fail() {
    let spent = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&spent);
    let pressure = move |_now| match seen.load(Ordering::Relaxed) {
        true => QuotaPressure::Stopped,
        false => QuotaPressure::Normal,
    };
    let plan = planned_options(plan(RefreshWaiting::Rarely));
    let mut harness = CacheHarness::with_calls_that_are(QuotaPressureFn::new(pressure), plan);
    for key in [key(1), listed(key(1))] {
        harness.hold(key, with_clicks(key, 100)).await;
    }
    for _look in 0..3 {
        sleep(seconds(3_000)).await;
        let mut asked = 0;
        let call = loop {
            // Some wait for the call.
            drop(harness.ask(listed(key(1))));
            asked += 1;
            assert!(asked < 1_000, "so many answers are worth a call");
            if let Some(call) = harness.made_call().await {
                break call;
            }
        };
        call.answers(with_clicks(key(1), 100));
        at_rest().await;
    }
    // Older than `stale_if_error`, and current three quarters of an hour ago.
    assert_eq!(options().lifetimes.stale_if_error, seconds(3_600));
    sleep(seconds(2_700)).await;
    spent.store(true, Ordering::Relaxed);
    let ask = async || {
        from(&tokio::time::timeout(seconds(1), harness.ask(key(1))).await.expect("it waits").unwrap())
    };
    let mut hits = 0;
    while ask().await == "hit" {
        hits += 1;
        assert!(hits < 1_000, "so many answers are worth a call");
    }
    assert_eq!(ask().await, "stale", "rationed, and not refused");
    spent.store(false, Ordering::Relaxed);
    assert_eq!(ask().await, "stale");
    harness.call().await.fails(UpstreamFailure::Timeout);
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "fallback", "as if it had been fetched then");
}
