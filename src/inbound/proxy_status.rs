//! `Proxy-Status` (RFC 9209): where the road out failed.

use http::HeaderValue;

use super::cache_status::CACHE;
use crate::report::{Cause, FetchError, InvalidReport, Unreachable};

/// The header of an error, where the road out failed; refusals of our own (quota, circuit, load) are no failure of it.
pub(super) fn of(error: &FetchError) -> Option<HeaderValue> {
    let kind = match &error.cause {
        Cause::Unauthorized | Cause::Forbidden | Cause::Status { .. } => None,
        Cause::Unreachable(Unreachable::Dns) => Some("dns_error"),
        Cause::Unreachable(Unreachable::Connect) => Some("connection_refused"),
        Cause::Unreachable(Unreachable::Tls) => Some("tls_protocol_error"),
        Cause::Unreachable(Unreachable::Broken) => Some("connection_terminated"),
        Cause::Invalid(InvalidReport::Truncated) => Some("http_response_incomplete"),
        Cause::Invalid(InvalidReport::TooLarge { .. }) => Some("http_response_body_size"),
        Cause::Invalid(InvalidReport::Encoding) => Some("http_response_content_coding"),
        Cause::Invalid(
            InvalidReport::Malformed | InvalidReport::Missing(_) | InvalidReport::OtherActivity,
        ) => Some("http_protocol_error"),
        Cause::Timeout => Some("http_response_timeout"),
        Cause::Throttled { .. } | Cause::TooMany { .. } | Cause::QuotaExhausted { .. }
            if error.exchange.status.is_some() =>
        {
            None
        }
        Cause::Throttled { .. }
        | Cause::TooMany { .. }
        | Cause::QuotaExhausted { .. }
        | Cause::CircuitOpen { .. }
        | Cause::TokenUnavailable
        | Cause::Overloaded
        | Cause::Internal => return None,
    };
    let text = match (kind, error.exchange.status) {
        (Some(kind), Some(status)) => format!("{CACHE}; error={kind}; received-status={status}"),
        (Some(kind), None) => format!("{CACHE}; error={kind}"),
        (None, Some(status)) => format!("{CACHE}; received-status={status}"),
        (None, None) => return None,
    };
    HeaderValue::try_from(text).ok()
}
