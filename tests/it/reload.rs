//! Settings that change while the proxy runs.

use std::{fs, time::Duration};

use http::Method;
use tokio::{task::JoinSet, time::sleep};

use crate::support::in_process::{Answer, InProcess, path, request};

const QUOTA: [(&str, &str); 2] = [("QUOTA__PER_DAY", "10000"), ("QUOTA__PER_SECOND", "0")];
const PAGE: &str = "https://dash.example";

/// Requests for 50 reports that are held, until all are answered.
fn load(proxy: &InProcess) -> JoinSet<Vec<Answer>> {
    let mut load = JoinSet::new();
    for client in 0..10 {
        let asking: Vec<_> = (0..100).map(|n| proxy.get_meanwhile(&path((client + n) % 50))).collect();
        load.spawn(async move {
            let mut answers = Vec::new();
            for answer in asking {
                answers.push(answer.await.unwrap());
            }
            answers
        });
    }
    load
}

#[tokio::test(start_paused = true)]
async fn a_reload_of_cache_and_quota_under_load_fails_no_request_and_makes_no_call() {
    for refresh in ["fixed", "planned"] {
        let settings: Vec<_> = QUOTA.into_iter().chain([("CACHE__REFRESH", refresh)]).collect();
        let proxy = InProcess::with(&settings);
        for number in 0..50 {
            assert_eq!(proxy.get(&path(number)).await.status, 200);
        }
        let calls = proxy.vendor.calls();
        for changed in [
            [("CACHE__TTL", "1h"), ("CACHE__STALE_IF_ERROR", "48h"), ("QUOTA__PER_DAY", "5000")],
            [("CACHE__TTL", "4m"), ("CACHE__MAX_BYTES", "16MiB"), ("QUOTA__RESERVE", "0.5")],
            [("CACHE__STALE_WHILE_REVALIDATE", "1m"), ("QUOTA__MAX_WAIT", "1s"), ("QUOTA__PER_SECOND", "9")],
            [("CACHE__MIN_REFRESH_INTERVAL", "1h"), ("QUOTA__PER_DAY", "9999"), ("CACHE__TTL", "5m")],
        ] {
            let load = load(&proxy);
            proxy.reload(&changed).await.unwrap();
            let answers: Vec<_> = load.join_all().await.into_iter().flatten().collect();
            assert_eq!(answers.len(), 1_000);
            for answer in answers {
                assert_eq!(answer.status, 200, "{refresh} {changed:?}");
                assert!(answer.cache_status().starts_with("hit"), "{}", answer.cache_status());
            }
        }
        assert_eq!(proxy.vendor.calls(), calls, "{refresh}");
        let quota = proxy.admin("/quota").await.json();
        assert_eq!((&quota["day"]["used"], &quota["day"]["limit"]), (&calls.into(), &9_999.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn refused_settings_change_nothing_and_are_told_of_until_good_ones_come() {
    let proxy = InProcess::with(&QUOTA);
    let success = async || {
        let shown = proxy.admin("/config").await.json();
        (proxy.metric("link_report_proxy_config_reload_success").await, shown["reload"].clone())
    };
    let (metric, shown) = success().await;
    assert_eq!((metric, &shown["success"], &shown["error"]), (1.0, &true.into(), &().into()));
    let loaded_at = proxy.metric("link_report_proxy_config_reload_success_timestamp_seconds").await;

    sleep(Duration::from_secs(60)).await;
    // The first is good, and must not be taken over without the second.
    let error = proxy.reload(&[("CACHE__TTL", "7m"), ("QUOTA__RESERVE", "2")]).await.unwrap_err();
    assert!(error.to_string().starts_with("quota.reserve: must be a fraction"), "{error}");
    let (metric, shown) = success().await;
    assert_eq!((metric, &shown["success"]), (0.0, &false.into()));
    assert!(shown["error"].as_str().unwrap().contains("quota.reserve"), "{shown}");
    let refused_at = &shown["refused_at"];
    assert!(refused_at.as_str().unwrap() > shown["loaded_at"].as_str().unwrap(), "{shown}");
    // The file is tried again each second.
    sleep(Duration::from_secs(60)).await;
    proxy.reload(&[("CACHE__TTL", "7m"), ("QUOTA__RESERVE", "3")]).await.unwrap_err();
    assert_eq!(&success().await.1["refused_at"], refused_at, "since then");
    assert_eq!(proxy.admin("/config").await.json()["cache"]["ttl"], "5m");
    let still = proxy.metric("link_report_proxy_config_reload_success_timestamp_seconds").await;
    assert_eq!(still, loaded_at);

    proxy.reload(&[("CACHE__TTL", "7m")]).await.unwrap();
    let (metric, shown) = success().await;
    assert_eq!((metric, &shown["success"], &shown["error"]), (1.0, &true.into(), &().into()));
    assert_eq!(proxy.admin("/config").await.json()["cache"]["ttl"], "7m");
    let later = proxy.metric("link_report_proxy_config_reload_success_timestamp_seconds").await;
    assert_eq!(later, loaded_at + 120.0);
}

#[tokio::test(start_paused = true)]
async fn keys_that_need_a_restart_are_named_and_stay_as_they_are() {
    let proxy = InProcess::with(&QUOTA);
    let changed = [("CACHE__REFRESH", "planned"), ("SERVER__MAX_IN_FLIGHT", "7"), ("CACHE__TTL", "7m")];
    proxy.reload(&changed).await.unwrap();
    let shown = proxy.admin("/config").await.json();
    let waiting = serde_json::json!(["server.max_in_flight", "cache.refresh"]);
    assert_eq!(shown["reload"]["waits_for_restart"], waiting);
    assert_eq!((&shown["cache"]["refresh"], &shown["cache"]["ttl"]), (&"fixed".into(), &"7m".into()));
    assert_eq!(shown["server"]["max_in_flight"], 1_024);
    proxy.reload(&[]).await.unwrap();
    let shown = proxy.admin("/config").await.json();
    assert_eq!(
        shown["reload"]["waits_for_restart"],
        serde_json::json!([]),
        "what was taken back waits no more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_and_no_longer_named_stands_in_no_reload_s_way() {
    let files = tempfile::TempDir::new().unwrap();
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (file("first"), file("second"));
    fs::write(&first, "").unwrap();
    let proxy = InProcess::with(&[("NAMES__FILE", &first)]);
    fs::rename(&first, &second).unwrap();
    proxy.reload(&[("NAMES__FILE", &second), ("CACHE__TTL", "7m")]).await.unwrap();
    let shown = proxy.admin("/config").await.json();
    assert_eq!((&shown["cache"]["ttl"], &shown["names"]["file"]), (&"7m".into(), &first.into()));
    assert_eq!(shown["reload"]["waits_for_restart"], serde_json::json!(["names.file"]));
    let error = proxy.reload(&[("NAMES__FILE", "/nowhere"), ("CACHE__TTL", "8m")]).await.unwrap_err();
    assert!(error.to_string().starts_with("names.file"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_day_that_is_lowered_and_raised_counts_every_call() {
    let proxy = InProcess::with(&QUOTA);
    let ask = async |number| proxy.get(&path(number)).await.status;
    for number in 0..5 {
        assert_eq!(ask(number).await, 200);
    }
    proxy.reload(&[("QUOTA__PER_DAY", "3")]).await.unwrap();
    assert_eq!((ask(5).await, ask(0).await), (503, 200), "what is held is served");
    proxy.reload(&[("QUOTA__PER_DAY", "7")]).await.unwrap();
    assert_eq!([ask(6).await, ask(7).await, ask(8).await], [200, 200, 503]);
    proxy.reload(&[]).await.unwrap();
    assert_eq!(ask(9).await, 200);
    assert_eq!(
        (proxy.vendor.calls(), proxy.metric("link_report_proxy_quota_used{window=\"day\"}").await),
        (8, 8.0)
    );
}

#[tokio::test(start_paused = true)]
async fn clients_can_be_asked_for_tokens_and_be_let_in_without_while_they_are_served() {
    let files = tempfile::TempDir::new().unwrap();
    let file = |name: &str, tokens: &str| {
        let path = files.path().join(name);
        fs::write(&path, tokens).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (file("first", "one\n"), file("second", "sales 0123456789abcdef\n"));
    let proxy = InProcess::new();
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        proxy.get_with(&path(1), &[("authorization", &bearer)]).await.status
    };
    let settled = || sleep(Duration::from_millis(1));
    assert_eq!(ask("").await, 200);
    proxy.reload(&[("CLIENTS__TOKENS_FILE", &first)]).await.unwrap();
    settled().await;
    assert_eq!([ask("").await, ask("one").await], [401, 200]);
    proxy.reload(&[("CLIENTS__TOKENS_FILE", &second)]).await.unwrap();
    settled().await;
    assert_eq!([ask("one").await, ask("0123456789abcdef").await], [401, 200]);
    // The file before is no longer looked at, and this one is.
    file("first", "three\n");
    file("second", "four\n");
    sleep(Duration::from_secs(5)).await;
    while ask("four").await != 200 {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!([ask("three").await, ask("0123456789abcdef").await], [401, 401]);
    proxy.reload(&[("CLIENTS__TOKENS_FILE", "/nowhere")]).await.unwrap_err();
    settled().await;
    assert_eq!([ask("").await, ask("four").await], [401, 200]);
    let readable = "link_report_proxy_secret_file_readable{key=\"clients.tokens_file\"}";
    fs::remove_file(&second).unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(proxy.metric(readable).await, 0.0);
    proxy.reload(&[]).await.unwrap();
    settled().await;
    assert_eq!((ask("").await, proxy.metric(readable).await), (200, 1.0), "no file is named");
}

#[tokio::test(start_paused = true)]
async fn an_origin_can_be_allowed_and_be_refused_again_while_its_page_is_open() {
    let proxy = InProcess::new();
    let ask = async || {
        let from_page = [("origin", PAGE), ("sec-fetch-site", "cross-site")];
        let answer = proxy.get_with(&path(1), &from_page).await;
        let preflight = [("origin", PAGE), ("access-control-request-method", "GET")];
        let preflight = proxy.send(request(Method::OPTIONS, &path(1), &preflight)).await;
        let vary = proxy.get(&path(1)).await.header("vary").to_owned();
        let allowed = answer.header("access-control-allow-origin").to_owned();
        (answer.status, allowed, preflight.status, vary)
    };
    let refused = (403, String::new(), 405, "accept-encoding".to_owned());
    assert_eq!(ask().await, refused);
    proxy.reload(&[("CORS__ALLOWED_ORIGINS", PAGE)]).await.unwrap();
    assert_eq!(ask().await, (200, PAGE.to_owned(), 200, "accept-encoding, origin".to_owned()));
    proxy.reload(&[]).await.unwrap();
    assert_eq!(ask().await, refused);
}

#[tokio::test(start_paused = true)]
async fn what_no_cache_does_can_change() {
    let proxy = InProcess::new();
    let ask =
        async || proxy.get_with(&path(1), &[("cache-control", "no-cache")]).await.cache_status().to_owned();
    ask().await;
    sleep(Duration::from_secs(30)).await;
    assert!(ask().await.starts_with("hit"));
    proxy
        .reload(&[("CACHE__CLIENT_NO_CACHE", "limited"), ("CACHE__CLIENT_NO_CACHE_INTERVAL", "20s")])
        .await
        .unwrap();
    assert!(ask().await.starts_with("fwd=request"));
    proxy.reload(&[]).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert!(ask().await.starts_with("hit"));
}
