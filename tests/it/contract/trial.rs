//! `POST /try/{id}`: asks for a report as a caller would, and who may.

use std::time::Duration;

use http::Method;
use link_report_proxy::simulator::{Fault, Scope};

use crate::support::in_process::{Answer, InProcess, key, path, request};

const OWN_PAGE: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn tries(proxy: &InProcess, peer: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    let target = format!("/try/{}{query}", key(1).id);
    proxy.admin_as(peer, request(Method::POST, &target, headers)).await
}

const HERE: &str = "127.0.0.1:50000";

#[tokio::test(start_paused = true)]
async fn it_answers_as_the_data_port_does_and_is_counted_like_any_request() {
    let proxy = InProcess::new();
    let tried = tries(&proxy, HERE, "", &[OWN_PAGE]).await;
    let asked = proxy.get(&path(1)).await;
    assert_eq!((tried.status, &tried.body), (200, &asked.body));
    assert_eq!((tried.cache_status(), asked.cache_status()), ("fwd=uri-miss; stored", "hit; ttl=300"));
    assert_eq!(tried.header("cache-control"), "no-store");
    assert_eq!(proxy.vendor.calls(), 1);
    let again = tries(&proxy, HERE, "", &[("x-requested-by", "curl")]).await;
    assert_eq!((again.status, again.cache_status()), (200, "hit; ttl=300"));
    let hits = "link_report_proxy_requests_total{client=\"anonymous\",code=\"200\",outcome=\"hit\"}";
    assert_eq!(proxy.metric(hits).await, 2.0);
    let listed = tries(&proxy, HERE, "?no_clicks=true", &[OWN_PAGE]).await;
    assert_eq!((listed.status, listed.cache_status()), (200, "fwd=uri-miss; stored"));
    let wrong = tries(&proxy, HERE, "?no_clicks=maybe", &[OWN_PAGE]).await;
    assert_eq!((wrong.status, wrong.json()["error_key"].as_str()), (400, Some("invalid_no_clicks")));
}

#[tokio::test(start_paused = true)]
async fn it_needs_no_client_token_since_it_has_the_rule_of_a_purge() {
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), "sales a-token-of-sixteen-characters\n").unwrap();
    let proxy = InProcess::with(&[("CLIENTS__TOKENS_FILE", tokens.path().to_str().unwrap())]);
    assert_eq!(proxy.get(&path(1)).await.status, 401);
    assert_eq!(tries(&proxy, HERE, "", &[OWN_PAGE]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn other_peers_other_pages_and_other_hosts_are_refused_and_spend_nothing() {
    let proxy = InProcess::new();
    for (peer, headers) in [
        ("10.0.0.7:50000", vec![OWN_PAGE]),
        (HERE, vec![]),
        (HERE, vec![("sec-fetch-site", "none")]),
        (HERE, vec![("sec-fetch-site", "cross-site"), ("x-requested-by", "page")]),
        (HERE, vec![OWN_PAGE, ("host", "rebound.example")]),
    ] {
        assert_eq!(tries(&proxy, peer, "", &headers).await.status, 403, "{peer} {headers:?}");
    }
    assert_eq!(proxy.vendor.calls(), 0);
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let target = format!("/try/{}", key(1).id);
        let answer = proxy.admin_as(HERE, request(method, &target, &[OWN_PAGE])).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    }
    let no_id = proxy.admin_as(HERE, request(Method::POST, "/try/42", &[OWN_PAGE])).await;
    assert_eq!(no_id.status, 400);
}

#[tokio::test(start_paused = true)]
async fn with_an_admin_token_it_must_be_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "an-admin-token-of-many-characters\n").unwrap();
    let proxy = InProcess::with(&[("ADMIN__TOKEN_FILE", file.path().to_str().unwrap())]);
    assert_eq!(tries(&proxy, HERE, "", &[OWN_PAGE]).await.status, 401);
    let shown = ("authorization", "Bearer an-admin-token-of-many-characters");
    assert_eq!(tries(&proxy, "10.0.0.7:50000", "", &[OWN_PAGE, shown]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_scheduled_for_the_next_poll_is_made_also_where_the_page_was_the_last_to_ask() {
    for by_the_page in [false, true] {
        let proxy = InProcess::with(&[("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "10000")]);
        // A click a second.
        let clicked = |clicks: u32| {
            let id = key(1).id;
            let report = format!(
                r#"{{"campaign_activity_id":"{id}","link_click_counts":[{{"unique_clicks":{clicks}}}]}}"#
            );
            proxy.vendor.clear_faults();
            proxy.vendor.inject(Fault::Body(report.into()), Scope::All);
        };
        for (seconds, clicks) in [(0, 0), (1_000, 1_000), (20, 1_020), (20, 1_040)] {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            clicked(clicks);
            proxy.get(&path(1)).await;
            proxy.settled(key(1)).await;
        }
        clicked(1_079);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let polled =
            if by_the_page { tries(&proxy, HERE, "", &[OWN_PAGE]).await } else { proxy.get(&path(1)).await };
        assert!(polled.cache_status().starts_with("hit"), "{}", polled.cache_status());
        assert_eq!(proxy.vendor.calls(), 4, "a refresh now would be old at the next poll");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(proxy.vendor.calls(), 5, "by the page: {by_the_page}");
        assert_eq!(proxy.get(&path(1)).await.header("age"), "1");
    }
}
