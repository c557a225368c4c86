//! `GET /status`: what it says when something is the matter, brought about by the vendor's faults.

use std::time::Duration;

use http::Method;
use link_report_proxy::simulator::{Fault, Limit, Options, Scope, Simulator};
use serde_json::Value;

use super::renewal::renewing;
use crate::support::in_process::{Answer, InProcess, key, path, request, start};

const MINUTE: Duration = Duration::from_mins(1);

async fn status(proxy: &InProcess) -> Value {
    let answer = proxy.admin("/status").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    assert!(answer.body.len() < 3_000, "{} bytes", answer.body.len());
    answer.json()
}

/// The rule that holds, and how bad it is.
async fn rule(proxy: &InProcess) -> String {
    let sentence = status(proxy).await["sentence"].take();
    format!("{} {}", sentence["severity"].as_str().unwrap(), sentence["rule"].as_str().unwrap())
}

fn ready(proxy: InProcess) -> InProcess {
    proxy.admin.readiness.ready();
    proxy
}

async fn if_changed(proxy: &InProcess, target: &str, tag: &str) -> Answer {
    proxy.admin_as("127.0.0.1:50000", request(Method::GET, target, &[("if-none-match", tag)])).await
}

#[tokio::test(start_paused = true)]
async fn all_is_well_until_the_drain_begins() {
    let proxy = ready(InProcess::new());
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    assert_eq!(rule(&proxy).await, "ok well");
    proxy.admin.readiness.draining();
    assert_eq!(rule(&proxy).await, "notice draining");
    assert_eq!(status(&proxy).await["process"]["serving"], "draining");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_refused_needs_a_person() {
    let proxy = ready(renewing());
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    proxy.vendor.revoke_refresh_tokens();
    tokio::time::sleep(Duration::from_hours(25)).await;
    assert_eq!(rule(&proxy).await, "critical consent_needed");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_vendor_refuses_is_unusable() {
    let proxy = ready(InProcess::new());
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    proxy.vendor.revoke_access_tokens();
    assert_eq!(proxy.get(&path(2)).await.status, 502);
    let shown = status(&proxy).await;
    assert_eq!(shown["sentence"]["rule"], "token_unusable");
    assert_eq!(
        shown["sentence"]["text"],
        "Constant Contact refuses the access token: the 1 report held is served on, others get 503."
    );
    assert_eq!(shown["upstream"]["last_failure"]["error_key"], "upstream_unauthorized");
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_short_are_told_in_three_steps() {
    let proxy = ready(InProcess::with(&[("QUOTA__PER_DAY", "1000")]));
    let mut told = Vec::new();
    for number in 0..1_000 {
        assert_eq!(proxy.get(&path(number)).await.status, 200);
        if number % 5 == 4 {
            told.push(rule(&proxy).await);
        }
    }
    told.dedup();
    let steps = ["ok well", "notice refreshes_stretched", "warning refreshes_stopped", "critical day_spent"];
    assert_eq!(told, steps);
    let calls = status(&proxy).await["calls"].take();
    assert_eq!((&calls["used"], &calls["remaining"]), (&1_000.into(), &0.into()));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_told_with_its_time_and_its_failures_have_the_vendor_s_request_id() {
    let proxy = ready(InProcess::with(&[("CIRCUIT__CONSECUTIVE_FAILURES", "2")]));
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    tokio::time::sleep(MINUTE).await;
    proxy.vendor_fails(500);
    for number in [2, 3] {
        assert_eq!(proxy.get(&path(number)).await.status, 502);
    }
    let shown = status(&proxy).await;
    assert_eq!(shown["sentence"]["rule"], "circuit_open");
    let text = shown["sentence"]["text"].as_str().unwrap();
    assert!(text.starts_with("Constant Contact has been failing since 22:14 UTC; "), "{text}");
    assert_eq!(shown["since"], "2023-11-14T22:14:20Z");
    let upstream = &shown["upstream"];
    assert_eq!((&upstream["circuit"], &upstream["failures"]), (&"open".into(), &2.into()));
    assert_eq!(upstream["last_success_at"], "2023-11-14T22:13:20Z");

    let failures = proxy.admin("/failures").await.json();
    assert_eq!(failures["failed_calls"], 2);
    let newest = &failures["items"][0];
    assert_eq!(newest["report"], key(3).to_string());
    assert_eq!((&newest["error_key"], &newest["status"]), (&"upstream_error".into(), &500.into()));
    assert!(newest["upstream_request_id"].as_str().is_some_and(|id| id.len() > 8), "{newest}");

    proxy.vendor.clear_faults();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(proxy.get(&path(4)).await.status, 200);
    assert_eq!(rule(&proxy).await, "ok well");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_does_not_know_the_day_s_calls_says_so() {
    let vendor = Simulator::new(Options { now: start(), per_second: 0, ..Options::default() });
    let proxy = ready(InProcess::replica_without_a_count(vendor, None, &[("QUOTA__PER_DAY", "10000")]));
    assert_eq!(rule(&proxy).await, "notice count_assumed");
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(rule(&proxy).await, "ok well", "from midnight on all calls are counted");
}

#[tokio::test(start_paused = true)]
async fn a_day_that_others_have_spent_is_remembered_on_the_next() {
    let proxy = ready(InProcess::with(&[("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "1000")]));
    proxy.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::All);
    assert_eq!(proxy.get(&path(1)).await.status, 503);
    let spent = status(&proxy).await;
    assert_eq!(
        (&spent["sentence"]["rule"], &spent["calls"]["by_others"]),
        (&"day_spent".into(), &999.into())
    );
    proxy.vendor.clear_faults();
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    assert_eq!(rule(&proxy).await, "notice calls_by_others");
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_304() {
    let proxy = ready(InProcess::new());
    proxy.get(&path(1)).await;
    for target in ["/status", "/status/history", "/failures"] {
        let first = proxy.admin(target).await;
        let again = if_changed(&proxy, target, first.header("etag")).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{target}");
        assert_eq!(again.header("etag"), first.header("etag"));
    }
    let before = proxy.admin("/status").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        if_changed(&proxy, "/status", before.header("etag")).await.status,
        304,
        "time alone is no news"
    );
    proxy.get(&path(2)).await;
    assert_eq!(if_changed(&proxy, "/status", before.header("etag")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_last_minutes_and_the_clients_are_told() {
    let proxy = ready(InProcess::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..10 {
        assert_eq!(proxy.get(&path(1)).await.status, 200);
    }
    proxy.vendor_fails(500);
    assert_eq!(proxy.get(&path(2)).await.status, 502);
    tokio::time::sleep(MINUTE).await;
    let shown = status(&proxy).await;
    let answers = &shown["answers"];
    assert_eq!((&answers["per_minute"], &answers["server_errors"]), (&11.0.into(), &1.into()));
    assert_eq!(answers["from_cache"], 0.8182, "nine of eleven");
    assert_eq!(shown["memory"]["reports"], 1);
    let client = &shown["clients"][0];
    assert_eq!((&client["client"], &client["requests"]), (&"anonymous".into(), &11.into()));
    assert_eq!((&client["calls_today"], &client["last_asked"]), (&2.into(), &"2023-11-14T22:14:20Z".into()));
}

#[tokio::test(start_paused = true)]
async fn the_history_has_a_row_a_minute_and_can_be_asked_for_what_is_new() {
    let proxy = ready(InProcess::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.get(&path(1)).await;
    tokio::time::sleep(5 * MINUTE).await;
    let whole = proxy.admin("/status/history").await.json();
    let rows = whole["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    let columns: Vec<_> =
        whole["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(rows.iter().all(|row| row.as_array().unwrap().len() == columns.len()));
    let column = |name| columns.iter().position(|column| *column == name).unwrap();
    let of = |name| rows.iter().map(|row| row[column(name)].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("answers"), [0, 1, 0, 0, 0, 0]);
    assert_eq!(of("calls_today"), [0, 1, 1, 1, 1, 1]);
    assert_eq!(of("started"), [1, 0, 0, 0, 0, 0]);
    let at = of("at");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 60), "{at:?}");
    let since = proxy.admin(&format!("/status/history?since={}", at[3])).await.json();
    assert_eq!(since["rows"].as_array().unwrap()[..], rows[4..]);
    assert_eq!(proxy.admin("/status/history?since=yesterday").await.status, 400);
}
