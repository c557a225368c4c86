//! What this room's tests ask and answer.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Opening, Quota, QuotaLimits, WallClock};
use crate::{
    report::{
        ActivityId, Answer, Call, Exchange, Fetched, NoClicks, Reason, Refusal, RefusalStatus, ReportKey,
    },
    state::{DayRecord, DayStatus, LedgerRecord, Memory},
    telemetry::Metrics,
};

pub(super) fn key(number: u128) -> ReportKey {
    ReportKey { id: ActivityId::from(uuid::Uuid::from_u128(number)), no_clicks: NoClicks::Omitted }
}

/// A call that a caller waits for.
pub(super) fn call() -> Call {
    call_for(1)
}

/// The same, for one of many keys.
pub(super) fn call_for(number: u128) -> Call {
    Call { key: key(number), reason: Reason::Miss }
}

/// An answer of an upstream that works.
pub(super) fn good() -> Fetched {
    let answer = Answer::Refusal(Refusal::parse(RefusalStatus::NotFound, b""));
    Fetched { answer, age: Duration::ZERO, exchange: Exchange::default() }
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
        record: Some(LedgerRecord::of(DayRecord { day: 0, spent: used, status: DayStatus::Open })),
    };
    Quota::new(limits, opening, WallClock::starting_at(SystemTime::UNIX_EPOCH), Metrics::new().quota)
}
