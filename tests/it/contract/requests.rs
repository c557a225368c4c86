//! What a request may look like, and how little of it leaves.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use link_report_proxy::simulator::synthetic_id;

use crate::support::in_process::{Answer, InProcess, UPSTREAM_HOST, path, request};

/// Status, and headers without those that differ by the moment.
fn told(answer: &Answer) -> (u16, BTreeMap<String, String>) {
    let named = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let moment = ["date", "x-request-id"];
    let headers = answer.headers.iter().filter(|(name, _)| !moment.contains(&name.as_str())).map(named);
    (answer.status, headers.collect())
}

#[tokio::test(start_paused = true)]
async fn every_spelling_of_a_report_is_one_key_and_one_canonical_call() {
    let proxy = InProcess::new();
    let id = synthetic_id(0xab, 2);
    let (lower, upper) = (path(0xab), path(0xab).replace(&id.to_string(), &id.to_string().to_uppercase()));
    let omitted = [
        "",
        "?",
        "?no_clicks=false",
        "?no_clicks=FALSE",
        "?no_clicks=0",
        "?no_clicks=False&_=17",
        "?no_clickses=x",
    ];
    let listed = [
        "?no_clicks=true",
        "?no_clicks=TRUE",
        "?no_clicks=1",
        "?utm_source=x&no_clicks=True",
        "?&no_clicks=1&",
    ];
    for (calls, queries) in [(1, &omitted[..]), (2, &listed[..])] {
        for path in [&upper, &lower] {
            for query in queries {
                let answer = proxy.get(&format!("{path}{query}")).await;
                assert_eq!((answer.status, proxy.vendor.calls()), (200, calls), "{path}{query}");
            }
        }
    }
    let targets: Vec<_> = proxy.vendor.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, [lower.clone(), format!("{lower}?no_clicks=true")]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_a_caller_sends_beside_its_question_leaves_or_makes_another_key() {
    const MARK: &str = "caller-mark";
    let sent = [
        ("authorization", "Bearer caller-mark"),
        ("cookie", "session=caller-mark"),
        ("x-forwarded-for", "caller-mark"),
        ("x-forwarded-host", "caller-mark"),
        ("forwarded", "for=caller-mark"),
        ("cache-control", "no-cache, caller-mark"),
        ("pragma", "no-cache"),
        ("postman-token", MARK),
        ("user-agent", MARK),
        ("accept", "text/caller-mark"),
        ("accept-language", MARK),
        ("content-type", "application/json"),
        ("range", "bytes=0-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", MARK),
        ("referer", "http://caller-mark/"),
    ];
    let proxy = InProcess::new();
    let target = format!("{}?_=caller-mark&utm_campaign=caller-mark", path(1));
    let first = proxy.get_with(&target, &sent).await;
    let again = proxy.get(&path(1)).await;
    assert_eq!((first.status, again.status, &first.body), (200, 200, &again.body));
    assert_eq!(again.cache_status(), "hit; ttl=300");
    let [seen] = &proxy.vendor.seen()[..] else { panic!("not one call") };
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "user-agent"]);
    assert!(!format!("{:?}{}", seen.headers, seen.target).contains(MARK));
    assert_eq!(seen.headers["host"], UPSTREAM_HOST);
    assert_eq!(seen.headers["authorization"], format!("Bearer {}", proxy.vendor.access_token()));
}

