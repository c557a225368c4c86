//! Clients that are slow or say nothing hold no connection for long.

use std::time::Duration;

use link_report_proxy::simulator::{Fault, Scope};
use tokio::time::Instant;

use crate::support::{Proxy, Upstream, Wire, path, request, soon, synthetic, until};

const QUICK: [(&str, &str); 2] = [("server.header_timeout", "300ms"), ("server.idle_timeout", "600ms")];
/// Far above both limits, below the defaults of 10 s and 75 s.
const SOON_ENOUGH_S: u64 = 9;
/// No connection is ever cut for being slow or quiet.
const PATIENT: [(&str, &str); 2] = [("server.header_timeout", "1h"), ("server.idle_timeout", "1h")];

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_header_is_cut_at_the_header_timeout() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &QUICK).await;
    let whole = String::from_utf8(request("GET", &path(&synthetic(1, 1)), &[])).expect("ASCII");
    for part in [1, 30, whole.len() - 2, whole.len() - 1] {
        let begun = Instant::now();
        let mut wire = Wire::connect(proxy.data).await;
        wire.send(&whole.as_bytes()[..part]).await;
        let answers = wire.answers_until_closed().await;
        assert!(answers.iter().all(|answer| answer.status == 408), "after {part} bytes: {answers:?}");
        assert!(begun.elapsed().as_secs() < SOON_ENOUGH_S, "after {part} bytes");
    }
    assert!(upstream.sim.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_drips_is_cut_at_the_header_timeout() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &QUICK).await;
    let begun = Instant::now();
    let mut wire = Wire::connect(proxy.data).await;
    wire.send(b"GET / HTTP/1.1\r\nX-Drip: ").await;
    // Each byte comes well inside any timeout that a new byte would start again.
    let drip = wire.drip_until_closed(Duration::from_millis(50));
    let answers = soon("the cut", drip).await;
    assert!(answers.iter().all(|answer| answer.status == 408), "{answers:?}");
    assert!(begun.elapsed().as_secs() < SOON_ENOUGH_S);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &QUICK).await;
    Wire::connect(proxy.data).await.expect_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_idle_after_a_request_is_closed_without_a_word() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &QUICK).await;
    let begun = Instant::now();
    let mut wire = Wire::connect(proxy.data).await;
    wire.send(&request("GET", &path(&synthetic(1, 1)), &[])).await;
    assert_eq!(wire.answer().await.map(|answer| answer.status), Some(200));
    wire.expect_closed().await;
    assert!(begun.elapsed().as_secs() < SOON_ENOUGH_S);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_keep_nobody_else_waiting() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &PATIENT).await;
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut wire = Wire::connect(proxy.data).await;
        wire.send(b"GET /v3/reports").await;
        held.push(wire);
    }
    assert_eq!(proxy.get(&path(&synthetic(1, 1))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_cap_of_connections_the_next_takes_the_place_of_the_quietest() {
    let upstream = Upstream::start().await;
    let settings = [PATIENT[0], PATIENT[1], ("server.max_connections", "2")];
    let proxy = Proxy::start(&upstream, &settings).await;
    let mut silent = Wire::connect(proxy.data).await;
    let mut asked = Wire::connect(proxy.data).await;
    asked.send(&request("GET", &path(&synthetic(1, 1)), &[])).await;
    assert_eq!(asked.answer().await.map(|answer| answer.status), Some(200));
    assert_eq!(proxy.get(&path(&synthetic(1, 1))).await.status, 200);
    silent.expect_closed().await;
    asked.send(&request("GET", &path(&synthetic(1, 1)), &[])).await;
    assert_eq!(asked.answer().await.map(|answer| answer.status), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_cap_of_connections_nobody_who_waits_for_an_answer_is_cut() {
    let upstream = Upstream::start().await;
    let settings = [PATIENT[0], PATIENT[1], ("server.max_connections", "1")];
    let proxy = Proxy::start(&upstream, &settings).await;
    upstream.sim.inject(Fault::Latency(Duration::from_secs(1)), Scope::All);
    let mut waits = Wire::connect(proxy.data).await;
    waits.send(&request("GET", &path(&synthetic(1, 1)), &[])).await;
    until("the request to reach the upstream", async || (upstream.sim.in_flight() == 1).then_some(())).await;
    let mut next = Wire::connect(proxy.data).await;
    next.send(&request("GET", &path(&synthetic(1, 1)), &[])).await;
    assert_eq!(waits.answer().await.map(|answer| answer.status), Some(200));
    assert_eq!(next.answer().await.map(|answer| answer.status), Some(200));
    assert_eq!(upstream.sim.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_idle_connections_stays_at_the_cap_and_keeps_nobody_else_waiting() {
    const CAP: usize = 100;
    let upstream = Upstream::start().await;
    let settings = [PATIENT[0], PATIENT[1], ("server.max_connections", "100")];
    let proxy = Proxy::start(&upstream, &settings).await;
    let mut held = Vec::new();
    for number in 0..5 * CAP {
        held.push(Wire::connect(proxy.data).await);
        if number % CAP == 0 {
            assert_eq!(proxy.admin("/livez").await.status, 200);
            assert!(proxy.metric("link_report_proxy_connections_open").await <= CAP as f64);
        }
    }
    assert_eq!(proxy.get(&path(&synthetic(1, 1))).await.status, 200);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_keep_no_probe_from_the_admin_port() {
    // As many as the admin port takes, and more.
    const MANY: usize = 80;
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &PATIENT).await;
    let mut held = Vec::new();
    for said in ["", "GET /livez", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        for _ in 0..MANY {
            let mut wire = Wire::connect(proxy.admin).await;
            wire.send(said.as_bytes()).await;
            held.push(wire);
        }
        let begun = Instant::now();
        for probe in ["/readyz", "/livez", "/metrics"] {
            assert_eq!(proxy.admin(probe).await.status, 200, "{said:?}");
        }
        assert!(begun.elapsed().as_secs() < SOON_ENOUGH_S, "{said:?}");
    }
}

/// Waits until the proxy holds no connection: what it could not deliver must not keep one open.
async fn all_are_cut(proxy: &Proxy) {
    until("the connection to be cut", async || {
        let open = proxy.metric("link_report_proxy_connections_open").await;
        (open == 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &QUICK).await;
    // Some megabytes each: far more than the two kernels' buffers hold.
    let large = path(&synthetic(1, 25_000));
    assert_eq!(proxy.get(&large).await.status, 200);
    let mut deaf = Wire::connect(proxy.data).await;
    deaf.send(&request("GET", &large, &[]).repeat(10)).await;
    all_are_cut(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_and_begins_another_head_is_cut() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &QUICK).await;
    let large = path(&synthetic(1, 25_000));
    assert_eq!(proxy.get(&large).await.status, 200);
    let mut deaf = Wire::connect(proxy.data).await;
    deaf.send(&request("GET", &large, &[])).await;
    until("the request to be counted", async || {
        (proxy.metric("link_report_proxy_requests_total{").await >= 2.0).then_some(())
    })
    .await;
    deaf.send(b"GET /v3").await;
    all_are_cut(&proxy).await;
}
