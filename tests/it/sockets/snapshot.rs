//! The snapshot of the cache with the real binary: SIGTERM, kill -9 in the middle of a write, a damaged file.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use futures_util::future::join_all;
use link_report_proxy::simulator::Options;
use tokio::time::sleep;

use crate::support::{Proxy, Upstream, path, soon, synthetic};

const ROUNDS: u32 = 12;
const REPORTS: u32 = 150;

async fn start(upstream: &Upstream, dir: &Path) -> Proxy {
    Proxy::start(upstream, &[("state.dir", dir.to_str().unwrap()), ("shutdown.grace", "5s")]).await
}

/// Reports of 300 links, so that writing all of them takes some time.
async fn ask_all(proxy: &Proxy) {
    let answers =
        join_all((0..REPORTS).map(|number| async move { proxy.get(&path(&synthetic(number, 300))).await }))
            .await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}

async fn restored(proxy: &Proxy) -> f64 {
    proxy.metric("link_report_proxy_cache_restored_entries").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_write_leaves_a_snapshot_that_is_whole() {
    let (upstream, root) = (
        Upstream::with(Options { per_second: 0, per_day: 0, ..Options::default() }).await,
        tempfile::tempdir().unwrap(),
    );
    let dir = root.path().join("state");
    let proxy = start(&upstream, &dir).await;
    ask_all(&proxy).await;
    proxy.sigterm();
    assert!(soon("the end", proxy.finished()).await.status.success());
    let mode = fs::metadata(dir.join("cache-snapshot")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let (calls, mut half_written) = (upstream.sim.calls(), 0);
    for round in 0..ROUNDS {
        let proxy = start(&upstream, &dir).await;
        assert_eq!(restored(&proxy).await, f64::from(REPORTS), "round {round}");
        assert_eq!(proxy.metric("link_report_proxy_state_damaged_files").await, 0.0);
        ask_all(&proxy).await;
        // It writes a snapshot, and dies at some time before, while or after it does.
        proxy.sigterm();
        sleep(Duration::from_micros(fastrand::u64(..30_000))).await;
        proxy.kill().await;
        half_written += u32::from(dir.join("cache-snapshot.new").exists());
    }
    println!("{half_written} of {ROUNDS} snapshots were half written");
    assert_eq!(upstream.sim.calls(), calls, "{ROUNDS} restarts, and no call");
}
