//! Content negotiation and conditional requests: `Accept-Encoding`, `If-None-Match` against the ETag (RFC 9110 §13.1.2), and
//! `Cache-Control: no-cache`. Also notes whether `X-Request-Id` and `Sec-Fetch-Site` are present.

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, IF_NONE_MATCH, PRAGMA},
};

use super::{RequestId, request_id::X_REQUEST_ID};
use crate::server::{BrowserGuard, BrowserRefusal, Coding, SEC_FETCH_SITE};

/// What the headers of one request ask for, read in one pass: most requests have few headers, and none of these. The
/// methods must be given the same headers again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Negotiated {
    coding: Coding,
    condition: Condition,
    request_id: Named,
    sender: Sender,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    NoneMatch,
}

/// Is there an `X-Request-Id`? It may still be invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    No,
    Perhaps,
}

/// Is there a `Sec-Fetch-Site`? Only browsers send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Unnamed,
    Browser,
}

// === impl Negotiated ===

impl Negotiated {
    /// Reads the headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut negotiated = Self {
            coding: Coding::Identity,
            condition: Condition::Absent,
            request_id: Named::No,
            sender: Sender::Unnamed,
        };
        for name in headers.keys() {
            if *name == ACCEPT_ENCODING {
                negotiated.coding = Coding::of(headers);
            } else if *name == IF_NONE_MATCH {
                negotiated.condition = Condition::NoneMatch;
            } else if *name == X_REQUEST_ID {
                negotiated.request_id = Named::Perhaps;
            } else if *name == SEC_FETCH_SITE {
                negotiated.sender = Sender::Browser;
            }
        }
        negotiated
    }

    /// Checks `Sec-Fetch-Site` if it is present: fails if a page of another site sent the request.
    pub(super) fn check_sender(
        self,
        headers: &HeaderMap,
        guard: &BrowserGuard,
    ) -> Result<(), BrowserRefusal> {
        match self.sender {
            Sender::Unnamed => Ok(()),
            Sender::Browser => guard.check_site(headers),
        }
    }

    /// The coding to send: the one with the larger weight, gzip if both weigh the same.
    pub(super) const fn coding(self) -> Coding {
        self.coding
    }

    /// The client's `X-Request-Id`, if it is valid.
    pub(super) fn id(self, headers: &HeaderMap) -> Option<RequestId> {
        match self.request_id {
            Named::No => None,
            Named::Perhaps => RequestId::of(headers),
        }
    }

    /// Does `If-None-Match` match `etag`, so that the response is 304? By weak comparison, as RFC 9110 §13.1.2 says.
    pub(super) fn has(self, headers: &HeaderMap, etag: &[u8]) -> bool {
        match self.condition {
            Condition::Absent => false,
            Condition::NoneMatch => headers.get_all(IF_NONE_MATCH).iter().any(|value| {
                let list = value.as_bytes();
                list.trim_ascii() == b"*"
                    || list.split(|byte| *byte == b',').any(|tag| {
                        let tag = tag.trim_ascii();
                        tag.strip_prefix(b"W/").unwrap_or(tag) == etag
                    })
            }),
        }
    }
}

/// Does the client ask for a response that is not from the cache: `no-cache` or `max-age=0` (RFC 9111 §5.2.1, §5.4)?
pub(super) fn asks_for_no_cache(headers: &HeaderMap) -> bool {
    let says = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|directive| {
            let directive = directive.trim_ascii();
            directive.eq_ignore_ascii_case(b"no-cache") || directive.eq_ignore_ascii_case(b"max-age=0")
        })
    };
    headers.get_all(CACHE_CONTROL).iter().any(says) || headers.get_all(PRAGMA).iter().any(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn an_etag_matches_alone_in_a_list_weakly_or_by_a_star() {
        for (tags, matches) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\" ,W/\"a\"", true),
            ("*", true),
            ("\"A\"", false),
            ("a", false),
            ("\"a-gzip\"", false),
            ("", false),
        ] {
            let headers = headers(IF_NONE_MATCH, tags);
            assert_eq!(Negotiated::of(&headers).has(&headers, b"\"a\""), matches, "{tags}");
        }
    }

    #[test]
    fn every_spelling_of_no_cache_is_understood() {
        for (name, value, asks) in [
            (CACHE_CONTROL, "no-cache", true),
            (CACHE_CONTROL, "private, No-Cache", true),
            (CACHE_CONTROL, "max-age=0", true),
            (PRAGMA, "no-cache", true),
            (CACHE_CONTROL, "max-age=60", false),
            (CACHE_CONTROL, "no-cachet", false),
        ] {
            assert_eq!(asks_for_no_cache(&headers(name, value)), asks, "{value}");
        }
    }
}
