//! SIGTERM: what was begun ends well, nothing new begins, the exit code is 0.

use std::time::Duration;

use link_report_proxy::simulator::{Fault, Scope};
use tokio::net::TcpStream;

use crate::support::{Proxy, Upstream, Wire, path, request, synthetic, until};

/// Nothing that was begun ends by its own limit, nor is given up.
const PATIENT: [(&str, &str); 4] = [
    ("upstream.attempt_timeout", "1h"),
    ("server.request_timeout", "1h"),
    ("server.idle_timeout", "1h"),
    ("shutdown.grace", "1h"),
];

/// Starts `count` cold requests and waits until the upstream holds them all.
async fn in_flight(proxy: &Proxy, upstream: &Upstream, count: u32) -> Vec<Wire> {
    let mut wires = Vec::new();
    for key in 0..count {
        let mut wire = Wire::connect(proxy.data).await;
        wire.send(&request("GET", &path(&synthetic(key, 1)), &[])).await;
        wires.push(wire);
    }
    // Earlier calls are done: those in flight are these.
    until("every request to reach the upstream", async || {
        (upstream.sim.in_flight() == u64::from(count)).then_some(())
    })
    .await;
    wires
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_fails_no_request_in_flight_and_exits_0() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let warm = path(&synthetic(0xaaaa, 1));
    assert_eq!(proxy.get(&warm).await.status, 200);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    // Callers of warm keys who stop when told to, as HTTP clients do.
    let mut looping = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::connect(proxy.data).await;
        wire.send(&request("GET", &warm, &[])).await;
        assert_eq!(wire.answer().await.map(|answer| answer.status), Some(200));
        looping.push(tokio::spawn(hits_until_told_to_close(wire, warm.clone())));
    }
    // Long enough for what follows to be seen while they fly.
    upstream.sim.inject(Fault::Latency(Duration::from_secs(2)), Scope::All);
    let wires = in_flight(&proxy, &upstream, 40).await;

    proxy.sigterm();
    until("/readyz to say that it drains", async || {
        (proxy.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    until("the listener to be closed", async || TcpStream::connect(proxy.data).await.err()).await;

    for mut wire in wires {
        let answer = wire.answer().await.expect("an answer to a request in flight");
        assert_eq!(answer.status, 200, "{answer:?}");
        wire.expect_closed().await;
    }
    let mut goodbyes = Vec::new();
    for caller in looping {
        goodbyes.push(caller.await.expect("a caller whose every answer was a 200"));
    }
    assert!(goodbyes.contains(&Goodbye::Said), "{goodbyes:?}");
    let finished = proxy.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Goodbye {
    /// With `Connection: close` on its last answer.
    Said,
    /// Between two requests, without a word: HTTP allows it, and clients ask again elsewhere.
    Unsaid,
}

/// Asks again and again on one connection until the proxy closes it.
async fn hits_until_told_to_close(mut wire: Wire, warm: String) -> Goodbye {
    loop {
        wire.send(&request("GET", &warm, &[])).await;
        let Some(answer) = wire.answer().await else { return Goodbye::Unsaid };
        assert_eq!(answer.status, 200);
        if answer.header("connection") == Some("close") {
            return Goodbye::Said;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_ends_what_does_not_end_by_itself() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[("shutdown.grace", "500ms")]).await;
    upstream.sim.inject(Fault::Hang, Scope::All);
    let _held = in_flight(&proxy, &upstream, 1).await;
    proxy.sigterm();
    let finished = proxy.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let elapsed = finished.stderr.iter().filter(|line| line.contains("shutdown.grace elapsed")).count();
    assert_eq!(elapsed, 1, "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &PATIENT).await;
    upstream.sim.inject(Fault::Hang, Scope::All);
    let _held = in_flight(&proxy, &upstream, 1).await;
    proxy.sigterm();
    until("/readyz to say that it drains", async || {
        (proxy.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    proxy.sigterm();
    proxy.finished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_proxy_ends_at_once_and_closes_idle_connections() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &PATIENT).await;
    let mut idle = Wire::connect(proxy.data).await;
    idle.send(&request("GET", &path(&synthetic(1, 1)), &[])).await;
    assert_eq!(idle.answer().await.map(|answer| answer.status), Some(200));
    let _silent = Wire::connect(proxy.data).await;
    proxy.sigterm();
    idle.expect_closed().await;
    let finished = proxy.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}
