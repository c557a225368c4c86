//! The settings file of a running proxy, changed as Kubernetes changes a ConfigMap, and SIGHUP.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use super::token_file::MountedSecret;
use crate::support::{Proxy, Run, Upstream, environment, get, path, synthetic, until};

const USUAL: &str = "[cache]\nrefresh = \"fixed\"\nttl_jitter = 0\n[quota]\nper_second = 0\n";

/// `serve --config`, with the file's content and what the environment sets over it.
async fn serve(upstream: &Upstream, config: &MountedSecret, more: &[(&str, &str)]) -> Proxy {
    let (url, token) = (upstream.base_url(), upstream.sim.access_token());
    let mut settings = vec![
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("upstream.base_url", url.as_str()),
        ("token.access_token", token.as_str()),
    ];
    settings.extend_from_slice(more);
    let file = config.file();
    let arguments = ["serve", "--config", file.to_str().expect("UTF-8")];
    Proxy::listening(Run::start(&arguments, &environment(&settings))).await
}

async fn config(proxy: &Proxy) -> Value {
    proxy.admin("/config").await.json()
}

/// Waits until `/config` shows this.
async fn shows(proxy: &Proxy, pointer: &str, value: Value) {
    until(&format!("{pointer} to be {value}"), async || {
        (config(proxy).await.pointer(pointer) == Some(&value)).then_some(())
    })
    .await;
}

fn lines(proxy: &Proxy, message: &str) -> Vec<String> {
    proxy.log().into_iter().filter(|line| line.contains(message)).collect()
}

/// The line of the first reload, which can come later than what `/config` shows.
async fn reloaded(proxy: &Proxy) -> String {
    until("a line of the reload", async || lines(proxy, "settings reloaded").into_iter().next()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_map_is_taken_over_under_load_without_a_failed_request_or_a_call() {
    let upstream = Upstream::start().await;
    let mounted = MountedSecret::holding(USUAL);
    let proxy = serve(&upstream, &mounted, &[("cache.empty_ttl", "9m")]).await;
    let reports: Vec<_> = (0..40).map(|key| path(&synthetic(key, 1))).collect();
    for report in &reports {
        assert_eq!(proxy.get(report).await.status, 200);
    }
    let calls = upstream.sim.seen().len();
    let (data, over) = (proxy.data, Arc::new(AtomicBool::new(false)));
    let load: Vec<_> = (0..4)
        .map(|client| {
            let (reports, over) = (reports.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answers = 0_u32;
                for report in reports.iter().cycle().skip(client * 10) {
                    let answer = get(data, report, &[]).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answers += 1;
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                answers
            })
        })
        .collect();

    // What the environment sets stays.
    let longer = "ttl = \"1h\"\nempty_ttl = \"2m\"\n[quota]\nper_day = 5000\n";
    mounted.swap_in("..2", &USUAL.replace("[quota]\n", longer));
    shows(&proxy, "/cache/ttl", "1h".into()).await;
    shows(&proxy, "/quota/per_day", 5_000.into()).await;
    assert_eq!(config(&proxy).await["cache"]["empty_ttl"], "9m");
    shows(&proxy, "/origins/cache.ttl", "file".into()).await;
    shows(&proxy, "/origins/cache.empty_ttl", "LINK_REPORT_PROXY__CACHE__EMPTY_TTL".into()).await;
    mounted.swap_in("..3", USUAL);
    proxy.sighup();
    shows(&proxy, "/quota/per_day", 10_000.into()).await;

    over.store(true, Ordering::Relaxed);
    for client in load {
        assert!(client.await.expect("no failed request") > 0);
    }
    assert_eq!(upstream.sim.seen().len(), calls);
    assert_eq!(proxy.admin("/quota").await.json()["day"]["limit"], 10_000);
    let told = reloaded(&proxy).await;
    assert!(told.contains("cache.ttl") && told.contains("quota.per_day"), "{told}");
    assert!(!told.contains("cache.empty_ttl"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_told_once_and_nothing_is_lost() {
    let upstream = Upstream::start().await;
    let mounted = MountedSecret::holding(USUAL);
    let proxy = serve(&upstream, &mounted, &[]).await;
    let report = path(&synthetic(1, 1));
    assert_eq!(proxy.get(&report).await.status, 200);
    let before = config(&proxy).await;

    mounted.swap_in("..2", &USUAL.replace("per_second = 0", "per_second = 0\nreserve = \"much\""));
    shows(&proxy, "/reload/success", false.into()).await;
    assert_eq!(proxy.metric("link_report_proxy_config_reload_success ").await, 0.0);
    let error = config(&proxy).await["reload"]["error"].as_str().expect("why").to_owned();
    assert!(error.contains("quota.reserve"), "{error}");
    let now = config(&proxy).await;
    assert_eq!((&now["cache"], &now["quota"]), (&before["cache"], &before["quota"]));
    assert_eq!(proxy.get(&report).await.status, 200);
    assert_eq!(upstream.sim.seen().len(), 1);

    // Read again each second, and after SIGHUP, which is answered by a line.
    proxy.sighup();
    let refused = "the changed settings are refused";
    until("a line for the signal", async || (lines(&proxy, refused).len() == 2).then_some(())).await;
    std::fs::remove_file(mounted.file()).expect("a file to remove");
    until("a line for the missing file", async || (lines(&proxy, refused).len() == 3).then_some(())).await;
    assert!(lines(&proxy, refused)[0].contains("quota.reserve"), "{:?}", proxy.log());
    assert!(lines(&proxy, refused)[2].contains("cannot be read"), "{:?}", proxy.log());

    std::fs::write(mounted.file(), USUAL.replace("ttl_jitter = 0", "ttl = \"6m\"")).expect("a file");
    shows(&proxy, "/reload/success", true.into()).await;
    assert_eq!(config(&proxy).await["cache"]["ttl"], "6m");
    assert_eq!(lines(&proxy, refused).len(), 3, "{:?}", proxy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_s_level_changes_and_what_needs_a_restart_is_named() {
    let upstream = Upstream::start().await;
    let mounted = MountedSecret::holding(USUAL);
    let proxy = serve(&upstream, &mounted, &[]).await;
    let report = path(&synthetic(1, 1));
    let changed = format!("{USUAL}[log]\nlevel = \"debug\"\n[server]\nmax_in_flight = 7\n");
    for _ in 0..2 {
        assert_eq!(proxy.get(&report).await.status, 200);
    }
    mounted.swap_in("..2", &changed);
    shows(&proxy, "/log/level", "debug".into()).await;
    shows(&proxy, "/reload/waits_for_restart", serde_json::json!(["server.max_in_flight"])).await;
    let told = reloaded(&proxy).await;
    assert!(told.contains("server.max_in_flight"), "{told}");
    let hits = |proxy: &Proxy| lines(proxy, "\"outcome\":\"hit\"").len();
    assert_eq!(hits(&proxy), 0);
    until("a hit in the log", async || {
        assert_eq!(proxy.get(&report).await.status, 200);
        (hits(&proxy) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sighup_without_a_settings_file_ends_nothing() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    proxy.sighup();
    until("a line", async || (lines(&proxy, "settings reloaded").len() == 1).then_some(())).await;
    assert_eq!(proxy.admin("/readyz").await.status, 200);
}
