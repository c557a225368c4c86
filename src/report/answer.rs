//! An upstream call, and what it brings back.

use std::{
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{ClientNumber, LinkReport, NegativeAnswer, ReportKey};

/// One call to the upstream, before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The requested report.
    pub key: ReportKey,
    /// Decides what it may spend when calls are scarce, and is the label of its metrics.
    pub reason: Reason,
    /// Whose request is the reason.
    pub client: ClientNumber,
}

/// Why a call is made: the label `reason` of `upstream_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An uncached report, and a caller waits for it.
    Miss,
    /// A stored answer is no longer fresh; it can still be served if the call fails.
    Refresh,
    /// The change probe: the statistics of up to ten campaigns, to see which reports are worth a refresh.
    Probe,
    /// The status of an activity, to see whether it was sent.
    Status,
    /// The attempt before this one failed in a way that a second attempt may not.
    Retry,
}

/// What the upstream answered for a report. Both kinds are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200 with a valid link report.
    Report(LinkReport),
    /// 400 or 404.
    Negative(NegativeAnswer),
}

/// An answer of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// A report or a negative answer.
    pub answer: Answer,
    /// When its head arrived. Reading and parsing the body come after.
    pub answered_at: Instant,
    /// How old it was then, by its `Age`: a cache before the upstream may have served it.
    pub age: Duration,
    /// The exchange that brought it.
    pub exchange: Exchange,
}

/// What one exchange with the upstream looked like: for logs, metrics and `Cache-Status`. It decides nothing about the
/// answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The upstream's status; `None` if no answer came.
    pub status: Option<u16>,
    /// The upstream's own request id (`x-amzn-RequestId`): the vendor's support asks for it.
    pub request_id: Option<Arc<str>>,
    /// The access token that the call carried; `None` where it was not sent.
    pub sent_generation: Option<SentGeneration>,
    /// The upstream's `Date`: its daily quota ends at midnight by its own clock.
    pub date: Option<SystemTime>,
    /// From sending the request to the end of the body.
    pub elapsed: Duration,
    /// Who made the exchange.
    pub origin: Origin,
    /// Which of the flights that replicas share it was; `None`: nothing is shared, or the store is away.
    pub flight: Option<FlightNumber>,
}

/// Who made the exchange that brought an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// This replica called the upstream.
    #[default]
    Upstream,
    /// Another replica did; the answer comes from the store that the replicas share.
    SharedStore,
}

/// A flight that replicas share. All replicas know its number, so what each of them draws by it is the same. Sixteen bits
/// are enough to draw by, and an [`Exchange`], which every error holds, does not grow by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightNumber(pub NonZeroU16);

/// Which access token a call carried: each newer one has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentGeneration(pub u64);

/// An answer that an exchange with the upstream has brought.
pub trait Exchanged: Send + Sync {
    /// The exchange.
    fn exchange(&self) -> &Exchange;
}

// === impl Answer ===

impl Answer {
    /// The report, if the answer is one.
    pub const fn report(&self) -> Option<&LinkReport> {
        match self {
            Self::Report(report) => Some(report),
            Self::Negative(_) => None,
        }
    }

    /// The negative answer, if it is one.
    pub const fn negative(&self) -> Option<&NegativeAnswer> {
        match self {
            Self::Report(_) => None,
            Self::Negative(negative_answer) => Some(negative_answer),
        }
    }
}

// === impl Fetched ===

impl Fetched {
    /// When the upstream generated the answer: its age is counted from here (RFC 9111 §4.2.3).
    pub fn generated_at(&self) -> Instant {
        self.answered_at.checked_sub(self.age).unwrap_or(self.answered_at)
    }
}

impl Exchanged for Fetched {
    fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

// === impl Reason ===

impl Reason {
    /// Each label of `upstream_requests_total{reason}`.
    pub const ALL: [Self; 5] = [Self::Miss, Self::Refresh, Self::Probe, Self::Status, Self::Retry];

    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Refresh => "refresh",
            Self::Probe => "probe",
            Self::Status => "status",
            Self::Retry => "retry",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{good, report};

    #[test]
    fn an_answer_is_either_a_report_or_a_negative_answer() {
        let found = report("{}");
        assert!(found.report().is_some() && found.negative().is_none());
        let fetched = good();
        assert!(fetched.answer.report().is_none() && fetched.answer.negative().is_some());
    }

    #[test]
    fn an_exchange_is_that_which_brought_the_answer() {
        let exchange = Exchange { status: Some(404), ..Exchange::default() };
        assert_eq!(Fetched { exchange, ..good() }.exchange().status, Some(404));
    }
}
