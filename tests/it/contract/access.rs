//! Who may ask, who may read the answer, and who may change what is held.

use std::{fs, io::Write as _, time::Duration};

use http::Method;

use super::snapshot;
use crate::support::in_process::{Answer, InProcess, OLD, key, path, request};

const PAGE: &str = "https://dash.example";
const OTHER_PAGE: &str = "https://evil.example";
const CORS: [(&str, &str); 1] = [("CORS__ALLOWED_ORIGINS", "https://dash.example,http://localhost:3000")];

fn allowed(answer: &Answer) -> &str {
    answer.header("access-control-allow-origin")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(start_paused = true)]
async fn a_preflight_is_answered_here_for_named_origins_only() {
    let proxy = InProcess::with(&CORS);
    let preflight = async |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization, postman-token"),
        ];
        proxy.send(request(Method::OPTIONS, &path(1), &headers)).await
    };
    let answer = preflight(PAGE).await;
    assert_eq!((answer.status, allowed(&answer)), (200, PAGE));
    assert_eq!(answer.header("access-control-allow-methods"), "GET,HEAD");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization, postman-token");
    assert_eq!(answer.header("access-control-max-age"), "3600");
    assert!(answer.header("vary").contains("origin"));
    assert_eq!(allowed(&preflight("http://localhost:3000").await), "http://localhost:3000");
    for origin in [OTHER_PAGE, "null", "https://dash.example.evil.example", "http://dash.example"] {
        assert_eq!(allowed(&preflight(origin).await), "", "{origin}");
    }
    assert_eq!(proxy.vendor.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_named_origin_s_page_may_read_every_kind_of_answer() {
    let proxy = InProcess::with(&CORS);
    let ask = async |target: &str, origin| proxy.get_with(target, &[("origin", origin)]).await;
    proxy.vendor_fails(500);
    let failed = ask(&path(2), PAGE).await;
    assert_eq!((failed.status, allowed(&failed)), (502, PAGE), "errors too");
    proxy.vendor.clear_faults();
    let missed = ask(&path(1), PAGE).await;
    let hit = ask(&path(1), PAGE).await;
    let unknown = ask("/elsewhere", PAGE).await;
    let revalidated =
        proxy.get_with(&path(1), &[("origin", PAGE), ("if-none-match", hit.header("etag"))]).await;
    for (answer, status) in [(&missed, 200), (&hit, 200), (&unknown, 404), (&revalidated, 304)] {
        assert_eq!((answer.status, allowed(answer)), (status, PAGE));
        let shown = answer.header("access-control-expose-headers");
        for name in ["cache-status", "age", "etag", "retry-after", "proxy-status", "x-request-id"] {
            assert!(shown.split(',').any(|shown| shown == name), "{name} in {shown}");
        }
    }
    assert_eq!((hit.cache_status(), &hit.body), ("hit; ttl=300", &missed.body));
    let others = ask(&path(1), OTHER_PAGE).await;
    assert_eq!((others.status, allowed(&others)), (200, ""), "a page that is not named may not read it");
    // A browser's own cache must not give one page's answer to another.
    for answer in [&missed, &hit, &revalidated, &others, &proxy.get(&path(1)).await] {
        let vary: String = answer.headers.get_all("vary").iter().map(|vary| vary.to_str().unwrap()).collect();
        assert!(vary.contains("origin") && vary.contains("accept-encoding"), "{vary}");
    }
    assert_eq!(proxy.vendor.calls(), 2);
    let post = proxy.send(request(Method::POST, &path(1), &[])).await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD, OPTIONS"));
}

#[tokio::test(start_paused = true)]
async fn without_named_origins_no_page_may_read_anything() {
    let proxy = InProcess::new();
    for method in [Method::GET, Method::OPTIONS] {
        let headers = [("origin", PAGE), ("access-control-request-method", "GET")];
        let answer = proxy.send(request(method, &path(1), &headers)).await;
        let names = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control"));
        assert_eq!(names.count(), 0);
        assert!(!answer.header("vary").contains("origin"));
    }
}

#[tokio::test(start_paused = true)]
async fn where_client_tokens_are_asked_for_nobody_passes_without_one_not_even_to_a_hit() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "# callers\nfirst-token\n\nsecond-token\n").unwrap();
    let proxy = InProcess::with(&[("CLIENTS__TOKENS_FILE", file.path().to_str().unwrap())]);
    let ask = async |token: &str| proxy.get_with(&path(1), &[("authorization", &bearer(token))]).await;
    let passes = async |token: &str| ask(token).await.status == 200;
    let refused = ask("wrong").await;
    assert_eq!((refused.status, refused.json()["error_key"].as_str()), (401, Some("unauthenticated")));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    assert_eq!(proxy.vendor.seen().len(), 0);
    assert!(passes("first-token").await && passes("second-token").await);
    for authorization in
        ["", "Bearer", "Bearer ", "Basic first-token", "Bearer # callers", "Bearer first-token2"]
    {
        let answer = proxy.get_with(&path(1), &[("authorization", authorization)]).await;
        assert_eq!(answer.status, 401, "{authorization:?} on what is held");
    }
    assert_eq!(proxy.get(&path(1)).await.status, 401);
    let ours = ask(&proxy.vendor.access_token()).await;
    assert_eq!(ours.status, 401, "the vendor's token is no client token");

    // Looked at each second; what cannot be used leaves the old list in force.
    for (content, first, third, readable) in [
        ("first-token\nthird-token", true, true, 1.0),
        ("third-token", false, true, 1.0),
        ("", false, true, 0.0),
        ("third-token", false, true, 1.0),
    ] {
        fs::write(file.path(), content).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((passes("first-token").await, passes("third-token").await), (first, third), "{content:?}");
        let metric = "link_report_proxy_secret_file_readable{key=\"clients.tokens_file\"}";
        assert_eq!(proxy.metric(metric).await, readable, "{content:?}");
    }
    assert_eq!(proxy.vendor.calls(), 1);
}

