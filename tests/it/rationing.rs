//! What callers see when the day's calls run short, with the whole stack.

use std::time::Duration;

use link_report_proxy::simulator::{BodyShape, Fault, Limit, Scope, synthetic_id};

use crate::support::in_process::{InProcess, OLD, failure, key, path};

/// The day begins late here: 22:13:20 UTC.
const TILL_MIDNIGHT: Duration = Duration::from_secs(6_400);
const HOUR: Duration = Duration::from_secs(3_600);
/// The latest that a probe comes after midnight, or after its hour.
const JITTER: Duration = Duration::from_secs(61);

async fn spend(proxy: &InProcess, keys: std::ops::Range<u32>) {
    for number in keys {
        assert_eq!(proxy.get(&path(number)).await.status, 200);
    }
}

async fn mode(proxy: &InProcess) -> String {
    let quota = proxy.admin("/quota").await.json();
    format!("{} {}", quota["day"]["mode"].as_str().unwrap(), quota["day"]["forecast"].as_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn refreshes_are_put_off_and_cold_keys_go_on_until_the_reserve_is_spent_too() {
    let proxy = InProcess::with(&[("QUOTA__PER_DAY", "1000")]);
    spend(&proxy, 0..965).await;
    assert_eq!(mode(&proxy).await, "misses_only exhausted at 22:13 UTC");
    let day = proxy.admin("/quota").await.json()["day"].take();
    let at = day["exhausted_at"].as_str().unwrap();
    assert!(at.contains("T22:13:") && at < day["resets_at"].as_str().unwrap(), "{day}");
    let reserved = proxy.metric("link_report_proxy_quota_reserved_calls").await;
    assert_eq!(day["reserved_for_misses"], reserved as u64, "{day}");
    assert!(reserved > 0.0, "{day}");

    tokio::time::sleep(Duration::from_secs(310)).await;
    let stale = proxy.get(&path(1)).await;
    assert_eq!((stale.status, stale.cache_status()), (200, "hit; ttl=-10"), "to be put off is no error");
    tokio::time::sleep(OLD).await;
    let old = proxy.get(&path(1)).await;
    assert_eq!((old.status, old.cache_status()), (200, "hit; ttl=-1210; detail=rationed"));
    assert_eq!(
        proxy
            .metric(
                "link_report_proxy_requests_total{client=\"anonymous\",code=\"200\",outcome=\"rationed\"}"
            )
            .await,
        1.0
    );
    assert_eq!(
        proxy.metric("link_report_proxy_requests_total{client=\"anonymous\",code=\"200\",outcome=\"stale_if_error\"}").await,
        0.0
    );
    proxy.settled(key(1)).await;
    assert_eq!(proxy.vendor.calls(), 965, "neither was refreshed");
    let explained = proxy.admin(&format!("/cache/{}", key(1).id)).await.text();
    assert!(explained.contains("the quota is low"), "{explained}");

    spend(&proxy, 965..1_000).await;
    assert_eq!(mode(&proxy).await, "exhausted exhausted");
    assert!(
        proxy.admin("/quota").await.json()["day"]["exhausted_at"].is_null(),
        "it is no forecast any more"
    );
    assert_eq!(proxy.metric("link_report_proxy_quota_mode{mode=\"exhausted\"}").await, 1.0);
    let cold = proxy.get(&path(1_000)).await;
    assert_eq!((cold.status, cold.json()["error_key"].as_str()), (503, Some("quota_exhausted")));
    assert_eq!(cold.header("retry-after"), "10");
    assert_eq!(proxy.vendor.calls(), 1_000);

    tokio::time::sleep(TILL_MIDNIGHT).await;
    let renewed = proxy.get(&path(1)).await;
    assert_eq!(renewed.cache_status(), "fwd=stale; fwd-status=200; stored");
    assert_eq!(mode(&proxy).await, "normal enough");
}

#[tokio::test(start_paused = true)]
async fn the_upstream_s_quota_exceeded_is_silence_till_midnight_and_then_one_probe() {
    let proxy = InProcess::with(&[("QUOTA__PER_DAY", "1000")]);
    spend(&proxy, 1_000..1_800).await;
    proxy.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::Next(1));
    for number in 0..50 {
        assert_eq!(proxy.get(&path(number)).await.json()["error_key"], "quota_exhausted");
    }
    assert_eq!(proxy.vendor.calls(), 801);
    assert_eq!(proxy.metric("link_report_proxy_quota_external_calls").await, 199.0);
    tokio::time::sleep(TILL_MIDNIGHT - Duration::from_secs(1)).await;
    assert_eq!(proxy.get(&path(1)).await.status, 503);

    tokio::time::sleep(JITTER).await;
    proxy.vendor.inject(Fault::Latency(Duration::from_millis(200)), Scope::All);
    let answers: Vec<_> = (0..10).map(|number| proxy.get_meanwhile(&path(number))).collect();
    let mut statuses = Vec::new();
    for answer in answers {
        statuses.push(answer.await.unwrap().status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(proxy.vendor.calls(), 802);
    spend(&proxy, 0..10).await;
    assert_eq!(proxy.metric("link_report_proxy_quota_external_calls").await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_stray_quota_exceeded_is_silence_for_an_hour_and_the_day_goes_on_with_its_count() {
    let proxy = InProcess::with(&[("QUOTA__PER_DAY", "1000")]);
    spend(&proxy, 0..20).await;
    proxy.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::Next(1));
    assert_eq!(proxy.get(&path(20)).await.status, 503);
    assert_eq!(proxy.metric("link_report_proxy_quota_external_calls").await, 979.0);
    tokio::time::sleep(HOUR - Duration::from_secs(1)).await;
    assert_eq!((proxy.get(&path(20)).await.status, proxy.vendor.calls()), (503, 21));
    assert_eq!(mode(&proxy).await, "exhausted exhausted");

    tokio::time::sleep(JITTER).await;
    spend(&proxy, 20..40).await;
    assert_eq!(mode(&proxy).await, "normal enough");
    assert_eq!(proxy.metric("link_report_proxy_quota_used{window=\"day\"}").await, 41.0);
    assert_eq!(proxy.metric("link_report_proxy_quota_external_calls").await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_429_that_names_no_limit_is_followed_by_a_growing_silence() {
    let proxy = InProcess::with(&[("QUOTA__PER_SECOND", "4")]);
    proxy.vendor.inject(
        Fault::Status { status: http::StatusCode::TOO_MANY_REQUESTS, shape: BodyShape::Gateway },
        Scope::All,
    );
    for number in 0..600 {
        let answer = proxy.get(&path(number)).await;
        assert_eq!((answer.status, answer.json()["error_key"].as_str()), (503, Some("throttled")));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let calls = proxy.vendor.calls();
    assert!((8..=12).contains(&calls), "{calls} in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_followed_by_a_growing_silence_and_what_is_held_goes_on() {
    let proxy = InProcess::with(&[
        ("QUOTA__PER_SECOND", "4"),
        ("QUOTA__PER_DAY", "10000"),
        ("CIRCUIT__CONSECUTIVE_FAILURES", "5"),
    ]);
    spend(&proxy, 0..1).await;
    tokio::time::sleep(OLD).await;
    proxy.vendor.inject(failure(401), Scope::All);
    for number in 1..=2_400 {
        let answer = proxy.get(&path(number)).await;
        match (answer.status, answer.json()["error_key"].as_str()) {
            (502, Some("upstream_unauthorized")) => {}
            (503, Some("token_unavailable")) => assert_eq!(answer.header("retry-after"), "10"),
            other => panic!("{other:?}"),
        }
        if number % 400 == 0 {
            let old = proxy.get(&path(0)).await;
            assert_eq!(old.status, 200);
            assert!(old.cache_status().contains("; detail="), "{}", old.cache_status());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let calls = proxy.vendor.calls() - 1;
    assert!((10..=15).contains(&calls), "{calls} in ten minutes");

    // What never left is counted nowhere.
    assert_eq!(proxy.admin("/quota").await.json()["day"]["used"], calls + 1);
    assert_eq!(proxy.metric("link_report_proxy_circuit_state{state=\"closed\"}").await, 1.0);
    let metrics = proxy.admin("/metrics").await.text();
    let refused = metrics.lines().filter_map(|line| {
        let (series, count) = line.rsplit_once(' ')?;
        series
            .starts_with("link_report_proxy_upstream_requests_total{code=\"401\"")
            .then(|| count.parse::<u64>())
    });
    assert_eq!(refused.sum::<Result<u64, _>>(), Ok(calls));

    proxy.vendor.clear_faults();
    tokio::time::sleep(Duration::from_secs(60)).await;
    spend(&proxy, 2_401..2_500).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_gets_no_turn_does_not_hide_what_the_first_one_met() {
    let proxy = InProcess::with(&[("QUOTA__PER_SECOND", "1"), ("QUOTA__MAX_WAIT", "0s")]);
    proxy.vendor.inject(failure(503), Scope::All);
    let answer = proxy.get(&path(1)).await;
    assert_eq!((answer.status, answer.json()["error_key"].as_str()), (502, Some("upstream_error")));
    assert_eq!(answer.cache_status(), "fwd=uri-miss; fwd-status=503; detail=upstream_error");
    assert_eq!(proxy.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_renewed_while_a_call_queues_and_refused_too_is_not_sent_twice() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let token_file = file.path().to_str().unwrap().to_owned();
    std::fs::write(file.path(), "soon-replaced").unwrap();
    let proxy = InProcess::prepared(
        &[
            ("TOKEN__SOURCE", "file"),
            ("TOKEN__ACCESS_TOKEN_FILE", &token_file),
            ("QUOTA__PER_SECOND", "1"),
            ("QUOTA__MAX_WAIT", "60s"),
        ],
        |vendor| std::fs::write(file.path(), vendor.access_token()).unwrap(),
    );
    spend(&proxy, 0..1).await;
    // Those before it spend ten seconds' turns, in which the file's new token is taken up.
    let before: Vec<_> = (1..10).map(|number| proxy.get_meanwhile(&path(number))).collect();
    tokio::task::yield_now().await;
    let last = proxy.get_meanwhile(&path(10));
    proxy.vendor.inject(failure(401), Scope::Activity(synthetic_id(10, 2)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::write(file.path(), proxy.vendor.issue_access_token()).unwrap();
    assert_eq!(last.await.unwrap().json()["error_key"], "upstream_unauthorized");
    for answer in before {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(proxy.vendor.calls_for(synthetic_id(10, 2)), 1);
    assert_eq!(proxy.admin("/token").await.json()["generation"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_keeps_no_other_call_back() {
    let proxy = InProcess::with(&[("QUOTA__PER_SECOND", "4")]);
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(5)), Scope::All);
    let asked: Vec<_> = (0..8).map(|number| proxy.get_meanwhile(&path(number))).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(proxy.vendor.calls(), 8, "two seconds' calls, none of them answered yet");
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}
