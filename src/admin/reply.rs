//! Responses of the admin port: JSON for programs, plain text for probes and errors.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::server::{Body, BrowserRefusal};

/// Why the admin port rejects a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    NoSuchRoute,
    Method { allow: &'static str },
    BadActivityId,
    BadPage,
    BadSort,
    BadSince,
    Unauthenticated,
    NotLoopback,
    OfAnotherPage,
    Browser(BrowserRefusal),
}

/// A 200 with JSON, indented for people.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec_pretty(value) {
        Ok(mut text) => {
            text.push(b'\n');
            respond(StatusCode::OK, "application/json", text)
        }
        Err(error) => {
            tracing::error!(%error, "cannot serialize a response of the admin port");
            respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "internal error\n")
        }
    }
}

pub(super) fn text(status: StatusCode, text: impl Into<Vec<u8>>) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text)
}

pub(super) fn respond(status: StatusCode, kind: &'static str, body: impl Into<Vec<u8>>) -> Response<Body> {
    let mut response = Response::new(Body::new(body.into().into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A number for people: four significant digits.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// A count that was computed, as the nearest whole number.
pub(super) fn whole(value: f64) -> i64 {
    value.round() as i64
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC; `None` before 1970 and after 9999, which humantime cannot format.
pub(super) fn rfc3339(time: SystemTime) -> Option<String> {
    let mut shown = String::new();
    time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    write!(shown, "{}", humantime::format_rfc3339_seconds(time)).ok().map(|()| shown)
}

// === impl Refused ===

impl From<BrowserRefusal> for Refused {
    fn from(refusal: BrowserRefusal) -> Self {
        Self::Browser(refusal)
    }
}

impl From<Refused> for Response<Body> {
    fn from(refused: Refused) -> Self {
        let (status, message) = match refused {
            Refused::NoSuchRoute => (StatusCode::NOT_FOUND, "no such route\n"),
            Refused::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            Refused::BadActivityId => {
                (StatusCode::BAD_REQUEST, "campaign_activity_id must be a 36-character hyphenated UUID\n")
            }
            Refused::BadPage => (
                StatusCode::BAD_REQUEST,
                "page must be a number from 1 on, per_page a number from 1 to 1000\n",
            ),
            Refused::BadSort => (
                StatusCode::BAD_REQUEST,
                "sort must be id, trouble, age, next_refresh, unchanged, links, clicks, hits, requests or bytes; order asc or desc\n",
            ),
            Refused::BadSince => (StatusCode::BAD_REQUEST, "since must be a time in Unix seconds\n"),
            Refused::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "send Authorization: Bearer with the token of admin.token_file\n")
            }
            Refused::NotLoopback => (
                StatusCode::FORBIDDEN,
                "only a client on this machine may purge, or ask for a report here; set admin.token_file to allow it with a token\n",
            ),
            Refused::OfAnotherPage => (
                StatusCode::FORBIDDEN,
                "send X-Requested-By with any value: the request may be of a page of another site\n",
            ),
            Refused::Browser(BrowserRefusal::HostNotAllowed) => (
                StatusCode::FORBIDDEN,
                "Host must be an IP address, localhost or a name listed in server.allowed_hosts\n",
            ),
            Refused::Browser(BrowserRefusal::CrossSite) => (
                StatusCode::FORBIDDEN,
                "a page of another web site sent this request: open the address directly\n",
            ),
        };
        let mut response = text(status, message);
        match refused {
            Refused::Method { allow } => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            }
            Refused::Unauthenticated => {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Refused::NoSuchRoute
            | Refused::BadActivityId
            | Refused::BadPage
            | Refused::BadSort
            | Refused::BadSince
            | Refused::NotLoopback
            | Refused::OfAnotherPage
            | Refused::Browser(_) => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people_have_four_digits_whatever_their_size() {
        assert_eq!(
            [0.0, 0.000_123_456, 2.499_96, 812.0, 123_456.7, f64::INFINITY].map(rounded),
            [0.0, 0.000_123_5, 2.5, 812.0, 123_500.0, f64::INFINITY]
        );
    }
}
