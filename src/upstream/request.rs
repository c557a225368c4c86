//! Renders the one request that is ever sent. No byte of it comes from a caller.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT},
    uri::{Authority, Scheme},
};
use http_body_util::Empty;

use crate::report::ReportKey;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const PRODUCT: &str = concat!("link-report-proxy/", env!("CARGO_PKG_VERSION"));

/// Where the upstream is: `upstream.base_url`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOrigin {
    scheme: Scheme,
    authority: Authority,
}

/// The base URL is not `scheme://host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("upstream.base_url: must be a scheme and a host, without path, query or credentials")]
pub struct InvalidOrigin;

// === impl UpstreamOrigin ===

impl TryFrom<&Uri> for UpstreamOrigin {
    type Error = InvalidOrigin;

    fn try_from(base_url: &Uri) -> Result<Self, InvalidOrigin> {
        let (Some(scheme), Some(authority)) = (base_url.scheme(), base_url.authority()) else {
            return Err(InvalidOrigin);
        };
        let bare = matches!(base_url.path(), "" | "/") && base_url.query().is_none();
        if !bare || authority.as_str().contains('@') {
            return Err(InvalidOrigin);
        }
        Ok(Self { scheme: scheme.clone(), authority: authority.clone() })
    }
}

impl UpstreamOrigin {
    /// The canonical request for `key`: its headers are these, `Host`, and what the `token` module stamps.
    ///
    /// # Errors
    /// Never for an origin and a key that were parsed; http's builder cannot know that.
    pub(super) fn request(&self, key: &ReportKey) -> Result<Request<Empty<Bytes>>, http::Error> {
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(key.path_and_query())
            .build()?;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri;
        *request.headers_mut() = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
            (USER_AGENT, HeaderValue::from_static(PRODUCT)),
            (TRACEPARENT, traceparent()?),
        ]);
        Ok(request)
    }
}

/// A trace of our own (W3C Trace Context): a caller's would tell the vendor which calls belong together. Not sampled,
/// as nothing here records spans.
fn traceparent() -> Result<HeaderValue, http::Error> {
    let (trace, parent) = (fastrand::u128(1..), fastrand::u64(1..));
    Ok(HeaderValue::try_from(format!("00-{trace:032x}-{parent:016x}-00"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ActivityId, NoClicks};

    #[test]
    fn the_request_is_canonical_and_carries_only_our_headers() {
        let origin = UpstreamOrigin::try_from(&Uri::from_static("https://api.cc.email")).unwrap();
        let id = ActivityId::parse(b"8892BAF9-970A-4DE6-8400-FA4EC461986D").unwrap();
        let request = origin.request(&ReportKey { id, no_clicks: NoClicks::Listed }).unwrap();
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

    #[test]
    fn a_base_url_is_a_scheme_and_a_host() {
        for good in ["https://api.cc.email", "https://api.cc.email/", "http://127.0.0.1:9", "http://[::1]:9"]
        {
            assert!(UpstreamOrigin::try_from(&good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in ["/v3", "api.cc.email", "https://a@b", "https://a/v3", "https://a/?x"] {
            assert_eq!(UpstreamOrigin::try_from(&bad.parse().unwrap()), Err(InvalidOrigin), "{bad}");
        }
    }
}
