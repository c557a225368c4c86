//! The links of a report as rows of a table, whatever the upstream has put into their fields.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Serialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json_object::object;

/// The largest `unique_clicks` of a link: the vendor's type is int32.
const MAX_CLICKS: u32 = i32::MAX as u32;

/// What a link says of itself. No field is required of a link, and none has to be of the type that is documented: a text is
/// that of any value, and a number of clicks that is none is left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct LinkRow<'a> {
    pub(super) link_url: Option<Cow<'a, str>>,
    pub(super) url_id: Option<Cow<'a, str>>,
    pub(super) unique_clicks: Option<u32>,
    pub(super) list_action: Option<Cow<'a, str>>,
    pub(super) list_id: Option<Cow<'a, str>>,
}

/// A field of a link.
enum LinkField {
    LinkUrl,
    UrlId,
    UniqueClicks,
    ListAction,
    ListId,
    Other,
}

/// A JSON string. An unpaired surrogate, which UTF-8 cannot have, becomes U+FFFD.
struct DecodedText<'a>(Cow<'a, str>);

#[derive(Deserialize)]
struct LinksOnly<'a> {
    #[serde(borrow)]
    link_click_counts: Vec<&'a RawValue>,
}

/// The rows of a report's body, in its order; `None` if it is not a report.
pub(super) fn link_rows(body: &[u8]) -> Option<impl Iterator<Item = LinkRow<'_>>> {
    let LinksOnly { link_click_counts } = object(std::str::from_utf8(body).ok()?)?;
    Some(link_click_counts.into_iter().map(LinkRow::of))
}

// === impl LinkRow ===

impl<'a> LinkRow<'a> {
    /// An element that is not an object is a row without a cell: there are as many rows as the upstream has counted.
    fn of(element: &'a RawValue) -> Self {
        object(element.get()).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for LinkRow<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = LinkRow<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LinkRow<'de>, A::Error> {
                let mut row = LinkRow::default();
                while let Some(field) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    match field {
                        LinkField::LinkUrl => row.link_url = text(value),
                        LinkField::UrlId => row.url_id = text(value),
                        LinkField::UniqueClicks => row.unique_clicks = clicks(value),
                        LinkField::ListAction => row.list_action = text(value),
                        LinkField::ListId => row.list_id = text(value),
                        LinkField::Other => {}
                    }
                }
                Ok(row)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The text of any value: a string's own, the JSON of another; `None` for null.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get() {
        "null" => None,
        string if string.starts_with('"') => serde_json::from_str(string).ok().map(|DecodedText(text)| text),
        other => Some(Cow::Borrowed(other)),
    }
}

/// A whole number of clicks, also where it is written `12.0`.
fn clicks(value: &RawValue) -> Option<u32> {
    let number: f64 = value.get().parse().ok()?;
    // The range is that of the vendor's type, where the cast changes nothing.
    ((0.0..=f64::from(MAX_CLICKS)).contains(&number) && number.fract() == 0.0).then_some(number as u32)
}

// === impl LinkField ===

impl<'de> Deserialize<'de> for LinkField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = LinkField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<LinkField, E> {
                Ok(match name {
                    b"link_url" => LinkField::LinkUrl,
                    b"url_id" => LinkField::UrlId,
                    b"unique_clicks" => LinkField::UniqueClicks,
                    b"list_action" => LinkField::ListAction,
                    b"list_id" => LinkField::ListId,
                    _ => LinkField::Other,
                })
            }
        }

        // As bytes, since a string would fail for an unpaired surrogate in the name of a field that is skipped anyway.
        deserializer.deserialize_bytes(Name)
    }
}

// === impl DecodedText ===

impl<'de> Deserialize<'de> for DecodedText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = DecodedText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<DecodedText<'de>, E> {
                Ok(DecodedText(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<DecodedText<'de>, E> {
                Ok(DecodedText(String::from_utf8_lossy(bytes).into_owned().into()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(link: &str) -> (Option<String>, Option<u32>) {
        let body = format!(r#"{{"a":"\ud83d","link_click_counts":[{link}]}}"#);
        let rows: Vec<_> = link_rows(body.as_bytes()).unwrap().collect();
        assert_eq!(rows.len(), 1, "{link}");
        (rows[0].link_url.as_deref().map(str::to_owned), rows[0].unique_clicks)
    }

    #[test]
    fn each_element_of_the_list_is_a_row_whatever_it_is() {
        for (link, url, clicks) in [
            (r#"{"link_url":"u","unique_clicks":3}"#, Some("u"), Some(3)),
            (r#"{"link_url":"\u00e9\"","unique_clicks":2147483647}"#, Some("é\""), Some(i32::MAX as u32)),
            (r#"{"link_url":7,"unique_clicks":12.0}"#, Some("7"), Some(12)),
            (r#"{"link_url":[1, 2],"unique_clicks":2147483648}"#, Some("[1, 2]"), None),
            (r#"{"link_url":true,"unique_clicks":-1}"#, Some("true"), None),
            (r#"{"link_url":null,"unique_clicks":null}"#, None, None),
            (r#"{"link_url":"a","link_url":"b","unique_clicks":"3"}"#, Some("b"), None),
            (r#"{"link_url":"a\ud83db","unique_clicks":1.5}"#, Some("a\u{fffd}\u{fffd}\u{fffd}b"), None),
            (r#"{"\ud83d":1,"link_url":"a","unique_clicks":1e999}"#, Some("a"), None),
            (r#"{"link_\u0075rl":"a"}"#, Some("a"), None),
            ("{}", None, None),
            ("7", None, None),
            ("null", None, None),
            (r#"["u",3]"#, None, None),
        ] {
            assert_eq!(only(link), (url.map(str::to_owned), clicks), "{link}");
        }
    }

    #[test]
    fn a_deep_nest_is_a_text_and_does_not_overflow_the_stack() {
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(only(&format!(r#"{{"link_url":{deep}}}"#)), (Some(deep), None));
    }
}
