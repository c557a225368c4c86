//! `X-Request-Id`: the client's if it is valid, otherwise a new UUID.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::fmt::Hyphenated;

/// The header's name.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id accepted, in bytes: longer ones would fill the logs.
const MAX_LEN: usize = 128;

/// Identifies one request in its response, in the log, and in a problem's `instance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Text);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// Sent by the client.
    Sent(HeaderValue),
    /// A random UUID made here.
    Made([u8; Hyphenated::LENGTH]),
}

// === impl RequestId ===

impl RequestId {
    /// The client's id, if it is valid.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let sent = headers.get(X_REQUEST_ID)?;
        is_sane(sent.as_bytes()).then(|| Self(Text::Sent(sent.clone())))
    }

    /// A new id. It must be unique, not hard to guess: a fast generator will do, without a system call.
    pub(super) fn new() -> Self {
        let random = fastrand::u128(..).to_ne_bytes();
        let mut text = [0; Hyphenated::LENGTH];
        uuid::Builder::from_random_bytes(random).into_uuid().hyphenated().encode_lower(&mut text);
        Self(Text::Made(text))
    }

    pub(super) fn as_str(&self) -> &str {
        let text = match &self.0 {
            Text::Sent(sent) => sent.as_bytes(),
            Text::Made(text) => text,
        };
        // Both a valid id and a UUID are ASCII.
        str::from_utf8(text).unwrap_or_default()
    }

    pub(super) fn into_header(self) -> HeaderValue {
        match self.0 {
            Text::Sent(sent) => sent,
            // Hexadecimal digits and hyphens are always a valid header value.
            Text::Made(text) => HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-")),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Only characters that need no quoting in a log line or in a URI reference.
fn is_sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'/')
    };
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_id_is_not_echoed() {
        for (id, sane) in [
            ("3f1c", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            ("", false),
            ("a b", false),
            ("<script>", false),
            ("a\"b", false),
            (&"x".repeat(129), false),
        ] {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(id).unwrap())]);
            assert_eq!(RequestId::of(&headers).is_some(), sane, "{id}");
        }
    }
}
