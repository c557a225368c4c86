//! Bytes on the data port: after a well-formed request line, or instead of one. What comes back is HTTP or nothing, and
//! a request never hangs, panics or ends in 500.
#![no_main]

use std::{future::ready, net::Ipv4Addr, num::NonZeroUsize, sync::Arc, time::Duration};

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use link_report_proxy::{
    cache::{CacheLayer, CacheOptions, ReportCache},
    inbound::{
        AccessLog, CrossOrigin, NoCache, ReportEndpoint, ReportService, RespondLayer, Responder,
        ServiceContext, SlowPath,
    },
    report::{
        Answer, Call, Exchange, FetchError, Fetched, LifetimePolicy, LinkReport, QuotaPressure,
        QuotaPressureFn,
    },
    server::{BearerAuth, BrowserGuard, ConnectionLimits, serve_connection},
    telemetry::Metrics,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Builder,
};
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

const LINE: &[u8] =
    b"GET /v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links HTTP/1.1\r\nhost: localhost\r\n";
const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

/// A vendor that has every report.
fn answer(call: Call) -> Result<Fetched, FetchError> {
    let body = format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[]}}"#, call.key.id);
    let report = LinkReport::parse(call.key.id, body.as_bytes()).expect("a report");
    Ok(Fetched { answer: Answer::Report(report), age: Duration::ZERO, exchange: Exchange::default() })
}

/// The data port's service, with such a vendor behind.
async fn exchange(sent: &[u8]) -> Vec<u8> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let options = CacheOptions {
        lifetimes: LifetimePolicy {
            ttl: minutes(5),
            ttl_jitter: 0.1,
            empty_ttl: minutes(1),
            negative_ttl: minutes(1),
            stale_while_revalidate: minutes(10),
            stale_if_error: minutes(60),
        },
        max_bytes: 1 << 20,
        request_timeout: Duration::from_secs(15),
        client_no_cache_interval: minutes(1),
    };
    let metrics = Metrics::new();
    let memory = Arc::new(ReportCache::new(
        options,
        QuotaPressureFn::new(|_now| QuotaPressure::Normal),
        metrics.cache.clone(),
    ));
    let answers = ServiceContext {
        browser_guard: BrowserGuard::new(Ipv4Addr::LOCALHOST.into(), &[], &[]),
        clients: BearerAuth::anybody(),
        no_cache: NoCache::Limited,
        cache: CacheLayer::new(memory).layer(tower::service_fn(|call| ready(answer(call)))),
        responder: Arc::new(Responder::new(HeaderValue::from_static("accept-encoding"))),
        cross_origin: CrossOrigin::Off,
    };
    let endpoint = ReportEndpoint::new(answers.clone(), NonZeroUsize::MIN);
    let front = ReportService::new(
        answers,
        SlowPath::new(RespondLayer.layer(endpoint)),
        AccessLog::new(metrics.requests.clone()),
    );

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
