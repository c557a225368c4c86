//! An upstream call, and what it brings back.

use std::time::Duration;

use tokio::time::Instant;

use super::{ClientNumber, Exchange, Exchanged, FetchError, LinkReport, NegativeAnswer, ReportKey};

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
    /// Of an old report of the shared store: why the call failed that it stands in for. `None`: it is an answer like another.
    pub stands_in_for: Option<Box<FetchError>>,
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
