//! `plan --from`, run as a process: a running proxy, one that says things like it, and servers that are none.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{Proxy, Run, Upstream, get, path};

const IDS: [&str; 2] = ["6ef3c9a4-1cf5-4a3e-9f5c-0a1b2c3d4e5f", "7ef3c9a4-1cf5-4a3e-9f5c-0a1b2c3d4e5f"];

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// A server that answers each request on a connection of its own; `answer` makes the whole answer of a target.
async fn server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
            {
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default();
            // A client that has heard enough closes.
            drop(stream.write_all(&answer(target)).await);
        }
    });
    address
}

/// At noon UTC.
fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ndate: Thu, 26 Nov 2026 12:00:00 GMT\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into()
}

/// What the admin port of a proxy with two campaigns says, of which one is a draft.
fn said_by_proxy(target: &str) -> Value {
    let row = |id: &str, no_clicks: &str, clicks: u32, per_hour: Value| {
        json!({"id": id, "no_clicks": no_clicks, "answer": "report", "requests_per_hour": 60.0, "clicks": clicks,
               "clicks_per_hour": per_hour})
    };
    match target {
        "/config" => json!({
            "cache": {"refresh": "planned", "ttl": "7m", "ttl_jitter": 0.1, "empty_ttl": "1m", "unexpected_clicks": 7.0,
                      "min_refresh_interval": "10s", "stale_while_revalidate": "10m"},
            "quota": {"per_day": 80, "reserve": 0.02, "refresh_hour_share": 0.15},
        }),
        "/quota" => {
            let hours: Vec<_> =
                (0..24).map(|hour| if (8..18).contains(&hour) { 49.0 } else { 0.0 }).collect();
            json!({"plan": {"usual_demand_by_hour_utc": hours}})
        }
        "/cache?page=1&per_page=1000" => json!({"pages": 2, "items": [
            row(IDS[0], "false", 500, json!(40.0)),
            {"id": IDS[0], "no_clicks": "true", "answer": "refusal", "requests_per_hour": 9.0, "clicks": null,
             "clicks_per_hour": null},
        ]}),
        // The first entry again: it has moved to the next page.
        _ => {
            json!({"pages": 2, "items": [row(IDS[0], "false", 500, json!(40.0)), row(IDS[1], "true", 0, json!(null))]})
        }
    }
}

