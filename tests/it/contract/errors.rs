//! The error table: a row for each way to fail, first with nothing held, then with an old copy.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use link_report_proxy::{
    report::Unreachable,
    simulator::{BodyShape, Fault, Limit, Scope, synthetic_id},
};

use super::snapshot;
use crate::support::{
    in_process::{Answer, InProcess, OLD, UPSTREAM_HOST, failure, path, request, timed},
    pipe::Connection,
};

/// The report that is asked for.
const ASKED: u32 = 1;
/// Another one, to spend on it what the first then lacks.
const OTHER: u32 = 2;
/// `server.request_timeout`: nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Words of the vendor that must stay behind us.
const VENDOR_WORDS: [&str; 5] =
    ["internal service", "Too Many", "Limit Exceeded", "insufficient", "be back soon"];

/// What goes wrong.
enum Trouble {
    /// The vendor does this to every call.
    Vendor(Vec<Fault>),
    /// New connections end here.
    Connection(Connection),
    /// The vendor did this to a call for another report, and that is enough.
    Before(Fault),
    /// Another report was called for a moment before.
    Busy,
    /// Another request waits for a vendor that hangs.
    Crowd,
    /// There never was a token.
    NoToken,
}

/// A row of the table.
struct Row {
    name: &'static str,
    trouble: Trouble,
    settings: &'static [(&'static str, &'static str)],
    status: u16,
    error_key: &'static str,
    /// The upstream's status in `Cache-Status`, where there was one.
    forwarded: Option<u16>,
    /// `Proxy-Status` without our name; empty: none.
    proxy_status: &'static str,
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let day = Fault::Throttle { limit: Limit::PerDay, retry_after: Some(Duration::from_secs(86_400)) };
    let second = Fault::Throttle { limit: Limit::PerSecond, retry_after: Some(Duration::from_secs(30)) };
    let slow = vec![Fault::Latency(Duration::from_secs(9)), failure(503)];
    let drip = Fault::Drip(Duration::from_secs(1));
    let gateway = Fault::Status { status: http::StatusCode::FORBIDDEN, shape: BodyShape::Gateway };
    vec![
        row("upstream 401", vendor(failure(401)), 502, "upstream_unauthorized", Some(401), "received-status=401"),
        row("upstream 403", vendor(failure(403)), 502, "upstream_forbidden", Some(403), "received-status=403"),
        row("gateway's 403", vendor(gateway), 502, "upstream_forbidden", Some(403), "received-status=403"),
        row("upstream 500", vendor(failure(500)), 502, "upstream_error", Some(500), "received-status=500"),
        row("upstream 502", vendor(failure(502)), 502, "upstream_error", Some(502), "received-status=502"),
        row("upstream 503", vendor(failure(503)), 502, "upstream_error", Some(503), "received-status=503"),
        row("upstream 504", vendor(failure(504)), 502, "upstream_error", Some(504), "received-status=504"),
        row("upstream 418", vendor(failure(418)), 502, "upstream_error", Some(418), "received-status=418"),
        row("redirect", vendor(Fault::Redirect), 502, "upstream_error", Some(302), "received-status=302"),
        row("no name", lost(Unreachable::Dns), 502, "upstream_unreachable", None, "error=dns_error"),
        row("no name in time", lost(Unreachable::DnsTimeout), 502, "upstream_unreachable", None, "error=dns_timeout"),
        row("no connection", lost(Unreachable::Connect), 502, "upstream_unreachable", None, "error=connection_refused"),
        row("no connection in time", lost(Unreachable::ConnectTimeout), 502, "upstream_unreachable", None, "error=connection_timeout"),
        row("no TLS", lost(Unreachable::Tls), 502, "upstream_unreachable", None, "error=tls_protocol_error"),
        row("no trust", lost(Unreachable::Certificate), 502, "upstream_unreachable", None, "error=tls_certificate_error"),
        row("reset", vendor(Fault::Reset), 502, "upstream_unreachable", None, "error=connection_terminated"),
        invalid("HTML with 200", Fault::Html, "received-status=200"),
        invalid("not an object", Fault::NotAnObject, "received-status=200"),
        invalid("no array", Fault::NoArray, "received-status=200"),
        invalid("no field", Fault::Body("{}".into()), "received-status=200"),
        invalid("another activity", Fault::WrongActivity, "received-status=200"),
        invalid("a million links", Fault::Body(million_links().into()), "error=http_response_body_size; received-status=200"),
        invalid("truncated", Fault::Truncate, "error=http_response_incomplete; received-status=200"),
        invalid("over the cap", Fault::Huge, "error=http_response_body_size; received-status=200"),
        invalid("gzip over the cap", Fault::GzipBomb, "error=http_response_body_size; received-status=200"),
        row("no head in time", vendor(Fault::Hang), 504, "upstream_timeout", None, "error=http_response_timeout"),
        row("no body in time", vendor(drip), 504, "upstream_timeout", Some(200), "error=http_response_timeout; received-status=200"),
        row("no retry in time", Trouble::Vendor(slow), 504, "upstream_timeout", None, "error=http_response_timeout"),
        row("throttled upstream", vendor(second), 503, "throttled", Some(429), "received-status=429"),
        row("throttled here", Trouble::Busy, 503, "throttled", None, "")
            .with(&[("QUOTA__PER_SECOND", "1"), ("QUOTA__MAX_WAIT", "0s")]),
        row("day spent upstream", vendor(day.clone()), 503, "quota_exhausted", Some(429), "received-status=429"),
        row("day spent here", Trouble::Before(day), 503, "quota_exhausted", None, ""),
        row("circuit open", Trouble::Before(failure(500)), 503, "circuit_open", None, "")
            .with(&[("CIRCUIT__CONSECUTIVE_FAILURES", "1")]),
        row("too much load", Trouble::Crowd, 503, "overloaded", None, "").with(&[("SERVER__MAX_IN_FLIGHT", "1")]),
        row("a bug", Trouble::Connection(Connection::Panic), 500, "internal_error", None, ""),
        row("no token", Trouble::NoToken, 503, "token_unavailable", None, ""),
    ]
}

