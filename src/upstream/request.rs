//! Builds an upstream request. It copies no bytes from a client's request.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT},
};
use http_body_util::Empty;
use uuid::Uuid;

use crate::settings::BaseUrl;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const PRODUCT: &str = concat!("link-report-proxy/", env!("CARGO_PKG_VERSION"));

/// The upstream request for a canonical path and query. The client adds `Host`, and the `token` module adds
/// `Authorization`.
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
    // Four here, `Host` and `Authorization`.
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    headers.insert(TRACEPARENT, traceparent()?);
    *request.headers_mut() = headers;
    Ok(request)
}

/// A new random trace id (W3C Trace Context). The client's own would show the vendor which calls belong together. The
/// flag "sampled" is off, since this proxy exports no spans.
fn traceparent() -> Result<HeaderValue, http::Error> {
    let mut text = [b'0'; 55];
    // The parent id is 16 digits: write it as the last half of 32 digits, then write the trace id over the first half.
    Uuid::from_u64_pair(0, fastrand::u64(1..)).simple().encode_lower(&mut text[20..52]);
    Uuid::from_u128(fastrand::u128(1..)).simple().encode_lower(&mut text[3..35]);
    for dash in [2, 35, 52] {
        text[dash] = b'-';
    }
    Ok(HeaderValue::from_bytes(&text)?)
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
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "accept-encoding", "traceparent", "user-agent"]);
        let traceparent = request.headers()[TRACEPARENT].to_str().unwrap();
        assert_eq!(traceparent.split('-').map(str::len).collect::<Vec<_>>(), [2, 32, 16, 2]);
    }
}
