//! The causes of a failed fetch, and one table of their consequences: `error_key`, stage, responsible party, retry.
//!
//! Other modules use the table's columns, so that a new cause needs no change there.

use std::time::Duration;

use super::{FailureKind, FailureStage, InvalidReport, Responsible, RetryWhen, Unreachable};

/// Why a fetch failed. `inbound/problem.rs` has the table of the HTTP statuses of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The proxy itself denied the call: nothing was sent.
    #[error(transparent)]
    Local(LocalDenial),
    /// The upstream returned an error, an invalid response or none, or could not be reached.
    #[error(transparent)]
    Upstream(UpstreamFailure),
    /// A bug in this proxy, e.g. a panic.
    #[error("internal error")]
    Internal,
}

/// Why the proxy denied a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalDenial {
    /// The rate limit `quota.per_second`: the wait for a free slot is longer than a call may wait.
    #[error("rate limit reached")]
    RateLimit {
        /// The time until a call may be made again.
        retry_after: Duration,
    },
    /// The daily quota is used up, or the rest of it is reserved for other calls.
    #[error("daily quota used up")]
    DailyQuota {
        /// The time until a call may be made again: at most until the reset at 00:00 UTC.
        retry_after: Duration,
    },
    /// The circuit breaker is open, because too many calls failed.
    #[error("circuit breaker open")]
    CircuitOpen {
        /// The time until a trial call is allowed.
        retry_after: Duration,
    },
    /// There is no access token, or only one that is expired or that the upstream has rejected.
    #[error("no usable access token")]
    NoToken,
    /// Load shedding: `server.max_in_flight` requests are in flight already.
    #[error("too many requests in flight")]
    Overloaded,
}

/// How the upstream call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFailure {
    /// 401: the upstream rejected the access token.
    #[error("the upstream rejected the access token")]
    Unauthorized,
    /// 403: the token lacks a scope or a privilege.
    #[error("the access token may not read link reports")]
    Forbidden,
    /// 429: a rate limit or quota of the vendor is reached.
    #[error("upstream limit reached ({})", limit.as_str())]
    TooManyRequests {
        /// The limit that is reached, by the response's `error_key`.
        limit: UpstreamLimit,
        /// The time until a call may be made again.
        retry_after: Duration,
    },
    /// Any other status: 5xx, a redirect, or one that the vendor does not document.
    #[error("the upstream answered {status}")]
    Status {
        /// The upstream's status code.
        status: u16,
    },
    /// Connecting failed, or the connection broke before the response began.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(Unreachable),
    /// A 200 whose body is not the requested report.
    #[error("the upstream's response is invalid: {0}")]
    Invalid(InvalidReport),
    /// The timeout of the attempt or of the whole request passed.
    #[error("no response in time")]
    Timeout,
}

/// Which limit a 429 is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamLimit {
    /// Calls per second.
    PerSecond,
    /// Calls per day.
    PerDay,
    /// Unknown: the response has none of the vendor's `error_key`s for a limit.
    Unspecified,
}

