//! Three real binaries that share a real redis-server.

use std::{io::ErrorKind, os::unix::net::UnixListener, time::Duration};

use link_report_proxy::simulator::{Fault, Scope};
use rustix::process::Signal;

use super::real_fleet::{RealFleet, SETTINGS};
use crate::support::{Proxy, Run, Upstream, Wire, environment, path, request, soon, synthetic, until};

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_callers_of_three_replicas_cost_one_call_which_all_three_count() {
    let fleet = RealFleet::start().await;
    let before = fleet.used().await;
    fleet.vendor.sim.inject(Fault::Latency(Duration::from_millis(500)), Scope::All);
    fleet.ask(500, 1).await;
    assert_eq!(fleet.vendor.sim.calls(), 1);
    fleet.until_each_beats_again().await;
    // On a busy machine it may lose its place, and is counted again.
    assert!((before + 1..before + 10).contains(&fleet.used().await));
    for replica in &fleet.replicas {
        assert!(!replica.log().concat().contains("shared store"), "a start is no outage");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_one_replica_empties_all_three() {
    let fleet = RealFleet::start().await;
    fleet.ask(3, 1).await;
    let mut wire = Wire::connect(fleet.replicas[1].admin).await;
    wire.send(&request("DELETE", &format!("/cache/{}", synthetic(1, 2)), &[])).await;
    let purged = wire.answer().await.expect("an answer").status;
    assert!(purged < 300, "{purged}");
    for replica in &fleet.replicas {
        until("the purge", async || {
            (replica.metric("link_report_proxy_cache_entries").await == 0.0).then_some(())
        })
        .await;
    }
    assert_eq!(fleet.vendor.sim.calls(), 1);
    fleet.ask(3, 1).await;
    assert_eq!(fleet.vendor.sim.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_stopped_hits_are_served_and_each_replica_fetches_for_itself() {
    let fleet = RealFleet::start().await;
    fleet.ask(3, 1).await;
    fleet.redis.signal(Signal::STOP);
    for replica in &fleet.replicas {
        let hit = replica.get(&path(&synthetic(1, 2))).await;
        let how = hit.header("cache-status").expect("a Cache-Status");
        assert!(hit.status == 200 && how.starts_with("link-report-proxy; hit"), "{how}");
    }
    fleet.ask(3, 2).await;
    assert_eq!(fleet.vendor.sim.calls(), 1 + 3);
    fleet.until_shared_up_is(0.0).await;
    fleet.redis.signal(Signal::CONT);
    fleet.until_shared_up_is(1.0).await;
    fleet.until_each_beats_again().await;
    fleet.ask(30, 3).await;
    assert_eq!(fleet.vendor.sim.calls(), 1 + 3 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_redis_goes_on_with_the_day_that_the_replicas_know() {
    let mut fleet = RealFleet::start().await;
    fleet.ask(3, 1).await;
    fleet.restart_redis().await;
    fleet.ask(30, 2).await;
    assert_eq!(fleet.vendor.sim.calls(), 2);
    fleet.ask(3, 1).await;
    assert_eq!(fleet.vendor.sim.calls(), 2, "held in memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_fleet_says_how_the_server_is_set_and_why_it_is_away() {
    let mut fleet = RealFleet::start().await;
    let page = async |replica: &Proxy| replica.admin("/fleet").await.json();
    let shown = page(&fleet.replicas[0]).await;
    let link = &shown["store"]["link"];
    assert_eq!(
        (&link["state"], &link["role"], &link["tls"]),
        (&"up".into(), &"primary".into(), &false.into())
    );
    assert_eq!(link["configured"], fleet.redis.url());
    assert_eq!(link["address"], fleet.redis.url().trim_start_matches("unix://"));
    let server = &link["server"];
    assert_eq!((&server["engine"], &server["append_only_file"]), (&"redis".into(), &false.into()));
    assert!(server["version"].as_str().is_some_and(|version| version.contains('.')), "{shown:#}");
    assert_eq!(server["maxmemory_policy"], "noeviction");
    let dangers = server["dangers"].as_array().expect("a list");
    assert!(
        dangers.len() == 1 && dangers[0].as_str().is_some_and(|text| text.contains("append-only")),
        "{shown:#}"
    );
    for (risk, is_there) in [("evicts_all", 0.0), ("no_append_only_file", 1.0)] {
        let series = format!("link_report_proxy_shared_store_risk{{risk=\"{risk}\"}}");
        assert_eq!(fleet.replicas[0].metric(&series).await, is_there, "{risk}");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(shown["replicas"]["list"][0]["name"], host.trim());
    fleet.redis.end();
    fleet.until_shared_up_is(0.0).await;
    let away = until("the reason to be one of no connection", async || {
        let away = page(&fleet.replicas[0]).await;
        (away["store"]["link"]["reason"] == "unreachable" && away["store"]["state"] == "away").then_some(away)
    })
    .await;
    let link = &away["store"]["link"];
    assert_eq!((&link["state"], &link["explanation"]), (&"down".into(), &"it cannot be connected to".into()));
    assert!(link["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{away:#}");
    assert_eq!(
        (&link["server"]["engine"], &link["address"]),
        (&"redis".into(), &shown["store"]["link"]["address"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_fleet_has_no_password() {
    let vendor = Upstream::start().await;
    let url = "redis://lrp:hush@127.0.0.1:1";
    let settings: Vec<_> = SETTINGS.into_iter().chain([("shared.url", url)]).collect();
    let replica = Proxy::start(&vendor, &settings).await;
    let page = until("the link to be down", async || {
        let page = replica.admin("/fleet").await;
        (page.json()["store"]["link"]["reason"] == "unreachable").then_some(page)
    })
    .await;
    assert_eq!(page.json()["store"]["link"]["configured"], "redis://lrp:[redacted]@127.0.0.1:1");
    for shown in [page.text(), replica.metrics().await, replica.log().concat()] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_ends_leaves_the_fleet() {
    let mut fleet = RealFleet::start().await;
    assert_eq!(fleet.redis.members().await, 3);
    let last = fleet.replicas.pop().expect("a replica");
    last.sigterm();
    assert!(last.finished().await.status.success());
    assert_eq!(fleet.redis.members().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_starts_and_serves_before_there_is_a_store() {
    let vendor = Upstream::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("unix://{}", dir.path().join("none").display());
    let settings: Vec<_> = SETTINGS.into_iter().chain([("shared.url", url.as_str())]).collect();
    let replica = Proxy::start(&vendor, &settings).await;
    assert_eq!(replica.admin("/readyz").await.status, 200);
    assert_eq!(replica.get(&path(&synthetic(1, 2))).await.status, 200);
    until("a line in the log", async || {
        replica.log().iter().any(|line| line.contains("the shared store is away")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn check_names_a_wrong_ca_file_and_connects_to_no_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    listener.set_nonblocking(true).expect("an option");
    let url = format!("unix://{}", socket.display());
    let check = async |store: &[(&str, &str)]| {
        let mut settings = vec![("token.access_token", "x"), ("shared.namespace", "test")];
        settings.extend_from_slice(store);
        soon("check", Run::finish(&["check"], &environment(&settings))).await
    };
    let fine = check(&[("shared.url", &url)]).await;
    assert!(fine.status.success(), "{:?}", fine.stderr);
    assert_eq!(listener.accept().expect_err("no connection").kind(), ErrorKind::WouldBlock);
    let wrong = check(&[("shared.url", "rediss://localhost"), ("shared.ca_file", "/nowhere/ca")]).await;
    assert_eq!(wrong.status.code(), Some(78));
    assert!(wrong.stderr.concat().contains("shared.ca_file: cannot be read"), "{:?}", wrong.stderr);
}