/// Three tokens of two clients, and one without a name.
const NAMED: &str = "sales 0123456789abcdef\nsales fedcba9876543210\nops 00000000000000000000\nnameless";

#[tokio::test(start_paused = true)]
async fn requests_and_the_calls_they_cause_are_counted_by_the_token_s_name() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(NAMED.as_bytes()).unwrap();
    let proxy = InProcess::with(&[("CLIENTS__TOKENS_FILE", file.path().to_str().unwrap())]);
    let ask = async |token: &str, number| {
        proxy.get_with(&path(number), &[("authorization", &bearer(token))]).await.status
    };
    // Two calls of sales, one of ops, none of nameless, whose request is a hit.
    for (token, number) in [
        ("0123456789abcdef", 1),
        ("fedcba9876543210", 2),
        ("00000000000000000000", 3),
        ("00000000000000000000", 1),
        ("nameless", 1),
    ] {
        assert_eq!(ask(token, number).await, 200, "{token}");
    }
    assert_eq!(ask("0000000000000000", 1).await, 401);
    // The refresh in the background is for whoever asked first for the report that is due.
    tokio::time::sleep(Duration::from_secs(310)).await;
    assert_eq!(ask("nameless", 3).await, 200);
    proxy.settled(key(3)).await;
    let metrics = proxy.admin("/metrics").await.text();
    for (series, value) in [
        ("client_calls_total{client=\"sales\"}", 2),
        ("client_calls_total{client=\"ops\"}", 1),
        ("client_calls_total{client=\"unnamed\"}", 1),
        ("client_calls_total{client=\"anonymous\"}", 0),
        ("requests_total{client=\"sales\",code=\"200\",outcome=\"miss\"}", 2),
        ("requests_total{client=\"ops\",code=\"200\",outcome=\"hit\"}", 1),
        ("requests_total{client=\"unnamed\",code=\"200\",outcome=\"stale\"}", 1),
        ("requests_total{client=\"anonymous\",code=\"401\",outcome=\"rejected\"}", 1),
        ("requests_total{client=\"ops\",code=\"502\",outcome=\"error\"}", 0),
    ] {
        assert!(
            metrics.contains(&format!("link_report_proxy_{series} {value}\n")),
            "{series} {value}\n{metrics}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_the_day_are_listed_by_client_and_a_new_day_begins_without_any() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(NAMED.as_bytes()).unwrap();
    let proxy = InProcess::with(&[("CLIENTS__TOKENS_FILE", file.path().to_str().unwrap())]);
    let ask = async |token: &str, number| {
        proxy.get_with(&path(number), &[("authorization", &bearer(token))]).await.status
    };
    let mut shown = String::new();
    let mut show = async |when: &str| {
        let callers = proxy.admin("/quota").await.json()["callers"].take();
        shown += &format!("=== {when}\n{callers:#}\n");
    };
    show("before the first call").await;
    for (token, number) in
        [("00000000000000000000", 1), ("00000000000000000000", 2), ("0123456789abcdef", 2), ("nameless", 3)]
    {
        assert_eq!(ask(token, number).await, 200, "{token}");
    }
    show("after three calls").await;
    // The clock of these tests begins at 22:13:20 UTC. Nobody looks until the first call of the new day.
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(ask("fedcba9876543210", 4).await, 200);
    show("after the first call of the next day").await;
    assert_eq!(proxy.metric("link_report_proxy_client_calls_total{client=\"ops\"}").await, 2.0);
    snapshot("callers", &shown);
}

#[tokio::test(start_paused = true)]
async fn without_an_admin_token_only_a_loopback_peer_may_purge() {
    let proxy = InProcess::new();
    let purge = || request(Method::DELETE, "/cache", &[]);
    proxy.get(&path(1)).await;
    for peer in ["10.0.0.7:50000", "[2001:db8::1]:50000", "[::ffff:10.0.0.7]:50000"] {
        assert_eq!(proxy.admin_as(peer, purge()).await.status, 403, "{peer}");
    }
    let rebound = request(Method::DELETE, "/cache", &[("host", "rebound.example:9090")]);
    assert_eq!(proxy.admin_as("127.0.0.1:50000", rebound).await.status, 403, "a page in a browser here");
    assert!(proxy.admin.memory.peek(&key(1)).is_some());
    for peer in ["127.0.0.1:50000", "127.8.8.8:50000", "[::1]:50000", "[::ffff:127.0.0.1]:50000"] {
        proxy.get(&path(1)).await;
        let answer = proxy.admin_as(peer, purge()).await;
        assert_eq!((answer.status, answer.json()["purged"].as_u64()), (200, Some(1)), "{peer}");
    }
    assert_eq!(proxy.get(&path(1)).await.cache_status(), "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn with_an_admin_token_whoever_shows_it_may_purge_and_nobody_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "admin-token\n").unwrap();
    let proxy = InProcess::with(&[("ADMIN__TOKEN_FILE", file.path().to_str().unwrap())]);
    let id = key(1).id;
    let purge = async |peer, token: &str| {
        let headers = [("authorization", token)];
        proxy.admin_as(peer, request(Method::DELETE, &format!("/cache/{id}"), &headers)).await
    };
    for target in [path(1), format!("{}?no_clicks=true", path(1)), path(2)] {
        proxy.get(&target).await;
    }
    for token in ["", "Bearer wrong", "Basic admin-token"] {
        let answer = purge("127.0.0.1:50000", token).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{token}");
    }
    assert_eq!(proxy.admin.memory.keys().len(), 3);
    let answer = purge("10.0.0.7:50000", "Bearer admin-token").await;
    assert_eq!(
        (answer.status, answer.json()["purged"].as_u64()),
        (200, Some(2)),
        "both reports of the activity"
    );
    assert_eq!(proxy.admin.memory.keys(), [key(2)]);
    fs::write(file.path(), "newer-token\n").unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(purge("127.0.0.1:50000", "Bearer admin-token").await.status, 401);
    assert_eq!(purge("127.0.0.1:50000", "Bearer newer-token").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_purged_copy_stands_in_for_nothing() {
    let proxy = InProcess::new();
    proxy.get(&path(1)).await;
    tokio::time::sleep(OLD).await;
    proxy.vendor_fails(500);
    proxy.admin_as("127.0.0.1:50000", request(Method::DELETE, "/cache", &[])).await;
    assert_eq!(proxy.get(&path(1)).await.status, 502);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_in_words() {
    let proxy = InProcess::new();
    let mut shown = String::new();
    for (peer, method, target) in [
        ("10.0.0.7:50000", Method::DELETE, "/cache"),
        ("127.0.0.1:50000", Method::GET, "/elsewhere"),
        ("127.0.0.1:50000", Method::GET, "/cache/42"),
        ("127.0.0.1:50000", Method::DELETE, "/cache/42"),
        ("127.0.0.1:50000", Method::GET, "/cache?page=0"),
        ("127.0.0.1:50000", Method::GET, "/cache?per_page=1001"),
        ("127.0.0.1:50000", Method::POST, "/cache"),
        ("127.0.0.1:50000", Method::POST, "/metrics"),
    ] {
        let answer = proxy.admin_as(peer, request(method.clone(), target, &[])).await;
        shown += &format!("=== {method} {target} from {peer}\n{}\n", answer.shown());
    }
    for (name, value) in [("host", "rebound.example:9090"), ("sec-fetch-site", "cross-site")] {
        let asked = request(Method::GET, "/cache", &[(name, value)]);
        let answer = proxy.admin_as("127.0.0.1:50000", asked).await;
        shown += &format!("=== GET /cache with {name}: {value}\n{}\n", answer.shown());
    }
    snapshot("admin_refusals", &shown);
}
