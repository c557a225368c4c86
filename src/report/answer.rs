//! An upstream call, and what it brings back.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{LinkReport, NegativeAnswer, ReportKey};

/// One call to the upstream, before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The report that is asked for.
    pub key: ReportKey,
    /// Who needs it.
    pub reason: Reason,
}

/// Why a call is made. A metered upstream makes this the first question of every bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing usable is remembered: a cold key, and somebody waits.
    Miss,
    /// A remembered answer has grown old. Whoever waits can be given it in an emergency.
    Refresh,
    /// A call before this one failed in a way that a second may mend.
    Retry,
}

/// What the upstream said about a report: either is worth remembering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The report.
    Report(LinkReport),
    /// There is none, says the upstream.
    Negative(NegativeAnswer),
}

/// An answer, and how it was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What the upstream said.
    pub answer: Answer,
    /// How old that was when it came (`Age`): a cache before the upstream may have given it.
    pub age: Duration,
    /// The exchange in which it said so.
    pub exchange: Exchange,
}

/// What one exchange with the upstream looked like: for logs, metrics and `Cache-Status`. It decides nothing about the
/// answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The upstream's status, if it answered at all.
    pub status: Option<u16>,
    /// The upstream's own request id (`x-amzn-RequestId`): the vendor's support asks for it.
    pub request_id: Option<Arc<str>>,
    /// The access token that the call carried; `None` where it was not sent.
    pub sent_generation: Option<SentGeneration>,
    /// The upstream's time of day (`Date`): the day that it counts calls in ends by its own clock.
    pub date: Option<SystemTime>,
    /// From sending the request to the end of the answer.
    pub elapsed: Duration,
}

/// Which access token a call carried: each newer one has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentGeneration(pub u64);

// === impl Reason ===

impl Reason {
    /// Each label of `upstream_requests_total{reason}`.
    pub const ALL: [Self; 3] = [Self::Miss, Self::Refresh, Self::Retry];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Refresh => "refresh",
            Self::Retry => "retry",
        }
    }
}
