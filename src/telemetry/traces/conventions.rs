//! What the spans are called for the receiver: by OpenTelemetry's semantic conventions for HTTP. What these have no name for
//! begins with `link_report_proxy.`. In the log the spans keep their own, shorter words.
//!
//! No attribute holds a secret, a caller's address or name, or a path or query as the caller wrote it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, StatusCode, Uri};
use opentelemetry::{
    Array, Key, KeyValue, StringValue, Value,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TraceContext;

const METHOD: &str = "http.request.method";
const ROUTE: &str = "http.route";
const TEMPLATE: &str = "url.template";
const STATUS: &str = "http.response.status_code";
const ERROR: &str = "error.type";
const RESENDS: &str = "http.request.resend_count";
const SERVER: &str = "server.address";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Fields of our spans, and their names for the receiver.
const NAMES: [(&str, &str); 7] = [
    ("method", METHOD),
    ("id", "link_report_proxy.activity_id"),
    ("no_clicks", "link_report_proxy.no_clicks"),
    ("reason", "link_report_proxy.reason"),
    ("request_id", "link_report_proxy.request_id"),
    ("generation", "link_report_proxy.token_generation"),
    ("upstream_request_id", "link_report_proxy.upstream_request_id"),
];

/// A caller asks for the resource of this route, with this path, which is known to be one of ours.
pub(crate) fn asked(span: &Span, route: &'static str, path: &str) {
    if is_exported(span) {
        span.set_attribute(ROUTE, route);
        span.set_attribute("url.path", path.to_owned());
    }
}

/// The caller is answered.
pub(crate) fn answered(span: &Span, status: StatusCode, headers: &HeaderMap, error_key: Option<&str>) {
    if !is_exported(span) {
        return;
    }
    span.set_attribute(STATUS, i64::from(status.as_u16()));
    if let Some(cache_status) = headers.get(CACHE_STATUS).and_then(|value| value.to_str().ok()) {
        let values = Array::String(vec![StringValue::from(cache_status.to_owned())]);
        span.set_attribute("http.response.header.cache-status", Value::Array(values));
    }
    // What a caller did wrong is no error of a server.
    if status.is_server_error() {
        failed(span, error_key.unwrap_or(status.as_str()));
    } else if let Some(error_key) = error_key {
        span.set_attribute("link_report_proxy.error_key", error_key.to_owned());
    }
}

/// A call to this URL of the upstream, all of which have this template, begins.
pub(crate) fn calling(span: &Span, url: &Uri, template: &'static str) {
    if !is_exported(span) {
        return;
    }
    let default_port = if url.scheme_str() == Some("http") { 80 } else { 443 };
    span.set_attribute(METHOD, "GET");
    span.set_attribute(TEMPLATE, template);
    span.set_attribute("url.full", url.to_string());
    span.set_attribute(SERVER, url.host().unwrap_or_default().to_owned());
    span.set_attribute("server.port", i64::from(url.port_u16().unwrap_or(default_port)));
}

/// A call has ended: with this status, if there was one, and this `error_key`, if it failed.
pub(crate) fn called(
    span: &Span,
    (status, request_id): (Option<u16>, Option<&str>),
    error_key: Option<&'static str>,
) {
    if !is_exported(span) {
        return;
    }
    if let Some(status) = status {
        span.set_attribute(STATUS, i64::from(status));
    }
    if let Some(request_id) = request_id {
        span.set_attribute("upstream_request_id", request_id.to_owned());
    }
    if let Some(error_key) = error_key {
        failed(span, error_key);
    }
}

fn failed(span: &Span, error: &str) {
    span.set_attribute(ERROR, error.to_owned());
    span.set_status(Status::error(""));
}

/// Spares what is not exported the making of attributes.
fn is_exported(span: &Span) -> bool {
    TraceContext::of(span).is_some_and(|context| context.is_sampled())
}

/// The span as the receiver gets it.
pub(super) fn conventional(mut span: SpanData) -> SpanData {
    let ours = std::mem::take(&mut span.attributes);
    span.attributes = ours.into_iter().filter_map(renamed).collect();
    let value = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| attribute.value.as_str().into_owned())
    };
    let (kind, path) = match &*span.name {
        "request" => (SpanKind::Server, value(ROUTE)),
        // An attempt that was denied here has called nobody.
        "attempt" if value(SERVER).is_some() => (SpanKind::Client, value(TEMPLATE)),
        _ => return span,
    };
    span.span_kind = kind;
    let method = value(METHOD).filter(|method| method != "_OTHER").unwrap_or_else(|| "HTTP".to_owned());
    span.name = Cow::Owned(match path {
        Some(path) => format!("{method} {path}"),
        None => method,
    });
    span
}

fn renamed(KeyValue { key, value, .. }: KeyValue) -> Option<KeyValue> {
    let name = NAMES.iter().find(|(ours, _)| *ours == key.as_str()).map(|(_, name)| Key::from(*name));
    match (key.as_str(), value) {
        // The route says more.
        ("path", _) => None,
        ("method", Value::String(method)) if method.as_str() == "other" => {
            Some(KeyValue::new(METHOD, "_OTHER"))
        }
        // The first attempt sends nothing again.
        ("number", number) => {
            let again = integer(&number)? - 1;
            (again > 0).then(|| KeyValue::new(RESENDS, again))
        }
        ("generation", generation) => Some(KeyValue::new(name?, integer(&generation)?)),
        (_, value) => Some(KeyValue::new(name.unwrap_or(key), value)),
    }
}

/// Unsigned numbers come as text from the bridge.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::I64(number) => Some(*number),
        other => other.as_str().parse().ok(),
    }
}
