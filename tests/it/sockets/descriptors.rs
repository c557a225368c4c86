//! The process runs out of file descriptors, or clients want them all.

use std::{fs, time::Duration};

use link_report_proxy::simulator::{Fault, Scope};
use tokio::time::Instant;

use crate::support::{Proxy, Run, Upstream, Wire, path, request, synthetic, until};

/// No connection is ever cut for being slow or quiet.
const PATIENT: [(&str, &str); 2] = [("server.header_timeout", "1h"), ("server.idle_timeout", "1h")];

/// So many connections that say nothing.
async fn silent(proxy: &Proxy, count: usize) -> Vec<Wire> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(Wire::connect(proxy.data).await);
    }
    held
}

fn told(proxy: &Proxy, words: &str) -> usize {
    proxy.log().iter().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_never_take_the_file_descriptors_of_the_admin_port_and_of_calls() {
    let upstream = Upstream::start().await;
    let proxy = Run::serve_after("ulimit -n 200", &Proxy::environment(&upstream, &PATIENT));
    let proxy = Proxy::listening(proxy).await;
    assert_eq!(told(&proxy, "server.max_connections is more than the process may open"), 1);
    let _held = silent(&proxy, 300).await;
    until("the data port to be full", async || {
        (proxy.metric("link_report_proxy_connections_open").await >= 100.0).then_some(())
    })
    .await;
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(proxy.admin(probe).await.status, 200, "{probe}");
    }
    assert_eq!(proxy.get(&path(&synthetic(1, 1))).await.status, 200, "a connection to the upstream, too");
    assert_eq!(proxy.metric("link_report_proxy_connections_limit").await, 100.0);
    assert_eq!(told(&proxy, "cannot accept"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_descriptor_an_idle_connection_gives_its_own_to_the_next() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &PATIENT).await;
    let report = path(&synthetic(1, 1));
    assert_eq!(proxy.get(&report).await.status, 200);
    let mut held = silent(&proxy, 20).await;
    until("them to be accepted", async || {
        (proxy.metric("link_report_proxy_connections_open").await >= 20.0).then_some(())
    })
    .await;
    proxy.limit_open_files();
    until("accepting to fail", async || {
        held.extend(silent(&proxy, 1).await);
        (told(&proxy, "cannot accept a connection") > 0).then_some(())
    })
    .await;
    assert_eq!(proxy.get(&report).await.status, 200);
    held[0].expect_closed().await;
    // The log is written beside the answers.
    until("its end to be told", async || (told(&proxy, "accepting connections again") > 0).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_file_descriptors_are_busy_accepting_is_tried_ten_times_a_second_and_recovers() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &PATIENT).await;
    let (begun, ask) = (Instant::now(), request("GET", &path(&synthetic(1, 1)), &[]));
    upstream.sim.inject(Fault::Latency(Duration::from_secs(2)), Scope::All);
    let mut asked = vec![Wire::connect(proxy.data).await];
    asked[0].send(&ask).await;
    until("the call to be on its way", async || (upstream.sim.in_flight() == 1).then_some(())).await;
    proxy.limit_open_files();
    until("accepting to fail", async || {
        let mut wire = Wire::connect(proxy.data).await;
        wire.send(&ask).await;
        asked.push(wire);
        (told(&proxy, "cannot accept a connection") > 0).then_some(())
    })
    .await;
    for wire in &mut asked {
        assert_eq!(wire.answer().await.map(|answer| answer.status), Some(200));
    }
    until("its end to be told", async || (told(&proxy, "accepting connections again") > 0).then_some(()))
        .await;
    let failures = proxy.log().into_iter().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        (line["message"] == "accepting connections again")
            .then(|| line["failures"].as_u64().expect("a count"))
    });
    let failures: Vec<_> = failures.collect();
    let outages = failures.len();
    assert!((1..=asked.len()).contains(&outages), "a line for each: {failures:?}");
    let most = outages + usize::try_from(begun.elapsed().as_millis()).unwrap() / 100;
    assert!((1..=most).contains(&(failures.iter().sum::<u64>() as usize)), "{failures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_raises_its_limit_of_open_files_and_leaves_no_core_file() {
    let upstream = Upstream::start().await;
    // As high as this machine allows, so that 0 is the process's own doing.
    let run = Run::serve_after("ulimit -S -c $(ulimit -H -c) -n 300", &Proxy::environment(&upstream, &[]));
    let proxy = Proxy::listening(run).await;
    let limits = fs::read_to_string(proxy.proc("limits")).expect("a living child");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        let mut columns = line.split_whitespace();
        (columns.next().unwrap().to_owned(), columns.next().unwrap().to_owned())
    };
    let (soft, hard) = limit("Max open files");
    assert_eq!(soft, hard);
    assert_eq!(limit("Max core file size").0, "0");
}
