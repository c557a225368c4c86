//! The data port before calls of our own making: a bug here costs one request its report, and is seen.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Empty};
use hyper::service::Service as _;
use link_report_proxy::{
    app::{CallerRules, Calls, cache_options, data_port},
    cache::ReportCache,
    inbound::{ReportService, ResponseFuture},
    middleware::TowerService,
    quota::WallClock,
    report::{Answer, Call, Exchange, FetchError, Fetched, LinkReport, QuotaPressure, QuotaPressureFn},
    server::{BearerAuth, Body},
    telemetry::Metrics,
};

use crate::support::in_process::{Answer as HttpAnswer, OLD, exchange, load_settings, path, request};

/// A vendor that has every report.
fn report(call: Call) -> Result<Fetched, FetchError> {
    let body = format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[]}}"#, call.key.id);
    let report = LinkReport::parse(call.key.id, body.as_bytes()).unwrap();
    Ok(Fetched {
        answer: Answer::Report(report),
        answered_at: tokio::time::Instant::now(),
        age: Duration::ZERO,
        exchange: Exchange::default(),
        stands_in_for: None,
    })
}

/// A bug in what every lookup of an old entry calls, while it is switched on.
fn broken_while(is_broken: &Arc<AtomicBool>) -> QuotaPressureFn {
    let is_broken = Arc::clone(is_broken);
    QuotaPressureFn::new(move |_now| {
        assert!(!is_broken.load(Ordering::Relaxed), "a bug");
        QuotaPressure::Normal
    })
}

async fn collected(response: http::Response<Body>) -> HttpAnswer {
    let (head, body) = response.into_parts();
    HttpAnswer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// The data port before these calls, with a cache that asks `quota_pressure`.
fn service(calls: Calls, quota_pressure: QuotaPressureFn, metrics: &Metrics) -> Arc<ReportService<Calls>> {
    let settings = load_settings(&[
        ("TOKEN__ACCESS_TOKEN", "unused"),
        ("CACHE__REFRESH", "fixed"),
        ("CACHE__TTL_JITTER", "0"),
        ("CACHE__EMPTY_TTL", "5m"),
    ]);
    let memory = ReportCache::new(
        cache_options(&settings, std::time::SystemTime::UNIX_EPOCH),
        quota_pressure,
        metrics.cache.clone(),
    );
    Arc::new(data_port(
        &settings,
        Arc::new(memory),
        calls,
        &CallerRules::new(&settings, BearerAuth::anybody()),
        metrics,
        WallClock::machine(),
    ))
}

async fn get(service: &Arc<ReportService<Calls>>, target: &str) -> HttpAnswer {
    exchange(Arc::clone(service), request(Method::GET, target, &[])).await
}

fn is_a_counted_500(answer: &HttpAnswer, metrics: &Metrics) {
    assert_eq!((answer.status, answer.json()["error_key"].as_str()), (500, Some("internal_error")));
    assert_ne!(answer.header("x-request-id"), "");
    let counted = "link_report_proxy_requests_total{client=\"anonymous\",code=\"500\",outcome=\"error\"} 1\n";
    let rendered = metrics.render().unwrap();
    assert!(rendered.contains(counted), "{rendered}");
    assert!(rendered.contains("link_report_proxy_requests_in_flight 0\n"), "{rendered}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_memory_answers_is_a_counted_500_and_the_next_request_is_served() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let metrics = Metrics::new();
    let calls = Calls::new(TowerService(tower::service_fn(|call| ready(report(call)))));
    let service = service(calls, broken_while(&is_broken), &metrics);

    assert_eq!(get(&service, &path(1)).await.status, 200);
    tokio::time::sleep(Duration::from_mins(6)).await;
    is_broken.store(true, Ordering::Relaxed);
    is_a_counted_500(&get(&service, &path(1)).await, &metrics);

    is_broken.store(false, Ordering::Relaxed);
    let answer = get(&service, &path(1)).await;
    assert_eq!((answer.status, answer.cache_status()), (200, "hit; ttl=-60; detail=unknown"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_slow_path_is_a_counted_500_and_the_next_request_is_served() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let metrics = Metrics::new();
    let calls = Calls::new(TowerService(tower::service_fn(|call| ready(report(call)))));
    let service = service(calls, broken_while(&is_broken), &metrics);

    assert_eq!(get(&service, &path(1)).await.status, 200);
    tokio::time::sleep(OLD).await;
    // Looked up now and polled after its entry was replaced, so that the slow path looks it up again.
    let overtaken = service.call(http::Request::get(path(1)).body(Empty::<Bytes>::new()).unwrap());
    let ResponseFuture::Later(overtaken) = overtaken else { panic!("no entry is fresh") };
    assert_eq!(get(&service, &path(1)).await.status, 200);
    // The same report again: an empty one that does not change lives twice as long.
    tokio::time::sleep(Duration::from_mins(11)).await;
    is_broken.store(true, Ordering::Relaxed);
    is_a_counted_500(&collected(overtaken.await.unwrap()).await, &metrics);

    is_broken.store(false, Ordering::Relaxed);
    let answer = get(&service, &path(1)).await;
    assert_eq!((answer.status, answer.cache_status()), (200, "hit; ttl=-60; detail=unknown"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_a_fetch_is_looked_up_once() {
    let lookups = Arc::new(AtomicU32::new(0));
    let quota_pressure = {
        let lookups = Arc::clone(&lookups);
        QuotaPressureFn::new(move |_now| {
            lookups.fetch_add(1, Ordering::Relaxed);
            QuotaPressure::Normal
        })
    };
    let calls = Calls::new(TowerService(tower::service_fn(|call| ready(report(call)))));
    let service = service(calls, quota_pressure, &Metrics::new());
    get(&service, &path(1)).await;
    tokio::time::sleep(OLD).await;
    assert_eq!(lookups.load(Ordering::Relaxed), 0, "a fresh copy and none at all are not asked about");
    let answer = get(&service, &path(1)).await;
    assert_eq!((answer.status, answer.cache_status()), (200, "fwd=stale; stored; detail=unknown"));
    assert_eq!(lookups.load(Ordering::Relaxed), 1);
}
