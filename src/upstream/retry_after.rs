//! Reads an upstream's `Retry-After` (RFC 9110 §10.2.3): seconds, or an HTTP date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};

use super::headers;

/// How long to wait before the next call, at most `longest`: one header must not stop calls for longer. If the upstream
/// needs more time, it sends the header again. `None` for an invalid value, or none.
///
/// A date is one of the upstream's clock, which `Date` tells; ours, at `now`, may be ahead or behind by more than the wait.
///
/// It is only for our own calls. The proxy's clients get a `Retry-After` of a few seconds, since the vendor's SDKs
/// sleep for as long as it says.
pub(super) fn of(headers: &HeaderMap, now: SystemTime, longest: Duration) -> Option<Duration> {
    let by_its_clock = headers::date(headers).map(|date| date + headers::age(headers));
    parse(headers.get(RETRY_AFTER)?, by_its_clock.unwrap_or(now), longest)
}

pub(super) fn parse(value: &HeaderValue, now: SystemTime, longest: Duration) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // A number too large for a u64 is valid too.
        text.parse().map_or(longest, Duration::from_secs)
    } else {
        // A date in the past means no wait.
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &'static str) -> Option<u64> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        parse(&HeaderValue::from_static(text), now, Duration::from_secs(60)).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_capped() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("86400", Some(60)),
            ("99999999999999999999999", Some(60)),
            ("Sun, 06 Nov 1994 08:49:42 GMT", Some(5)),
            ("Mon, 07 Nov 1994 08:49:42 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn an_invalid_value_is_none() {
        for text in ["", "-1", "1.5", "soon", "7, 8"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
