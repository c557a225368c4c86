//! Builds the response from what the cache served: 200 or 304, plain or gzip, with ETag, Age and Cache-Status.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY},
};

use super::{
    Problem, RequestId,
    cache_status::{self, CACHE_STATUS},
    negotiate::Negotiated,
    prebuilt::PrebuiltSeconds,
};
use crate::{
    cache::Served,
    report::{Answer, EntityTag, NegativeAnswer, Representation},
    server::{AllowedOrigins, Body, Coding},
};

/// The `Age` of most responses.
static AGES: PrebuiltSeconds<4> = PrebuiltSeconds::new("");

/// Builds responses. Keeps one header map for each kind of response: copying it and setting three values costs less than
/// hashing every name of a new map.
#[derive(Debug, Clone)]
pub struct Responder {
    allowed_origins: AllowedOrigins,
    /// Where no origin is allowed.
    same_origin: Heads,
    /// Where some are: responses depend on `Origin` too.
    cross_origin: Heads,
}

#[derive(Debug, Clone)]
struct Heads {
    plain: HeaderMap,
    gzip: HeaderMap,
    not_modified: HeaderMap,
}

// === impl Responder ===

impl Responder {
    /// Where none of `allowed_origins` is left or the first one comes, `Vary` changes with it.
    pub fn new(allowed_origins: AllowedOrigins) -> Self {
        let same_origin = Heads::new(HeaderValue::from_static("accept-encoding"));
        let cross_origin = Heads::new(HeaderValue::from_static("accept-encoding, origin"));
        Self { allowed_origins, same_origin, cross_origin }
    }

    fn heads(&self) -> &Heads {
        if self.allowed_origins.is_empty() { &self.same_origin } else { &self.cross_origin }
    }

    /// The response to a request that `negotiated` this; `None` if that needs the gzip variant and it is not encoded yet.
    pub(super) fn respond(
        &self,
        served: &Served,
        negotiated: Negotiated,
        headers: &HeaderMap,
        id: Option<&RequestId>,
    ) -> Option<Response<Body>> {
        match (served.entry.answer(), negotiated.coding()) {
            (Answer::Report(report), Coding::Identity) => {
                Some(self.show(served, negotiated, headers, report.representation(), Heads::plain))
            }
            (Answer::Report(_), Coding::Gzip) => {
                Some(self.show(served, negotiated, headers, served.entry.gzip()?, Heads::gzip))
            }
            (Answer::Negative(negative_answer), _) => Some(negative(served, negative_answer, id)),
        }
    }

    /// The response in the upstream's own bytes, even if the request prefers gzip.
    pub(super) fn respond_plain(
        &self,
        served: &Served,
        negotiated: Negotiated,
        headers: &HeaderMap,
        id: Option<&RequestId>,
    ) -> Response<Body> {
        match served.entry.answer() {
            Answer::Report(report) => {
                self.show(served, negotiated, headers, report.representation(), Heads::plain)
            }
            Answer::Negative(negative_answer) => negative(served, negative_answer, id),
        }
    }

    /// The response in a representation that was made for this request, in the coding that it prefers.
    pub(super) fn show_made(
        &self,
        served: &Served,
        negotiated: Negotiated,
        headers: &HeaderMap,
        made: &Representation,
    ) -> Response<Body> {
        match negotiated.coding() {
            Coding::Identity => self.show(served, negotiated, headers, made, Heads::plain),
            Coding::Gzip => self.show(served, negotiated, headers, made, Heads::gzip),
        }
    }

    fn show(
        &self,
        served: &Served,
        negotiated: Negotiated,
        headers: &HeaderMap,
        shown: &Representation,
        head: fn(&Heads) -> &HeaderMap,
    ) -> Response<Body> {
        let tag = shown.tag();
        if negotiated.has(headers, &tag) {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = fill_head(&self.heads().not_modified, served, &tag);
            response
        } else {
            let mut response = Response::new(Body::new(shown.shared().into()));
            *response.headers_mut() = fill_head(head(self.heads()), served, &tag);
            response
        }
    }
}

// === impl Heads ===

impl Heads {
    /// `vary` is the value of `Vary`: the request headers that the response depends on. The three values to be filled in come
    /// first, in the order in which [`fill_head`] does that.
    fn new(vary: HeaderValue) -> Self {
        let to_be_filled = || HeaderValue::from_static("");
        let not_modified = HeaderMap::from_iter([
            (ETAG, to_be_filled()),
            (AGE, to_be_filled()),
            (CACHE_STATUS, to_be_filled()),
            // Clients may store it but must revalidate each time: a 304 is cheap, and they see a purge at once.
            (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
            (VARY, vary),
        ]);
        let mut plain = not_modified.clone();
        plain.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut gzip = plain.clone();
        gzip.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Self { plain, gzip, not_modified }
    }

    fn plain(&self) -> &HeaderMap {
        &self.plain
    }

    fn gzip(&self) -> &HeaderMap {
        &self.gzip
    }
}

/// A copy of `head` with the values of this response: ETag, Age, Cache-Status.
fn fill_head(head: &HeaderMap, served: &Served, tag: &EntityTag) -> HeaderMap {
    let mut headers = head.clone();
    // By place: to compare each name takes as long as to copy the map.
    let mut places = headers.values_mut();
    let mut fill = |value| {
        if let Some(place) = places.next() {
            *place = value;
        }
    };
    // Quotes and hexadecimal digits: always a valid header value.
    fill(HeaderValue::from_bytes(tag).unwrap_or(HeaderValue::from_static("")));
    fill(age(served));
    fill(cache_status::of(served));
    headers
}

fn age(served: &Served) -> HeaderValue {
    let seconds = served.age.as_secs();
    AGES.get(seconds).unwrap_or_else(|| seconds.into())
}

/// The response for a negative answer (400 or 404 of the upstream), cached or new.
fn negative(served: &Served, negative_answer: &NegativeAnswer, id: Option<&RequestId>) -> Response<Body> {
    let problem = Problem::from(negative_answer);
    let mut response = match id {
        Some(id) => problem.into_response(id),
        None => problem.into_response(&RequestId::new()),
    };
    let headers = response.headers_mut();
    headers.insert(AGE, age(served));
    headers.insert(CACHE_STATUS, cache_status::of(served));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_to_be_filled_in_are_the_first_of_each_head() {
        let heads = Heads::new(HeaderValue::from_static("accept-encoding"));
        for head in [heads.plain(), heads.gzip(), &heads.not_modified] {
            let names: Vec<_> = head.keys().take(3).collect();
            assert_eq!(names, [ETAG, AGE, CACHE_STATUS]);
        }
    }
}
