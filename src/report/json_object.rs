//! Reads a JSON object. `serde` alone would also take an array, for the fields in their order.

use serde::Deserialize;

/// The object that `text` is; `None` if it is none or does not fit.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    // The white space of RFC 8259 §2.
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    is_object.then(|| serde_json::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_the_fields_in_their_order_is_no_object() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Pair {
            a: u8,
            b: u8,
        }

        for text in [r#"{"a":1,"b":2}"#, " \t\r\n{\"b\":2,\"a\":1} "] {
            assert_eq!(object(text), Some(Pair { a: 1, b: 2 }));
        }
        for text in ["[1,2]", " [1,2]", "", "{}", "1", "\u{a0}{\"a\":1,\"b\":2}"] {
            assert_eq!(object::<Pair>(text), None, "{text}");
        }
    }
}
