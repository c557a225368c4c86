//! The status page: what a browser gets, and what others get.

use std::io::Read as _;

use http::Method;

use crate::support::in_process::{Answer, InProcess, path, request};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn get(proxy: &InProcess, target: &str, headers: &[(&str, &str)]) -> Answer {
    proxy.admin_as("127.0.0.1:50000", request(Method::GET, target, headers)).await
}

fn is_hardened(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for rule in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let others = ["x-content-type-options", "referrer-policy", "cross-origin-opener-policy"];
    assert_eq!(others.map(|name| answer.header(name)), ["nosniff", "no-referrer", "same-origin"]);
}

#[tokio::test(start_paused = true)]
async fn a_browser_gets_the_page_with_the_sentence_of_now_and_others_a_list_of_routes() {
    let proxy = InProcess::new();
    proxy.admin.readiness.ready();
    let page = get(&proxy, "/", &[HTML]).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    is_hardened(&page);
    assert!(page.text().contains("<p id=\"text\">All is well.</p>"), "{}", page.text());
    proxy.vendor.revoke_access_tokens();
    proxy.get(&path(1)).await;
    assert!(get(&proxy, "/", &[HTML]).await.text().contains("Constant Contact refuses the access token"));
    assert!(!page.text().contains("{{"), "{}", page.text());
    let small = get(&proxy, "/", &[HTML, ("accept-encoding", "gzip")]).await;
    assert_eq!((small.header("content-encoding"), small.header("vary")), ("gzip", "accept-encoding"));
    assert!(small.body.len() < page.body.len() / 2, "{} bytes", small.body.len());
    let list = get(&proxy, "/", &[]).await;
    assert_eq!((list.status, list.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert!(list.text().contains("/status"), "{}", list.text());
}

#[tokio::test(start_paused = true)]
async fn its_files_are_compressed_and_asked_for_once() {
    let proxy = InProcess::new();
    let page = get(&proxy, "/", &[HTML]).await.text();
    for file in ["/ui/app.css", "/ui/app.js", "/ui/icon.svg"] {
        assert!(page.contains(&format!("\"{file}\"")), "{file}");
        let plain = get(&proxy, file, &[]).await;
        let small = get(&proxy, file, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!((plain.status, small.header("content-encoding")), (200, "gzip"), "{file}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&small.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.text());
        is_hardened(&small);
        let tag = small.header("etag");
        assert_ne!(tag, plain.header("etag"));
        let known = [("accept-encoding", "gzip"), ("if-none-match", tag)];
        assert_eq!(get(&proxy, file, &known).await.status, 304);
    }
    assert_eq!(get(&proxy, "/ui/other.js", &[]).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn gzip_is_sent_only_to_those_who_take_it() {
    let proxy = InProcess::new();
    for target in ["/", "/ui/app.css", "/ui/app.js"] {
        for (accept, coding) in [
            ("gzip", "gzip"),
            ("deflate, GZIP;q=0.5", "gzip"),
            ("*", "gzip"),
            ("gzip;q=0", ""),
            ("gzip;q=0, identity", ""),
            ("identity, gzip;q=0.5", ""),
            ("not-gzip", ""),
            ("*;q=0", ""),
        ] {
            let answer = get(&proxy, target, &[HTML, ("accept-encoding", accept)]).await;
            let sent = (answer.header("content-encoding"), answer.header("vary"));
            assert_eq!(sent, (coding, "accept-encoding"), "{target} for {accept}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_in_any_byte_of_it() {
    let proxy = super::renewal::renewing();
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    let mut shown = String::new();
    for target in ["/", "/status", "/status/history", "/failures", "/cache?sort=trouble", "/ui/app.js"] {
        shown += &get(&proxy, target, &[HTML]).await.text();
    }
    for secret in [proxy.vendor.access_token(), proxy.vendor.refresh_token()] {
        assert!(!shown.contains(&secret));
    }
    assert!(!shown.contains(crate::support::in_process::UPSTREAM_HOST), "{shown}");
}
