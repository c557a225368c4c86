//! An answer as the shared store keeps it: the upstream's body as it is, or a negative answer as JSON. And the words for
//! failures that other replicas are told of.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    report::{
        ActivityId, Answer, Cause, FetchError, InvalidReport, LinkReport, NegativeAnswer, NegativeStatus,
        Unreachable, UpstreamFailure,
    },
    shared::ReportKind,
};

/// The longest text of a negative answer that is taken from the store, in bytes.
const MAX_NEGATIVE: usize = 4_096;

/// The stored form of a negative answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNegative<'a> {
    status: u16,
    error_key: std::borrow::Cow<'a, str>,
    error_message: std::borrow::Cow<'a, str>,
}

/// The kind and the body under which the store keeps an answer.
pub(super) fn to_stored(answer: &Answer) -> (ReportKind, Bytes) {
    match answer {
        Answer::Report(report) => {
            (ReportKind::Report, Bytes::copy_from_slice(report.representation().body()))
        }
        Answer::Negative(NegativeAnswer { status, error_key, error_message }) => {
            let stored = StoredNegative {
                status: status.code(),
                error_key: (&**error_key).into(),
                error_message: (&**error_message).into(),
            };
            (ReportKind::Negative, serde_json::to_vec(&stored).unwrap_or_default().into())
        }
    }
}

/// Checks what the store holds as if the upstream had sent it.
///
/// # Errors
/// [`InvalidReport`]: it is not an answer for this activity.
pub(super) fn from_stored(id: ActivityId, kind: ReportKind, body: &Bytes) -> Result<Answer, InvalidReport> {
    match kind {
        ReportKind::Report => Ok(Answer::Report(LinkReport::parse(id, body)?)),
        ReportKind::Negative if body.len() > MAX_NEGATIVE => {
            Err(InvalidReport::TooLarge { limit: MAX_NEGATIVE as u64 })
        }
        ReportKind::Negative => {
            let stored: StoredNegative<'_> =
                serde_json::from_slice(body).map_err(|_| InvalidReport::Malformed)?;
            let status = match stored.status {
                400 => NegativeStatus::BadRequest,
                404 => NegativeStatus::NotFound,
                _ => return Err(InvalidReport::Malformed),
            };
            Ok(Answer::Negative(NegativeAnswer {
                status,
                error_key: stored.error_key.into(),
                error_message: stored.error_message.into(),
            }))
        }
    }
}

/// The word for a failure that holds for every replica; `None` for one that is this replica's own affair.
pub(super) fn failure_word(error: &FetchError) -> Option<Box<str>> {
    match &error.cause {
        Cause::Upstream(failure) => match failure {
            UpstreamFailure::Forbidden => Some("forbidden".into()),
            UpstreamFailure::Status { status } => Some(status.to_string().into()),
            UpstreamFailure::Unreachable(_) => Some("unreachable".into()),
            UpstreamFailure::Invalid(_) => Some("invalid".into()),
            UpstreamFailure::Timeout => Some("timeout".into()),
            // The token and the limits have their own ways to the other replicas.
            UpstreamFailure::Unauthorized | UpstreamFailure::TooManyRequests { .. } => None,
        },
        Cause::Local(_) | Cause::Internal => None,
    }
}

/// The failure that another replica has told of; an unknown word is a bad gateway.
pub(super) fn failure_of(word: &str) -> UpstreamFailure {
    match word {
        "forbidden" => UpstreamFailure::Forbidden,
        "unreachable" => UpstreamFailure::Unreachable(Unreachable::Connect),
        "invalid" => UpstreamFailure::Invalid(InvalidReport::Malformed),
        "timeout" => UpstreamFailure::Timeout,
        status => UpstreamFailure::Status { status: status.parse().unwrap_or(502) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{key, report};

    /// The activity of `report`.
    fn id() -> ActivityId {
        ActivityId::parse(b"8892baf9-970a-4de6-8400-fa4ec461986d").unwrap()
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let negative =
            |status| Answer::Negative(NegativeAnswer::parse(status, "{\"error_key\":\"é\"}".as_bytes()));
        for answer in
            [report("{},{}"), negative(NegativeStatus::NotFound), negative(NegativeStatus::BadRequest)]
        {
            let (kind, body) = to_stored(&answer);
            assert_eq!(from_stored(id(), kind, &body), Ok(answer));
        }
    }

    #[test]
    fn what_anybody_may_have_written_into_the_store_is_checked() {
        let (kind, body) = to_stored(&report("{}"));
        assert_eq!(from_stored(key(1).id, kind, &body), Err(InvalidReport::OtherActivity));
        for (kind, body) in [
            (ReportKind::Report, &b"[]"[..]),
            (ReportKind::Report, b""),
            (ReportKind::Negative, b"{}"),
            (ReportKind::Negative, br#"{"status":200,"error_key":"a","error_message":"b"}"#),
            (ReportKind::Negative, br#"{"status":404,"error_key":"a","error_message":"b","more":1}"#),
        ] {
            assert!(from_stored(id(), kind, &Bytes::copy_from_slice(body)).is_err());
        }
        let padded = |length| {
            let body = br#"{"status":404,"error_key":"a","error_message":"b"}"#;
            let body: Vec<u8> = body.iter().copied().chain(std::iter::repeat(b' ')).take(length).collect();
            from_stored(id(), ReportKind::Negative, &body.into())
        };
        assert!(padded(4_096).is_ok());
        assert_eq!(padded(4_097), Err(InvalidReport::TooLarge { limit: 4_096 }));
    }

    #[test]
    fn other_replicas_are_told_of_the_upstream_s_failures_only() {
        for failure in [
            UpstreamFailure::Forbidden,
            UpstreamFailure::Status { status: 503 },
            UpstreamFailure::Unreachable(Unreachable::Connect),
            UpstreamFailure::Invalid(InvalidReport::Malformed),
            UpstreamFailure::Timeout,
        ] {
            let word = failure_word(&failure.clone().into()).expect("a word");
            assert_eq!(failure_of(&word), failure);
        }
        assert_eq!(failure_word(&UpstreamFailure::Unauthorized.into()), None);
        assert_eq!(failure_of("nonsense"), UpstreamFailure::Status { status: 502 });
    }
}
