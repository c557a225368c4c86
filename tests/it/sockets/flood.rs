//! More distinct ids than memory has room for.

use std::net::SocketAddr;

use futures_util::future::join_all;

use crate::support::{Proxy, Run, Upstream, Wire, path, request, synthetic};

/// Enough to fill the cache several times over; a debug build takes its time for each.
const HALF: u32 = 10_000;
const CALLERS: u32 = 8;
const PIPELINE: usize = 25;

/// With the allocator's setting that the image has.
async fn as_in_the_image(upstream: &Upstream, settings: &[(&str, &str)]) -> Proxy {
    let mut environment = Proxy::environment(upstream, settings);
    environment.push(("MIMALLOC_PURGE_DELAY".to_owned(), "0".to_owned()));
    Proxy::listening(Run::start(&["serve"], &environment)).await
}

/// Asks once for every id of `keys`, whose reports have so many links.
async fn ask_for_each(data: SocketAddr, keys: std::ops::Range<u32>, links: u32) {
    let callers = (0..CALLERS).map(|caller| {
        let mine: Vec<_> = keys.clone().filter(|key| key % CALLERS == caller).collect();
        tokio::spawn(async move {
            let mut wire = Wire::connect(data).await;
            for some in mine.chunks(PIPELINE) {
                let ask = |key: &u32| request("GET", &path(&synthetic(*key, links)), &[]);
                wire.send(&some.iter().flat_map(ask).collect::<Vec<_>>()).await;
                for _ in some {
                    assert_eq!(wire.answer().await.map(|answer| answer.status), Some(200));
                }
            }
        })
    });
    for caller in join_all(callers).await {
        caller.expect("a caller");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_ids_without_end_leave_memory_and_series_flat_and_evictions_counted() {
    let upstream = Upstream::start().await;
    // A line per miss would be most of the work; that it listens is still said.
    let settings = [("cache.max_bytes", "4MiB"), ("log.level", "warn,link_report_proxy::app=info")];
    let proxy = Proxy::start(&upstream, &settings).await;
    // Half of them fill the cache and the allocator's pages; the other half must change nothing.
    ask_for_each(proxy.data, 0..HALF, 4).await;
    let (memory, metrics) = (proxy.resident_kib(), proxy.metrics().await);
    ask_for_each(proxy.data, HALF..2 * HALF, 4).await;
    let (memory_after, metrics_after) = (proxy.resident_kib(), proxy.metrics().await);

    assert!(memory_after < memory + 4 * 1024, "resident: {memory} KiB, then {memory_after} KiB");
    assert_eq!(metrics.lines().count(), metrics_after.lines().count(), "series: {metrics_after}");
    let bytes = proxy.metric("link_report_proxy_cache_bytes").await;
    assert!((1.0..=4.0 * 1024.0 * 1024.0).contains(&bytes), "{bytes} bytes held");
    let held = proxy.metric("link_report_proxy_cache_entries").await;
    let evicted = proxy.metric("link_report_proxy_cache_evictions_total").await;
    assert!(held > 0.0 && evicted > 0.0, "{held} held, {evicted} evicted");
    assert!(held + evicted <= f64::from(2 * HALF), "{held} held, {evicted} evicted");
    assert!(evicted > f64::from(HALF), "{held} held, {evicted} evicted");
    // Nothing leaves unseen.
    assert_eq!(upstream.sim.calls(), u64::from(2 * HALF));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_takes_what_it_may_of_the_system_s_memory_for_small_and_large_reports() {
    let upstream = Upstream::start().await;
    for (links, keys, mib) in [(20, 6_000, 16), (400, 1_200, 48)] {
        let max_bytes = format!("{mib}MiB");
        let settings = [("cache.max_bytes", &*max_bytes), ("log.level", "warn,link_report_proxy::app=info")];
        let proxy = as_in_the_image(&upstream, &settings).await;
        // The first requests fill buffers and pools.
        ask_for_each(proxy.data, 0..100, 0).await;
        let before = proxy.resident_kib();
        ask_for_each(proxy.data, 0..keys, links).await;
        let growth = proxy.resident_kib() - before;
        let held = proxy.metric("link_report_proxy_cache_bytes").await as u64 / 1024;

        assert!(proxy.metric("link_report_proxy_cache_evictions_total").await > 0.0, "it is not full");
        // Three grow in a process that holds 8, 16 or 48 MiB: failures, statistics, buffers.
        let (max, spare) = (mib * 1024, 4 * 1024);
        let fair = (held * 9 / 10).max(max * 8 / 10)..=max * 11 / 10 + spare;
        assert!(fair.contains(&growth), "{links} links: {growth} KiB for {held} of {max}");
        assert!(held > max * 8 / 10, "{links} links: {held} KiB held of {max}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_needed_for_very_large_reports_is_given_back() {
    // Of 340 kB each.
    const LINKS: u32 = 2_000;
    let upstream = Upstream::start().await;
    let settings = [("cache.max_bytes", "8MiB"), ("log.level", "warn,link_report_proxy::app=info")];
    let proxy = as_in_the_image(&upstream, &settings).await;
    ask_for_each(proxy.data, 0..100, 0).await;
    let before = proxy.resident_kib();
    ask_for_each(proxy.data, 0..60, LINKS).await;
    let growth = proxy.resident_kib() - before;
    let held = proxy.metric("link_report_proxy_cache_bytes").await as u64 / 1024;
    assert!(held > 4 * 1024, "{held} KiB held");
    assert!(growth < held + 4 * 1024, "{growth} KiB for {held} held: does .cargo/config.toml count?");
}
