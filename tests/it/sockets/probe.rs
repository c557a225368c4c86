//! `check --probe`: a line about each thing that the settings name, and nothing spent.

use std::fs;

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{Proxy, Run, Upstream, environment};

/// Settings by their keys.
type Changed<'a> = &'a [(&'a str, &'a str)];

const SECRET: &str = "a-token-that-must-not-be-shown";

/// The exit code and the lines; fails if a secret is among them.
async fn probed(argument: &str, settings: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let ports = [("server.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")];
    let finished = Run::finish(&["check", argument], &environment(&[&ports, settings].concat())).await;
    assert!(!format!("{finished:?}").contains("must-not-be-shown"), "{finished:?}");
    if finished.status.code() != Some(0) {
        let failed = finished.stdout.iter().filter(|line| line.starts_with("failed   ")).count();
        let said = format!("{failed} of {} probes failed", finished.stdout.len());
        assert_eq!(finished.stderr, [said], "{:?}", finished.stdout);
    }
    (finished.status.code(), finished.stdout)
}

/// Fails unless the probe ends with 69 and exactly one line says `failed`, and begins and goes on like this.
async fn fails(argument: &str, settings: &[(&str, &str)], subject: &str, why: &str) {
    let (code, lines) = probed(argument, settings).await;
    assert_eq!(code, Some(69), "{lines:?}");
    let failed: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("failed   ")).collect();
    assert!(matches!(failed[..], [line] if line.starts_with(subject) && line.contains(why)), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tries_what_the_settings_name_and_spends_nothing() {
    let (upstream, dir) = (Upstream::start().await, TempDir::new().expect("a directory"));
    let (base_url, state) = (upstream.base_url(), dir.path().join("not/yet"));
    let token_url = format!("{base_url}/oauth2/default/v1/token");
    let (code, lines) = probed(
        "--probe",
        &[
            ("upstream.base_url", &base_url),
            ("token.source", "refresh"),
            ("token.token_url", &token_url),
            ("token.client_id", "an-application"),
            ("token.refresh_token", SECRET),
            ("state.dir", state.to_str().expect("UTF-8")),
        ],
    )
    .await;
    assert_eq!(code, Some(0), "{lines:?}");
    let expected = [
        "ok       server.listen 127.0.0.1:0: can be opened".to_owned(),
        "ok       admin.listen 127.0.0.1:0: can be opened".to_owned(),
        format!("ok       state.dir {}: can be created", state.display()),
        format!("ok       upstream.base_url {base_url}/: answers"),
        "ok       clock: ".to_owned(),
        format!("ok       token.token_url {token_url}: can be reached"),
        "skipped  token.source refresh: there is a refresh token, which only serve uses".to_owned(),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(&expected), "{line}: {expected}");
    }
    let seen: Vec<_> =
        upstream.sim.seen().into_iter().map(|seen| (seen.method.to_string(), seen.target)).collect();
    assert_eq!(seen, [("HEAD".to_owned(), "/".to_owned())], "no token is renewed and no report is fetched");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "nothing stays behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_tried_only_if_that_is_asked_for() {
    let upstream = Upstream::start().await;
    let (base_url, token) = (upstream.base_url(), upstream.sim.access_token());
    let mut settings = [
        ("upstream.base_url", base_url.as_str()),
        ("token.source", "static"),
        ("token.access_token", token.as_str()),
    ];
    let calls =
        || upstream.sim.seen().iter().filter(|seen| seen.headers.contains_key("authorization")).count();
    let (code, lines) = probed("--probe", &settings).await;
    let last = lines.last().map(String::as_str);
    let skipped = "skipped  token.source static: there is an access token; --probe=call tries it";
    assert_eq!((code, last, calls()), (Some(0), Some(skipped), 0));

    let (code, lines) = probed("--probe=call", &settings).await;
    let last = lines.last().map(String::as_str);
    let accepted = "ok       token.source static: the API accepts the access token";
    assert_eq!((code, last, calls()), (Some(0), Some(accepted), 1));

    settings[2].1 = SECRET;
    fails("--probe=call", &settings, "token.source static", "the API rejects the access token (401)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_token_that_serve_has_stored_is_tried_and_the_refresh_token_is_not() {
    let (upstream, dir) = (Upstream::start().await, TempDir::new().expect("a directory"));
    let (base_url, refresh_token) = (upstream.base_url(), upstream.sim.refresh_token());
    let token_url = format!("{base_url}/oauth2/default/v1/token");
    let settings = [
        ("upstream.base_url", base_url.as_str()),
        ("token.source", "refresh"),
        ("token.token_url", &token_url),
        ("token.client_id", &upstream.sim.options().client_id),
        ("token.refresh_token", &refresh_token),
        ("state.dir", dir.path().to_str().expect("UTF-8")),
    ];
    let proxy = Proxy::start(&upstream, &settings).await;
    assert_eq!(
        proxy.get("/v3/reports/email_reports/0000000a-0000-4000-8000-000000000003/links").await.status,
        200
    );
    fails("--probe=call", &settings, "state.dir", "is locked by another process").await;
    proxy.sigterm();
    assert_eq!(proxy.finished().await.status.code(), Some(0));

    let renewals = || upstream.sim.seen().iter().filter(|seen| seen.target.contains("/oauth2/")).count();
    let before = renewals();
    let (code, lines) = probed("--probe=call", &settings).await;
    let last = lines.last().map(String::as_str);
    assert_eq!(
        (code, last),
        (Some(0), Some("ok       token.source refresh: the API accepts the access token"))
    );
    assert_eq!(renewals(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_cannot_be_used_is_one_line_that_says_why() {
    let upstream = Upstream::start().await;
    let base_url = upstream.base_url();
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed_url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let dir = TempDir::new().expect("a directory");
    let empty = dir.path().join("empty");
    let refresh = [
        ("token.source", "refresh"),
        ("token.client_id", "an-application"),
        ("token.token_url", &closed_url),
    ];
    let stored = [
        refresh[0],
        refresh[1],
        ("token.token_url", &base_url),
        ("state.dir", empty.to_str().expect("UTF-8")),
    ];
    let seeded = [refresh[0], refresh[1], refresh[2], ("token.refresh_token", SECRET)];
    let given = [("token.source", "static"), ("token.access_token", SECRET)];
    let store_url = format!("redis://:{SECRET}@{}", &closed_url["http://".len()..]);
    let rows: [(Changed<'_>, Changed<'_>, _, _); 7] = [
        (&given, &[("server.listen", &taken)], "server.listen", "in use"),
        (&given, &[("admin.listen", &taken)], "admin.listen", "in use"),
        (&given, &[("upstream.base_url", &closed_url)], "upstream.base_url", "connecting failed"),
        (&given, &[("state.dir", "/proc/no/directory")], "state.dir", "cannot be used"),
        (&seeded, &[], "token.token_url", "connecting failed"),
        (&stored, &[], "token.source refresh", "there is no refresh token: run login"),
        (
            &given,
            &[("shared.url", &store_url), ("shared.namespace", "test")],
            "shared.url",
            "cannot be connected to",
        ),
    ];
    for (token, spoiled, subject, why) in rows {
        let settings = [&[("upstream.base_url", base_url.as_str())], token, spoiled].concat();
        fails("--probe", &settings, subject, why).await;
    }
}
