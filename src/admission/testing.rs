//! What this room's tests ask and answer.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Opening, Quota, QuotaLimits, WallClock};
use crate::{
    report::{
        ActivityId, Answer, Call, Exchange, FetchError, Fetched, NoClicks, Reason, Refusal, RefusalStatus,
        ReportKey,
    },
    state::{LedgerRecord, Memory},
    telemetry::Metrics,
};

/// A call that a caller waits for.
pub(super) fn call() -> Call {
    let id = ActivityId::parse(b"8892baf9-970a-4de6-8400-fa4ec461986d").unwrap();
    Call { key: ReportKey { id, no_clicks: NoClicks::Omitted }, reason: Reason::Miss }
}

/// An answer of an upstream that works.
pub(super) fn good() -> Fetched {
    let answer = Answer::Refusal(Refusal::parse(RefusalStatus::NotFound, b""));
    Fetched { answer, age: Duration::ZERO, exchange: Exchange::default() }
}

/// A mock's error, back in the type it was sent as.
pub(super) fn as_sent(error: tower::BoxError) -> FetchError {
    *error.downcast().unwrap()
}

/// A quota at midnight, of a day of which so many calls are gone.
pub(super) fn quota(per_day: u32, used: u32) -> Quota {
    let limits = QuotaLimits {
        per_second: NonZeroU32::new(4),
        per_day: NonZeroU32::new(per_day),
        reserve: 0.1,
        max_wait: Duration::from_secs(5),
    };
    let opening = Opening::Stored {
        store: Arc::new(Memory::default()),
        record: Some(LedgerRecord { day: 0, spent: used }),
    };
    Quota::new(limits, opening, WallClock::starting_at(SystemTime::UNIX_EPOCH), Metrics::new().quota)
}
