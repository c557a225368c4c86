//! A bug here costs one request its report, and is seen.

use std::{
    future::ready,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method};
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
    server::{BearerAuth, BrowserGuard},
    telemetry::Metrics,
};
use tower::Layer as _;

use crate::support::in_process::{exchange, path, request};

/// A vendor that has every report.
fn report(call: Call) -> Result<Fetched, FetchError> {
    let body = format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[]}}"#, call.key.id);
    let report = LinkReport::parse(call.key.id, body.as_bytes()).unwrap();
    Ok(Fetched {
        answer: Answer::Report(report),
        answered_at: tokio::time::Instant::now(),
        age: Duration::ZERO,
        exchange: Exchange::default(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_memory_answers_is_a_counted_500_and_the_next_request_is_served() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let options = CacheOptions {
        lifetimes: LifetimePolicy {
            ttl: minutes(5),
            ttl_jitter: 0.0,
            empty_ttl: minutes(5),
            negative_ttl: minutes(1),
            stale_while_revalidate: minutes(10),
            stale_if_error: minutes(60),
        },
        max_bytes: 1 << 20,
        request_timeout: Duration::from_secs(15),
        client_no_cache_interval: minutes(1),
    };
    let is_broken = Arc::new(AtomicBool::new(false));
    let quota_pressure = {
        let is_broken = Arc::clone(&is_broken);
        QuotaPressureFn::new(move |_now| {
            assert!(!is_broken.load(Ordering::Relaxed), "a bug");
            QuotaPressure::Normal
        })
    };
    let metrics = Metrics::new();
    let memory = Arc::new(ReportCache::new(options, quota_pressure, metrics.cache.clone()));
    let answers = ServiceContext {
        browser_guard: BrowserGuard::new([127, 0, 0, 1].into(), &[], &[]),
        clients: BearerAuth::anybody(),
        no_cache: NoCache::Ignored,
        cache: CacheLayer::new(memory).layer(tower::service_fn(|call| ready(report(call)))),
        responder: Arc::new(Responder::new(HeaderValue::from_static("accept-encoding"))),
        cross_origin: CrossOrigin::Off,
    };
    let endpoint = ReportEndpoint::new(answers.clone(), NonZeroUsize::MIN);
    let front = ReportService::new(
        answers,
        SlowPath::new(RespondLayer.layer(endpoint)),
        AccessLog::new(metrics.requests.clone()),
    );
    let front = Arc::new(front);
    let get = async || exchange(Arc::clone(&front), request(Method::GET, &path(1), &[])).await;

    assert_eq!(get().await.status, 200);
    tokio::time::sleep(minutes(6)).await;
    is_broken.store(true, Ordering::Relaxed);
    let answer = get().await;
    assert_eq!((answer.status, answer.json()["error_key"].as_str()), (500, Some("internal_error")));
    assert_ne!(answer.header("x-request-id"), "");
    let counted = "link_report_proxy_requests_total{code=\"500\",outcome=\"error\"} 1\n";
    let rendered = metrics.render().unwrap();
    assert!(rendered.contains(counted), "{rendered}");

    is_broken.store(false, Ordering::Relaxed);
    let answer = get().await;
    assert_eq!((answer.status, answer.cache_status()), (200, "hit; ttl=-60"));
}
