//! Counts the links of a report and sums up their clicks while the JSON is parsed, without building the array.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The largest `unique_clicks` of a link: the vendor's type is int32. A larger number counts as this.
const MAX_CLICKS_OF_A_LINK: u32 = i32::MAX as u32;

/// The number of links in an array, and the sum of their `unique_clicks`; both saturate at `u32::MAX`.
///
/// No field of a link is required, so a link without a number of clicks, or an element that is not an object, counts as
/// 0 clicks and is not an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LinkTotals {
    pub(super) links: u32,
    pub(super) clicks: u32,
}

/// Reads the number of clicks from any JSON value.
#[derive(Debug, Clone, Copy)]
enum Clicks {
    /// The value is a link: reads its `unique_clicks`.
    OfLink,
    /// The value is the number of clicks itself.
    Number,
}

/// Is a field's name `unique_clicks`?
struct IsUniqueClicks(bool);

// === impl LinkTotals ===

impl<'de> Deserialize<'de> for LinkTotals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Links;

        impl<'de> Visitor<'de> for Links {
            type Value = LinkTotals;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LinkTotals, A::Error> {
                let mut totals = LinkTotals::default();
                while let Some(clicks) = seq.next_element_seed(Clicks::OfLink)? {
                    totals.links = totals.links.saturating_add(1);
                    totals.clicks = totals.clicks.saturating_add(clicks);
                }
                Ok(totals)
            }
        }

        deserializer.deserialize_seq(Links)
    }
}

// === impl Clicks ===

impl Clicks {
    fn capped(self, number: u64) -> u32 {
        match self {
            Self::Number => u32::try_from(number).unwrap_or(u32::MAX).min(MAX_CLICKS_OF_A_LINK),
            Self::OfLink => 0,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Clicks {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Clicks {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
        let mut clicks = 0;
        while let Some(IsUniqueClicks(is_clicks)) = map.next_key()? {
            match (self, is_clicks) {
                (Self::OfLink, true) => clicks = map.next_value_seed(Self::Number)?,
                (Self::OfLink, false) | (Self::Number, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(clicks)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u32, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(0)
    }

    fn visit_u64<E>(self, number: u64) -> Result<u32, E> {
        Ok(self.capped(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<u32, E> {
        // The cast drops the fraction, and turns a negative number into 0.
        Ok(self.capped(number as u64))
    }

    fn visit_i64<E>(self, _negative: i64) -> Result<u32, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<u32, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<u32, E> {
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<u32, E> {
        Ok(0)
    }
}

// === impl IsUniqueClicks ===

impl<'de> Deserialize<'de> for IsUniqueClicks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = IsUniqueClicks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<IsUniqueClicks, E> {
                Ok(IsUniqueClicks(name == b"unique_clicks"))
            }
        }

        // As bytes, since a string would fail for an unpaired surrogate in the name of a field that is skipped anyway.
        deserializer.deserialize_bytes(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(links: &str) -> (u32, u32) {
        let LinkTotals { links, clicks } = serde_json::from_str(links).unwrap();
        (links, clicks)
    }

    #[test]
    fn the_clicks_of_all_links_are_summed_up_at_any_position_in_a_link() {
        assert_eq!(totals("[]"), (0, 0));
        assert_eq!(
            totals(
                r#"[{"unique_clicks":3,"url_id":"1"},{"link_url":"x","unique_clicks" : 40}, {"unique_clicks":0}]"#
            ),
            (3, 43)
        );
        assert_eq!(totals(r#"[{"unique_\u0063licks":7}]"#), (1, 7), "the same name, written with an escape");
    }

    #[test]
    fn anything_but_a_number_counts_as_0_clicks_and_is_not_an_error() {
        for link in [
            "{}",
            "7",
            "-7",
            "7.5",
            "null",
            "true",
            r#""7""#,
            "[7]",
            r#"{"clicks":7}"#,
            r#"{"unique_clicks":-7}"#,
            r#"{"unique_clicks":"7"}"#,
            r#"{"unique_clicks":null}"#,
            r#"{"unique_clicks":[7]}"#,
            r#"{"unique_clicks":{"unique_clicks":7}}"#,
            r#"{"more":{"unique_clicks":7}}"#,
            r#"{"\ud83d":1e999}"#,
        ] {
            assert_eq!(totals(&format!(r#"[{link},{{"unique_clicks":1}}]"#)), (2, 1), "{link}");
        }
    }

    #[test]
    fn neither_a_link_nor_the_sum_exceeds_its_cap() {
        let max = MAX_CLICKS_OF_A_LINK;
        for (number, clicks) in
            [("2147483647", max), ("2147483648", max), ("99999999999", max), ("1e30", max), ("12.0", 12)]
        {
            assert_eq!(totals(&format!(r#"[{{"unique_clicks":{number}}}]"#)), (1, clicks), "{number}");
        }
        let links = [r#"{"unique_clicks":2147483647}"#; 3].join(",");
        assert_eq!(totals(&format!("[{links}]")), (3, u32::MAX));
    }
}
