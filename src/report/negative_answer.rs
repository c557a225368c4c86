//! A negative answer: the upstream's 400 or 404.

use serde_json::Value;

/// The longest text of the upstream that is passed on, in characters.
const MAX_WORDS: usize = 300;

/// The upstream answered that there is no such report. It is cached: asking again at once would only spend the quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegativeAnswer {
    /// The caller gets the same one.
    pub status: NegativeStatus,
    /// The upstream's `error_key`, or ours for this status.
    pub error_key: Box<str>,
    /// The upstream's `error_message`, or ours for this status.
    pub error_message: Box<str>,
}

/// The statuses of the upstream that are cached as negative answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NegativeStatus {
    /// 400
    BadRequest,
    /// 404
    NotFound,
}

/// What an error body of the upstream says, in any of its three shapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ErrorWords {
    key: Option<Box<str>>,
    message: Option<Box<str>>,
}

// === impl NegativeAnswer ===

impl NegativeAnswer {
    /// Reads `error_key` and `error_message` from the body. A body in none of the vendor's three shapes is no error:
    /// then both are ours.
    pub fn parse(status: NegativeStatus, body: &[u8]) -> Self {
        let ErrorWords { key, message } = ErrorWords::parse(body);
        Self {
            status,
            error_key: key.unwrap_or_else(|| status.error_key().into()),
            error_message: message.unwrap_or_else(|| status.error_message().into()),
        }
    }

    /// The `error_key` of any error body of the upstream, if it has one: it distinguishes the vendor's two 429s.
    pub fn error_key_of(body: &[u8]) -> Option<Box<str>> {
        ErrorWords::parse(body).key
    }
}

// === impl NegativeStatus ===

impl NegativeStatus {
    /// The HTTP status code.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
        }
    }

    /// Our `error_key` for this status.
    pub const fn error_key(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
        }
    }

    const fn error_message(self) -> &'static str {
        match self {
            Self::BadRequest => "Constant Contact refuses this request.",
            Self::NotFound => {
                "Constant Contact knows no such campaign activity. Is this the id of the campaign instead?"
            }
        }
    }
}

// === impl ErrorWords ===

impl ErrorWords {
    /// Of `{"error_key","error_message"}`, of the first of an array of these, or of the gateway's `{"message"}`. Field by
    /// field: an invalid one must not hide the `error_key` that says that the daily quota is spent.
    fn parse(body: &[u8]) -> Self {
        let parsed = serde_json::from_slice(body).unwrap_or(Value::Null);
        let object = match &parsed {
            Value::Array(objects) => objects.first().unwrap_or(&Value::Null),
            one => one,
        };
        let words = |name| object.get(name).and_then(Value::as_str).and_then(sane);
        Self { key: words("error_key"), message: words("error_message").or_else(|| words("message")) }
    }
}

/// Text that may be passed on: printable, not blank and at most `MAX_WORDS` long. Any other is dropped whole, since half
/// a sentence misleads.
fn sane(words: &str) -> Option<Box<str>> {
    let length = words.chars().count();
    let printable = words.chars().all(|char| !char.is_control());
    ((1..=MAX_WORDS).contains(&length) && printable && !words.trim().is_empty()).then(|| words.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: &str) -> (String, String) {
        let negative_answer = NegativeAnswer::parse(NegativeStatus::NotFound, body.as_bytes());
        (negative_answer.error_key.into(), negative_answer.error_message.into())
    }

    #[test]
    fn each_status_has_words_of_ours() {
        for (status, code, key, about) in [
            (NegativeStatus::BadRequest, 400, "bad_request", "refuses this request"),
            (NegativeStatus::NotFound, 404, "not_found", "knows no such campaign activity"),
        ] {
            let answer = NegativeAnswer::parse(status, b"");
            assert_eq!((answer.status.code(), &*answer.error_key), (code, key));
            assert!(answer.error_message.contains(about), "{}", answer.error_message);
        }
    }

    #[test]
    fn all_three_error_shapes_of_the_vendor_are_read() {
        let ours = NegativeStatus::NotFound;
        for (body, key, message) in [
            (r#"{"error_key":"a.b","error_message":"No."}"#, "a.b", "No."),
            (
                r#"[{"error_key":"a.b","error_message":"No."},{"error_key":"c","error_message":"d"}]"#,
                "a.b",
                "No.",
            ),
            (r#"{"message":"Forbidden"}"#, ours.error_key(), "Forbidden"),
            ("[]", ours.error_key(), ours.error_message()),
            ("{}", ours.error_key(), ours.error_message()),
            ("<html>", ours.error_key(), ours.error_message()),
            ("", ours.error_key(), ours.error_message()),
            (r#"{"error_key":"","error_message":"  "}"#, ours.error_key(), ours.error_message()),
            (r#"{"error_key":"a\nb","error_message":"c\u0007"}"#, ours.error_key(), ours.error_message()),
        ] {
            assert_eq!(words(body), (key.to_owned(), message.to_owned()), "{body}");
        }
    }

    #[test]
    fn what_is_odd_in_a_body_hides_nothing_else() {
        let ours = NegativeStatus::NotFound;
        for (body, key, message) in [
            (r#"{"error_key":"a.b","message":"Gateway.","error_message":"No."}"#, "a.b", "No."),
            (r#"{"error_key":"a.b","message":"Gateway.","error_message":""}"#, "a.b", "Gateway."),
            (r#"{"error_key":"a.b","error_message":5}"#, "a.b", ours.error_message()),
            (r#"{"error_key":null,"message":["x"]}"#, ours.error_key(), ours.error_message()),
            (r#"{"error_key":"c","error_key":"a.b"}"#, "a.b", ours.error_message()),
            (r#"[{"error_key":"a.b","error_message":"No."},null]"#, "a.b", "No."),
        ] {
            assert_eq!(words(body), (key.to_owned(), message.to_owned()), "{body}");
        }
        let both =
            br#"{"error_key":"quota_exceeded","error_message":"Spent.","message":"Too Many Requests"}"#;
        assert_eq!(NegativeAnswer::error_key_of(both).as_deref(), Some("quota_exceeded"));
    }

    #[test]
    fn words_longer_than_a_message_are_dropped_whole() {
        let (_, kept) = words(&format!(r#"{{"error_message":"{}"}}"#, "é".repeat(MAX_WORDS)));
        assert_eq!(kept.chars().count(), MAX_WORDS);
        let (_, ours) = words(&format!(r#"{{"error_message":"{}"}}"#, "x".repeat(MAX_WORDS + 1)));
        assert_eq!(ours, NegativeStatus::NotFound.error_message());
    }
}