/// One row of the table: the consequences of a cause.
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
    /// Are the day's calls spent or reserved, here or at the upstream?
    pub const fn is_daily_quota(&self) -> bool {
        matches!(
            self,
            Self::Local(LocalDenial::DailyQuota { .. })
                | Self::Upstream(UpstreamFailure::TooManyRequests { limit: UpstreamLimit::PerDay, .. })
        )
    }

    /// The table. A new cause also needs a row in the status table of `inbound/problem.rs`.
    const fn consequences(&self) -> Consequences {
        use FailureKind::{Denied, Failed, Rationed};
        use FailureStage::{Refused, Sent};
        use LocalDenial as L;
        use Responsible::{Proxy, Quota, Token, Upstream};
        use RetryWhen::{Affordable, Never, TokenRenewed};
        use UpstreamFailure as U;
        use UpstreamLimit::{PerDay, PerSecond, Unspecified};
        match self {
            //                                 error_key, stage, responsible, retry, kind
            Self::Local(L::RateLimit { .. }) => row("throttled", Refused, Quota, Never, Rationed),
            Self::Local(L::DailyQuota { .. }) => row("quota_exhausted", Refused, Quota, Never, Rationed),
            Self::Local(L::CircuitOpen { .. }) => row("circuit_open", Refused, Upstream, Never, Denied),
            Self::Local(L::NoToken) => row("token_unavailable", Refused, Token, Never, Denied),
            Self::Local(L::Overloaded) => row("overloaded", Refused, Proxy, Never, Denied),
            Self::Upstream(U::Unauthorized) => {
                row("upstream_unauthorized", Sent, Token, TokenRenewed, Failed)
            }
            // Caused by the token, but a renewal does not help. `Upstream`, so that the circuit breaker limits these
            // calls.
            Self::Upstream(U::Forbidden) => row("upstream_forbidden", Sent, Upstream, Never, Failed),
            // The limit is for the whole account, so the key is not backed off.
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
            // Most often an idle connection that the other side had just closed. A GET is idempotent, so it may be sent
            // again (RFC 9110 §9.2.2).
            Self::Upstream(U::Unreachable(unreachable)) => {
                row("upstream_unreachable", unreachable.stage(), Upstream, Affordable, Failed)
            }
            Self::Upstream(U::Invalid(_)) => row("upstream_invalid_response", Sent, Upstream, Never, Failed),
            // No retry: the client has waited a full timeout already, and more calls make a slow upstream slower.
            Self::Upstream(U::Timeout) => row("upstream_timeout", Sent, Upstream, Never, Failed),
            Self::Internal => row("internal_error", Refused, Proxy, Never, Failed),
        }
    }

    /// The `error_key` in problem details; also the `detail` in `Cache-Status` (RFC 9211).
    pub const fn as_str(&self) -> &'static str {
        self.consequences().error_key
    }

    /// How far the call got, by its cause alone. [`FetchError::stage`](super::FetchError::stage) also knows whether
    /// there was a response.
    pub const fn stage(&self) -> FailureStage {
        self.consequences().stage
    }

    /// The party that caused the failure: decides what waits before the next call.
    pub const fn responsible(&self) -> Responsible {
        self.consequences().responsible
    }

    /// When the call is worth a retry.
    pub const fn retry(&self) -> RetryWhen {
        self.consequences().retry
    }

    /// Is the key backed off, or was the call only denied or deferred?
    pub const fn kind(&self) -> FailureKind {
        self.consequences().kind
    }

    /// For a 429: which limit is reached, and the time until a call may be made again.
    pub const fn limit_reached(&self) -> Option<(UpstreamLimit, Duration)> {
        let Self::Upstream(UpstreamFailure::TooManyRequests { limit, retry_after }) = self else {
            return None;
        };
        Some((*limit, *retry_after))
    }

    /// The error type for `Proxy-Status` (RFC 9209 §2.3). `None` for local denials, and for responses that are valid
    /// HTTP but not usable: there is no registered type.
    pub const fn proxy_error(&self) -> Option<&'static str> {
        use UpstreamFailure as U;
        match self {
            Self::Upstream(U::Unreachable(unreachable)) => Some(unreachable.proxy_error()),
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
    /// The limit that the `error_key` of a 429 is about.
    pub fn of(error_key: Option<&str>) -> Self {
        let named = |limit: &Self| error_key == Some(limit.as_str());
        [Self::PerSecond, Self::PerDay].into_iter().find(named).unwrap_or(Self::Unspecified)
    }

    /// The vendor's `error_key` for this limit; `unspecified` if there is none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "throttled",
            Self::PerDay => "quota_exceeded",
            Self::Unspecified => "unspecified",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(7);

    #[test]
    fn which_limit_a_429_is_about_is_known_by_the_vendor_s_word() {
        use UpstreamLimit::{PerDay, PerSecond, Unspecified};
        for (word, limit) in [
            (Some("throttled"), PerSecond),
            (Some("quota_exceeded"), PerDay),
            (Some("unspecified"), Unspecified),
            (None, Unspecified),
        ] {
            assert_eq!(UpstreamLimit::of(word), limit, "{word:?}");
            let cause = Cause::from(UpstreamFailure::TooManyRequests { limit, retry_after: WAIT });
            assert_eq!(cause.limit_reached(), Some((limit, WAIT)));
            assert_eq!(cause.is_daily_quota(), limit == PerDay);
        }
        assert!(Cause::from(LocalDenial::DailyQuota { retry_after: WAIT }).is_daily_quota());
        for other in [Cause::Internal, LocalDenial::NoToken.into(), UpstreamFailure::Timeout.into()] {
            assert!(other.limit_reached().is_none() && !other.is_daily_quota(), "{other}");
        }
    }

    #[test]
    fn a_failure_has_the_error_type_that_rfc_9209_has_for_it() {
        use InvalidReport as I;
        use Unreachable as R;
        for (invalid, error_type) in [
            (I::Truncated, Some("http_response_incomplete")),
            (I::TooLarge { limit: 1 }, Some("http_response_body_size")),
            (I::TooManyLinks { limit: 1 }, Some("http_response_body_size")),
            (I::Encoding, Some("http_response_content_coding")),
            (I::Malformed, None),
            (I::OtherActivity, None),
        ] {
            assert_eq!(Cause::from(invalid).proxy_error(), error_type);
        }
        assert_eq!(Cause::from(UpstreamFailure::Timeout).proxy_error(), Some("http_response_timeout"));
        for (unreachable, error_type) in [
            (R::Dns, "dns_error"),
            (R::DnsTimeout, "dns_timeout"),
            (R::Connect, "connection_refused"),
            (R::ConnectTimeout, "connection_timeout"),
            (R::Tls, "tls_protocol_error"),
            (R::Certificate, "tls_certificate_error"),
            (R::Closed, "connection_terminated"),
            (R::Broken, "connection_terminated"),
            (R::NotHttp, "http_protocol_error"),
        ] {
            assert_eq!(
                Cause::from(UpstreamFailure::Unreachable(unreachable)).proxy_error(),
                Some(error_type)
            );
        }
        for cause in [Cause::Internal, LocalDenial::NoToken.into(), UpstreamFailure::Forbidden.into()] {
            assert_eq!(cause.proxy_error(), None, "{cause}");
        }
    }
}
