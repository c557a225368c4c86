//! Bytes on the data port: after a well-formed request line, or instead of one. What comes back is HTTP or nothing, and
//! a request never hangs, panics or ends in 500.
#![no_main]

use std::{future::ready, sync::Arc, time::Duration};

use libfuzzer_sys::fuzz_target;
use link_report_proxy::{
    app::{CallerRules, Calls, cache_options, data_port},
    cache::ReportCache,
    middleware::TowerService,
    quota::WallClock,
    report::{
        Answer, Call, Exchange, FetchError, Fetched, LinkReport, QuotaPressure, QuotaPressureFn,
    },
    server::{BearerAuth, ConnectionLimits, serve_connection},
    settings::Settings,
    telemetry::Metrics,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Builder,
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

const LINE: &[u8] =
    b"GET /v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links HTTP/1.1\r\nhost: localhost\r\n";
const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

/// A vendor that has every report.
fn answer(call: Call) -> Result<Fetched, FetchError> {
    let body = format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[]}}"#, call.key.id);
    let report = LinkReport::parse(call.key.id, body.as_bytes()).expect("a report");
    Ok(Fetched {
        answer: Answer::Report(report),
        answered_at: tokio::time::Instant::now(),
        age: Duration::ZERO,
        exchange: Exchange::default(),
    })
}

/// The data port's service, with such a vendor behind.
async fn exchange(sent: &[u8]) -> Vec<u8> {
    let settings = [
        ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", "unused"),
        ("LINK_REPORT_PROXY__CACHE__REFRESH", "fixed"),
        ("LINK_REPORT_PROXY__CACHE__CLIENT_NO_CACHE", "limited"),
        ("LINK_REPORT_PROXY__SERVER__MAX_IN_FLIGHT", "1"),
    ];
    let settings = Settings::load(None, settings).expect("settings");
    let metrics = Metrics::new();
    let pressure = QuotaPressureFn::new(|_now| QuotaPressure::Normal);
    let memory = ReportCache::new(cache_options(&settings, std::time::SystemTime::UNIX_EPOCH), pressure, metrics.cache.clone());
    let calls = Calls::new(TowerService(service_fn(|call| ready(answer(call)))));
    let front = data_port(&settings, Arc::new(memory), calls, &CallerRules::new(&settings, BearerAuth::anybody()), &metrics, WallClock::machine());

    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let served = serve_connection(theirs, Arc::new(front), LIMITS, CancellationToken::new());
    let asked = async {
        // The peer may have hung up already.
        let _written = ours.write_all(sent).await;
        let _closed = ours.shutdown().await;
        let mut received = Vec::new();
        let _ended = ours.read_to_end(&mut received).await;
        received
    };
    tokio::join!(served, asked).1
}

fuzz_target!(|input: (bool, &[u8])| {
    let (after_a_line, bytes) = input;
    let sent = if after_a_line { [LINE, bytes, b"\r\n\r\n"].concat() } else { bytes.to_vec() };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let received = runtime.block_on(exchange(&sent));
    if !received.is_empty() {
        let status = received.strip_prefix(b"HTTP/1.1 ").or_else(|| received.strip_prefix(b"HTTP/1.0 "));
        let status = status.expect("a status line");
        assert!(status.starts_with(b"2") || status.starts_with(b"3") || status.starts_with(b"4"));
    }
});
