//! What a request wants of the representation: encoding and validators (RFC 9110 §12.5.3, §13.1.2). And how it wants to
//! be called.

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, IF_NONE_MATCH, PRAGMA},
};

use super::{RequestId, request_id::X_REQUEST_ID};

/// What one request wants, read in one pass: most requests have few headers, and none of these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants<'a> {
    headers: &'a HeaderMap,
    coding: Coding,
    condition: Condition,
    named: Named,
}

/// How the body may be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// By gzip.
    Gzip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    NoneMatch,
}

/// Does it bring a name along?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    No,
    Perhaps,
}

// === impl Wants ===

impl<'a> Wants<'a> {
    /// Reads what is wanted.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut wants =
            Self { headers, coding: Coding::Identity, condition: Condition::Absent, named: Named::No };
        for name in headers.keys() {
            if *name == ACCEPT_ENCODING {
                wants.coding = coding(headers);
            } else if *name == IF_NONE_MATCH {
                wants.condition = Condition::NoneMatch;
            } else if *name == X_REQUEST_ID {
                wants.named = Named::Perhaps;
            }
        }
        wants
    }

    /// How the body may be encoded; compressed where that is as welcome.
    pub(super) const fn coding(&self) -> Coding {
        self.coding
    }

    /// The caller's name for the request, if it sent a sane one.
    pub(super) fn id(&self) -> Option<RequestId> {
        match self.named {
            Named::No => None,
            Named::Perhaps => RequestId::of(self.headers),
        }
    }

    /// Does a held validator of the caller's match `etag`? Weakly, as the RFC wants it for `If-None-Match`.
    pub(super) fn has(&self, etag: &[u8]) -> bool {
        match self.condition {
            Condition::Absent => false,
            Condition::NoneMatch => self.headers.get_all(IF_NONE_MATCH).iter().any(|value| {
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

fn coding(headers: &HeaderMap) -> Coding {
    let mut gzip = None;
    let mut any = None;
    let items = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for item in items.flat_map(|value| value.split(',')) {
        let mut parts = item.split(';');
        let coding = parts.next().unwrap_or_default().trim();
        let accepted = if parts.any(is_zero_weight) { Coding::Identity } else { Coding::Gzip };
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(accepted);
        } else if coding == "*" {
            any = Some(accepted);
        }
    }
    gzip.or(any).unwrap_or(Coding::Identity)
}

/// Does the caller ask for an answer that is not from memory?
pub(super) fn asks_for_no_cache(headers: &HeaderMap) -> bool {
    let says = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|directive| {
            let directive = directive.trim_ascii();
            directive.eq_ignore_ascii_case(b"no-cache") || directive.eq_ignore_ascii_case(b"max-age=0")
        })
    };
    headers.get_all(CACHE_CONTROL).iter().any(says) || headers.get_all(PRAGMA).iter().any(says)
}

/// `q=0`, `q=0.`, `q=0.000`: not acceptable.
fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.trim();
    name.trim().eq_ignore_ascii_case("q")
        && value.starts_with('0')
        && value.bytes().all(|b| matches!(b, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_sent_only_to_those_who_take_it() {
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
        ] {
            let headers = headers(ACCEPT_ENCODING, accept);
            assert_eq!(Wants::of(&headers).coding() == Coding::Gzip, gzip, "{accept}");
        }
        assert_eq!(Wants::of(&HeaderMap::new()).coding(), Coding::Identity);
    }

    #[test]
    fn a_validator_matches_alone_in_a_list_weakly_or_as_a_star() {
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
            assert_eq!(Wants::of(&headers).has(b"\"a\""), matches, "{tags}");
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
