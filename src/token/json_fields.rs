//! Reads a JSON object field by field, so that one invalid field does not hide the others. serde's derive rejects the
//! whole object for a duplicate key or a field of the wrong type.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The fields in their order. Without `Debug`: they contain secrets.
pub(super) struct JsonFields {
    fields: Vec<(String, Value)>,
    whole: Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    /// Cut off, or invalid JSON from some point on.
    No,
}

/// Keeps what was read before an error.
struct Collect<'a>(&'a mut Vec<(String, Value)>);

// === impl JsonFields ===

impl JsonFields {
    /// Reads as far as the body is valid. Returns no error, so that no part of the body gets into one.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut fields = Vec::new();
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = Collect(&mut fields).deserialize(&mut json).and_then(|()| json.end());
        Self { fields, whole: if read.is_ok() { Whole::Yes } else { Whole::No } }
    }

    /// Whether it was one JSON object, from its first byte to its last.
    pub(super) fn is_whole(&self) -> bool {
        self.whole == Whole::Yes
    }

    /// The values of a field; if it occurs twice, the last one first, as most parsers take that one.
    pub(super) fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a Value> {
        self.fields.iter().rev().filter(move |(key, _)| key == name).map(|(_, value)| value)
    }

    /// Those of its values that are strings, in the same order.
    pub(super) fn strings<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.values(name).filter_map(Value::as_str)
    }
}

// === impl Collect ===

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(field) = map.next_entry()? {
            self.0.push(field);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubled_or_odd_field_spoils_no_other_and_what_came_before_an_error_counts() {
        let fields = JsonFields::read(br#" {"a":"one","b":true,"a":2,"a":"three","c":[{}]} "#);
        assert!(fields.is_whole());
        assert_eq!(fields.values("a").count(), 3);
        assert_eq!(fields.strings("a").collect::<Vec<_>>(), ["three", "one"]);
        assert_eq!((fields.strings("b").next(), fields.values("b").next()), (None, Some(&Value::Bool(true))));
        for broken in [r#"{"a":"one","b":,"c":1}"#, r#"{"a":"one","b":"tw"#, r#"{"a":"one"} and more"#] {
            let fields = JsonFields::read(broken.as_bytes());
            assert_eq!((fields.is_whole(), fields.strings("a").next()), (false, Some("one")), "{broken}");
        }
        for other in ["", "[]", "null", r#"["a"]"#, "<html>"] {
            let fields = JsonFields::read(other.as_bytes());
            assert!(!fields.is_whole() && fields.values("a").next().is_none(), "{other}");
        }
    }
}
