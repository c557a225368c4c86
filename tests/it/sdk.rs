//! The vendor's own SDKs, unmodified, with only their base URL changed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::StatusCode;
use link_report_proxy::simulator::{BodyShape, Fault, Limit, Scope};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{Proxy, Upstream, soon, synthetic};

/// An SDK and the program that calls it.
struct Sdk {
    program: String,
    script: PathBuf,
}

/// Where `tests/run` put an SDK.
fn installed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run this test by tests/run"))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("sdk").join(name)
}

fn node() -> Sdk {
    installed("SDK_NODE_MODULES");
    Sdk { program: "node".to_owned(), script: script("node/report.cjs") }
}

fn python() -> Sdk {
    Sdk { program: installed("SDK_PYTHON"), script: script("python/report.py") }
}

// === impl Sdk ===

impl Sdk {
    /// Makes the calls one after the other; what came of each.
    async fn call(&self, proxy: &Proxy, calls: &Value) -> Vec<Value> {
        let mut child = Command::new(&self.program)
            .arg(&self.script)
            .env("PROXY_URL", format!("http://{}", proxy.data))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(calls.to_string().as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = soon("the SDK", child.wait_with_output()).await.expect("it ends");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"))
    }
}

/// Typed reports for `no_clicks` absent, true and false, each as the vendor itself would answer.
async fn gets_typed_reports(sdk: &Sdk) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let id = synthetic(0x5d, 12);
    let ask = |no_clicks: Value| json!({"id": id, "no_clicks": no_clicks});
    let calls = json!([ask(Value::Null), ask(json!(true)), ask(json!(false))]);
    let outcomes = sdk.call(&proxy, &calls).await;

    let links = |outcome: &Value| {
        assert_eq!(outcome["report"]["campaign_activity_id"], json!(id), "{outcome}");
        let links = outcome["report"]["link_click_counts"].as_array().expect("links").clone();
        for link in &links {
            assert!(link["link_url"].is_string() && link["url_id"].is_string(), "{link}");
            assert!(link["unique_clicks"].is_u64(), "{link}");
        }
        links
    };
    let [absent, with, without] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(links(with).len(), 12, "no_clicks=true adds the links that nobody clicked");
    assert_eq!(links(absent), links(without));
    assert!(links(absent).iter().all(|link| link["unique_clicks"] != json!(0)), "{absent}");
    // Absent and false are one report: the second of them cost nothing.
    assert_eq!(upstream.saw(&id).len(), 2);
}

/// Errors that say what is wrong in the SDK's own terms.
async fn shows_readable_errors(sdk: &Sdk) {
    let upstream = Upstream::start().await;
    // One failure after another here: the circuit has tests of its own.
    let proxy = Proxy::start(&upstream, &[("circuit.consecutive_failures", "0")]).await;
    let (broken, throttled) = (synthetic(0x502, 1), synthetic(0x503, 1));
    let only = |id: &str| Scope::Activity(id.parse().expect("an id"));
    let failure = Fault::Status { status: StatusCode::INTERNAL_SERVER_ERROR, shape: BodyShape::Object };
    upstream.sim.inject(failure, only(&broken));
    let throttle = Fault::Throttle { limit: Limit::PerSecond, retry_after: None };
    upstream.sim.inject(throttle, only(&throttled));
    let unknown = "11111111-2222-4333-8444-555555555555";
    let rows = [
        ("not-an-id", 400, "invalid_activity_id"),
        (unknown, 404, ""),
        (&broken, 502, "upstream_error"),
        // Its Retry-After is slept by the Python SDK, three times: it must be short.
        (&throttled, 503, "throttled"),
    ];
    let calls: Vec<_> = rows.iter().map(|(id, ..)| json!({"id": id, "no_clicks": null})).collect();
    let outcomes = sdk.call(&proxy, &Value::Array(calls)).await;
    assert_eq!(outcomes.len(), rows.len());
    for ((id, status, key), outcome) in rows.iter().zip(&outcomes) {
        assert_eq!(outcome["status"], json!(status), "{id}: {outcome}");
        let body = &outcome["body"];
        let said = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        assert!(!said("error_key").is_empty() && !said("error_message").is_empty(), "{id}: {outcome}");
        assert!(key.is_empty() || said("error_key") == *key, "{id}: {outcome}");
        assert_eq!(body["status"], json!(status), "{id}: {outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_npm_sdk_gets_typed_reports() {
    gets_typed_reports(&node()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_npm_sdk_shows_readable_errors() {
    shows_readable_errors(&node()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_gets_typed_reports() {
    gets_typed_reports(&python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_shows_readable_errors() {
    shows_readable_errors(&python()).await;
}
