//! Response headers that do not depend on what was requested: the age, the upstream's clock, the request id.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderName,
    header::{AGE, DATE},
};

use crate::settings::is_printable;

/// The request id of the vendor's AWS API Gateway; the vendor's support needs it to find a call.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The longest request id that is logged, in bytes; the gateway's ids are UUIDs.
const MAX_REQUEST_ID: usize = 128;

/// The largest `Age` in seconds that a cache must support (RFC 9111 §1.2.2); a larger one counts as this.
const MAX_AGE: u32 = 1 << 31;

/// The `Age` header (RFC 9111 §5.1), set by a cache between this proxy and the upstream: of a list the first member
/// counts, and an invalid value counts as 0.
pub(super) fn age(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).and_then(|value| value.to_str().ok()?.split(',').next());
    let digits = first
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.map_or(0, |digits| digits.parse().unwrap_or(MAX_AGE).min(MAX_AGE));
    Duration::from_secs(seconds.into())
}

/// The `Date` header, if present and valid.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// The request id, if it is safe to log: printable and not too long.
pub(super) fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_safe = (1..=MAX_REQUEST_ID).contains(&text.len()) && is_printable(text);
    is_safe.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_age_is_a_number_of_seconds_and_anything_else_is_ignored() {
        for (sent, seconds) in [
            (&[][..], 0),
            (&["0"], 0),
            (&["600"], 600),
            (&[" 7 "], 7),
            (&["12, 99"], 12),
            (&["12", "99"], 12),
            (&["4294967296000000000000"], 1 << 31),
            (&["-1"], 0),
            (&["+1"], 0),
            (&["1.5"], 0),
            (&[""], 0),
            (&["soon"], 0),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(AGE, HeaderValue::from_static(value));
            }
            assert_eq!(age(&headers), Duration::from_secs(seconds), "{sent:?}");
        }
    }

    #[test]
    fn only_a_printable_request_id_is_kept() {
        for (sent, kept) in [("a1-b2", Some("a1-b2")), ("a b", None), ("", None)] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(sent))]);
            assert_eq!(request_id(&headers).as_deref(), kept);
        }
    }
}
