//! What a request wants of the representation: encoding and validators (RFC 9110 §12.5.3, §13.1.2).

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, IF_NONE_MATCH, PRAGMA},
};

/// May the answer be gzip-encoded?
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut gzip = None;
    let mut any = None;
    for item in headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
    {
        let mut parts = item.split(';');
        let coding = parts.next().unwrap_or_default().trim();
        let accepted = !parts.any(is_zero_weight);
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(accepted);
        } else if coding == "*" {
            any = Some(accepted);
        }
    }
    gzip.or(any).unwrap_or(false)
}

/// Does a held validator of the caller's match `etag`? Weakly, as the RFC wants it for this header.
pub(super) fn none_match_fails(headers: &HeaderMap, etag: &[u8]) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let list = value.as_bytes();
        list.trim_ascii() == b"*"
            || list.split(|byte| *byte == b',').any(|tag| {
                let tag = tag.trim_ascii();
                tag.strip_prefix(b"W/").unwrap_or(tag) == etag
            })
    })
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
            assert_eq!(accepts_gzip(&headers(ACCEPT_ENCODING, accept)), gzip, "{accept}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
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
            assert_eq!(none_match_fails(&headers(IF_NONE_MATCH, tags), b"\"a\""), matches, "{tags}");
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
