//! What this room's tests ask and answer.

use crate::report::{
    ActivityId, Answer, Call, Exchange, FetchError, Fetched, NoClicks, Reason, Refusal, RefusalStatus,
    ReportKey,
};

/// A call that a caller waits for.
pub(super) fn call() -> Call {
    let id = ActivityId::parse(b"8892baf9-970a-4de6-8400-fa4ec461986d").unwrap();
    Call { key: ReportKey { id, no_clicks: NoClicks::Omitted }, reason: Reason::Miss }
}

/// An answer of an upstream that works.
pub(super) fn good() -> Fetched {
    let answer = Answer::Refusal(Refusal::parse(RefusalStatus::NotFound, b""));
    Fetched { answer, exchange: Exchange::default() }
}

/// A mock's error, back in the type it was sent as.
pub(super) fn as_sent(error: tower::BoxError) -> FetchError {
    *error.downcast().unwrap()
}
