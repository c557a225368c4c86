//! A receiver of OTLP over HTTP on a port of this process: decodes what it gets, with the messages of OpenTelemetry.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode as SpanStatus};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Accepts,
    /// 503.
    Fails,
    /// Never.
    Hangs,
}

pub(super) struct TraceReceiver {
    pub(super) endpoint: String,
    got: Arc<Mutex<Got>>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Got {
    requests: u32,
    /// Of all requests, as they came.
    bytes: Vec<u8>,
    resource: Vec<KeyValue>,
    spans: Vec<ReceivedSpan>,
}

/// A span, with its ids as a `traceparent` writes them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReceivedSpan {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) status: SpanStatus,
    /// Trace id and span id of each.
    pub(super) links: Vec<(String, String)>,
    attributes: Vec<KeyValue>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::ArrayValue(array)) => {
            let values = array.values.iter().map(|value| shown(value.value.as_ref()));
            values.collect::<Vec<_>>().join(",")
        }
        other => panic!("a value of no kind of ours: {other:?}"),
    }
}

fn find(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(shown(found.value.as_ref().and_then(|value| value.value.as_ref())))
}

// === impl TraceReceiver ===

impl TraceReceiver {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let got = Arc::<Mutex<Got>>::default();
        let filled = Arc::clone(&got);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let got = Arc::clone(&filled);
                let service = service_fn(move |request| answer(request, behaviour, Arc::clone(&got)));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { endpoint, got, serving }
    }

    /// The spans so far, in the order of their ends.
    pub(super) fn spans(&self) -> Vec<ReceivedSpan> {
        self.got.lock().unwrap().spans.clone()
    }

    /// Those of this name.
    pub(super) fn named(&self, name: &str) -> Vec<ReceivedSpan> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// The one span of this name.
    #[track_caller]
    pub(super) fn span(&self, name: &str) -> ReceivedSpan {
        let [span] = &self.named(name)[..] else { panic!("not one {name}: {:#?}", self.spans()) };
        span.clone()
    }

    pub(super) fn requests(&self) -> u32 {
        self.got.lock().unwrap().requests
    }

    /// An attribute of the process.
    pub(super) fn resource(&self, name: &str) -> Option<String> {
        find(&self.got.lock().unwrap().resource, name)
    }

    /// Does this text stand in anything that was received?
    pub(super) fn has_text(&self, text: &str) -> bool {
        self.got.lock().unwrap().bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Drop for TraceReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    behaviour: Behaviour,
    got: Arc<Mutex<Got>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    got.lock().unwrap().requests += 1;
    match behaviour {
        Behaviour::Accepts => {}
        Behaviour::Fails => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(response);
        }
        Behaviour::Hangs => std::future::pending().await,
    }
    let message = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
    let mut got = got.lock().unwrap();
    got.bytes.extend_from_slice(&body);
    for of_resource in message.resource_spans {
        got.resource = of_resource.resource.expect("a resource").attributes;
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        got.spans.extend(spans.map(ReceivedSpan::from));
    }
    Ok(Response::new(Full::from(ExportTraceServiceResponse::default().encode_to_vec())))
}

// === impl ReceivedSpan ===

impl ReceivedSpan {
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        find(&self.attributes, name)
    }

    /// A link to it.
    pub(super) fn link(&self) -> (String, String) {
        (self.trace.clone(), self.id.clone())
    }
}

impl From<Span> for ReceivedSpan {
    fn from(span: Span) -> Self {
        assert!(span.events.is_empty(), "log lines go to the log: {span:?}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        Self {
            kind: span.kind(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            status: span.status.as_ref().map(Status::code).unwrap_or_default(),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            name: span.name,
            attributes: span.attributes,
        }
    }
}
