//! Builds the error response of a request that is rejected or failed, and its access log entry.

use http::{
    HeaderName, HeaderValue, Response,
    header::{ALLOW, WWW_AUTHENTICATE},
};

use super::{
    Problem, Rejection, RequestId,
    access_log::AccessLogEntry,
    cache_status::{self, CACHE_STATUS},
    outcome::RequestOutcome,
    proxy_status,
};
use crate::{
    report::{Cause, LocalDenial},
    server::Body,
};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The error response to the request with this id.
pub(super) fn refuse(rejection: Rejection, id: &RequestId) -> (Response<Body>, AccessLogEntry) {
    let outcome = RequestOutcome::of_rejection(&rejection);
    let problem = Problem::from(&rejection);
    let error_key = Some(problem.error_key.clone());
    let mut response = problem.into_response(id);
    let headers = response.headers_mut();
    let exchange = match rejection {
        Rejection::Method { allow } => {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
            None
        }
        Rejection::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            None
        }
        Rejection::Fetch(error) => {
            // A request that was shed did not reach the cache's fetch: no Cache-Status.
            if error.cause != Cause::Local(LocalDenial::Overloaded) {
                headers.insert(CACHE_STATUS, cache_status::of_error(&error));
            }
            if let Some(status) = proxy_status::of(&error) {
                headers.insert(PROXY_STATUS, status);
            }
            Some(error.exchange)
        }
        Rejection::Browser(_) | Rejection::Key(_) | Rejection::UnexpectedBody => None,
    };
    (response, AccessLogEntry { outcome, age: None, exchange, error_key })
}
