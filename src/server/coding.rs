//! The content coding of a response: gzip where the client takes that, by `Accept-Encoding` (RFC 9110 §12.5.3).

use http::{HeaderMap, header::ACCEPT_ENCODING};

/// The weight of a coding that is listed without one: 1, in thousandths (RFC 9110 §12.4.2).
const MAX_WEIGHT: u16 = 1_000;

/// The content coding of the response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not encoded.
    Identity,
    /// gzip.
    Gzip,
}

// === impl Coding ===

impl Coding {
    /// The coding with the larger weight; gzip if both weigh the same. A coding that is not listed has the weight of `*`; if
    /// there is no `*` either, gzip is not sent, and identity loses against a gzip that is acceptable.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut gzip, mut identity, mut any) = (None, None, None);
        let items = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for item in items.flat_map(|value| value.split(',')) {
            let mut parts = item.split(';');
            let coding = parts.next().unwrap_or_default().trim();
            let named = if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                &mut gzip
            } else if coding.eq_ignore_ascii_case("identity") {
                &mut identity
            } else if coding == "*" {
                &mut any
            } else {
                continue;
            };
            *named = Some(parts.find_map(weight).unwrap_or(MAX_WEIGHT));
        }
        match (gzip.or(any), identity.or(any)) {
            (None | Some(0), _) => Self::Identity,
            (Some(gzip), Some(identity)) if identity > gzip => Self::Identity,
            // Identity is acceptable even if it is not listed, but the client prefers what it lists.
            (Some(_), Some(_) | None) => Self::Gzip,
        }
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

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
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())]);
            assert_eq!(Coding::of(&headers) == Coding::Gzip, gzip, "{accept}");
        }
        assert_eq!(Coding::of(&HeaderMap::new()), Coding::Identity);
    }
}
