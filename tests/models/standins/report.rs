//! What the checked files import of `report`.

use real_std::time::Duration;

/// The report of an activity, of which there are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReportKey {
    pub(crate) activity: u8,
    pub(crate) no_clicks: NoClicks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NoClicks {
    Listed,
    Omitted,
}

/// The number of the fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetched(pub(crate) u32);

#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkReport;

#[derive(Debug, Clone, Copy)]
pub(crate) struct NotDerivable;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Exchange;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Internal,
    /// The upstream's failure.
    Upstream,
    Local(LocalDenial),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalDenial {
    CircuitOpen {
        retry_after: Duration,
    },
    /// Refused below the circuit.
    NotSent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchError {
    pub(crate) cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureStage {
    Refused,
    Connecting,
    Sent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Responsible {
    Upstream,
    Token,
    Quota,
    Proxy,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) key: ReportKey,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct StatisticsCall;

#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusCall;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Miss,
    Retry,
    Refresh,
    Probe,
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum QuotaPressure {
    Normal,
    Delayed { factor: f64 },
    Stopped,
}

// === impl ReportKey ===

impl ReportKey {
    pub(crate) const fn other_form(self) -> Self {
        let no_clicks = match self.no_clicks {
            NoClicks::Listed => NoClicks::Omitted,
            NoClicks::Omitted => NoClicks::Listed,
        };
        Self { no_clicks, ..self }
    }
}

// === impl FetchError ===

impl FetchError {
    pub(crate) fn stage(&self) -> FailureStage {
        match self.cause {
            Cause::Local(_) => FailureStage::Refused,
            Cause::Internal | Cause::Upstream => FailureStage::Sent,
        }
    }
}

impl From<Cause> for FetchError {
    fn from(cause: Cause) -> Self {
        Self { cause }
    }
}

impl From<LocalDenial> for FetchError {
    fn from(denial: LocalDenial) -> Self {
        Cause::Local(denial).into()
    }
}

// === impl Cause ===

impl Cause {
    pub(crate) fn responsible(&self) -> Responsible {
        match self {
            Self::Upstream => Responsible::Upstream,
            Self::Internal | Self::Local(_) => Responsible::Proxy,
        }
    }
}
