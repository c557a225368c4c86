//! A fuzz target: bytes on a connection of the data port.

use std::{
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::{Builder, Runtime},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use crate::{
    app::{CallerRules, Calls, cache_options, data_port},
    cache::ReportCache,
    inbound::ReportService,
    middleware::TowerService,
    quota::WallClock,
    report::{Answer, Call, Exchange, FetchError, Fetched, LinkReport, QuotaPressure, QuotaPressureFn},
    server::{BearerAuth, ConnectionLimits, serve_connection},
    settings::Settings,
    telemetry::Metrics,
};

const LINE: &[u8] =
    b"GET /v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links HTTP/1.1\r\nhost: localhost\r\n";
const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

/// An upstream that has every report.
fn answer(call: Call) -> Result<Fetched, FetchError> {
    let body = format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[]}}"#, call.key.id);
    let report = LinkReport::parse(call.key.id, body.as_bytes()).expect("a report");
    Ok(Fetched {
        answer: Answer::Report(report),
        answered_at: Instant::now(),
        age: Duration::ZERO,
        exchange: Exchange::default(),
        stands_in_for: None,
    })
}

/// A data port with such an upstream behind it, and the runtime that it lives in.
struct DataPort {
    runtime: Runtime,
    front: Arc<ReportService<Calls>>,
    memory: Arc<ReportCache>,
}

thread_local! {
    /// One for all inputs: to build it takes far longer than a request.
    static DATA_PORT: DataPort = DataPort::new();
}

// === impl DataPort ===

impl DataPort {
    fn new() -> Self {
        let settings = [
            ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", "unused"),
            ("LINK_REPORT_PROXY__CACHE__REFRESH", "fixed"),
            ("LINK_REPORT_PROXY__CACHE__CLIENT_NO_CACHE", "limited"),
            ("LINK_REPORT_PROXY__SERVER__MAX_IN_FLIGHT", "1"),
        ];
        let settings = Settings::load(None, settings).expect("settings");
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let entered = runtime.enter();
        let metrics = Metrics::new();
        let pressure = QuotaPressureFn::new(|_now| QuotaPressure::Normal);
        let options = cache_options(&settings, SystemTime::UNIX_EPOCH);
        let memory = Arc::new(ReportCache::new(options, pressure, metrics.cache.clone()));
        let calls = Calls::new(TowerService(service_fn(|call| ready(answer(call)))));
        let rules = CallerRules::new(&settings, BearerAuth::anybody());
        let front = data_port(&settings, Arc::clone(&memory), calls, &rules, &metrics, WallClock::machine());
        drop(entered);
        Self { runtime, front: Arc::new(front), memory }
    }

    /// What it answers on a new connection, with nothing held.
    fn exchange(&self, sent: &[u8]) -> Vec<u8> {
        self.memory.purge_all();
        self.runtime.block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(1 << 20);
            let served = serve_connection(theirs, Arc::clone(&self.front), LIMITS, CancellationToken::new());
            let asked = async {
                // The peer may have hung up already.
                let _written = ours.write_all(sent).await;
                let _closed = ours.shutdown().await;
                let mut received = Vec::new();
                let _ended = ours.read_to_end(&mut received).await;
                received
            };
            tokio::join!(served, asked).1
        })
    }
}

/// As they are, and after a well-formed request line. What comes back is HTTP or nothing: a request never hangs, panics
/// or ends in 500.
pub(super) fn request_head(data: &[u8]) {
    for sent in [data.to_vec(), [LINE, data, b"\r\n\r\n"].concat()] {
        let received = DATA_PORT.with(|port| port.exchange(&sent));
        if !received.is_empty() {
            let status = received.strip_prefix(b"HTTP/1.1 ").or_else(|| received.strip_prefix(b"HTTP/1.0 "));
            assert!(matches!(status.expect("a status line").first(), Some(b'2'..=b'4')));
        }
    }
}
