//! Content negotiation and conditional requests: `Accept-Encoding` (RFC 9110 §12.5.3), `If-None-Match` against the ETag
//! (§13.1.2), and `Cache-Control: no-cache`. Also notes whether `X-Request-Id` and `Sec-Fetch-Site` are present.

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, IF_NONE_MATCH, PRAGMA},
};

use super::{RequestId, request_id::X_REQUEST_ID};
use crate::server::{BrowserGuard, BrowserRefusal, SEC_FETCH_SITE};

/// The weight of a coding that is listed without one: 1, in thousandths (RFC 9110 §12.4.2).
const MAX_WEIGHT: u16 = 1_000;

/// What the headers of one request ask for, read in one pass: most requests have few headers, and none of these. The
/// methods must be given the same headers again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Negotiated {
    coding: Coding,
    condition: Condition,
    request_id: Named,
    sender: Sender,
}

/// The content coding of the response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not encoded: the upstream's bytes.
    Identity,
    /// gzip.
    Gzip,
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
                negotiated.coding = coding(headers);
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

/// The coding with the larger weight; gzip if both weigh the same. A coding that is not listed has the weight of `*`; if
/// there is no `*` either, gzip is not sent, and identity loses against a gzip that is acceptable.
fn coding(headers: &HeaderMap) -> Coding {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let items = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for item in items.flat_map(|value| value.split(',')) {
        let mut parts = item.split(';');
        let coding = parts.next().unwrap_or_default().trim();
        let with_request_id = if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")
        {
            &mut gzip
        } else if coding.eq_ignore_ascii_case("identity") {
            &mut identity
        } else if coding == "*" {
            &mut any
        } else {
            continue;
        };
        *with_request_id = Some(parts.find_map(weight).unwrap_or(MAX_WEIGHT));
    }
    match (gzip.or(any), identity.or(any)) {
        (None | Some(0), _) => Coding::Identity,
        (Some(gzip), Some(identity)) if identity > gzip => Coding::Identity,
        // Identity is acceptable even if it is not listed, but the client prefers what it lists.
        (Some(_), Some(_) | None) => Coding::Gzip,
    }
}

/// The weight in a parameter `q=0.25`, in thousandths; `None` if it is another parameter, or no weight.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole {
        "0" => {
            let digits = fraction.bytes().chain([b'0'; 3]).take(3);
            Some(digits.fold(0, |weight, digit| weight * 10 + u16::from(digit - b'0')))
        }
        "1" if fraction.bytes().all(|digit| digit == b'0') => Some(MAX_WEIGHT),
        _ => None,
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
    fn gzip_is_sent_only_where_it_is_acceptable() {
        for (accept, gzip) in [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip;q=0.5, br", true),
            ("*", true),
            ("x-gzip", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("br, deflate", false),
            ("", false),
            // The larger weight wins, and gzip where they are equal.
            ("gzip;q=0.1, identity", false),
            ("gzip;q=0.1, identity;q=0.2", false),
            ("gzip;q=0.2, identity;q=0.1", true),
            ("gzip;q=0.125, identity;q=0.124", true),
            ("gzip, identity", true),
            ("gzip;q=0.5, identity;Q=0.50", true),
            ("identity, gzip ; q = 1.000", true),
            ("identity;q=0, gzip;q=0.001", true),
            ("identity;q=0.5, *;q=0.1", false),
            ("identity;q=0.5, *", true),
            // The star means every coding that is not listed, identity included.
            ("gzip;q=0.5, *", false),
            ("gzip;q=0.5, *;q=0.1", true),
            ("gzip;q=0.5, *;q=0", true),
            // Nothing is acceptable: RFC 9110 §12.5.3 allows sending identity anyway.
            ("identity;q=0", false),
            ("gzip;q=0, identity;q=0", false),
            // A weight that is not valid counts as absent, that is as 1.
            ("gzip;q=x, identity", true),
            ("gzip;q=, identity;q=0.5", true),
            ("gzip;q=2, identity", true),
            ("gzip;q=0.5;q=0.1, identity;q=0.3", true),
        ] {
            let headers = headers(ACCEPT_ENCODING, accept);
            assert_eq!(Negotiated::of(&headers).coding() == Coding::Gzip, gzip, "{accept}");
        }
        assert_eq!(Negotiated::of(&HeaderMap::new()).coding(), Coding::Identity);
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
