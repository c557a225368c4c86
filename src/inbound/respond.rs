//! From what the cache served to an answer's head: validators, variants, and what is said of freshness.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY},
};

use super::{Problem, RequestId, cache_status, negotiate};
use crate::{
    cache::Served,
    door::Body,
    report::{ETag, LinkReport},
};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Room for every header of a full answer, so that the map is allocated once.
const HEADERS: usize = 12;

/// Builds answers.
#[derive(Debug, Clone)]
pub struct Responder {
    vary: HeaderValue,
}

/// Is a representation at hand?
pub(super) enum Representation<'a> {
    /// These bytes, with this validator.
    Ready { body: &'a Bytes, etag: &'a ETag, encoding: Option<HeaderValue> },
    /// The gzip variant, which has to be made first.
    ToBeEncoded,
}

// === impl Responder ===

impl Responder {
    /// `vary` names the request headers that the answer depends on.
    pub const fn new(vary: HeaderValue) -> Self {
        Self { vary }
    }

    /// The representation of `report` that the request wants.
    pub(super) fn representation<'a>(
        served: &'a Served,
        report: &'a LinkReport,
        wants: &HeaderMap,
    ) -> Representation<'a> {
        if !negotiate::accepts_gzip(wants) {
            return Self::identity(report);
        }
        match served.entry.gzip() {
            Some(gzip) => Representation::Ready {
                body: gzip.body(),
                etag: gzip.etag(),
                encoding: Some(HeaderValue::from_static("gzip")),
            },
            None => Representation::ToBeEncoded,
        }
    }

    /// The upstream's own bytes.
    pub(super) const fn identity(report: &LinkReport) -> Representation<'_> {
        Representation::Ready { body: report.body(), etag: report.etag(), encoding: None }
    }

    /// The answer to a request that `wants` this; `None` while the variant that it wants is not made.
    pub(super) fn answer(
        &self,
        served: &Served,
        wants: &HeaderMap,
        id: Option<&RequestId>,
    ) -> Option<Response<Body>> {
        let Some(report) = served.entry.report() else { return Some(self.refuse(served, id)) };
        self.show(served, wants, Self::representation(served, report, wants))
    }

    /// The answer in the upstream's own bytes, whatever else the request would have liked.
    pub(super) fn answer_plain(
        &self,
        served: &Served,
        wants: &HeaderMap,
        id: Option<&RequestId>,
    ) -> Response<Body> {
        let plain = served.entry.report().and_then(|report| self.show(served, wants, Self::identity(report)));
        plain.unwrap_or_else(|| self.refuse(served, id))
    }

    fn show(
        &self,
        served: &Served,
        wants: &HeaderMap,
        representation: Representation<'_>,
    ) -> Option<Response<Body>> {
        let Representation::Ready { body, etag, encoding } = representation else { return None };
        let mut response = if negotiate::none_match_fails(wants, etag.as_bytes()) {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
            response
        } else {
            let mut response = Response::new(Body::new(body.clone()));
            let mut headers = HeaderMap::with_capacity(HEADERS);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, encoding);
            }
            *response.headers_mut() = headers;
            response
        };
        let headers = response.headers_mut();
        // Quotes, digits and a suffix of ours: the tag is always a header value.
        if let Ok(etag) = HeaderValue::from_maybe_shared(etag.as_bytes().clone()) {
            headers.insert(ETAG, etag);
        }
        headers.insert(AGE, served.age.as_secs().into());
        // Keep it, but ask each time: a 304 from here costs nothing, and a purge is seen at once.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(VARY, self.vary.clone());
        headers.insert(CACHE_STATUS, cache_status::of(served));
        Some(response)
    }

    /// A refusal of the upstream, remembered or new.
    #[expect(clippy::unused_self, reason = "one of the ways in which a responder answers")]
    fn refuse(&self, served: &Served, id: Option<&RequestId>) -> Response<Body> {
        let problem = served.entry.refusal().map_or_else(
            || Problem::from(&crate::report::FetchError::from(crate::report::Cause::Internal)),
            Problem::from,
        );
        let mut response = match id {
            Some(id) => problem.into_response(id),
            None => problem.into_response(&RequestId::new()),
        };
        let headers = response.headers_mut();
        headers.insert(AGE, served.age.as_secs().into());
        headers.insert(CACHE_STATUS, cache_status::of(served));
        response
    }
}
