//! The simulator as a client meets it, over in-memory pipes; under paused time a day takes a millisecond.

mod activities;
mod api;
mod faults;
mod oauth;
mod scripted;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{Options, Simulator};

const SENT: &str = "1ead98be-dfa0-4e04-81f7-5f1534d42e9c";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// `None` where it broke off.
    body: Option<Bytes>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// At midnight UTC, so that no test's day depends on the hour it runs at.
fn options() -> Options {
    Options { now: SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400), ..Options::default() }
}

fn simulator() -> Simulator {
    Simulator::new(options())
}

/// Sends one request on a connection of its own; `None` where the connection ends without an answer.
async fn send(simulator: &Simulator, request: Request<String>) -> Option<Answer> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(simulator.clone().serve_connection(far));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await.ok()?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok().map(http_body_util::Collected::to_bytes);
    Some(Answer { status: head.status, headers: head.headers, body })
}

fn request(method: Method, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(target).header("host", "sim.example")
}

/// `GET …/links`, with a good token.
async fn report(simulator: &Simulator, id_and_query: &str) -> Answer {
    answered_report(simulator, id_and_query).await.unwrap()
}

async fn answered_report(simulator: &Simulator, id_and_query: &str) -> Option<Answer> {
    let (id, query) = id_and_query.split_once('?').unwrap_or((id_and_query, ""));
    let request = request(Method::GET, &format!("/v3/reports/email_reports/{id}/links?{query}"))
        .header(AUTHORIZATION, format!("Bearer {}", simulator.access_token()));
    send(simulator, request.body(String::new()).unwrap()).await
}

async fn control(simulator: &Simulator, method: Method, target: &str) -> Answer {
    send(simulator, request(method, target).body(String::new()).unwrap()).await.unwrap()
}
