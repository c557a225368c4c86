//! The exposition on the admin port, as Prometheus' own tool reads it.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{Proxy, Upstream, path, soon, synthetic};

/// Every name that alerts and dashboards may rely on, without the prefix. A token's expiry is known only
/// where the proxy renews it itself.
const NAMES: [&str; 27] = [
    "requests_total",
    "request_duration_seconds",
    "requests_in_flight",
    "upstream_requests_total",
    "upstream_request_duration_seconds",
    "upstream_throttled_total",
    "cache_entries",
    "cache_bytes",
    "cache_evictions_total",
    "cache_served_age_seconds",
    "refreshes_total",
    "quota_limit",
    "quota_used",
    "quota_remaining",
    "quota_reset_timestamp_seconds",
    "quota_denied_total",
    "quota_wait_seconds",
    "circuit_state",
    "token_state",
    "token_renewals_total",
    "token_installed_timestamp_seconds",
    "connections_open",
    "build_info",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
];

async fn after_traffic() -> (Proxy, String) {
    let upstream = Upstream::start().await;
    let limits = [("quota.per_second", "4"), ("quota.per_day", "10000")];
    let proxy = Proxy::start(&upstream, &limits).await;
    let warm = path(&synthetic(1, 3));
    let missing = path("11111111-2222-4333-8444-555555555555");
    for target in [&warm, &warm, &missing, &missing, "/nothing", &path("nobody")] {
        proxy.get(target).await;
    }
    let text = proxy.metrics().await;
    (proxy, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let (_proxy, text) = after_traffic().await;
    check(&text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_about_the_metrics_of_a_fleet_whose_series_are_there_from_the_start() {
    let upstream = Upstream::start().await;
    let store =
        [("shared.url", "unix:///nowhere/store"), ("shared.namespace", "test"), ("shared.replicas", "7")];
    let proxy = Proxy::start(&upstream, &store).await;
    let text = proxy.metrics().await;
    check(&text).await;
    let wanted = [
        "shared_up 0",
        "shared_forks_total 0",
        "shared_flights_total{result=\"leased\"} 0",
        "shared_flights_total{result=\"away\"} 0",
        "shared_replicas_seen 0",
        "shared_replicas_configured 7",
        "quota_charged_total 0",
        "quota_offline_calls_total 0",
    ];
    let missing: Vec<_> =
        wanted.iter().filter(|line| !text.contains(&format!("link_report_proxy_{line}\n"))).collect();
    assert!(missing.is_empty(), "{missing:?} not in:\n{text}");
}

/// Prometheus' own opinion of a page of metrics.
async fn check(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("promtool, of Debian's package prometheus: tests/run installs it");
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).await.expect("promtool reads");
    drop(stdin);
    let output = soon("promtool", promtool.wait_with_output()).await.expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_is_there() {
    let (_proxy, text) = after_traffic().await;
    let typed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let is_there = |name: &str| {
        let ours = format!("link_report_proxy_{name} ");
        let processes = format!("{name} ");
        typed.iter().any(|line| line.starts_with(&ours) || line.starts_with(&processes))
    };
    let missing: Vec<_> = NAMES.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?} not in:\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_metric_holds_an_id_a_url_or_a_token() {
    let (_proxy, text) = after_traffic().await;
    for secret in [&synthetic(1, 3)[..], "11111111-2222", "://", "Bearer", "eyJ"] {
        let held = text.lines().find(|line| !line.starts_with('#') && line.contains(secret));
        assert_eq!(held, None, "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_an_alert_needs_exist_before_anything_happened() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let text = proxy.metrics().await;
    let wanted = [
        r#"requests_total{client="anonymous",code="200",outcome="hit"} 0"#,
        r#"requests_total{client="anonymous",code="503",outcome="error"} 0"#,
        r#"requests_total{client="anonymous",code="502",outcome="error"} 0"#,
        r#"requests_total{client="anonymous",code="504",outcome="error"} 0"#,
        r#"refreshes_total{result="error"} 0"#,
        r#"quota_denied_total{window="second"} 0"#,
        r#"quota_denied_total{window="day"} 0"#,
        r#"upstream_throttled_total{kind="throttled"} 0"#,
        r#"upstream_throttled_total{kind="quota_exceeded"} 0"#,
        r#"upstream_throttled_total{kind="unspecified"} 0"#,
        r#"circuit_state{state="open"} 0"#,
        r#"circuit_state{state="closed"} 1"#,
    ];
    let missing: Vec<_> =
        wanted.iter().filter(|line| !text.contains(&format!("link_report_proxy_{line}\n"))).collect();
    assert!(missing.is_empty(), "{missing:?} not in:\n{text}");
}
