//! A report as CSV and as flat JSON: a second view of what is held, with the same keys, rules and headers.

use std::{io::Read as _, time::Duration};

use flate2::read::MultiGzDecoder;
use http::Method;
use link_report_proxy::simulator::{Fault, Scope, synthetic_id};

use crate::support::in_process::{InProcess, OLD, path, request};

const HEADER: &str = "as_of,campaign_activity_id,link_url,url_id,unique_clicks,list_action,list_id\r\n";
/// When each test starts.
const START: &str = "2023-11-14T22:13:20Z";

fn table(number: u32, extension: &str) -> String {
    format!("/v1/links/{}.{extension}", synthetic_id(number, 2))
}

#[tokio::test(start_paused = true)]
async fn a_table_is_made_of_the_held_report_without_a_call() {
    let proxy = InProcess::new();
    let report = proxy.get(&path(1)).await.json();
    tokio::time::sleep(Duration::from_secs(42)).await;
    let csv = proxy.get(&table(1, "csv")).await;
    assert_eq!((csv.status, csv.cache_status(), csv.header("age")), (200, "hit; ttl=258", "42"));
    assert!(csv.text().starts_with(&format!("{HEADER}{START},{},", synthetic_id(1, 2))), "{}", csv.text());
    let links = report["link_click_counts"].as_array().unwrap();
    assert_eq!(csv.text().lines().count(), 1 + links.len());
    let rows = proxy.get(&table(1, "json")).await.json();
    assert_eq!(rows.as_array().unwrap().len(), links.len());
    for (row, link) in rows.as_array().unwrap().iter().zip(links) {
        assert_eq!(
            (&row["as_of"], &row["campaign_activity_id"]),
            (&START.into(), &report["campaign_activity_id"])
        );
        for column in ["link_url", "url_id", "unique_clicks"] {
            assert_eq!(row[column], link[column]);
        }
    }
    assert_eq!(proxy.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_miss_for_a_table_is_a_miss_like_any_other() {
    let proxy = InProcess::new();
    let (csv, json) = (table(1, "csv"), table(1, "json"));
    let asked = [proxy.get_meanwhile(&csv), proxy.get_meanwhile(&json), proxy.get_meanwhile(&path(1))];
    for answer in futures_util::future::join_all(asked).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.cache_status().starts_with("fwd=uri-miss"), "{}", answer.cache_status());
    }
    assert_eq!(proxy.vendor.calls(), 1, "one flight");
    proxy.get(&format!("{csv}?no_clicks=true")).await;
    assert_eq!(proxy.vendor.calls(), 2, "the other form is another key");
    assert_eq!(
        proxy
            .metric(r#"link_report_proxy_requests_total{client="anonymous",code="200",outcome="miss"}"#)
            .await,
        2.0
    );
    tokio::time::sleep(OLD).await;
    proxy.vendor_fails(503);
    let old = proxy.get(&csv).await;
    assert_eq!(old.status, 200, "the held report stands in for an error");
    assert!(
        old.text().contains(START) && old.cache_status().starts_with("fwd=stale"),
        "{}",
        old.cache_status()
    );
    let failed = proxy.get(&table(2, "csv")).await;
    assert_eq!((failed.status, failed.header("content-type")), (502, "application/problem+json"));
}

#[tokio::test(start_paused = true)]
async fn each_format_has_the_headers_of_a_report_and_its_own_type_name_and_tag() {
    let proxy = InProcess::new();
    let report = proxy.get(&path(1)).await;
    let id = synthetic_id(1, 2);
    let mut tags = vec![report.header("etag").to_owned()];
    for (target, kind, name) in [
        (
            table(1, "csv"),
            "text/csv; charset=utf-8; header=present",
            format!("attachment; filename=\"links-{id}.csv\""),
        ),
        (table(1, "json"), "application/json", format!("inline; filename=\"links-{id}.json\"")),
        (
            format!("{}?no_clicks=1", table(1, "csv")),
            "text/csv; charset=utf-8; header=present",
            format!("attachment; filename=\"all-links-{id}.csv\""),
        ),
    ] {
        proxy.get(&target).await;
        let plain = proxy.get(&target).await;
        assert_eq!((plain.header("content-type"), plain.header("content-disposition")), (kind, &*name));
        assert_eq!(
            (plain.header("cache-control"), plain.header("vary"), plain.cache_status()),
            ("private, no-cache", "accept-encoding", "hit; ttl=300")
        );
        let zipped = proxy.get_with(&target, &[("accept-encoding", "gzip")]).await;
        assert_eq!(zipped.header("content-encoding"), "gzip");
        let mut unzipped = Vec::new();
        MultiGzDecoder::new(&zipped.body[..]).read_to_end(&mut unzipped).unwrap();
        assert_eq!(unzipped, plain.body);
        for answer in [&plain, &zipped] {
            let tag = answer.header("etag").to_owned();
            assert!(tag.starts_with('"') && !tags.contains(&tag), "{tag}");
            tokio::time::sleep(Duration::from_secs(2)).await;
            let coding = answer.header("content-encoding").to_owned();
            let same =
                proxy.get_with(&target, &[("if-none-match", &tag), ("accept-encoding", &coding)]).await;
            assert_eq!((same.status, same.header("etag"), same.body.len()), (304, &*tag, 0));
            assert_eq!(same.header("content-disposition"), "");
            tags.push(tag);
        }
        let head = proxy.send(request(Method::HEAD, &target, &[])).await;
        assert_eq!((head.status, head.header("etag"), head.body.len()), (200, plain.header("etag"), 0));
        assert_eq!(head.header("content-length"), plain.body.len().to_string());
        tokio::time::sleep(Duration::from_mins(60)).await;
        proxy.get(&path(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_rules_for_callers_are_those_of_a_report() {
    let cors = [("CORS__ALLOWED_ORIGINS", "https://dash.example")];
    let proxy = InProcess::with(&cors);
    let target = table(1, "csv");
    let allowed = proxy.get_with(&target, &[("origin", "https://dash.example")]).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://dash.example");
    assert!(allowed.header("access-control-expose-headers").contains("content-disposition"));
    let others = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    for (answer, status, error_key) in [
        (proxy.get_with(&target, &others).await, 403, "cross_site"),
        (proxy.get_with(&target, &[("host", "evil.example")]).await, 403, "host_not_allowed"),
        (proxy.send(request(Method::POST, &target, &[])).await, 405, "method_not_allowed"),
        (proxy.get("/v1/links/1.csv").await, 400, "invalid_activity_id"),
        (proxy.get(&format!("{target}?no_clicks=x")).await, 400, "invalid_no_clicks"),
        (proxy.get(&format!("{target}/")).await, 404, "not_found"),
        (proxy.get(&target.replace(".csv", ".xml")).await, 404, "not_found"),
    ] {
        assert_eq!((answer.status, &answer.json()["error_key"]), (status, &error_key.into()));
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(proxy.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_table_needs_a_client_token_where_a_report_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, "team 0123456789abcdef0123456789abcdef\n").unwrap();
    let proxy = InProcess::with(&[("CLIENTS__TOKENS_FILE", file.to_str().unwrap())]);
    let target = table(1, "csv");
    let refused = proxy.get(&target).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(proxy.vendor.calls(), 0);
    let bearer = [("authorization", "Bearer 0123456789abcdef0123456789abcdef")];
    assert_eq!(proxy.get_with(&target, &bearer).await.status, 200);
    assert_eq!(proxy.metric(r#"link_report_proxy_client_calls_total{client="team"}"#).await, 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_vendor_s_is_a_problem_not_a_table() {
    let proxy = InProcess::new();
    proxy.vendor_fails(404);
    for _miss_then_hit in 0..2 {
        let answer = proxy.get(&table(1, "csv")).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "application/problem+json"));
        assert_eq!(answer.header("content-disposition"), "");
    }
    assert_eq!(proxy.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_link_is_text_in_its_cell() {
    let proxy = InProcess::new();
    let id = synthetic_id(1, 2);
    let body = format!(
        r#"{{"campaign_activity_id":"{id}","link_click_counts":[{{"link_url":"=HYPERLINK(\"x\")\r\n,","unique_clicks":"@"}},7]}}"#
    );
    proxy.vendor.inject(Fault::Body(body.into()), Scope::All);
    let rows = format!("{HEADER}{START},{id},\"'=HYPERLINK(\"\"x\"\")\r\n,\",,,,\r\n{START},{id},,,,,\r\n");
    assert_eq!(proxy.get(&table(1, "csv")).await.text(), rows);
}

/// Lets all tasks go on until they wait for something.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_client_that_hangs_up_keeps_its_turn_until_its_table_is_made_and_nobody_waits_for_ever_for_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let proxy = InProcess::new();
        assert_eq!(proxy.get(&path(1)).await.status, 200);
        // The only thread that makes tables is busy.
        let (release, busy) = std::sync::mpsc::channel::<()>();
        let thread = tokio::task::spawn_blocking(move || busy.recv());
        let hasty: Vec<_> = (0..4).map(|_| proxy.get_meanwhile(&table(1, "csv"))).collect();
        settle().await;
        hasty.iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
        let patient = proxy.get_meanwhile(&table(1, "csv"));
        settle().await;
        tokio::time::advance(Duration::from_secs(15)).await;
        settle().await;
        assert!(patient.is_finished(), "server.request_timeout is over");
        let refused = patient.await.unwrap();
        assert_eq!((refused.status, refused.json()["error_key"].as_str()), (503, Some("overloaded")));
        release.send(()).unwrap();
        thread.await.unwrap().unwrap();
        assert_eq!(proxy.get(&table(1, "csv")).await.status, 200);
        assert_eq!(proxy.vendor.calls(), 1);
    });
}
