//! A damaged state file keeps no process from starting, and what is not damaged is not taken for it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use link_report_proxy::{
    simulator::{Options, TOKEN_PATH},
    state::{FileStore, TokenRecord, TokenStore as _},
};
use secrecy::ExposeSecret as _;

use crate::support::{
    Proxy, Run, Upstream, environment, path, soon, state_lock::state_is_released, synthetic, until,
};

const GARBAGE: &[u8] = b"anything but a database";

fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.to_str().unwrap().contains(".damaged-")).collect()
}

fn settings(upstream: &Upstream, dir: &Path, refresh_token: Option<&str>) -> Vec<(String, String)> {
    let options = upstream.sim.options();
    let (base_url, token_url) = (upstream.base_url(), format!("{}{TOKEN_PATH}", upstream.base_url()));
    let mut all = vec![
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("upstream.base_url", &base_url),
        ("token.source", "refresh"),
        ("token.token_url", &token_url),
        ("token.client_id", &options.client_id),
        ("token.client_secret", options.client_secret.expose_secret()),
        ("state.dir", dir.to_str().unwrap()),
    ];
    all.extend(refresh_token.map(|token| ("token.refresh_token", token)));
    environment(&all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_file_is_set_aside_and_the_process_starts_with_the_configured_refresh_token() {
    let (upstream, root) = (Upstream::with(Options::default()).await, tempfile::tempdir().unwrap());
    let dir = root.path().join("state");
    drop(FileStore::open(&dir).unwrap());
    fs::write(dir.join("state.redb"), GARBAGE).unwrap();
    let token = upstream.sim.refresh_token();
    for start in 0..2 {
        let proxy = Proxy::listening(Run::start(&["serve"], &settings(&upstream, &dir, Some(&token)))).await;
        let report = path(&synthetic(start, 1));
        until("an answer", async || (proxy.get(&report).await.status == 200).then_some(())).await;
        assert_eq!(
            proxy.metric("link_report_proxy_state_damaged_files").await,
            1.0,
            "until it is taken away"
        );
        let told =
            proxy.log().iter().filter(|line| line.contains("\"ERROR\"") && line.contains("damaged")).count();
        assert_eq!(told, usize::from(start == 0), "{:?}", proxy.log());
        let files = set_aside(&dir);
        assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), [GARBAGE]);
        proxy.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_file_without_another_refresh_token_is_reauthorization_required() {
    let (upstream, root) = (Upstream::with(Options::default()).await, tempfile::tempdir().unwrap());
    let dir = root.path().join("state");
    let store = FileStore::open(&dir).unwrap();
    store.compare_and_set(None, &TokenRecord::new("lost".into())).await.unwrap();
    drop(store);
    fs::write(dir.join("state.redb"), b"").unwrap();
    let proxy = Proxy::listening(Run::start(&["serve"], &settings(&upstream, &dir, None))).await;
    until("a word that a login is needed", async || {
        let state = proxy.admin("/token").await.json()["status"].clone();
        (state == "reauthorization_required").then_some(())
    })
    .await;
    assert_eq!(set_aside(&dir).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_refresh_plan_is_set_aside_and_the_stored_token_still_used() {
    let (upstream, root) = (Upstream::with(Options::default()).await, tempfile::tempdir().unwrap());
    let dir = root.path().join("state");
    let store = FileStore::open(&dir).unwrap();
    let token = upstream.sim.refresh_token();
    store.compare_and_set(None, &TokenRecord::new(token.as_str().into())).await.unwrap();
    drop(store);
    fs::write(dir.join("refresh-plan.json"), GARBAGE).unwrap();
    let proxy = Proxy::listening(Run::start(&["serve"], &settings(&upstream, &dir, None))).await;
    let report = path(&synthetic(1, 1));
    until("an answer", async || (proxy.get(&report).await.status == 200).then_some(())).await;
    assert_eq!(proxy.metric("link_report_proxy_state_damaged_files").await, 1.0);
    let (log, told) = (proxy.log(), ["\"WARN\"", "refresh-plan.json.damaged-", "line 1, column 1"]);
    assert!(log.iter().any(|line| told.iter().all(|word| line.contains(word))), "{log:?}");
    let files = set_aside(&dir);
    assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), [GARBAGE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_of_the_cache_is_set_aside_and_neither_token_nor_plan_are_lost() {
    let (upstream, root) = (Upstream::with(Options::default()).await, tempfile::tempdir().unwrap());
    let dir = root.path().join("state");
    let store = FileStore::open(&dir).unwrap();
    let token = upstream.sim.refresh_token();
    store.compare_and_set(None, &TokenRecord::new(token.as_str().into())).await.unwrap();
    drop(store);
    let settings = settings(&upstream, &dir, None);
    let report = path(&synthetic(1, 1));
    let proxy = Proxy::listening(Run::start(&["serve"], &settings)).await;
    until("an answer", async || (proxy.get(&report).await.status == 200).then_some(())).await;
    proxy.sigterm();
    assert!(soon("the end", proxy.finished()).await.status.success());
    let file = dir.join("cache-snapshot");
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let plan = fs::read(dir.join("refresh-plan.json")).unwrap();

    let proxy = Proxy::listening(Run::start(&["serve"], &settings)).await;
    assert_eq!(proxy.metric("link_report_proxy_state_damaged_files").await, 1.0);
    assert_eq!(proxy.metric("link_report_proxy_cache_restored_entries").await, 0.0);
    let (log, words) = (proxy.log(), ["\"WARN\"", "cache-snapshot.damaged-", "its checksum is wrong"]);
    assert_eq!(log.iter().filter(|line| words.iter().all(|word| line.contains(word))).count(), 1, "{log:?}");
    let files = set_aside(&dir);
    assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), [damaged]);
    assert_eq!(fs::read(dir.join("refresh-plan.json")).unwrap(), plan);
    // The settings have no refresh token: only the stored one gets an access token.
    until("an answer", async || (proxy.get(&report).await.status == 200).then_some(())).await;
    assert_eq!(upstream.sim.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_or_forbidden_is_not_damaged_and_still_refused() {
    let (upstream, root) = (Upstream::with(Options::default()).await, tempfile::tempdir().unwrap());
    let dir = root.path().join("state");
    let settings = settings(&upstream, &dir, Some("any"));
    let held = FileStore::open(&dir).unwrap();
    assert_eq!(Run::finish(&["serve"], &settings).await.status.code(), Some(69));
    drop(held);
    state_is_released(&dir).await;
    // A directory cannot be read as a file, whoever asks: a mode would not stop root.
    fs::remove_file(dir.join("state.redb")).unwrap();
    fs::create_dir(dir.join("state.redb")).unwrap();
    fs::set_permissions(dir.join("state.redb"), fs::Permissions::from_mode(0o700)).unwrap();
    let refused = Run::finish(&["serve"], &settings).await;
    assert_eq!(refused.status.code(), Some(78), "{:?}", refused.stderr);
    assert!(set_aside(&dir).is_empty());
}