async fn planned(address: SocketAddr, more: &[&str]) -> Value {
    let from = url(address);
    let finished = Run::finish(&[&["plan", "--json", "--from", &from], more].concat(), &[]).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout.join("\n")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_has_the_campaigns_the_hours_and_the_settings_of_the_proxy() {
    let address = server(|target| ok(&said_by_proxy(target).to_string())).await;
    let day = planned(address, &[]).await;
    assert_eq!(day["per_day"], 80);
    let rows = day["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    // Two reports, 60 requests an hour, from 8 to 18 o'clock.
    assert!(
        rows.iter()
            .all(|row| row["answers"].as_u64().is_some_and(|answers| (1_198..=1_200).contains(&answers))),
        "{day}"
    );
    let of = |figure: &str| rows[0][figure].as_f64().expect("a number");
    assert!((10.0..=80.0).contains(&of("calls")), "{day}");
    assert!((0.05..20.0).contains(&of("missed_per_answer")), "40 clicks an hour at noon: {day}");
    assert!(rows[0]["missed_per_answer"].as_f64() < rows[1]["missed_per_answer"].as_f64(), "{day}");

    let night = planned(address, &["--hours", "8-9", "--budget", "50"]).await;
    assert_eq!(night["per_day"], 50);
    assert!(night["rows"][0]["answers"].as_u64().is_some_and(|answers| answers <= 121), "{night}");
    let from = url(address);
    let finished = Run::finish(&["plan", "--from", &from, "--replicas", "2"], &[]).await;
    let table = finished.stdout.join("\n");
    assert!(table.contains("cache.ttl = 7m") && table.contains("apart"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_a_proxy_that_serves_is_planned() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[("cache.ttl", "9m")]).await;
    let from = url(proxy.admin);
    let plan = ["plan", "--from", &from, "--hours", "8-9", "--budget", "100"];
    let empty = Run::finish(&plan, &[]).await;
    assert_eq!(empty.status.code(), Some(69), "{empty:?}");
    assert!(empty.stderr.join("\n").contains("no report in its cache yet"), "{empty:?}");

    let report = path("00000001-0000-4000-8000-000000000001");
    assert_eq!(get(proxy.data, &report, &[]).await.status, 200);
    let unasked = Run::finish(&plan, &[]).await;
    assert_eq!(unasked.status.code(), Some(69), "{unasked:?}");
    assert!(unasked.stderr.join("\n").contains("no cached report was requested lately"), "{unasked:?}");

    assert_eq!(get(proxy.data, &report, &[]).await.status, 200);
    let day = planned(proxy.admin, &plan[3..]).await;
    assert!(day["rows"][0]["answers"].as_u64().is_some_and(|answers| answers > 0), "{day}");
    let unlimited = Run::finish(&plan[..3], &[]).await;
    assert_eq!(unlimited.status.code(), Some(78), "{unlimited:?}");
    assert!(unlimited.stderr.join("\n").starts_with("--budget: is needed"), "{unlimited:?}");

    // The data port is not the admin port.
    let data = url(proxy.data);
    let finished = Run::finish(&["plan", "--from", &data], &[]).await;
    assert_eq!(finished.status.code(), Some(69), "{finished:?}");
    assert!(finished.stderr.join("\n").contains("responds with 404"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_no_admin_port_is_refused_with_78() {
    for from in ["localhost:9090", "https://127.0.0.1:9090", "http://127.0.0.1:9090/status", "ftp://x", ""] {
        let finished = Run::finish(&["plan", "--from", from], &[]).await;
        assert_eq!(finished.status.code(), Some(78), "{from}: {finished:?}");
        let [line] = finished.stderr.as_slice() else { panic!("{from}: want one line: {finished:?}") };
        assert!(line.starts_with("--from: must be the URL"), "{from}: {line}");
    }
    let both = ["plan", "--from", "http://127.0.0.1:9090", "--polls", "access.log"];
    let finished = Run::finish(&both, &[]).await;
    assert_eq!(finished.status.code(), Some(78), "{finished:?}");
}

/// The one line that a plan from this address fails with.
async fn failure(address: SocketAddr) -> String {
    let from = url(address);
    let finished = Run::finish(&["plan", "--from", &from], &[]).await;
    assert_eq!(finished.status.code(), Some(69), "{finished:?}");
    let [line] = finished.stderr.as_slice() else { panic!("want one line: {finished:?}") };
    assert!(line.starts_with(&format!("--from: {address}: ")), "{line}");
    line.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_but_is_no_proxy_is_named_and_does_no_harm() {
    let unused = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port").local_addr().expect("an address");
    assert!(failure(unused).await.contains("cannot connect"));

    let with_no_end = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'['; 5 << 20]].concat();
    for (answer, said) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "no HTTP response"),
        (Vec::new(), "no HTTP response"),
        (with_no_end, "larger than 4 MiB"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec(), "breaks off"),
        (
            b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n".to_vec(),
            "responds with 302",
        ),
        (ok("<html>hello</html>"), "GET /config is not what a link-report-proxy"),
    ] {
        let line = failure(server(move |_| answer.clone()).await).await;
        assert!(line.contains(said), "{said}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_no_proxy_has_are_refused() {
    for (route, path, value) in [
        ("/config", "/quota/reserve", json!(-1.0)),
        ("/config", "/cache/ttl_jitter", json!(7.0)),
        ("/config", "/cache/ttl", json!("soon")),
        ("/config", "/cache/ttl", json!("0s")),
        ("/config", "/cache/refresh", json!("sometimes")),
        ("/quota", "/plan/usual_demand_by_hour_utc", json!([1.0])),
        ("/quota", "/plan/usual_demand_by_hour_utc/3", json!(-1.0)),
        ("/cache", "/items/0/id", json!("\u{1b}[2J")),
        ("/cache", "/items/0/no_clicks", json!("maybe")),
        ("/cache", "/items/0/requests_per_hour", json!(-1.0)),
        ("/cache", "/items/0/requests_per_hour", json!(1e300)),
        ("/cache", "/items/0/clicks", json!(4_000_000_000_u32)),
        ("/cache", "/items/0/clicks_per_hour", json!("many")),
        ("/cache", "/pages", json!(18_446_744_073_709_551_615_u64)),
    ] {
        let wrong = value.clone();
        let address = server(move |target| {
            let mut said = said_by_proxy(target);
            if target.starts_with(route) {
                *said.pointer_mut(path).unwrap_or(&mut Value::Null) = wrong.clone();
            }
            ok(&said.to_string())
        });
        let line = failure(address.await).await;
        let named = line.contains(&format!("GET {route}")) || line.contains("more than 20000 cached reports");
        assert!(named && !line.contains('\u{1b}'), "{path} = {value}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up_after_seconds() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let line = failure(listener.local_addr().expect("an address")).await;
    assert!(line.contains("no response within 5 s"), "{line}");
}
