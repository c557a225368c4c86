//! Everything that an upstream call passes, from the retry down to the simulated vendor, over pipes in memory and under paused time.

use std::{sync::LazyLock, time::Duration};

use link_report_proxy::{
    app::{Calls, calls, quota_limits},
    quota::{InitialCount, Quota, WallClock},
    report::{
        ActivityId, Answer, Call, Cause, ClientNumber, InvalidReport, LocalDenial, NoClicks, Reason,
        ReportKey, Unreachable, UpstreamFailure, UpstreamLimit,
    },
    settings::{SecretFile, Settings},
    simulator::{BodyShape, Fault, Limit, Options, Scope, Simulator, synthetic_id},
    telemetry::Metrics,
    token::{TokenManager, TokenSource},
};
use tokio::{task::JoinSet, time::Instant};
use tower::ServiceExt as _;

use crate::support::{
    in_process::load_settings,
    pipe::{Connection, PipeConnector},
};

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    load_settings(&[
        ("UPSTREAM__BASE_URL", "http://127.0.0.1:1"),
        ("TOKEN__ACCESS_TOKEN", "the-fixture-s-own-is-used"),
        ("QUOTA__PER_SECOND", "4"),
        ("QUOTA__PER_DAY", "0"),
        ("QUOTA__MAX_WAIT", "5s"),
        ("CIRCUIT__CONSECUTIVE_FAILURES", "5"),
    ])
});

/// A vendor, the upstream stack to it, and what the upstream stack keeps.
struct UpstreamFixture {
    vendor: Simulator,
    calls: Calls,
    quota: Quota,
    tokens: TokenManager,
    metrics: Metrics,
    connector: PipeConnector,
}

// === impl UpstreamFixture ===

impl UpstreamFixture {
    fn new(source: impl FnOnce(&Simulator) -> TokenSource) -> Self {
        let vendor = Simulator::new(Options::default());
        let connector = PipeConnector::to(&vendor);
        Self::over(connector, vendor, source)
    }

    fn over(
        connector: PipeConnector,
        vendor: Simulator,
        source: impl FnOnce(&Simulator) -> TokenSource,
    ) -> Self {
        let metrics = Metrics::new();
        let tokens = TokenManager::new(source(&vendor), metrics.token.clone());
        let clock = WallClock::starting_at(vendor.options().now);
        let quota =
            Quota::new(quota_limits(&SETTINGS.quota), InitialCount::Unspent, clock, metrics.quota.clone());
        let calls = calls(&SETTINGS, connector.connector(), &tokens, &quota, &metrics).reports;
        Self { vendor, calls, quota, tokens, metrics, connector }
    }

    fn with_a_static_token() -> Self {
        Self::new(|vendor| TokenSource::Static(vendor.access_token().into()))
    }

    async fn ask(&self, key: u32) -> Result<Answer, Cause> {
        let answered = self.calls.clone().oneshot(call(key)).await;
        answered.map(|fetched| fetched.answer).map_err(|error| error.cause)
    }

    fn counted(&self) -> u64 {
        u64::from(self.quota.snapshot().day.used)
    }
}

fn call(key: u32) -> Call {
    let id = ActivityId::from(synthetic_id(key, 2));
    Call {
        key: ReportKey { id, no_clicks: NoClicks::Omitted },
        reason: Reason::Miss,
        client: ClientNumber::ANONYMOUS,
    }
}

