//! `Proxy-Status` (RFC 9209): where the upstream call failed, in the words of its registry.

use http::HeaderValue;

use super::cache_status::CACHE;
use crate::report::{Cause, FetchError, InvalidReport, Unreachable};

/// The header of an error; none where nothing went forward.
pub(super) fn of(error: &FetchError) -> Option<HeaderValue> {
    if !error.went_forward() {
        return None;
    }
    let text = match (error_type(&error.cause), error.exchange.status) {
        (Some(kind), Some(status)) => format!("{CACHE}; error={kind}; received-status={status}"),
        (Some(kind), None) => format!("{CACHE}; error={kind}"),
        (None, Some(status)) => format!("{CACHE}; received-status={status}"),
        (None, None) => return None,
    };
    HeaderValue::try_from(text).ok()
}

/// The registry knows no type for an answer that is good HTTP and still no use: of that the status is told.
const fn error_type(cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::Unreachable(how_far) => Some(match how_far {
            Unreachable::Dns => "dns_error",
            Unreachable::DnsTimeout => "dns_timeout",
            Unreachable::Connect => "connection_refused",
            Unreachable::ConnectTimeout => "connection_timeout",
            Unreachable::Tls => "tls_protocol_error",
            Unreachable::Certificate => "tls_certificate_error",
            Unreachable::Closed | Unreachable::Broken => "connection_terminated",
            Unreachable::NotHttp => "http_protocol_error",
        }),
        Cause::Invalid(InvalidReport::Truncated) => Some("http_response_incomplete"),
        Cause::Invalid(InvalidReport::TooLarge { .. }) => Some("http_response_body_size"),
        Cause::Invalid(InvalidReport::Encoding) => Some("http_response_content_coding"),
        Cause::Timeout => Some("http_response_timeout"),
        Cause::Invalid(
            InvalidReport::Malformed | InvalidReport::Missing(_) | InvalidReport::OtherActivity,
        )
        | Cause::Unauthorized
        | Cause::Forbidden
        | Cause::Status { .. }
        | Cause::Throttled { .. }
        | Cause::TooMany { .. }
        | Cause::QuotaExhausted { .. }
        | Cause::CircuitOpen { .. }
        | Cause::TokenUnavailable
        | Cause::Overloaded
        | Cause::Internal => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_http_is_a_protocol_error_and_an_earlier_failure_is_nobody_s_now() {
        let not_http = FetchError::from(Cause::Unreachable(Unreachable::NotHttp));
        assert_eq!(of(&not_http).unwrap(), "link-report-proxy; error=http_protocol_error");
        assert_eq!(of(&not_http.remembered()), None);
        assert_eq!(of(&Cause::TokenUnavailable.into()), None);
    }
}
