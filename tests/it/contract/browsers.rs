//! What a page in a browser on this machine may do: nothing, unless its origin is allowed.

use http::Method;

use crate::support::in_process::{Answer, InProcess, key, path, request};

const PAGE: &str = "https://dash.example";
const LOCAL_PEER: &str = "127.0.0.1:50000";
const FOREIGN_HOSTS: [&str; 12] = [
    "rebound.example",
    "rebound.example:8080",
    "127.0.0.1.rebound.example",
    "localhost.rebound.example:8080",
    "xlocalhost",
    "localhost..",
    "localhost@rebound.example",
    "127.0.0.1:rebound.example",
    "rebound.example:127.0.0.1",
    "[::1].rebound.example",
    "::1",
    "",
];

fn is_refused(answer: &Answer, error_key: &str, what: &str) {
    assert_eq!((answer.status, answer.json()["error_key"].as_str()), (403, Some(error_key)), "{what}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    assert_eq!(answer.cache_status(), "", "{what}");
}

async fn on_admin(proxy: &InProcess, method: Method, target: &str, headers: &[(&str, &str)]) -> Answer {
    proxy.admin_as(LOCAL_PEER, request(method, target, headers)).await
}

#[tokio::test(start_paused = true)]
async fn a_page_that_rebinds_its_name_to_this_machine_reads_nothing_and_spends_nothing() {
    let proxy = InProcess::new();
    assert_eq!(proxy.get(&path(1)).await.status, 200, "a report is held");
    for host in FOREIGN_HOSTS {
        for (method, target) in [
            (Method::GET, path(1)),
            (Method::GET, path(2)),
            (Method::GET, "/elsewhere".to_owned()),
            (Method::POST, path(1)),
            (Method::OPTIONS, path(1)),
        ] {
            let answer = proxy.send(request(method.clone(), &target, &[("host", host)])).await;
            is_refused(&answer, "host_not_allowed", &format!("{method} {target} of {host}"));
        }
        for target in ["/cache", "/metrics", "/config", "/quota", "/livez", "/elsewhere"] {
            let answer = on_admin(&proxy, Method::GET, target, &[("host", host)]).await;
            assert_eq!(answer.status, 403, "{target} of {host}");
        }
        assert_eq!(on_admin(&proxy, Method::DELETE, "/cache", &[("host", host)]).await.status, 403, "{host}");
    }
    assert!(proxy.admin.memory.peek(&key(1)).is_some());
    assert_eq!(proxy.vendor.calls(), 1);
    let refused = "link_report_proxy_requests_total{client=\"anonymous\",code=\"403\",outcome=\"rejected\"}";
    assert_eq!(proxy.metric(refused).await, 60.0);
}

#[tokio::test(start_paused = true)]
async fn where_a_page_is_allowed_an_options_that_is_no_preflight_is_a_request_like_another() {
    let proxy = InProcess::with(&[("CORS__ALLOWED_ORIGINS", PAGE)]);
    let preflight = [("origin", PAGE), ("access-control-request-method", "GET")];
    let ask = async |target: &str, headers: &[(&str, &str)]| {
        let answer = proxy.send(request(Method::OPTIONS, target, headers)).await;
        (answer.status, answer.header("access-control-allow-origin").to_owned())
    };
    assert_eq!(ask(&path(1), &preflight).await, (200, PAGE.to_owned()));
    for (target, headers, status) in [
        (path(1), &[][..], 405),
        (path(1), &preflight[..1], 405),
        (path(1), &preflight[1..], 405),
        ("/elsewhere".to_owned(), &preflight, 404),
        (path(1), &[preflight[0], preflight[1], ("host", "rebound.example")], 403),
    ] {
        assert_eq!(ask(&target, headers).await, (status, String::new()), "{target} {headers:?}");
    }
    let counted = "link_report_proxy_requests_total{client=\"anonymous\",code=\"405\",outcome=\"rejected\"}";
    assert_eq!(proxy.metric(counted).await, 3.0);
}

#[tokio::test(start_paused = true)]
async fn whoever_names_this_machine_is_answered_by_whatever_port() {
    let proxy = InProcess::new();
    for host in [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.0.0.1:1",
        "127.8.8.8",
        "localhost",
        "localhost:3000",
        "LocalHost.",
        "localhost.:8080",
        "[::1]",
        "[::1]:8080",
        // Of a Pod, as the kubelet's probes ask it.
        "10.1.2.3:9090",
        "[2001:db8::1]:9090",
    ] {
        assert_eq!(proxy.get_with(&path(1), &[("host", host)]).await.status, 200, "{host}");
        assert_eq!(on_admin(&proxy, Method::GET, "/cache", &[("host", host)]).await.status, 200, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_authority_of_an_absolute_target_counts_as_a_host_does() {
    let proxy = InProcess::new();
    for (authority, host, status) in [
        ("localhost:8080", "localhost:8080", 200),
        ("[::1]", "127.0.0.1", 200),
        ("rebound.example", "127.0.0.1", 403),
        ("localhost@rebound.example", "127.0.0.1", 403),
        ("127.0.0.1", "rebound.example", 403),
    ] {
        let target = format!("http://{authority}{}", path(1));
        assert_eq!(proxy.get_with(&target, &[("host", host)]).await.status, status, "{authority} {host}");
        let target = format!("http://{authority}/cache");
        let answer = on_admin(&proxy, Method::GET, &target, &[("host", host)]).await;
        assert_eq!(answer.status, status, "{authority} {host}");
    }
}

#[tokio::test(start_paused = true)]
async fn allowed_hosts_are_further_names_of_this_machine() {
    let proxy = InProcess::with(&[("SERVER__ALLOWED_HOSTS", "reports.internal, Sidecar")]);
    for (host, status) in [
        ("reports.internal", 200),
        ("Reports.Internal:8080", 200),
        ("reports.internal.", 200),
        ("sidecar:8080", 200),
        ("localhost", 200),
        ("x.reports.internal", 403),
        ("internal", 403),
        ("rebound.example", 403),
    ] {
        assert_eq!(proxy.get_with(&path(1), &[("host", host)]).await.status, status, "{host}");
        assert_eq!(on_admin(&proxy, Method::GET, "/cache", &[("host", host)]).await.status, status, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_not_loopback_answers_to_any_name_but_purges_for_its_own_only() {
    for (data, admin) in [("0.0.0.0:8080", "0.0.0.0:9090"), ("[::]:8080", "10.0.0.7:9090")] {
        let proxy = InProcess::with(&[
            ("SERVER__LISTEN", data),
            ("CLIENTS__ALLOW_ANONYMOUS", "true"),
            ("ADMIN__LISTEN", admin),
        ]);
        let service = [("host", "link-report-proxy.reports.svc:8080")];
        assert_eq!(proxy.get_with(&path(1), &service).await.status, 200);
        assert_eq!(on_admin(&proxy, Method::GET, "/metrics", &service).await.status, 200);
        // A loopback peer may be a page's browser here too.
        assert_eq!(on_admin(&proxy, Method::DELETE, "/cache", &service).await.status, 403);
        assert_eq!(on_admin(&proxy, Method::DELETE, "/cache", &[]).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_site_s_page_has_its_browser_ask_is_refused_and_costs_no_call() {
    let proxy = InProcess::with(&[("CORS__ALLOWED_ORIGINS", PAGE)]);
    for site in ["cross-site", "same-site"] {
        for headers in [
            vec![("sec-fetch-site", site)],
            vec![("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            vec![("sec-fetch-site", site), ("origin", "https://evil.example")],
            vec![("sec-fetch-site", site), ("origin", "null")],
        ] {
            let answer = proxy.get_with(&path(1), &headers).await;
            is_refused(&answer, "cross_site", &format!("{headers:?}"));
            assert_eq!(answer.header("access-control-allow-origin"), "", "{headers:?}");
            let answer = on_admin(&proxy, Method::GET, "/cache", &headers).await;
            assert_eq!(answer.status, 403, "{headers:?}");
        }
    }
    assert_eq!(proxy.vendor.calls(), 0);
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", PAGE)][..],
        &[("sec-fetch-site", "same-site"), ("origin", PAGE)],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
    ] {
        let answer = proxy.get_with(&path(1), headers).await;
        assert_eq!(answer.status, 200, "{headers:?}");
        assert_eq!(on_admin(&proxy, Method::GET, "/cache", headers).await.status, 200, "{headers:?}");
    }
    let without_cors = InProcess::new();
    let headers = [("sec-fetch-site", "cross-site"), ("origin", PAGE)];
    is_refused(&without_cors.get_with(&path(1), &headers).await, "cross_site", "no origin is allowed");
}
