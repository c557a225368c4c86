//! Why a call brought no answer, and what follows from that: one table, so that nobody else needs to know every cause.

use std::time::Duration;

use super::{FailureKind, FailureStage, InvalidReport, Responsible, RetryWhen, Unreachable};

/// Why there is no answer. The statuses that answer these are in one table too: `inbound/problem.rs`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// We refused to make the call.
    #[error(transparent)]
    Local(LocalDenial),
    /// The upstream was asked, or could not be.
    #[error(transparent)]
    Upstream(UpstreamFailure),
    /// A bug here.
    #[error("internal error")]
    Internal,
}

/// Why we made no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalDenial {
    /// The calls that `quota.per_second` allows are taken for longer than a call waits.
    #[error("too many calls a second, next one in {retry_after:?}")]
    RateLimit {
        /// Until a call may be made again.
        retry_after: Duration,
    },
    /// The day's calls are spent, or what is left of them is not for this one.
    #[error("the day's quota is spent, next call in {retry_after:?}")]
    DailyQuota {
        /// Until a call may be made again: at the latest until 00:00 UTC.
        retry_after: Duration,
    },
    /// The upstream has failed so often that it is left alone for a while.
    #[error("the circuit is open, next call in {retry_after:?}")]
    CircuitOpen {
        /// Until one call is let through again.
        retry_after: Duration,
    },
    /// There is no access token to send, or only one that is known to be refused.
    #[error("no usable access token")]
    NoToken,
    /// More requests are in flight than `server.max_in_flight`.
    #[error("too many requests in flight")]
    Overloaded,
}

/// How the upstream failed to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFailure {
    /// 401: the upstream refuses our token, and there is no newer one.
    #[error("the upstream refuses the access token")]
    Unauthorized,
    /// 403: the token lacks a scope or a privilege.
    #[error("the upstream forbids this token to read link reports")]
    Forbidden,
    /// 429.
    #[error("the upstream takes no more calls ({}), next one in {retry_after:?}", limit.as_str())]
    TooManyRequests {
        /// Which limit it says is reached.
        limit: UpstreamLimit,
        /// Until a call may be made again.
        retry_after: Duration,
    },
    /// A status that is no answer: 5xx, a redirect, or any other that the vendor does not document.
    #[error("the upstream answered {status}")]
    Status {
        /// The upstream's status code.
        status: u16,
    },
    /// No connection could be made, or it broke before an answer began.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(Unreachable),
    /// A 200 that is not the report that was asked for.
    #[error("the upstream's answer is unusable: {0}")]
    Invalid(InvalidReport),
    /// The attempt's or the request's deadline passed.
    #[error("no answer in time")]
    Timeout,
}

/// The limit that a 429 speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamLimit {
    /// The calls of a second.
    PerSecond,
    /// The calls of a day.
    PerDay,
    /// Its body does not say.
    Unspecified,
}

/// What follows from a cause: one row of the table.
struct Consequences {
    error_key: &'static str,
    stage: FailureStage,
    responsible: Responsible,
    retry: RetryWhen,
    kind: FailureKind,
}

const fn row(
    error_key: &'static str,
    stage: FailureStage,
    responsible: Responsible,
    retry: RetryWhen,
    kind: FailureKind,
) -> Consequences {
    Consequences { error_key, stage, responsible, retry, kind }
}

// === impl Cause ===

