//! The error table: for every failure its status, `error_key` and message, and the response body (RFC 9457 problem
//! details, plus the members that the vendor's SDKs read). This status table is the only place that decides them.

use std::time::Duration;

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;

use super::{Rejection, RequestId};
use crate::report::{
    Cause, FetchError, KeyError, LocalDenial, NegativeAnswer, NegativeStatus, UpstreamFailure, UpstreamLimit,
};
use crate::server::{Body, BrowserRefusal};

/// The smallest and largest `Retry-After` sent, in seconds. SDKs sleep as long as it says: with more a dashboard would
/// hang, with less clients would retry too often.
const RETRY_AFTER_BOUNDS: (u64, u64) = (1, 10);

/// An error as the client sees it. Never contains a token, a secret or the upstream's host. Of the upstream's body it
/// contains only the `error_key` and `error_message` of a negative answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The response's status.
    pub status: StatusCode,
    /// A stable identifier for programs.
    pub error_key: Box<str>,
    /// A sentence for people.
    pub error_message: Box<str>,
    /// When a retry makes sense; limited to 1..=10 s when it is sent as `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// The body: the members of RFC 9457 §3.1, and `error_key` and `error_message` for the vendor's SDKs.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: String,
    error_key: &'a str,
    error_message: &'a str,
}

// === the table ===

impl From<&FetchError> for Problem {
    fn from(error: &FetchError) -> Self {
        const SOON: Option<Duration> = Some(Duration::from_secs(1));
        let (status, retry_after, message) = match &error.cause {
            Cause::Upstream(UpstreamFailure::Unauthorized) => (
                502,
                None,
                "Constant Contact rejects the proxy's access token; its operator must provide a new one.",
            ),
            Cause::Upstream(UpstreamFailure::Forbidden) => (
                502,
                None,
                "Constant Contact forbids the proxy's access token to read link reports; its operator must grant it the scope campaign_data and the privilege ui:campaign:metrics.",
            ),
            Cause::Upstream(UpstreamFailure::Status { .. }) => {
                (502, None, "Constant Contact responded with an error, and no cached report exists.")
            }
            Cause::Upstream(UpstreamFailure::Unreachable(_)) => {
                (502, None, "Constant Contact cannot be reached, and no cached report exists.")
            }
            Cause::Upstream(UpstreamFailure::Invalid(_)) => (
                502,
                None,
                "Constant Contact's response is not a link report of this activity, and no cached report exists.",
            ),
            Cause::Upstream(UpstreamFailure::Timeout) => {
                (504, None, "Constant Contact did not respond in time, and no cached report exists.")
            }
            Cause::Local(LocalDenial::RateLimit { retry_after })
            | Cause::Upstream(UpstreamFailure::TooManyRequests {
                limit: UpstreamLimit::PerSecond,
                retry_after,
            }) => (
                503,
                Some(*retry_after),
                "The per-second call limit is reached and no cached report exists; retry shortly.",
            ),
            Cause::Upstream(UpstreamFailure::TooManyRequests {
                limit: UpstreamLimit::Unspecified,
                retry_after,
            }) => (
                503,
                Some(*retry_after),
                "Constant Contact accepts no calls at the moment, and no cached report exists; retry shortly.",
            ),
            Cause::Local(LocalDenial::DailyQuota { retry_after })
            | Cause::Upstream(UpstreamFailure::TooManyRequests {
                limit: UpstreamLimit::PerDay,
                retry_after,
            }) => (
                503,
                Some(*retry_after),
                "The API key's daily calls are used up until 00:00 UTC, and no cached report exists.",
            ),
            Cause::Local(LocalDenial::CircuitOpen { retry_after }) => (
                503,
                Some(*retry_after),
                "Calls to Constant Contact are paused because several failed in a row, and no cached report exists.",
            ),
            Cause::Local(LocalDenial::NoToken) => (
                503,
                Some(Duration::from_secs(10)),
                "The proxy has no usable access token; its operator must provide one.",
            ),
            Cause::Local(LocalDenial::Overloaded) => {
                (503, SOON, "The proxy has too many requests in flight; retry shortly.")
            }
            Cause::Internal => (500, None, "The proxy failed; the error is in its log."),
        };
        Self::new(status, error.cause.as_str(), message, retry_after)
    }
}

