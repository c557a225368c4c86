//! The names of the store's keys: `lrp:{namespace}:…`.

use crate::report::{ActivityId, NoClicks, ReportKey};

/// Tells the fleets apart that share one server. In braces it is the hash tag of all keys, so a cluster keeps them in one
/// slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreNamespace(Box<str>);

/// The text is no namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of the characters a-z, 0-9, - and _")]
pub struct InvalidNamespace;

/// Makes the keys of one namespace.
#[derive(Debug, Clone)]
pub(super) struct StoreKeys {
    prefix: Box<str>,
}

// === impl StoreNamespace ===

impl StoreNamespace {
    const LONGEST: usize = 64;

    /// # Errors
    /// [`InvalidNamespace`], also for braces, which would end the hash tag, and for what an ACL's pattern would read as
    /// a wildcard.
    pub fn parse(text: &str) -> Result<Self, InvalidNamespace> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let valid = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        if valid { Ok(Self(text.into())) } else { Err(InvalidNamespace) }
    }

    /// The namespace itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl StoreKeys ===

impl StoreKeys {
    pub(super) fn new(namespace: &StoreNamespace) -> Self {
        Self { prefix: format!("lrp:{{{}}}:", namespace.as_str()).into() }
    }

    /// What must be lost together or not at all.
    pub(super) fn fleet(&self) -> Vec<u8> {
        self.key("fleet")
    }

    pub(super) fn changes(&self) -> Vec<u8> {
        self.key("changes")
    }

    pub(super) fn members(&self) -> Vec<u8> {
        self.key("members")
    }

    pub(super) fn token(&self) -> Vec<u8> {
        self.key("token")
    }

    pub(super) fn report(&self, key: &ReportKey) -> Vec<u8> {
        self.key(&format!("report:{}", report_key_text(key)))
    }

    pub(super) fn flight(&self, key: &ReportKey) -> Vec<u8> {
        self.key(&format!("flight:{}", report_key_text(key)))
    }

    fn key(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.prefix).into_bytes()
    }
}

/// The id, and 1 if links without clicks are listed.
pub(super) fn report_key_text(key: &ReportKey) -> String {
    let no_clicks = match key.no_clicks {
        NoClicks::Omitted => 0,
        NoClicks::Listed => 1,
    };
    format!("{}:{no_clicks}", key.id)
}

pub(super) fn parse_report_key(text: &[u8]) -> Option<ReportKey> {
    let (id, no_clicks) = text.split_at_checked(ActivityId::TEXT_LEN)?;
    let no_clicks = match no_clicks {
        b":0" => NoClicks::Omitted,
        b":1" => NoClicks::Listed,
        _ => return None,
    };
    Some(ReportKey { id: ActivityId::parse(id).ok()?, no_clicks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::key;

    #[test]
    fn a_namespace_has_nothing_that_ends_the_hash_tag_or_is_a_wildcard() {
        for text in ["", "a{b", "a}b", "a:b", "a*", "a?", "a[b]", "A", "a b", "a\n", "é", &"a".repeat(65)] {
            assert_eq!(StoreNamespace::parse(text), Err(InvalidNamespace), "{text}");
        }
        for text in ["a", "0f3a-b_c", &"a".repeat(64)] {
            assert_eq!(StoreNamespace::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn all_keys_carry_one_hash_tag() {
        let keys = StoreKeys::new(&StoreNamespace::parse("fleet-7").unwrap());
        let (key, other) = (key(1), key(2));
        let all = [
            keys.fleet(),
            keys.changes(),
            keys.members(),
            keys.token(),
            keys.report(&key),
            keys.flight(&key),
            keys.report(&other),
        ];
        for (at, key) in all.iter().enumerate() {
            assert!(key.starts_with(b"lrp:{fleet-7}:"), "{}", key.escape_ascii());
            assert!(!all[..at].contains(key), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_report_s_key_is_read_back_and_nothing_else_is() {
        for no_clicks in [NoClicks::Omitted, NoClicks::Listed] {
            let key = ReportKey { no_clicks, ..key(7) };
            assert_eq!(parse_report_key(report_key_text(&key).as_bytes()), Some(key));
        }
        let text = report_key_text(&key(7));
        for text in ["", "x", &text[..36], &format!("{text}0"), &format!("{}:2", &text[..36])] {
            assert_eq!(parse_report_key(text.as_bytes()), None, "{text}");
        }
    }
}