impl Cause {
    /// The table. A new cause is a row here, a row of the status table, and whoever finds it.
    const fn consequences(&self) -> Consequences {
        use FailureKind::{Denied, Failed, Rationed};
        use FailureStage::{Refused, Sent};
        use LocalDenial as L;
        use Responsible::{Proxy, Quota, Token, Upstream};
        use RetryWhen::{Affordable, Never, TokenRenewed};
        use UpstreamFailure as U;
        use UpstreamLimit::{PerDay, PerSecond, Unspecified};
        match self {
            //                                 error_key, did it leave? whose fault? worth a second call? the key?
            Self::Local(L::RateLimit { .. }) => row("throttled", Refused, Quota, Never, Rationed),
            Self::Local(L::DailyQuota { .. }) => row("quota_exhausted", Refused, Quota, Never, Rationed),
            Self::Local(L::CircuitOpen { .. }) => row("circuit_open", Refused, Upstream, Never, Denied),
            Self::Local(L::NoToken) => row("token_unavailable", Refused, Token, Never, Denied),
            Self::Local(L::Overloaded) => row("overloaded", Refused, Proxy, Never, Denied),
            Self::Upstream(U::Unauthorized) => {
                row("upstream_unauthorized", Sent, Token, TokenRenewed, Failed)
            }
            // The token's too, but no renewal mends it: the circuit is what bounds these calls.
            Self::Upstream(U::Forbidden) => row("upstream_forbidden", Sent, Upstream, Never, Failed),
            // Of the whole account, not of the key.
            Self::Upstream(U::TooManyRequests { limit: PerDay, .. }) => {
                row("quota_exhausted", Sent, Quota, Never, Rationed)
            }
            Self::Upstream(U::TooManyRequests { limit: PerSecond | Unspecified, .. }) => {
                row("throttled", Sent, Quota, Never, Failed)
            }
            Self::Upstream(U::Status { status: 502..=504 }) => {
                row("upstream_error", Sent, Upstream, Affordable, Failed)
            }
            Self::Upstream(U::Status { .. }) => row("upstream_error", Sent, Upstream, Never, Failed),
            // A connection that broke before an answer was most often an idle one that the other side had just
            // closed; a GET may be sent again (RFC 9110 §9.2.2).
            Self::Upstream(U::Unreachable(how_far)) => {
                row("upstream_unreachable", how_far.stage(), Upstream, Affordable, Failed)
            }
            Self::Upstream(U::Invalid(_)) => row("upstream_invalid_response", Sent, Upstream, Never, Failed),
            // Never again: the caller has waited long enough, and the upstream is slow enough without us.
            Self::Upstream(U::Timeout) => row("upstream_timeout", Sent, Upstream, Never, Failed),
            Self::Internal => row("internal_error", Refused, Proxy, Never, Failed),
        }
    }

    /// The `error_key` of problem details, also the `detail` of `Cache-Status`.
    pub const fn as_str(&self) -> &'static str {
        self.consequences().error_key
    }

    /// Did the call leave? [`FetchError::stage`](super::FetchError::stage) knows more: what was answered has left.
    pub const fn stage(&self) -> FailureStage {
        self.consequences().stage
    }

    /// Whose fault is it?
    pub const fn responsible(&self) -> Responsible {
        self.consequences().responsible
    }

    /// What next: is a second call worth its price?
    pub const fn retry(&self) -> RetryWhen {
        self.consequences().retry
    }

    /// What next: is it held against the key, or was the call only put off?
    pub const fn kind(&self) -> FailureKind {
        self.consequences().kind
    }

    /// The limit that the upstream says is reached, and how long it asks to be left alone.
    pub const fn limit_reached(&self) -> Option<(UpstreamLimit, Duration)> {
        let Self::Upstream(UpstreamFailure::TooManyRequests { limit, retry_after }) = self else {
            return None;
        };
        Some((*limit, *retry_after))
    }

    /// The error type of RFC 9209 §2.3. Its registry knows none for an answer that is good HTTP and still no use.
    pub const fn proxy_error(&self) -> Option<&'static str> {
        use UpstreamFailure as U;
        match self {
            Self::Upstream(U::Unreachable(how_far)) => Some(how_far.proxy_error()),
            Self::Upstream(U::Invalid(invalid)) => invalid.proxy_error(),
            Self::Upstream(U::Timeout) => Some("http_response_timeout"),
            Self::Upstream(U::Unauthorized | U::Forbidden | U::TooManyRequests { .. } | U::Status { .. })
            | Self::Local(_)
            | Self::Internal => None,
        }
    }
}

impl From<LocalDenial> for Cause {
    fn from(denial: LocalDenial) -> Self {
        Self::Local(denial)
    }
}

impl From<UpstreamFailure> for Cause {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Upstream(failure)
    }
}

impl From<InvalidReport> for Cause {
    fn from(invalid: InvalidReport) -> Self {
        Self::Upstream(UpstreamFailure::Invalid(invalid))
    }
}

// === impl UpstreamLimit ===

impl UpstreamLimit {
    /// The limit that the `error_key` of a 429 names.
    pub fn of(error_key: Option<&str>) -> Self {
        let named = |limit: &Self| error_key == Some(limit.as_str());
        [Self::PerSecond, Self::PerDay].into_iter().find(named).unwrap_or(Self::Unspecified)
    }

    /// The vendor's own `error_key`, where it has one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "throttled",
            Self::PerDay => "quota_exceeded",
            Self::Unspecified => "unspecified",
        }
    }
}
