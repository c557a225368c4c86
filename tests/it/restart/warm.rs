//! A warm proxy: no calls, true ages, statistics kept.

use serde_json::Value;

use super::*;

const REPORTS: u32 = 400;
const MINUTE: Duration = Duration::from_mins(1);

/// Asks for so many reports each minute.
async fn poll(process: &Process, reports: u32, minutes: u32) {
    for _ in 0..minutes {
        process.get_all(reports).await;
        sleep(MINUTE).await;
    }
}

/// The list of entries, without what goes on with time.
async fn entries(process: &Process) -> Vec<Value> {
    let list = process.admin(http::Method::GET, "/cache?per_page=1000").await.json();
    let mut entries = list["items"].as_array().unwrap().clone();
    for entry in &mut entries {
        for goes_on in [
            "age_seconds",
            "ttl_seconds",
            "requests_per_hour",
            "bytes",
            "unchanged_for_seconds",
            "next_refresh_at",
        ] {
            entry.as_object_mut().unwrap().remove(goes_on);
        }
    }
    entries
}

#[tokio::test(start_paused = true)]
async fn a_warm_proxy_of_400_reports_is_started_anew_without_a_call_and_with_true_ages() {
    let fixture = RestartFixture::new(&[
        ("CACHE__REFRESH", "fixed"),
        ("CACHE__TTL_JITTER", "0"),
        ("QUOTA__PER_DAY", "0"),
    ]);
    let first = fixture.start().await;
    assert_eq!(first.metric("cache_restored_entries"), 0.0);
    for part in 0..4 {
        let first = &first;
        join_all((0..100).map(|number| async move { first.get(&path(part * 100 + number)).await })).await;
        sleep(20 * SECOND).await;
    }
    let (before, listed) = (first.get_all(REPORTS).await, entries(&first).await);
    let (calls, stopped) = (fixture.vendor.calls(), Instant::now());
    assert_eq!((calls, age(&before[0]), age(&before[399])), (400, 80, 20));
    first.end().await;
    sleep(45 * SECOND).await;

    let second = fixture.start().await;
    assert_eq!(entries(&second).await, listed, "hits, clicks and rates are kept");
    let after = second.get_all(REPORTS).await;
    assert_eq!(fixture.vendor.calls(), calls, "no call");
    let down = stopped.elapsed().as_secs();
    assert!((45..47).contains(&down), "{down}");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&after.body, after.header("etag")), (&before.body, before.header("etag")));
        let older = age(after) - age(before);
        assert!((down..=down + 1).contains(&older), "{older} s for {down} s");
    }
    assert_eq!(second.metric("cache_restored_entries"), 400.0);
    assert_eq!(second.metric("cache_entries"), 400.0);
    // They go on as if there had been no restart.
    sleep(200 * SECOND).await;
    let stale = second.get(&path(0)).await;
    assert_eq!((stale.cache_status().starts_with("hit; ttl=-"), stale.status), (true, 200));
    sleep(SECOND).await;
    assert_eq!(fixture.vendor.calls(), calls + 1, "refreshed behind, as it is older than cache.ttl");
}

#[tokio::test(start_paused = true)]
async fn validators_are_unchanged_after_a_restart_and_the_gzip_variant_is_made_again() {
    let fixture = RestartFixture::new(&[]);
    let first = fixture.start().await;
    let gzip = [("accept-encoding", "gzip")];
    first.get(&path(1)).await;
    let (plain, zipped) = (first.get(&path(1)).await, first.get_with(&path(1), &gzip).await);
    let all_links = format!("{}?no_clicks=true", path(1));
    first.get(&all_links).await;
    first.end().await;

    let (second, calls) = (fixture.start().await, fixture.vendor.calls());
    for (target, answer, headers) in [(path(1), &plain, &[][..]), (path(1), &zipped, &gzip[..])] {
        let tag = answer.header("etag").to_owned();
        let conditional = [headers, &[("if-none-match", tag.as_str())]].concat();
        let unchanged = second.get_with(&target, &conditional).await;
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, tag.as_str()));
        assert_eq!(second.get_with(&target, headers).await.body, answer.body);
    }
    assert_eq!(second.get(&all_links).await.status, 200);
    assert_eq!(fixture.vendor.calls(), calls, "both forms of the report were kept");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_plan_does_not_refresh_all_reports_at_once() {
    const POLLED: u32 = 100;
    let fixture = RestartFixture::new(&[]);
    // Past midnight, so that the calls of the day are not used up by the first fetches.
    sleep(110 * MINUTE).await;
    let first = fixture.start().await;
    let calls_of = async |process: &Process, minutes| {
        let before = fixture.vendor.calls();
        poll(process, POLLED, minutes).await;
        fixture.vendor.calls() - before
    };
    calls_of(&first, 70).await;
    let ten_minutes = calls_of(&first, 10).await;
    first.end().await;
    sleep(20 * SECOND).await;

    let second = fixture.start().await;
    let first_minute = calls_of(&second, 1).await;
    let after = first_minute + calls_of(&second, 9).await;
    eprintln!("calls in ten minutes before {ten_minutes}, after {after}, in the first minute {first_minute}");
    assert!(ten_minutes >= 10, "there are refreshes, one here and one there");
    assert!(first_minute <= ten_minutes / 2, "and no more of them at the start");
    assert!((ten_minutes / 2..=ten_minutes * 2).contains(&after), "they go on");
}

