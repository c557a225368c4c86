//! The names of the store's keys: `lrp:{namespace}:…`. The braces make the namespace the hash tag of all of them, so a
//! cluster keeps them in one slot.

use crate::{
    report::{ActivityId, NoClicks, ReportKey},
    settings::StoreNamespace,
};

/// Makes the keys of one namespace.
#[derive(Debug, Clone)]
pub(super) struct StoreKeys {
    prefix: Box<str>,
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
        self.key("replicas")
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
    fn all_keys_carry_one_hash_tag() {
        let keys = StoreKeys::new(&StoreNamespace::fixed("fleet-7"));
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
