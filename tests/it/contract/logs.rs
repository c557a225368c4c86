//! What operators read: one line a request, and no secret in any.

use std::{io, time::Duration};

use http::Method;
use link_report_proxy::simulator::{Fault, Scope};
use serde_json::{Value, json};

use crate::support::{
    in_process::{InProcess, OLD, key, path, request},
    log::Log,
};

#[tokio::test(start_paused = true)]
async fn a_line_names_the_client_whose_token_was_shown() {
    let (log, _guard) = Log::start();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    io::Write::write_all(&mut file, b"sales 0123456789abcdef\nnameless").unwrap();
    let proxy = InProcess::with(&[("CLIENTS__TOKENS_FILE", file.path().to_str().unwrap())]);
    for authorization in
        ["Bearer 0123456789abcdef", "Bearer 0123456789abcdef", "Bearer nameless", "Bearer no"]
    {
        proxy.get_with(&path(1), &[("authorization", authorization)]).await;
    }
    let clients: Vec<_> = log.requests().iter().map(|line| line["client"].clone()).collect();
    assert_eq!(clients, ["sales".into(), "sales".into(), "unnamed".into(), Value::Null]);
    assert!(!log.text().contains("0123456789abcdef"));
}

#[tokio::test(start_paused = true)]
async fn each_request_is_one_line_with_what_became_of_it_and_hits_are_for_debugging() {
    let (log, _guard) = Log::start();
    let proxy = InProcess::new();
    proxy.vendor.inject(Fault::Latency(Duration::from_millis(200)), Scope::All);
    proxy.get_with(&path(1), &[("x-request-id", "asked")]).await;
    proxy.get(&path(1)).await;
    tokio::time::sleep(Duration::from_secs(310)).await;
    proxy.get(&path(1)).await;
    proxy.settled(key(1)).await;
    tokio::time::sleep(OLD).await;
    proxy.vendor_fails(503);
    proxy.get(&path(1)).await;
    proxy.get(&path(2)).await;
    proxy.get("/elsewhere").await;
    let lines = log.requests();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            let number =
                |name: &str| line[name].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
            [
                text("level"),
                text("outcome"),
                number("status"),
                number("age_s"),
                number("upstream_ms"),
                number("upstream_status"),
                text("error_key"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "INFO miss 200 0 200 200 -",
            "DEBUG hit 200 0 - - -",
            "DEBUG stale 200 310 - - -",
            "INFO stale_if_error 200 1200 200 503 -",
            "INFO error 502 - 200 503 upstream_error",
            "INFO rejected 404 - - - not_found",
        ]
    );
    assert_eq!((&lines[0]["request_id"], &lines[0]["wait_us"]), (&"asked".into(), &200_000.into()));
    for line in &lines[..5] {
        assert_eq!(line["no_clicks"], "false", "{line}");
        assert!(line["id"].as_str().is_some_and(|id| id.ends_with("-0000-4000-8000-000000000002")), "{line}");
    }
    for line in [&lines[0], &lines[3], &lines[4]] {
        assert!(line["upstream_request_id"].as_str().is_some_and(|id| !id.is_empty()), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_on_the_slow_path_is_one_span_and_a_hit_none() {
    let (log, _guard) = Log::start();
    let proxy = InProcess::new();
    proxy.get_with(&path(1), &[("x-request-id", "asked")]).await;
    assert_eq!(proxy.get(&path(1)).await.cache_status(), "hit; ttl=300");
    proxy.send(request(Method::POST, "/some-secret", &[("x-request-id", "posted")])).await;
    let spans = log.spans("request");
    let id = key(1).id.to_string();
    let [miss, refused] = &spans[..] else { panic!("{spans:?}") };
    for (span, fields) in [
        (
            miss,
            json!({"name": "request", "method": "GET", "path": "report", "id": id, "request_id": "asked"}),
        ),
        (refused, json!({"name": "request", "method": "other", "path": "other", "request_id": "posted"})),
    ] {
        assert_eq!(*span, fields);
    }
    assert!(!log.text().contains("some-secret"), "a path that is not understood may hold anything");
}

#[tokio::test(start_paused = true)]
async fn no_token_stands_in_any_line_however_much_is_logged() {
    let (log, _guard) = Log::start();
    let (token, clients) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(token.path(), "first-secret").unwrap();
    std::fs::write(clients.path(), "client-secret").unwrap();
    let proxy = InProcess::with(&[
        ("TOKEN__SOURCE", "file"),
        ("TOKEN__ACCESS_TOKEN_FILE", token.path().to_str().unwrap()),
        ("CLIENTS__TOKENS_FILE", clients.path().to_str().unwrap()),
    ]);
    let ask = async || proxy.get_with(&path(1), &[("authorization", "Bearer client-secret")]).await.status;
    assert_eq!(ask().await, 502, "the vendor knows no such token");
    std::fs::write(token.path(), proxy.vendor.access_token()).unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(ask().await, 200);
    proxy.get_with(&path(1), &[("authorization", "Bearer caller-secret")]).await;
    std::fs::write(clients.path(), "later-secret").unwrap();
    std::fs::write(token.path(), "\u{7}broken-secret").unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    proxy.admin("/config").await;
    let text = log.text();
    assert!(text.contains("access token installed") && text.contains("tokens reloaded"), "{text}");
    for secret in ["-secret", &*proxy.vendor.access_token()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_is_smaller_than_the_largest_report_is_warned_of_at_start() {
    for (bytes, warned) in [("1MiB", true), ("7MiB", true), ("8MiB", false), ("64MiB", false)] {
        let (log, _guard) = Log::start();
        let _proxy = InProcess::with(&[("CACHE__MAX_BYTES", bytes)]);
        assert_eq!(log.text().contains("cache.max_bytes is less than upstream.max_body"), warned, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_knows_no_count_of_the_day_s_calls_says_how_many_it_assumes() {
    let (log, _guard) = Log::start();
    let told = |log: &Log| log.lines(|line| line.get("assumed").is_some());
    let known = InProcess::new();
    assert_eq!(told(&log), [Value::Null; 0], "nothing is assumed");
    assert_eq!(known.admin("/quota").await.json()["day"]["assumed_before_start"], 0);
    let limited = [("QUOTA__PER_DAY", "10000")];
    let unknown = InProcess::replica_without_a_count(known.vendor.clone(), None, &limited);
    let day = unknown.admin("/quota").await.json()["day"].clone();
    let [line] = &told(&log)[..] else { panic!("{}", log.text()) };
    // It is 22:13 UTC.
    assert!((9_250..9_270).contains(&day["assumed_before_start"].as_u64().unwrap()), "{day}");
    assert_eq!((&line["level"], &line["assumed"]), (&"INFO".into(), &day["assumed_before_start"]));
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("an even pace since 00:00 UTC is assumed"), "{message}");
}