#[tokio::test(start_paused = true)]
async fn a_head_is_answered_as_a_get_without_its_body() {
    let unknown = "/v3/reports/email_reports/1ead98be-0000-0000-0000-000000000000/links";
    for (target, headers) in [
        (path(1), &[][..]),
        (path(1), &[("accept-encoding", "gzip")]),
        (path(1), &[("if-none-match", "*")]),
        (unknown.to_owned(), &[]),
        (format!("{}?no_clicks=2", path(1)), &[]),
        ("/elsewhere".to_owned(), &[]),
    ] {
        // Two proxies, so that both a miss and a hit are compared.
        let (got, headed) = (InProcess::new(), InProcess::new());
        for _miss_then_hit in 0..2 {
            let id = [("x-request-id", "same")];
            let headers: Vec<_> = headers.iter().copied().chain(id).collect();
            let get = got.send(request(Method::GET, &target, &headers)).await;
            let head = headed.send(request(Method::HEAD, &target, &headers)).await;
            assert_eq!(told(&head), told(&get), "{target} {headers:?}");
            assert!(head.body.is_empty(), "{target}");
        }
        assert_eq!(got.vendor.calls(), headed.vendor.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_one_path_compared_byte_by_byte() {
    let proxy = InProcess::new();
    let id = synthetic_id(1, 2);
    for target in [
        "/".to_owned(),
        "/metrics".to_owned(),
        "/v3/emails".to_owned(),
        format!("{}/", path(1)),
        format!("/{}", path(1)),
        format!("/v3/reports/email_reports/{id}/opens"),
        format!("/v3/reports/email_reports/{id}/Links"),
        format!("/V3/reports/email_reports/{id}/links"),
        format!("/v3/reports/./email_reports/{id}/links"),
        format!("/v3/reports%2femail_reports/{id}/links"),
        format!("/v3/reports/email_reports/{id}/links;x"),
        format!("/v3/reports/email_reports/{id}/x/links"),
    ] {
        let answer = proxy.get(&target).await;
        assert_eq!(
            (answer.status, answer.json()["error_key"].as_str()),
            (404, Some("not_found")),
            "{target}"
        );
    }
    assert_eq!(proxy.vendor.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_method_is_refused_with_those_that_are_allowed() {
    let proxy = InProcess::new();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = proxy.send(request(method.clone(), &path(1), &[])).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
        let elsewhere = proxy.send(request(method.clone(), "/elsewhere", &[])).await;
        assert_eq!((elsewhere.status, elsewhere.header("allow")), (404, ""), "{method}");
    }
    assert_eq!(proxy.vendor.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_names_no_report_is_400_and_spends_no_call() {
    let proxy = InProcess::new();
    let id = synthetic_id(1, 2);
    for spelling in [
        String::new(),
        "1".to_owned(),
        id.simple().to_string(),
        format!("%7B{id}%7D"),
        format!("urn:uuid:{id}"),
        format!("{id}%20"),
        id.to_string().replace('0', "%30"),
        id.to_string().replace('4', "g"),
    ] {
        let answer = proxy.get(&format!("/v3/reports/email_reports/{spelling}/links")).await;
        assert_eq!(answer.json()["error_key"], "invalid_activity_id", "{spelling}");
        assert_eq!(answer.status, 400, "{spelling}");
    }
    for query in [
        "no_clicks",
        "no_clicks=",
        "no_clicks=yes",
        "no_clicks=01",
        "no_clicks=tru%65",
        "no_clicks=true&no_clicks=true",
        "no_clicks=true&no_clicks=false",
        "no_clicks[]=true",
    ] {
        let answer = proxy.get(&format!("{}?{query}", path(1))).await;
        assert_eq!(answer.json()["error_key"], "invalid_no_clicks", "{query}");
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(proxy.vendor.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_refused_and_ends_the_connection_on_a_miss_and_on_a_hit() {
    let proxy = InProcess::new();
    for (held, calls) in [("nothing held", 0), ("a hit without it", 1)] {
        for method in [Method::GET, Method::HEAD] {
            let request = request(method, &path(1), &[]).map(|_| Full::new(Bytes::from_static(b"x")));
            let answer = proxy.send(request).await;
            assert_eq!((answer.status, answer.header("connection")), (400, "close"), "{held}");
        }
        assert_eq!(proxy.vendor.calls(), calls, "{held}");
        proxy.get(&path(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sane_request_id_is_echoed_and_every_answer_that_is_no_hit_gets_one() {
    let proxy = InProcess::new();
    proxy.vendor_fails(500);
    let failed = proxy.get(&path(1)).await;
    let id = failed.header("x-request-id").to_owned();
    assert_eq!(failed.json()["instance"], format!("/requests/{id}"), "the body names the same request");
    proxy.vendor.clear_faults();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let missed = proxy.get(&path(1)).await;
    assert!(!missed.header("x-request-id").is_empty() && missed.header("x-request-id") != id);
    assert_eq!(proxy.get(&path(1)).await.header("x-request-id"), "", "a hit is too common to be named");
    for target in [path(1), path(2), "/elsewhere".to_owned()] {
        let echoed = proxy.get_with(&target, &[("x-request-id", "Root=1-67891233:a.b/c+d")]).await;
        assert_eq!(echoed.header("x-request-id"), "Root=1-67891233:a.b/c+d", "{target}");
        let replaced = proxy.get_with(&target, &[("x-request-id", "<script>")]).await;
        assert!(!replaced.header("x-request-id").contains('<'), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_cache_is_ignored_and_where_it_is_limited_forces_one_refresh_an_interval() {
    let no_cache = [("cache-control", "no-cache")];
    let ignoring = InProcess::new();
    for _ in 0..3 {
        ignoring.get_with(&path(1), &no_cache).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    assert_eq!(ignoring.vendor.calls(), 1);

    let limited = InProcess::with(&[("CACHE__CLIENT_NO_CACHE", "limited")]);
    limited.get(&path(1)).await;
    for (seconds, header, calls, status) in [
        (59, no_cache, 1, "hit; ttl=241"),
        (1, no_cache, 2, "fwd=request; fwd-status=200; stored"),
        (0, no_cache, 2, "hit; ttl=300"),
        (60, [("pragma", "no-cache")], 3, "fwd=request; fwd-status=200; stored"),
        (60, [("cache-control", "max-age=60")], 3, "hit; ttl=240"),
    ] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let answer = limited.get_with(&path(1), &header).await;
        assert_eq!((limited.vendor.calls(), answer.cache_status()), (calls, status), "after {seconds} s");
    }
    limited.vendor_fails(500);
    let answer = limited.get_with(&path(1), &no_cache).await;
    assert_eq!(
        (answer.status, answer.cache_status()),
        (200, "fwd=stale; fwd-status=500; detail=upstream_error")
    );
}