#[tokio::test(start_paused = true)]
async fn only_our_own_headers_leave_and_the_answer_comes_back() {
    let fixture = UpstreamFixture::with_a_static_token();
    assert!(matches!(fixture.ask(1).await, Ok(Answer::Report(_))));
    let [seen] = &fixture.vendor.seen()[..] else { panic!("not one call") };
    assert_eq!(seen.target, "/v3/reports/email_reports/00000001-0000-4000-8000-000000000002/links");
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "user-agent"]);
    assert_eq!(seen.headers["authorization"], format!("Bearer {}", fixture.vendor.access_token()));
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_the_upstream_has_its_cause_and_its_number_of_calls() {
    let status = |status| Fault::Status {
        status: http::StatusCode::from_u16(status).unwrap(),
        shape: BodyShape::Object,
    };
    let half_a_minute = Duration::from_secs(30);
    for (fault, expected, calls) in [
        (status(401), Cause::Upstream(UpstreamFailure::Unauthorized), 1),
        (status(403), Cause::Upstream(UpstreamFailure::Forbidden), 1),
        (status(500), Cause::Upstream(UpstreamFailure::Status { status: 500 }), 1),
        (status(502), Cause::Upstream(UpstreamFailure::Status { status: 502 }), 2),
        (status(503), Cause::Upstream(UpstreamFailure::Status { status: 503 }), 2),
        (status(504), Cause::Upstream(UpstreamFailure::Status { status: 504 }), 2),
        (Fault::Redirect, Cause::Upstream(UpstreamFailure::Status { status: 302 }), 1),
        (Fault::Reset, Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Broken)), 2),
        (Fault::Hang, Cause::Upstream(UpstreamFailure::Timeout), 1),
        (Fault::Drip(Duration::from_secs(1)), Cause::Upstream(UpstreamFailure::Timeout), 1),
        (Fault::Truncate, InvalidReport::Truncated.into(), 1),
        (Fault::Html, InvalidReport::Malformed.into(), 1),
        (Fault::NotAnObject, InvalidReport::Malformed.into(), 1),
        (Fault::WrongActivity, InvalidReport::OtherActivity.into(), 1),
        (Fault::NoArray, InvalidReport::Malformed.into(), 1),
        (Fault::Huge, InvalidReport::TooLarge { limit: SETTINGS.upstream.max_body.as_u64() }.into(), 1),
        (Fault::GzipBomb, InvalidReport::TooLarge { limit: SETTINGS.upstream.max_body.as_u64() }.into(), 1),
        (
            Fault::Throttle { limit: Limit::PerSecond, retry_after: Some(half_a_minute) },
            Cause::Upstream(UpstreamFailure::TooManyRequests {
                limit: UpstreamLimit::PerSecond,
                retry_after: half_a_minute,
            }),
            1,
        ),
    ] {
        let fixture = UpstreamFixture::with_a_static_token();
        fixture.vendor.inject(fault.clone(), Scope::All);
        assert_eq!(fixture.ask(1).await, Err(expected), "{fault:?}");
        assert_eq!((fixture.vendor.calls(), fixture.counted()), (calls, calls), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gzip_answer_is_read_and_a_failure_that_mends_is_not_seen() {
    let fixture = UpstreamFixture::with_a_static_token();
    fixture.vendor.inject(Fault::Gzip, Scope::Next(1));
    assert!(matches!(fixture.ask(1).await, Ok(Answer::Report(_))));
    fixture.vendor.inject(Fault::Reset, Scope::Next(1));
    assert!(matches!(fixture.ask(2).await, Ok(Answer::Report(_))));
    let text = fixture.metrics.render().unwrap();
    assert!(text.contains("upstream_requests_total{code=\"200\",reason=\"retry\"} 1\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_200_that_is_no_report_is_not_counted_as_one() {
    let fixture = UpstreamFixture::with_a_static_token();
    fixture.vendor.inject(Fault::Html, Scope::All);
    fixture.ask(1).await.unwrap_err();
    let text = fixture.metrics.render().unwrap();
    let counted: Vec<_> = text.lines().filter(|line| line.contains("_upstream_requests_total{")).collect();
    assert_eq!(counted, ["link_report_proxy_upstream_requests_total{code=\"invalid\",reason=\"miss\"} 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_whose_file_holds_a_newer_one_costs_one_retry_and_no_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let fixture = UpstreamFixture::new(|vendor| {
        std::fs::write(file.path(), vendor.access_token()).unwrap();
        TokenSource::File(SecretFile::new(file.path()))
    });
    fixture.ask(1).await.unwrap();
    fixture.vendor.revoke_access_tokens();
    assert_eq!(
        fixture.ask(2).await,
        Err(Cause::Upstream(UpstreamFailure::Unauthorized)),
        "nothing newer is there"
    );
    std::fs::write(file.path(), fixture.vendor.issue_access_token()).unwrap();
    assert!(matches!(fixture.ask(3).await, Ok(Answer::Report(_))));
    assert_eq!((fixture.tokens.generation(), fixture.counted()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_burst_never_exceeds_the_vendor_s_second() {
    let (fixture, start) = (UpstreamFixture::with_a_static_token(), Instant::now());
    let mut calls = JoinSet::new();
    for key in 0..20 {
        calls.spawn(fixture.calls.clone().oneshot(call(key)));
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok), "the vendor refuses a second's fifth call");
    assert!(start.elapsed() <= SETTINGS.quota.max_wait);
}

#[tokio::test(start_paused = true)]
async fn a_burst_never_exceeds_the_vendor_s_second_however_long_each_connection_takes_to_make() {
    let ms = Duration::from_millis;
    for handshakes in [vec![ms(300); 20], vec![ms(900)], vec![ms(400), ms(0), ms(300), ms(0), ms(200)]] {
        for latency in [Duration::ZERO, ms(700)] {
            let vendor = Simulator::new(Options::default());
            vendor.inject(Fault::Latency(latency), Scope::All);
            let connector = PipeConnector::to(&vendor).with_handshakes(handshakes.clone());
            let fixture = UpstreamFixture::over(connector, vendor, |vendor| {
                TokenSource::Static(vendor.access_token().into())
            });
            let calls: JoinSet<_> = (0..10).map(|key| fixture.calls.clone().oneshot(call(key))).collect();
            let answers = calls.join_all().await;
            let sent: Vec<_> = fixture.vendor.seen().iter().map(|seen| seen.at).collect();
            assert!(
                sent.windows(5).all(|five| five[4] - five[0] > Duration::from_secs(1)),
                "{handshakes:?}: {sent:?}"
            );
            assert!(answers.iter().all(Result::is_ok), "{handshakes:?}: {answers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_the_upstream_is_struck_out_of_the_count() {
    use Unreachable::{Broken, Certificate, Connect, ConnectTimeout, Dns, DnsTimeout, Tls};
    for how_far in [Dns, DnsTimeout, Connect, ConnectTimeout, Tls, Certificate] {
        let fixture = UpstreamFixture::with_a_static_token();
        fixture.connector.set_connection(Connection::Nowhere(how_far));
        assert_eq!(fixture.ask(1).await, Err(Cause::Upstream(UpstreamFailure::Unreachable(how_far))));
        assert_eq!((fixture.vendor.calls(), fixture.counted()), (0, 0), "{how_far}");
    }
    let fixture = UpstreamFixture::with_a_static_token();
    fixture.vendor.inject(Fault::Reset, Scope::All);
    assert_eq!(fixture.ask(1).await, Err(Cause::Upstream(UpstreamFailure::Unreachable(Broken))));
    assert_eq!((fixture.vendor.calls(), fixture.counted()), (2, 2), "it was sent, twice");
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_spent_elsewhere_stops_all_calls() {
    let fixture = UpstreamFixture::with_a_static_token();
    fixture.vendor.inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::Next(1));
    let told = fixture.ask(1).await.unwrap_err();
    assert!(matches!(told.limit_reached(), Some((UpstreamLimit::PerDay, wait)) if !wait.is_zero()));
    for _ in 0..2 {
        let Err(Cause::Local(LocalDenial::DailyQuota { retry_after })) = fixture.ask(1).await else {
            panic!("not exhausted")
        };
        assert!(!retry_after.is_zero());
    }
    assert_eq!(fixture.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_spends_no_quota_and_closes_after_one_good_call() {
    let fixture = UpstreamFixture::with_a_static_token();
    fixture.vendor.inject(Fault::Hang, Scope::All);
    for key in 1..=5 {
        assert_eq!(fixture.ask(key).await, Err(Cause::Upstream(UpstreamFailure::Timeout)));
    }
    assert_eq!(
        fixture.ask(1).await,
        Err(Cause::Local(LocalDenial::CircuitOpen { retry_after: SETTINGS.circuit.open_min }))
    );
    assert_eq!((fixture.vendor.calls(), fixture.counted()), (5, 5));
    fixture.vendor.clear_faults();
    tokio::time::sleep(SETTINGS.circuit.open_min).await;
    for _ in 0..2 {
        assert!(matches!(fixture.ask(1).await, Ok(Answer::Report(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_whose_token_is_refused_and_renewed_is_retried_and_closes_the_circuit() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let fixture = UpstreamFixture::new(|vendor| {
        std::fs::write(file.path(), vendor.access_token()).unwrap();
        TokenSource::File(SecretFile::new(file.path()))
    });
    fixture.vendor.inject(Fault::Hang, Scope::All);
    for key in 1..=5 {
        fixture.ask(key).await.unwrap_err();
    }
    fixture.vendor.clear_faults();
    fixture.vendor.revoke_access_tokens();
    std::fs::write(file.path(), fixture.vendor.issue_access_token()).unwrap();
    tokio::time::sleep(SETTINGS.circuit.open_min).await;
    for key in 1..=2 {
        assert!(matches!(fixture.ask(key).await, Ok(Answer::Report(_))), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_their_turn_when_the_circuit_opens_do_not_leave_and_are_not_counted() {
    let fixture = UpstreamFixture::with_a_static_token();
    let failing = Fault::Status { status: http::StatusCode::INTERNAL_SERVER_ERROR, shape: BodyShape::Object };
    fixture.vendor.inject(failing, Scope::All);
    let asked: JoinSet<_> = (0..20).map(|key| fixture.calls.clone().oneshot(call(key))).collect();
    let causes: Vec<_> =
        asked.join_all().await.into_iter().map(|answered| answered.unwrap_err().cause).collect();
    let refused =
        causes.iter().filter(|cause| matches!(cause, Cause::Local(LocalDenial::CircuitOpen { .. })));
    assert_eq!((refused.count(), fixture.vendor.calls(), fixture.counted()), (15, 5, 5), "{causes:?}");
    fixture.vendor.clear_faults();
    tokio::time::sleep(SETTINGS.circuit.open_min).await;
    assert!(matches!(fixture.ask(1).await, Ok(Answer::Report(_))), "the trial leaves");
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_open_and_dead_cost_one_call_and_not_one_each() {
    let fixture = UpstreamFixture::with_a_static_token();
    fixture.vendor.inject(Fault::Latency(Duration::from_secs(3)), Scope::All);
    let asked: JoinSet<_> = (1..=3).map(|key| fixture.calls.clone().oneshot(call(key))).collect();
    assert!(asked.join_all().await.iter().all(Result::is_ok));
    fixture.vendor.clear_faults();
    fixture.connector.freeze();
    assert_eq!(fixture.ask(1).await, Err(Cause::Upstream(UpstreamFailure::Timeout)));
    assert!(matches!(fixture.ask(2).await, Ok(Answer::Report(_))));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_leaves() {
    let nowhere = SecretFile::new("/nonexistent/link-report-proxy");
    let fixture = UpstreamFixture::new(|_vendor| TokenSource::File(nowhere));
    assert_eq!(fixture.ask(1).await, Err(Cause::Local(LocalDenial::NoToken)));
    assert_eq!(fixture.vendor.calls(), 0);
}