#[tokio::test(start_paused = true)]
async fn a_kill_loses_only_what_was_fetched_since_the_last_snapshot() {
    let fixture = RestartFixture::new(&[("CACHE__REFRESH", "fixed"), ("STATE__SNAPSHOT_INTERVAL", "1m")]);
    let first = fixture.start().await;
    first.get(&path(1)).await;
    sleep(61 * SECOND).await;
    assert!(fixture.snapshot_exists());
    let written = first.metric("cache_snapshot_timestamp_seconds");
    assert!(first.metric("cache_snapshot_bytes") > 1_000.0);
    first.get(&path(2)).await;
    first.kill().await;

    let second = fixture.start().await;
    second.get(&path(1)).await;
    assert_eq!(fixture.vendor.calls(), 2);
    second.get(&path(2)).await;
    assert_eq!(fixture.vendor.calls(), 3);
    sleep(61 * SECOND).await;
    let at = second.metric("cache_snapshot_timestamp_seconds");
    assert!(at > written);
    sleep(180 * SECOND).await;
    assert_eq!(second.metric("cache_snapshot_timestamp_seconds"), at, "nothing came or went since");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_account_or_one_that_is_switched_off_is_not_served() {
    let mut fixture = RestartFixture::new(&[]);
    let first = fixture.start().await;
    first.get(&path(1)).await;
    first.end().await;
    let token = fixture.vendor.access_token();
    fixture.set("TOKEN__ACCESS_TOKEN", &fixture.vendor.issue_access_token());
    let second = fixture.start().await;
    assert_eq!(second.metric("cache_restored_entries"), 0.0);
    second.kill().await;
    assert!(fixture.snapshot_exists(), "nobody has written another yet");

    fixture.set("TOKEN__ACCESS_TOKEN", &token);
    let third = fixture.start().await;
    assert_eq!(third.metric("cache_restored_entries"), 1.0);
    third.kill().await;
    fixture.set("STATE__SNAPSHOT_INTERVAL", "0");
    let fourth = fixture.start().await;
    assert!(fourth.snapshot.is_none() && !fixture.snapshot_exists());
    fourth.get(&path(1)).await;
    assert_eq!(fixture.vendor.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_status_page_goes_on_with_its_history() {
    let fixture = RestartFixture::new(&[("QUOTA__PER_DAY", "0")]);
    let rows = async |process: &Process| {
        let shown = process.admin(http::Method::GET, "/status/history").await.json();
        shown["rows"].as_array().unwrap().clone()
    };
    let first = fixture.start().await;
    poll(&first, REPORTS, 5).await;
    let before = rows(&first).await;
    assert!(before.len() >= 5, "{before:?}");
    first.end().await;
    sleep(10 * MINUTE).await;

    let second = fixture.start().await;
    sleep(2 * MINUTE).await;
    let after = rows(&second).await;
    assert_eq!(after[..before.len()], before);
    let started: Vec<_> = after.iter().map(|row| row[10].as_u64().unwrap()).collect();
    assert_eq!((started[0], started[before.len()], started.iter().sum::<u64>()), (1, 1, 2));
}
