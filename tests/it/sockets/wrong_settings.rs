//! Every wrong setting is refused at the start, by its name.

use std::io::Write;

use futures_util::future::join_all;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::support::{Run, environment};

/// Settings that start a proxy; each row spoils them.
const GOOD: [(&str, &str); 4] = [
    ("server.listen", "127.0.0.1:0"),
    ("admin.listen", "127.0.0.1:0"),
    ("token.source", "static"),
    ("token.access_token", "a-token-that-must-not-be-shown"),
];
const EX_CONFIG: Option<i32> = Some(78);
const EX_UNAVAILABLE: Option<i32> = Some(69);

fn with(wrong: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = GOOD.to_vec();
    all.extend_from_slice(wrong);
    environment(&all)
}

/// Exit 78, and one line that names the key and shows no secret.
async fn refused(key: &str, arguments: &[&str], environment: Vec<(String, String)>) -> Result<(), String> {
    let finished = Run::finish(arguments, &environment).await;
    let fail = |what: &str| Err(format!("{key}: {what}: {finished:?}"));
    if finished.status.code() != EX_CONFIG {
        return fail("want exit 78");
    }
    let [line] = finished.stderr.as_slice() else { return fail("want one line") };
    if !line.contains(key) {
        return fail("want the key's name");
    }
    if line.contains("must-not-be-shown") {
        return fail("a secret is shown");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_setting_ends_with_78_and_one_line_that_names_its_key() {
    // The key that must be named first, then what is set.
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("cache.tttl", &[("cache.tttl", "5m")]),
        ("cash", &[("cash.ttl", "5m")]),
        ("cache.ttl", &[("cache.ttl", "0s")]),
        ("cache.ttl", &[("cache.ttl", "five minutes")]),
        ("cache.ttl", &[("cache.ttl", "-1m")]),
        ("cache.refresh", &[("cache.refresh", "sometimes")]),
        ("cache.empty_ttl", &[("cache.empty_ttl", "0s")]),
        ("cache.negative_ttl", &[("cache.negative_ttl", "0s")]),
        ("cache.ttl_jitter", &[("cache.ttl_jitter", "7")]),
        ("cache.ttl_jitter", &[("cache.ttl_jitter", "NaN")]),
        ("cache.max_bytes", &[("cache.max_bytes", "0")]),
        ("cache.max_bytes", &[("cache.max_bytes", "64 elephants")]),
        ("cache.client_no_cache", &[("cache.client_no_cache", "always")]),
        ("server.listen", &[("server.listen", "localhost")]),
        ("server.listen", &[("server.listen", "127.0.0.1:99999")]),
        ("server.request_timeout", &[("server.request_timeout", "0s")]),
        ("server.header_timeout", &[("server.header_timeout", "0s")]),
        ("server.idle_timeout", &[("server.idle_timeout", "0s")]),
        ("server.max_in_flight", &[("server.max_in_flight", "0")]),
        ("server.max_connections", &[("server.max_connections", "many")]),
        ("server.workers", &[("server.workers", "0")]),
        ("clients.", &[("server.listen", "0.0.0.0:0")]),
        ("clients.tokens_file", &[("clients.tokens_file", "/nonexistent/tokens")]),
        ("admin.token_file", &[("admin.token_file", "/nonexistent/token")]),
        ("upstream.base_url", &[("upstream.base_url", "http://api.cc.test")]),
        ("upstream.base_url", &[("upstream.base_url", "https://api.cc.test/v3")]),
        ("upstream.base_url", &[("upstream.base_url", "https://user:pw@api.cc.test")]),
        ("upstream.base_url", &[("upstream.base_url", "ftp://127.0.0.1")]),
        ("upstream.base_url", &[("upstream.base_url", "api.cc.test")]),
        ("upstream.connect_timeout", &[("upstream.connect_timeout", "0s")]),
        ("upstream.attempt_timeout", &[("upstream.attempt_timeout", "0s")]),
        ("upstream.max_body", &[("upstream.max_body", "a lot")]),
        ("upstream.extra_ca_file", &[("upstream.extra_ca_file", "/nonexistent/ca.pem")]),
        ("token.source", &[("token.source", "oracle")]),
        ("token.access_token", &[("token.access_token_file", "/nonexistent/token")]),
        ("token.access_token", &[("token.source", "file")]),
        ("token.", &[("token.source", "refresh")]),
        ("token.access_token", &[("token.access_token", "two\nlines-must-not-be-shown")]),
        ("quota.per_second", &[("quota.per_second", "-4")]),
        ("quota.reserve", &[("quota.reserve", "1.5")]),
        ("quota.max_wait", &[("quota.max_wait", "soon")]),
        ("circuit.consecutive_failures", &[("circuit.consecutive_failures", "few")]),
        ("log.format", &[("log.format", "xml")]),
        ("shutdown.grace", &[("shutdown.grace", "for ever")]),
    ];
    let runs = rows.iter().map(|(key, wrong)| refused(key, &["serve"], with(wrong)));
    let failures: Vec<_> = join_all(runs).await.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_in_the_file_is_named_like_one_in_the_environment() {
    for (key, text) in [
        ("cache.ttl", "[cache]\nttl = \"0s\"\n"),
        ("cache.lifetime", "[cache]\nlifetime = \"5m\"\n"),
        ("cache.ttl", "[cache]\nttl = [1]\n"),
    ] {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let name = file.path().to_str().expect("UTF-8").to_owned();
        // The file may be named before the command or after it, as clap's global options go.
        refused(key, &["--config", &name, "serve"], with(&[])).await.expect("refused by its key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_that_cannot_be_read_is_named() {
    let missing = "/nonexistent/link-report-proxy.toml";
    refused(missing, &["--config", missing, "serve"], with(&[])).await.expect("refused by its name");
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(b"[cache\n").expect("written");
    let name = file.path().to_str().expect("UTF-8");
    refused("--config", &["--config", name, "serve"], with(&[])).await.expect("refused by its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_at_all_is_refused() {
    let without = environment(&GOOD[..2]);
    refused("token.", &["serve"], without).await.expect("refused by its key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_ends_with_69() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for key in ["server.listen", "admin.listen"] {
        let finished = Run::finish(&["serve"], &with(&[(key, &address)])).await;
        assert_eq!(finished.status.code(), EX_UNAVAILABLE, "{key}: {finished:?}");
        let variable = environment(&[(key, "")])[0].0.clone();
        let said = format!(
            "{key}: cannot listen on {address}: Address already in use (os error 98) ({variable} sets another one)"
        );
        assert_eq!(finished.stderr.last(), Some(&said), "{finished:?}");
    }
}
