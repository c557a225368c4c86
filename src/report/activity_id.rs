//! The id of a campaign activity: a UUID, accepted only in the 36-character hyphenated form.

use std::fmt;

use uuid::Uuid;

/// A parsed id of a campaign activity. Displayed in lower case with hyphens, as in the upstream request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivityId(Uuid);

/// The text is not a 36-character hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a 36-character hyphenated UUID")]
pub struct InvalidActivityId;

// === impl ActivityId ===

impl ActivityId {
    /// The length of the accepted form, in bytes.
    pub const TEXT_LEN: usize = 36;

    /// Parses the hyphenated form, in upper or lower case.
    ///
    /// # Errors
    /// [`InvalidActivityId`] for anything else, also for other forms of a UUID: in braces, with `urn:uuid:`, or 32
    /// digits without hyphens.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidActivityId> {
        // Of the forms that the UUID parser accepts, only the hyphenated one is 36 bytes long.
        if text.len() != Self::TEXT_LEN {
            return Err(InvalidActivityId);
        }
        Uuid::try_parse_ascii(text).map(Self).map_err(|_| InvalidActivityId)
    }
}

impl From<Uuid> for ActivityId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for ActivityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_LEN];
        f.write_str(self.0.hyphenated().encode_lower(&mut text))
    }
}

impl fmt::Debug for ActivityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ActivityId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    #[test]
    fn any_case_is_one_id() {
        let lower = ActivityId::parse(ID.as_bytes()).unwrap();
        assert_eq!(ActivityId::parse(ID.to_uppercase().as_bytes()), Ok(lower));
        assert_eq!([lower.to_string(), format!("{lower:?}")], [ID, ID]);
    }

    #[test]
    fn every_other_form_is_an_error() {
        for text in [
            "",
            "8892baf9970a4de68400fa4ec461986d",
            "{8892baf9-970a-4de6-8400-fa4ec461986d}",
            "urn:uuid:8892baf9-970a-4de6-8400-fa4ec461986d",
            "8892baf9-970a-4de6-8400-fa4ec461986",
            "8892baf9-970a-4de6-8400-fa4ec461986d ",
            "8892baf9-970a-4de6-8400-fa4ec461986g",
            "8892baf9+970a-4de6-8400-fa4ec461986d",
            "8892baf-9970a-4de6-8400-fa4ec461986d",
            "8892baf9-970a4-de6-8400-fa4ec461986d",
            "８892baf9-970a-4de6-8400-fa4ec461986",
        ] {
            assert_eq!(ActivityId::parse(text.as_bytes()), Err(InvalidActivityId), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_displayed_form_parses_to_the_same_id(bytes: [u8; 16]) {
            let id = ActivityId::from(Uuid::from_bytes(bytes));
            proptest::prop_assert_eq!(ActivityId::parse(id.to_string().as_bytes()), Ok(id));
        }

        #[test]
        fn the_displayed_form_is_the_parsed_text_in_lower_case(text: [u8; 36]) {
            if let Ok(id) = ActivityId::parse(&text) {
                proptest::prop_assert_eq!(id.to_string().into_bytes(), text.to_ascii_lowercase());
            }
        }
    }
}