impl From<&NegativeAnswer> for Problem {
    fn from(negative_answer: &NegativeAnswer) -> Self {
        Self::new(
            negative_answer.status.code(),
            &negative_answer.error_key,
            &negative_answer.error_message,
            None,
        )
    }
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Self {
        let (status, key, message) = match rejection {
            Rejection::Browser(BrowserRefusal::HostNotAllowed) => (
                403,
                "host_not_allowed",
                "On a loopback listener, Host must be an IP address, localhost or a name listed in server.allowed_hosts.",
            ),
            Rejection::Browser(BrowserRefusal::CrossSite) => (
                403,
                "cross_site",
                "A page of another web site sent this request, and its Origin is not listed in cors.allowed_origins.",
            ),
            Rejection::Key(KeyError::NoSuchResource) => (
                404,
                "not_found",
                "Only /v3/reports/email_reports/{campaign_activity_id}/links and /v1/links/{campaign_activity_id}.csv or .json are served, with exactly this spelling.",
            ),
            Rejection::Key(KeyError::ActivityId(_)) => {
                (400, "invalid_activity_id", "campaign_activity_id must be a 36-character hyphenated UUID.")
            }
            Rejection::Key(KeyError::NoClicks(_)) => {
                (400, "invalid_no_clicks", "no_clicks may be given at most once, as true, false, 1 or 0.")
            }
            Rejection::UnexpectedBody => {
                (400, "unexpected_body", "A GET or HEAD request must not have a body.")
            }
            Rejection::Method { .. } => {
                (405, "method_not_allowed", "Link reports can only be read: use GET or HEAD.")
            }
            Rejection::Unauthenticated => (
                401,
                "unauthenticated",
                "This proxy requires a client token: send `Authorization: Bearer <token>`. Ask its operator for one.",
            ),
            Rejection::Fetch(error) => return error.into(),
        };
        Self::new(status, key, message, None)
    }
}

// === impl Problem ===

impl Problem {
    fn new(status: u16, error_key: &str, error_message: &str, retry_after: Option<Duration>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, error_key: error_key.into(), error_message: error_message.into(), retry_after }
    }

    /// The response to the request with this id.
    pub(crate) fn into_response(self, id: &RequestId) -> Response<Body> {
        let Self { status, error_key, error_message, retry_after } = self;
        let document = Document {
            r#type: format!("urn:link-report-proxy:problem:{}", type_of(status, &error_key)),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &error_message,
            instance: format!("/requests/{id}"),
            error_key: &error_key,
            error_message: &error_message,
        };
        // A struct of strings and a number: serializing it cannot fail.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::new(body.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_after) = retry_after {
            headers.insert(RETRY_AFTER, shown_retry_after(retry_after).into());
        }
        response
    }
}

/// The last part of the problem's type. A type is a URI, and an `error_key` of the upstream is free text: one that does
/// not look like ours is replaced by the key for its status.
fn type_of(status: StatusCode, error_key: &str) -> &str {
    let ours = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match status {
        _ if ours(error_key) => error_key,
        StatusCode::NOT_FOUND => NegativeStatus::NotFound.error_key(),
        _ => NegativeStatus::BadRequest.error_key(),
    }
}

/// Whole seconds, rounded up: a client that retries too early would only fail again.
fn shown_retry_after(wait: Duration) -> u64 {
    let (least, most) = RETRY_AFTER_BOUNDS;
    wait.as_millis().div_ceil(1_000).try_into().unwrap_or(most).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_between_1_and_10_seconds() {
        for (wait_ms, shown) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (9_999, 10), (86_400_000, 10)] {
            assert_eq!(shown_retry_after(Duration::from_millis(wait_ms)), shown, "{wait_ms}");
        }
        assert_eq!(shown_retry_after(Duration::MAX), 10);
    }
}