/// Of the report that is asked for, in a body that is not over the cap.
fn million_links() -> String {
    let (id, links) = (synthetic_id(ASKED, 2), vec!["0"; 1_000_000].join(","));
    format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":[{links}]}}"#)
}

fn row(
    name: &'static str,
    trouble: Trouble,
    status: u16,
    error_key: &'static str,
    forwarded: Option<u16>,
    proxy_status: &'static str,
) -> Row {
    Row { name, trouble, settings: &[], status, error_key, forwarded, proxy_status }
}

fn invalid(name: &'static str, fault: Fault, proxy_status: &'static str) -> Row {
    row(name, vendor(fault), 502, "upstream_invalid_response", Some(200), proxy_status)
}

fn vendor(fault: Fault) -> Trouble {
    Trouble::Vendor(vec![fault])
}

fn lost(how_far: Unreachable) -> Trouble {
    Trouble::Connection(Connection::Nowhere(how_far))
}

// === impl Row ===

impl Row {
    fn with(self, settings: &'static [(&'static str, &'static str)]) -> Self {
        Self { settings, ..self }
    }

    fn proxy(&self) -> InProcess {
        match self.trouble {
            Trouble::NoToken => {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), "soon-gone").unwrap();
                let path = file.path().to_str().unwrap().to_owned();
                let settings = [("TOKEN__SOURCE", "file"), ("TOKEN__ACCESS_TOKEN_FILE", path.as_str())];
                InProcess::prepared(&settings, |_vendor| file.close().unwrap())
            }
            Trouble::Vendor(_)
            | Trouble::Connection(_)
            | Trouble::Before(_)
            | Trouble::Busy
            | Trouble::Crowd => InProcess::with(self.settings),
        }
    }

    /// Brings the trouble about.
    async fn strike(&self, proxy: &InProcess) {
        match &self.trouble {
            Trouble::Vendor(faults) => {
                for fault in faults {
                    proxy.vendor.inject(fault.clone(), Scope::All);
                }
            }
            Trouble::Connection(connection) => proxy.set_connection(*connection),
            Trouble::Before(fault) => {
                proxy.vendor.inject(fault.clone(), Scope::Next(1));
                assert!(proxy.get(&path(OTHER)).await.status >= 500);
            }
            Trouble::Busy => assert_eq!(proxy.get(&path(OTHER)).await.status, 200),
            Trouble::Crowd => crowd(proxy).await,
            Trouble::NoToken => {}
        }
    }

    /// Was it refused here? Then nothing went forward.
    fn is_refused(&self) -> bool {
        matches!(
            self.error_key,
            "quota_exhausted"
                | "throttled"
                | "circuit_open"
                | "overloaded"
                | "token_unavailable"
                | "internal_error"
        ) && self.forwarded.is_none()
    }

    /// `Cache-Status` with nothing held.
    fn without_a_copy(&self) -> String {
        if self.is_refused() { format!("detail={}", self.error_key) } else { self.forwarded_for("uri-miss") }
    }

    /// `Cache-Status` of the copy that is answered instead.
    fn with_a_copy(&self, age: u64) -> String {
        if self.is_refused() {
            // That the day's calls are spent is no error.
            let detail = if self.error_key == "quota_exhausted" { "rationed" } else { self.error_key };
            format!("hit; ttl={}; detail={detail}", 300 - i64::try_from(age).unwrap())
        } else {
            self.forwarded_for("stale")
        }
    }

    fn forwarded_for(&self, reason: &str) -> String {
        let status = self.forwarded.map_or_else(String::new, |status| format!("; fwd-status={status}"));
        format!("fwd={reason}{status}; detail={}", self.error_key)
    }
}

