//! A call and an answer, for the tests of the layers between the two.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    ActivityId, Answer, Call, Exchange, Fetched, NegativeAnswer, NegativeStatus, NoClicks, Reason, ReportKey,
};

/// One of many keys.
pub(crate) fn key(number: u128) -> ReportKey {
    ReportKey { id: ActivityId::from(uuid::Uuid::from_u128(number)), no_clicks: NoClicks::Omitted }
}

/// A call that a caller waits for.
pub(crate) fn call() -> Call {
    call_for(1)
}

/// The same, for one of many keys.
pub(crate) fn call_for(number: u128) -> Call {
    Call { key: key(number), reason: Reason::Miss }
}

/// An answer of an upstream that works.
pub(crate) fn good() -> Fetched {
    let answer = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
    Fetched { answer, answered_at: Instant::now(), age: Duration::ZERO, exchange: Exchange::default() }
}
