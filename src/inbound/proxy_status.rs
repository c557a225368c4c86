//! `Proxy-Status` (RFC 9209): how the upstream call failed, as an error type of its registry (§2.3).

use http::HeaderValue;

use super::cache_status::CACHE;
use crate::report::FetchError;

/// The header of an error response; `None` if no call was made.
pub(super) fn of(error: &FetchError) -> Option<HeaderValue> {
    if !error.went_forward() {
        return None;
    }
    let text = match (error.cause.proxy_error(), error.exchange.status) {
        (Some(kind), Some(status)) => format!("{CACHE}; error={kind}; received-status={status}"),
        (Some(kind), None) => format!("{CACHE}; error={kind}"),
        (None, Some(status)) => format!("{CACHE}; received-status={status}"),
        (None, None) => return None,
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LocalDenial, Unreachable, UpstreamFailure};

    #[test]
    fn a_response_that_is_not_http_is_a_protocol_error_and_an_earlier_failure_gets_no_header() {
        let not_http = FetchError::from(UpstreamFailure::Unreachable(Unreachable::NotHttp));
        assert_eq!(of(&not_http).unwrap(), "link-report-proxy; error=http_protocol_error");
        assert_eq!(of(&not_http.remembered()), None);
        assert_eq!(of(&LocalDenial::NoToken.into()), None);
    }
}
