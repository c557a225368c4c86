//! Traces: from the real binary, over OTLP, to a receiver that decodes them.

mod receiver;

use std::time::Duration;

use link_report_proxy::simulator::{Fault, Scope};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode as SpanStatus};

use self::receiver::{Behaviour, TraceReceiver};
use crate::support::in_process::failure;
use crate::support::{Answer, Proxy, Upstream, get, path, synthetic, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const REQUEST: &str = "GET /v3/reports/email_reports/{campaign_activity_id}/links";

struct World {
    upstream: Upstream,
    receiver: TraceReceiver,
    proxy: Proxy,
}

/// A caller's wish, as its flag tells it.
#[derive(Clone, Copy)]
enum Flag {
    Sampled,
    NotSampled,
}

// === impl World ===

impl World {
    /// A proxy that exports traces.
    async fn start(behaviour: Behaviour, settings: &[(&str, &str)]) -> Self {
        let (upstream, receiver) = (Upstream::start().await, TraceReceiver::start(behaviour).await);
        let mut all = vec![("telemetry.otlp_endpoint", receiver.endpoint.as_str())];
        all.extend_from_slice(settings);
        let proxy = Proxy::start(&upstream, &all).await;
        Self { upstream, receiver, proxy }
    }

    /// A request in a caller's trace.
    async fn get_traced(&self, key: u32, flag: Flag) -> Answer {
        let flag = match flag {
            Flag::Sampled => "01",
            Flag::NotSampled => "00",
        };
        let traceparent = format!("00-{TRACE}-{CALLER}-{flag}");
        get(self.proxy.data, &path(&synthetic(key, 1)), &[("traceparent", &traceparent)]).await
    }

    /// A request outside of any trace.
    async fn get(&self, key: u32) -> Answer {
        self.proxy.get(&path(&synthetic(key, 1))).await
    }

    /// The `traceparent` of the one call for a report.
    fn passed_on(&self, key: u32) -> Option<String> {
        let seen = self.upstream.saw(&synthetic(key, 1));
        let [call] = &seen[..] else { panic!("not one call: {seen:?}") };
        call.headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned())
    }

    /// Ends the proxy, which sends what is queued before it exits; returns what it logged.
    async fn stop(self) -> (TraceReceiver, Upstream, Vec<String>) {
        self.proxy.sigterm();
        let finished = self.proxy.finished().await;
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        (self.receiver, self.upstream, finished.stderr)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_is_part_of_its_caller_s_trace_down_to_the_upstream_and_is_sent_before_the_exit() {
    let world =
        World::start(Behaviour::Accepts, &[("telemetry.trace_ratio", "0"), ("quota.per_second", "4")]).await;
    let target = format!("{}?utm_source=hush-query", path(&synthetic(1, 1)));
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let sent = [
        ("traceparent", traceparent.as_str()),
        ("tracestate", "x=hush-state"),
        ("authorization", "Bearer hush-caller"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    assert_eq!(get(world.proxy.data, &target, &sent).await.status, 200);
    let passed_on = world.passed_on(1).expect("a traceparent");
    let (receiver, upstream, _) = world.stop().await;

    let [request, attempt] = &receiver.named(REQUEST)[..] else { panic!("{:#?}", receiver.spans()) };
    let (request, attempt) =
        if request.kind == SpanKind::Server { (request, attempt) } else { (attempt, request) };
    let (fetch, turn) = (receiver.span("fetch"), receiver.span("quota.wait"));
    assert_eq!(receiver.spans().len(), 4, "{:#?}", receiver.spans());
    for (span, parent, kind) in [
        (request, CALLER, SpanKind::Server),
        (&fetch, &*request.id, SpanKind::Internal),
        (attempt, &*fetch.id, SpanKind::Client),
        (&turn, &*attempt.id, SpanKind::Internal),
    ] {
        assert_eq!((&*span.trace, &*span.parent, span.kind), (TRACE, parent, kind), "{span:#?}");
        assert_eq!((&span.links[..], span.status), (&[][..], SpanStatus::Unset), "{span:#?}");
    }
    assert_eq!(passed_on, format!("00-{TRACE}-{}-01", attempt.id));

    let id = synthetic(1, 1);
    for (span, name, value) in [
        (request, "http.request.method", "GET"),
        (request, "http.route", "/v3/reports/email_reports/{campaign_activity_id}/links"),
        (request, "url.path", &*path(&id)),
        (request, "http.response.status_code", "200"),
        (request, "http.response.header.cache-status", "link-report-proxy; fwd=uri-miss; stored"),
        (request, "link_report_proxy.activity_id", &*id),
        (&fetch, "link_report_proxy.reason", "miss"),
        (attempt, "http.request.method", "GET"),
        (attempt, "http.response.status_code", "200"),
        (attempt, "server.address", "127.0.0.1"),
        (attempt, "server.port", upstream.base_url().rsplit(':').next().unwrap()),
        (attempt, "url.full", &*format!("{}{}", upstream.base_url(), path(&id))),
        (attempt, "url.template", "/v3/reports/email_reports/{campaign_activity_id}/links"),
    ] {
        assert_eq!(span.attribute(name).as_deref(), Some(value), "{name}: {span:#?}");
    }
    assert!(request.attribute("link_report_proxy.request_id").is_some(), "{request:#?}");
    assert_eq!(receiver.resource("service.name").as_deref(), Some("link-report-proxy"));
    assert_eq!(receiver.resource("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    for hush in ["hush", "203.0.113.7", upstream.sim.access_token().as_str()] {
        assert!(!receiver.has_text(hush), "{hush}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_a_fetch_are_linked_to_it_and_only_one_fetches() {
    let world = World::start(Behaviour::Accepts, &[]).await;
    world.upstream.sim.inject(Fault::Latency(Duration::from_millis(500)), Scope::All);
    let leader = world.get_traced(1, Flag::Sampled);
    let waiters = async {
        until("the fetch to reach the upstream", async || {
            (world.upstream.sim.in_flight() == 1).then_some(())
        })
        .await;
        // One has a trace of its own, one is in the trace of the fetch.
        tokio::join!(world.get(1), world.get_traced(1, Flag::Sampled))
    };
    let (first, (second, third)) = tokio::join!(leader, waiters);
    for (answer, says) in [(first, "stored"), (second, "collapsed"), (third, "collapsed")] {
        let cache_status = answer.header("cache-status").unwrap();
        assert!(answer.status == 200 && cache_status.contains(says), "{answer:?}");
    }
    let (receiver, ..) = world.stop().await;
    let fetch = receiver.span("fetch");
    let mut requests = receiver.named(REQUEST);
    requests.retain(|span| span.kind == SpanKind::Server);
    let (linked, leaders): (Vec<_>, Vec<_>) = requests.into_iter().partition(|span| !span.links.is_empty());
    let [leader] = &leaders[..] else { panic!("{leaders:#?}") };
    assert_eq!((&fetch.trace, &fetch.parent), (&leader.trace, &leader.id));
    assert_eq!(linked.len(), 2, "{linked:#?}");
    for waiter in &linked {
        assert_eq!(waiter.links, [fetch.link()], "{waiter:#?}");
    }
    assert!(linked.iter().any(|waiter| waiter.trace != TRACE && waiter.parent.is_empty()), "{linked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_is_traced_only_if_its_caller_asks_by_its_flag() {
    let world = World::start(Behaviour::Accepts, &[("telemetry.trace_ratio", "1")]).await;
    assert_eq!(world.get(1).await.status, 200);
    for answer in [world.get(1).await, world.get_traced(1, Flag::NotSampled).await] {
        assert!(answer.header("cache-status").unwrap().contains("hit"), "{answer:?}");
    }
    assert!(world.get_traced(1, Flag::Sampled).await.header("cache-status").unwrap().contains("hit"));
    let (receiver, ..) = world.stop().await;
    let requests = receiver.named(REQUEST);
    let hits: Vec<_> = requests.iter().filter(|span| span.trace == TRACE).collect();
    let [hit] = hits[..] else { panic!("{requests:#?}") };
    assert_eq!((&*hit.parent, hit.kind), (CALLER, SpanKind::Server));
    assert_eq!(hit.attribute("http.response.status_code").as_deref(), Some("200"));
    let cache_status = hit.attribute("http.response.header.cache-status").unwrap();
    assert!(cache_status.contains("hit; ttl="), "{cache_status}");
    // Beside it: the miss and its call.
    assert_eq!(requests.len(), 3, "{requests:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ratio_decides_without_a_traceparent_and_else_the_caller_s_flag() {
    let world = World::start(Behaviour::Accepts, &[("telemetry.trace_ratio", "0")]).await;
    assert_eq!(world.get(1).await.status, 200);
    assert_eq!(world.get_traced(2, Flag::NotSampled).await.status, 200);
    // An invalid one is as none.
    let invalid = format!("00-{TRACE}-{:016}-01", 0);
    let answer = get(world.proxy.data, &path(&synthetic(3, 1)), &[("traceparent", &invalid)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!((world.passed_on(1), world.passed_on(3)), (None, None), "none is made up");
    // The caller's is passed on, with its flag and an id of ours.
    let passed_on = world.passed_on(2).expect("a traceparent");
    assert!(passed_on.starts_with(&format!("00-{TRACE}-")) && passed_on.ends_with("-00"), "{passed_on}");
    assert!(!passed_on.contains(CALLER), "{passed_on}");
    let (receiver, ..) = world.stop().await;
    assert_eq!((receiver.requests(), receiver.spans()), (0, Vec::new()));

    let world = World::start(Behaviour::Accepts, &[]).await;
    assert_eq!(world.get(1).await.status, 200);
    let passed_on = world.passed_on(1).expect("a traceparent of a trace of its own");
    let (receiver, ..) = world.stop().await;
    assert!(passed_on.contains(&receiver.span("fetch").trace) && passed_on.ends_with("-01"), "{passed_on}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_refresh_is_a_trace_of_its_own_with_a_link_to_the_request_that_caused_it() {
    // Of what is not asked for nothing is traced, so the refresh is only because of its link.
    let settings = [("telemetry.trace_ratio", "0"), ("cache.ttl", "1ms"), ("cache.ttl_jitter", "0")];
    let world = World::start(Behaviour::Accepts, &settings).await;
    assert_eq!(world.get(1).await.status, 200);
    // Those within a millisecond find it fresh.
    until("a refresh", async || {
        assert!(world.get_traced(1, Flag::Sampled).await.header("cache-status").unwrap().contains("hit"));
        (world.upstream.saw(&synthetic(1, 1)).len() > 1).then_some(())
    })
    .await;
    let (receiver, ..) = world.stop().await;
    let fetches = receiver.named("fetch");
    assert!(!fetches.is_empty(), "{:#?}", receiver.spans());
    for fetch in fetches {
        assert_eq!(fetch.attribute("link_report_proxy.reason").as_deref(), Some("refresh"));
        let requests = receiver.named(REQUEST).into_iter().filter(|span| span.trace == TRACE);
        let causes: Vec<_> =
            requests.map(|span| span.link()).filter(|link| fetch.links == [link.clone()]).collect();
        assert_eq!((fetch.parent.as_str(), causes.len()), ("", 1), "{:#?}", receiver.spans());
        assert_ne!(fetch.trace, TRACE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_says_why_and_what_a_caller_did_wrong_is_no_error() {
    let world = World::start(Behaviour::Accepts, &[]).await;
    world.upstream.sim.inject(failure(500), Scope::Next(1));
    assert_eq!(world.get_traced(1, Flag::Sampled).await.status, 502);
    // Tried again.
    world.upstream.sim.inject(failure(503), Scope::Next(1));
    assert_eq!(world.get_traced(2, Flag::Sampled).await.status, 200);
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let answer = get(world.proxy.data, "/hush-path?hush", &[("traceparent", &traceparent)]).await;
    assert_eq!(answer.status, 404);
    let (receiver, ..) = world.stop().await;
    let (failed, good): (Vec<_>, Vec<_>) =
        receiver.named(REQUEST).into_iter().partition(|span| span.status == SpanStatus::Error);
    let statuses: Vec<_> =
        failed.iter().map(|span| (span.kind, span.attribute("http.response.status_code"))).collect();
    let status = |status: &str| Some(status.to_owned());
    for expected in [
        (SpanKind::Client, status("500")),
        (SpanKind::Server, status("502")),
        (SpanKind::Client, status("503")),
    ] {
        assert!(statuses.contains(&expected), "{failed:#?}");
    }
    assert_eq!((failed.len(), good.len()), (3, 2), "{failed:#?} {good:#?}");
    for span in &failed {
        assert_eq!(span.attribute("error.type").as_deref(), Some("upstream_error"), "{span:#?}");
        assert_eq!(span.attribute("http.request.resend_count"), None, "{span:#?}");
    }
    let again: Vec<_> = good.iter().filter_map(|span| span.attribute("http.request.resend_count")).collect();
    assert_eq!(again, ["1"], "{good:#?}");
    let other = receiver.span("GET");
    assert_eq!(
        (other.status, other.attribute("http.response.status_code").as_deref()),
        (SpanStatus::Unset, Some("404"))
    );
    assert_eq!(other.attribute("url.path"), None);
    assert!(!receiver.has_text("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_batch_is_counted_and_told_and_costs_no_request() {
    let world = World::start(Behaviour::Fails, &[]).await;
    assert_eq!(world.get(1).await.status, 200);
    // As many spans as a batch has: it is sent at once.
    for _ in 0..600 {
        assert_eq!(world.get_traced(1, Flag::Sampled).await.status, 200);
    }
    let lost = "link_report_proxy_trace_spans_lost_total";
    until("the loss to be counted", async || (world.proxy.metric(lost).await >= 512.0).then_some(())).await;
    let (receiver, _, log) = world.stop().await;
    assert!(receiver.requests() >= 2, "one batch, and the rest at the end");
    let told: Vec<_> = log.iter().filter(|line| line.contains("spans were not delivered")).collect();
    let [line] = told[..] else { panic!("not once a minute: {told:?}") };
    assert!(line.contains("503") && line.contains("\"lost\":512"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_does_not_hold_up_the_exit() {
    let world = World::start(Behaviour::Hangs, &[("shutdown.grace", "1h")]).await;
    assert_eq!(world.get(1).await.status, 200);
    let (receiver, _, log) = world.stop().await;
    assert_eq!(receiver.requests(), 1);
    assert!(log.iter().any(|line| line.contains("did not take the last spans")), "{log:?}");
}
