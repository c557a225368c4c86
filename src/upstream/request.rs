//! Builds an upstream request. It copies no bytes from a client's request.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT},
};
use http_body_util::Empty;
use tracing::Span;

use crate::{
    settings::BaseUrl,
    telemetry::traces::{TRACEPARENT, TraceContext},
};

pub(super) const PRODUCT: &str = concat!("link-report-proxy/", env!("CARGO_PKG_VERSION"));

/// The upstream request for a canonical path and query. The client adds `Host`, and the `token` module adds
/// `Authorization`. It has a `traceparent` if it is made in a trace that is exported, or is the caller's.
///
/// # Errors
/// None in practice: the path of a parsed key is a valid URI. The types of `http` require a `Result`.
pub(super) fn request(
    base_url: &BaseUrl,
    path_and_query: &str,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = base_url.join(path_and_query)?;
    // Four here at most, `Host` and `Authorization`.
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    if let Some(traceparent) = TraceContext::of(&Span::current()).and_then(|context| context.header()) {
        headers.insert(TRACEPARENT, traceparent);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ActivityId, NoClicks, ReportKey};

    #[test]
    fn the_request_is_canonical_and_carries_only_our_headers() {
        let base_url = BaseUrl::try_from("https://api.cc.email").unwrap();
        let id = ActivityId::parse(b"8892BAF9-970A-4DE6-8400-FA4EC461986D").unwrap();
        let key = ReportKey { id, no_clicks: NoClicks::Listed };
        let request = request(&base_url, &key.path_and_query()).unwrap();
        assert_eq!(
            request.uri(),
            "https://api.cc.email/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links?no_clicks=true"
        );
        let mut names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "accept-encoding", "user-agent"]);
    }
}