/// Another request takes the place of one, and keeps it.
async fn crowd(proxy: &InProcess) {
    proxy.vendor.inject(Fault::Hang, Scope::All);
    let calls = proxy.vendor.calls() + 1;
    drop(proxy.get_meanwhile(&path(OTHER)));
    proxy.vendor.called(calls).await;
}

async fn ask(proxy: &InProcess) -> (Answer, Duration) {
    timed(proxy.get_with(&path(ASKED), &[("x-request-id", "asked")])).await
}

fn tells_nothing_it_should_not(answer: &Answer, proxy: &InProcess) {
    let shown = answer.shown();
    for secret in VENDOR_WORDS.iter().copied().chain([UPSTREAM_HOST, &proxy.vendor.access_token()]) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// What every problem has, whatever it is about.
fn is_a_problem(answer: &Answer, status: u16, error_key: &str) {
    let document = answer.json();
    assert_eq!((answer.status, document["error_key"].as_str()), (status, Some(error_key)), "{document}");
    assert_eq!(document["status"], status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    for member in ["type", "title", "detail", "instance", "error_message"] {
        assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {document}");
    }
    let wait = answer.headers.get("retry-after").map(|wait| wait.to_str().unwrap().parse::<u64>().unwrap());
    assert_eq!(wait.is_some(), status == 503, "Retry-After of {document}");
    assert!(wait.is_none_or(|wait| (1..=10).contains(&wait)), "Retry-After: {wait:?}");
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_status_and_its_words_in_bounded_time_and_tells_no_secret() {
    let mut shown = String::new();
    for row in rows() {
        let proxy = row.proxy();
        row.strike(&proxy).await;
        let (answer, took) = ask(&proxy).await;
        is_a_problem(&answer, row.status, row.error_key);
        assert!(took <= PATIENCE, "{}: {took:?}", row.name);
        let expected = match row.trouble {
            // It never came as far as the cache.
            Trouble::Crowd => String::new(),
            _ => row.without_a_copy(),
        };
        assert_eq!(answer.cache_status(), expected, "{}", row.name);
        let proxy_status = answer.header("proxy-status").strip_prefix("link-report-proxy; ");
        assert_eq!(proxy_status.unwrap_or_default(), row.proxy_status, "{}", row.name);
        tells_nothing_it_should_not(&answer, &proxy);
        let answer = answer.shown();
        writeln!(shown, "=== {}\n{answer}", row.name).unwrap();
    }
    snapshot("problems_of_the_upstream_call", &shown);
}

#[tokio::test(start_paused = true)]
async fn before_any_5xx_goes_an_old_copy_within_stale_if_error() {
    for row in rows() {
        // A token that was there once is kept: there is no copy without one.
        if matches!(row.trouble, Trouble::NoToken) {
            continue;
        }
        let proxy = row.proxy();
        let good = proxy.get(&path(ASKED)).await;
        assert_eq!(good.status, 200, "{}", row.name);
        tokio::time::sleep(OLD).await;
        row.strike(&proxy).await;
        let (answer, took) = ask(&proxy).await;
        assert_eq!((answer.status, &answer.body), (200, &good.body), "{}: {}", row.name, answer.shown());
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(took <= PATIENCE, "{}: {took:?}", row.name);
        let age: u64 = answer.header("age").parse().unwrap();
        assert!((OLD.as_secs()..=OLD.as_secs() + 30).contains(&age), "{}: {age}", row.name);
        assert_eq!(answer.cache_status(), row.with_a_copy(age), "{}", row.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_past_stale_if_error_is_no_answer() {
    let proxy = InProcess::with(&[("CACHE__STALE_IF_ERROR", "1h")]);
    proxy.get(&path(ASKED)).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    proxy.vendor_fails(500);
    assert_eq!(ask(&proxy).await.0.status, 200, "the last second counts");
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_a_problem(&ask(&proxy).await.0, 502, "upstream_error");

    let proxy = InProcess::with(&[("CACHE__STALE_IF_ERROR", "1h"), ("SERVER__MAX_IN_FLIGHT", "1")]);
    proxy.get(&path(ASKED)).await;
    tokio::time::sleep(Duration::from_secs(3_601)).await;
    crowd(&proxy).await;
    is_a_problem(&ask(&proxy).await.0, 503, "overloaded");
}

#[tokio::test(start_paused = true)]
async fn what_memory_can_answer_takes_no_room_on_the_slow_path_either() {
    let page = "https://dash.example";
    let proxy = InProcess::with(&[("CORS__ALLOWED_ORIGINS", page), ("SERVER__MAX_IN_FLIGHT", "1")]);
    proxy.get(&path(ASKED)).await;
    crowd(&proxy).await;
    let answer = proxy.get_with(&path(ASKED), &[("origin", page)]).await;
    assert_eq!((answer.status, answer.cache_status()), (200, "hit; ttl=300"));
}

#[tokio::test(start_paused = true)]
async fn what_memory_can_answer_takes_no_room_for_a_caller_that_sends_no_cache_either() {
    let proxy = InProcess::with(&[("CACHE__CLIENT_NO_CACHE", "limited"), ("SERVER__MAX_IN_FLIGHT", "1")]);
    proxy.get(&path(ASKED)).await;
    crowd(&proxy).await;
    let answer = proxy.get_with(&path(ASKED), &[("cache-control", "no-cache")]).await;
    assert_eq!((answer.status, answer.cache_status()), (200, "hit; ttl=300"));
}

#[tokio::test(start_paused = true)]
async fn the_upstream_s_400_and_404_are_told_in_its_own_words_and_remembered() {
    let mut shown = String::new();
    for (status, ours) in [(400, "bad_request"), (404, "not_found")] {
        for shape in BodyShape::ALL {
            let proxy = InProcess::new();
            let code = http::StatusCode::from_u16(status).unwrap();
            proxy.vendor.inject(Fault::Status { status: code, shape }, Scope::All);
            let (first, _) = ask(&proxy).await;
            is_a_problem(&first, status, ours);
            assert_eq!(first.cache_status(), "fwd=uri-miss; stored");
            tokio::time::sleep(Duration::from_secs(59)).await;
            let (again, _) = ask(&proxy).await;
            assert_eq!((again.status, &again.body), (status, &first.body));
            assert_eq!((again.cache_status(), again.header("age")), ("hit; ttl=1", "59"));
            tokio::time::sleep(Duration::from_secs(1)).await;
            ask(&proxy).await;
            assert_eq!(proxy.vendor.calls(), 2, "cache.negative_ttl is a minute");
            writeln!(shown, "=== {status}, body {}\n{}", shape.as_str(), first.shown()).unwrap();
        }
    }
    snapshot("refusals_of_the_upstream", &shown);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_is_told_so_and_costs_no_call() {
    let id = path(ASKED);
    let post = |target: &str| request(Method::POST, target, &[]);
    let get = |target: &str| request(Method::GET, target, &[]);
    let body = get(&id).map(|_| Full::new(Bytes::from_static(b"{}")));
    let mut shown = String::new();
    let with = |name: &str, value: &str| request(Method::GET, &id, &[(name, value)]);
    for (name, asked, status, error_key) in [
        ("another host", with("host", "rebound.example"), 403, "host_not_allowed"),
        ("another site's page", with("sec-fetch-site", "cross-site"), 403, "cross_site"),
        ("bad id", get("/v3/reports/email_reports/42/links"), 400, "invalid_activity_id"),
        ("bad no_clicks", get(&format!("{id}?no_clicks=maybe")), 400, "invalid_no_clicks"),
        ("a body", body, 400, "unexpected_body"),
        ("another path", get("/v3/emails"), 404, "not_found"),
        ("another method", post(&id), 405, "method_not_allowed"),
    ] {
        let proxy = InProcess::new();
        let mut asked = asked;
        asked.headers_mut().insert("x-request-id", http::HeaderValue::from_static("asked"));
        let answer = proxy.send(asked).await;
        is_a_problem(&answer, status, error_key);
        assert_eq!(proxy.vendor.calls(), 0, "{name}");
        writeln!(shown, "=== {name}\n{}", answer.shown()).unwrap();
    }
    snapshot("problems_of_the_request", &shown);
}
