//! Clients that are slow or say nothing hold no connection for long.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Proxy, Upstream, Wire, path, request, soon, synthetic};

const QUICK: [(&str, &str); 2] = [("server.header_timeout", "300ms"), ("server.idle_timeout", "600ms")];
/// Far above both limits, far below the defaults of 10 s and 75 s.
const SOON_ENOUGH_S: u64 = 5;

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
    let begun = Instant::now();
    let answers = Wire::connect(proxy.data).await.answers_until_closed().await;
    assert!(answers.iter().all(|answer| answer.status == 408), "{answers:?}");
    assert!(begun.elapsed().as_secs() < SOON_ENOUGH_S);
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
    let proxy = Proxy::start(&upstream, &[]).await;
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut wire = Wire::connect(proxy.data).await;
        wire.send(b"GET /v3/reports").await;
        held.push(wire);
    }
    let begun = Instant::now();
    assert_eq!(proxy.get(&path(&synthetic(1, 1))).await.status, 200);
    assert!(begun.elapsed().as_secs() < SOON_ENOUGH_S);
}
