//! The second port: what it shows.

use std::time::Duration;

use http::Method;
use link_report_proxy::simulator::{Fault, Limit, Scope, synthetic_id};
use serde_json::Value;

use super::snapshot;
use crate::support::in_process::{InProcess, OLD, key, path, request};

/// Replaces what differs from run to run, from build to build, or with the simulated vendor's inventions.
fn steady(json: Value) -> Value {
    match json {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let steady = match (&*name, &value) {
                    ("revision" | "version" | "installed_at" | "resets_at" | "etag", Value::String(_))
                    | ("bytes", Value::Number(_)) => format!("[{name}]").into(),
                    _ => steady(value),
                };
                (name, steady)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(steady).collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

#[tokio::test(start_paused = true)]
async fn every_route_answers_in_its_shape() {
    let proxy = InProcess::with(&[("QUOTA__PER_SECOND", "4")]);
    let refused = "/v3/reports/email_reports/1ead98be-0000-0000-0000-000000000000/links";
    let empty = "/v3/reports/email_reports/00000009-0000-4000-8000-000000000000/links";
    for target in
        [path(1), path(1), format!("{}?no_clicks=true", path(1)), refused.to_owned(), empty.to_owned()]
    {
        proxy.get(&target).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut shown = String::new();
    for target in [
        "/livez",
        "/readyz",
        "/version",
        "/config",
        "/token",
        "/quota",
        "/fleet",
        "/cache",
        "/cache?page=2&per_page=3",
    ] {
        let answer = proxy.admin(target).await;
        let head = proxy.admin_as("127.0.0.1:1", request(Method::HEAD, target, &[])).await;
        assert_eq!((head.status, head.body.len()), (answer.status, 0), "HEAD {target}");
        let body = serde_json::from_slice(&answer.body)
            .map_or_else(|_| answer.text(), |json: Value| format!("{:#}", steady(json)));
        shown += &format!("=== {target}\n{} {}\n{body}\n", answer.status, answer.header("content-type"));
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
        assert!(!answer.text().contains(&proxy.vendor.access_token()), "{target}");
    }
    snapshot("admin_routes", &shown);
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_explained_at_every_age() {
    let proxy = InProcess::new();
    let route = format!("/cache/{}", key(1).id);
    let mut shown = String::new();
    let mut explain = async |when: &str| {
        shown += &format!("=== {when}\n{:#}\n", steady(proxy.admin(&route).await.json()));
    };
    explain("nothing held").await;
    proxy.get(&path(1)).await;
    explain("just fetched").await;
    tokio::time::sleep(Duration::from_secs(330)).await;
    explain("stale").await;
    tokio::time::sleep(OLD).await;
    explain("stale_if_error").await;
    proxy.vendor_fails(503);
    proxy.get(&path(1)).await;
    explain("after a failed refresh").await;
    proxy.vendor.clear_faults();
    proxy.vendor.inject(Fault::Hang, Scope::All);
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.get(&path(1)).await;
    explain("while it is fetched").await;
    snapshot("admin_explains", &shown);
}

#[tokio::test(start_paused = true)]
async fn what_the_next_request_costs_and_when_a_failure_is_tried_again_are_fields_and_not_only_sentences() {
    let proxy = InProcess::new();
    let explained = async || proxy.admin(&format!("/cache/{}", key(1).id)).await.json()["reports"][0].clone();
    let next_request = async || {
        let (told, before) = (explained().await["cost_calls"].as_u64().unwrap(), proxy.vendor.calls());
        proxy.get(&path(1)).await;
        proxy.settled(key(1)).await;
        assert_eq!(told, proxy.vendor.calls() - before);
        told
    };
    assert_eq!(next_request().await, 1, "a miss");
    assert_eq!(next_request().await, 0, "a hit");
    tokio::time::sleep(Duration::from_secs(330)).await;
    assert_eq!(next_request().await, 1, "stale");
    tokio::time::sleep(OLD).await;
    // No call of it is tried again at once.
    proxy.vendor_fails(500);
    assert_eq!(next_request().await, 1, "too old to be served without a call");
    assert_eq!(next_request().await, 0, "a failure rests");
    let error = explained().await["held"]["last_refresh_error"].clone();
    assert_eq!(
        (&error["error_key"], &error["error"]),
        (&"upstream_error".into(), &"the upstream answered 500".into())
    );
    let time = |name: &str| humantime::parse_rfc3339(error[name].as_str().unwrap()).unwrap();
    let pause = time("next_try_at").duration_since(time("failed_at")).unwrap();
    assert!((4..=6).contains(&pause.as_secs()), "{error}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    proxy.vendor.clear_faults();
    proxy.vendor_fails(404);
    assert_eq!(next_request().await, 1, "the failure has rested");
    assert_eq!(next_request().await, 0, "a refusal");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(next_request().await, 1, "a refusal that has expired");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_failing_key_are_explained_too() {
    let proxy = InProcess::new();
    let explained = async |number: u32| {
        let text = proxy.admin(&format!("/cache/{}", key(number).id)).await.json();
        text["reports"][0].clone()
    };
    proxy.get(&path(1)).await;
    tokio::time::sleep(Duration::from_secs(901)).await;
    proxy.vendor_fails(404);
    for number in [1, 2] {
        assert_eq!(proxy.get(&path(number)).await.status, 404);
    }
    let one = explained(1).await;
    assert_eq!(
        (&one["held"]["answer"], &one["held"]["report_behind_age_seconds"]),
        (&"refusal".into(), &901.into())
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    let expired = "the refusal has expired: ";
    let two = explained(2).await;
    assert_eq!(
        (&two["held"]["freshness"], &two["held"]["lifetime"]["stale_if_error_until_seconds"]),
        (&"expired".into(), &0.into())
    );
    for (number, next) in [
        (
            1,
            "the next request waits for a call; the report from before the refusal is served if that call fails",
        ),
        (2, "the next request waits for a call"),
    ] {
        assert_eq!(explained(number).await["next"], format!("{expired}{next}"));
    }
    proxy.vendor.clear_faults();
    proxy.vendor_fails(403);
    for number in [1, 2, 3] {
        proxy.get(&path(number)).await;
    }
    for (number, next) in [
        (
            1,
            "the report from before the refusal is served, since refreshes fail; the first request after 5 s starts the next one",
        ),
        (
            2,
            "the refusal has expired, and calls fail: the response is last_refresh_error; the next call is tried in 5 s",
        ),
        (3, "not cached, and calls fail: the response is last_fetch_error; the next call is tried in 5 s"),
    ] {
        assert_eq!(explained(number).await["next"], next);
    }
    let failing = explained(3).await;
    assert_eq!((&failing["held"], &failing["last_fetch_error"]["failures"]), (&Value::Null, &1.into()));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_an_entry_is_explained_by_what_its_fetches_have_shown() {
    let proxy = InProcess::with(&[("CACHE__MAX_BYTES", "1MiB")]);
    let route = format!("/cache/{}", key(1).id);
    let mut shown = String::new();
    let mut explain = async |when: &str| {
        let explained = proxy.admin(&route).await.json();
        let (clicks, report) = (&explained["clicks"], &explained["reports"][0]);
        let (held, next) = (&report["held"]["clicks"], &report["next"]);
        let (fetches, hits) = (&report["fetches"], &report["hits_since_last_fetch"]);
        shown += &format!(
            "=== {when}\n{clicks:#}\nheld: {held}, fetches: {fetches}, hits since: {hits}\n{next}\n"
        );
    };
    for clicks in [3, 10, 8] {
        let id = key(1).id;
        let body = format!(
            r#"{{"campaign_activity_id":"{id}","link_click_counts":[{{"unique_clicks":{clicks}}},{{"unique_clicks":1}}]}}"#
        );
        proxy.vendor.clear_faults();
        proxy.vendor.inject(Fault::Body(body.into()), Scope::All);
        proxy.get(&path(1)).await;
        tokio::time::sleep(OLD).await;
    }
    explain("fetched three times, 20 minutes apart").await;
    proxy.vendor.clear_faults();
    for number in 2..26 {
        let large = synthetic_id(number, 500);
        proxy.get(&format!("/v3/reports/email_reports/{large}/links")).await;
    }
    tokio::time::sleep(Duration::from_secs(7)).await;
    explain("evicted").await;
    proxy.get(&path(1)).await;
    proxy.get(&path(1)).await;
    proxy.admin_as("127.0.0.1:1", request(Method::DELETE, &route, &[])).await;
    explain("purged").await;
    snapshot("admin_explains_without_an_entry", &shown);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_entries_is_paged_in_the_order_of_their_keys() {
    let proxy = InProcess::new();
    for number in [5, 3, 1, 4, 2] {
        proxy.get(&path(number)).await;
    }
    for (query, pages, numbers) in [
        ("", 1, &[1, 2, 3, 4, 5][..]),
        ("?per_page=2", 3, &[1, 2]),
        ("?per_page=2&page=3", 3, &[5]),
        ("?per_page=2&page=4", 3, &[]),
        ("?page=18446744073709551615&per_page=1000", 1, &[]),
    ] {
        let list = proxy.admin(&format!("/cache{query}")).await.json();
        let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        let expected: Vec<_> = numbers.iter().map(|number| key(*number).id.to_string()).collect();
        assert_eq!(
            (ids, &list["entries"], &list["pages"]),
            (expected.iter().map(|id| Value::from(id.as_str())).collect(), &5.into(), &pages.into()),
            "{query}"
        );
    }
    for query in ["page=0", "page=x", "page=-1", "per_page=0", "per_page=1001", "page="] {
        assert_eq!(proxy.admin(&format!("/cache?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_says_how_often_a_report_is_requested_and_clicked() {
    for refresh in ["planned", "fixed"] {
        let proxy = InProcess::with(&[("CACHE__REFRESH", refresh), ("QUOTA__PER_DAY", "10000")]);
        proxy.get(&path(2)).await;
        let refused = "/v3/reports/email_reports/1ead98be-0000-0000-0000-000000000000/links";
        proxy.get(refused).await;
        let row = async |at: usize| {
            let list = proxy.admin("/cache").await.json();
            let row = &list["items"][at];
            ["requests_per_hour", "clicks", "clicks_per_hour"].map(|figure| row[figure].as_f64())
        };
        assert!(matches!(row(0).await, [Some(0.0), Some(_), None]), "{refresh}: {:?}", row(0).await);
        assert_eq!(row(1).await, [Some(0.0), None, None], "{refresh}: a refusal");
        for _ in 0..66 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            proxy.get(&path(2)).await;
        }
        let [requests, clicks, per_hour_clicked] = row(0).await;
        assert!(
            requests.is_some_and(|requests| (340.0..=380.0).contains(&requests)),
            "{refresh}: {requests:?}"
        );
        assert!(clicks.is_some() && per_hour_clicked.is_some(), "{refresh}: {clicks:?} {per_hour_clicked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_is_tied_to_listening_and_draining_and_to_nothing_else() {
    let proxy = InProcess::new();
    assert_eq!(proxy.admin("/readyz").await.status, 503, "not listening yet");
    proxy.admin.readiness.ready();
    proxy.vendor.revoke_access_tokens();
    assert_eq!(proxy.get(&path(1)).await.status, 502);
    proxy.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::All);
    proxy.get(&path(1)).await;
    assert_eq!((proxy.admin("/readyz").await.status, proxy.admin("/livez").await.status), (200, 200));
    proxy.admin.readiness.draining();
    assert_eq!((proxy.admin("/readyz").await.status, proxy.admin("/livez").await.status), (503, 200));
}

#[tokio::test(start_paused = true)]
async fn the_metrics_count_what_happened() {
    let proxy = InProcess::with(&[("CACHE__CLIENT_NO_CACHE", "limited")]);
    proxy.vendor.inject(Fault::Latency(Duration::from_millis(200)), Scope::All);
    let (path, refused) = (path(1), "/v3/reports/email_reports/1ead98be-0000-0000-0000-000000000000/links");
    let _miss_and_coalesced = tokio::join!(proxy.get(&path), proxy.get(&path));
    let hit = proxy.get(&path).await;
    proxy.get_with(&path, &[("if-none-match", hit.header("etag"))]).await;
    for target in [refused, refused, "/elsewhere"] {
        proxy.get(target).await;
    }
    proxy.send(request(Method::POST, &path, &[])).await;
    tokio::time::sleep(Duration::from_secs(310)).await;
    assert_eq!(proxy.get(&path).await.cache_status(), "hit; ttl=-10");
    proxy.settled(key(1)).await;
    proxy.vendor_fails(503);
    tokio::time::sleep(OLD).await;
    proxy.get(&path).await;
    proxy.get(&crate::support::in_process::path(2)).await;
    proxy.admin_as("127.0.0.1:1", request(Method::DELETE, "/cache", &[])).await;
    for (series, value) in [
        ("requests_total{client=\"anonymous\",code=\"200\",outcome=\"miss\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"200\",outcome=\"collapsed\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"200\",outcome=\"hit\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"304\",outcome=\"hit\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"404\",outcome=\"miss\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"404\",outcome=\"negative_hit\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"404\",outcome=\"rejected\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"405\",outcome=\"rejected\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"200\",outcome=\"stale\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"200\",outcome=\"stale_if_error\"}", 1.0),
        ("requests_total{client=\"anonymous\",code=\"502\",outcome=\"error\"}", 1.0),
        ("request_duration_seconds_count{outcome=\"hit\"}", 2.0),
        ("requests_in_flight", 0.0),
        ("upstream_requests_total{code=\"200\",reason=\"miss\"}", 1.0),
        ("upstream_requests_total{code=\"404\",reason=\"miss\"}", 1.0),
        ("upstream_requests_total{code=\"200\",reason=\"refresh\"}", 1.0),
        ("upstream_requests_total{code=\"503\",reason=\"miss\"}", 1.0),
        ("upstream_requests_total{code=\"503\",reason=\"refresh\"}", 1.0),
        ("upstream_requests_total{code=\"503\",reason=\"retry\"}", 2.0),
        ("upstream_request_duration_seconds_count", 7.0),
        ("refreshes_total{result=\"error\"}", 1.0),
        ("cache_evictions_total{cause=\"purged\"}", 2.0),
        ("quota_used{window=\"day\"}", 7.0),
        ("token_state{state=\"valid\"}", 1.0),
        ("circuit_state{state=\"closed\"}", 1.0),
    ] {
        assert_eq!(proxy.metric(&format!("link_report_proxy_{series}")).await, value, "{series}");
    }
    let refreshed = ["changed", "unchanged"]
        .map(|result| format!("link_report_proxy_refreshes_total{{result=\"{result}\"}}"));
    assert_eq!(proxy.metric(&refreshed[0]).await + proxy.metric(&refreshed[1]).await, 1.0);
}
