//! How the way to an answer can fail, in words that a caller can act on.

use std::time::Duration;

use super::{Exchange, InvalidReport};

/// No answer was come by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct FetchError {
    /// What went wrong.
    #[source]
    pub cause: Cause,
    /// The exchange in which it went wrong; empty where none took place.
    pub exchange: Exchange,
    /// Whose call it was.
    pub incident: Incident,
}

/// Whose call it was that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// One that was wanted now.
    New,
    /// An earlier one: its error is the answer until the key is tried again.
    Remembered,
}

/// How far a call got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureStage {
    /// It was refused here, or kept back by a bug of ours.
    Refused,
    /// There was no connection to send it on: nothing of it reached the upstream.
    Connecting,
    /// It was sent. Whatever came back, the upstream may have counted it.
    Sent,
}

/// Why no answer was come by. The one table that turns these into statuses is `inbound/problem.rs`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// 401: the upstream refuses our token, and there is no newer one.
    #[error("the upstream refuses the access token")]
    Unauthorized,
    /// 403: the token lacks a scope or a privilege.
    #[error("the upstream forbids this token to read link reports")]
    Forbidden,
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
    Invalid(#[from] InvalidReport),
    /// The attempt's or the request's deadline passed.
    #[error("no answer in time")]
    Timeout,
    /// More calls a second than the key has; either our own count said so or the upstream did.
    #[error("too many calls a second, next one in {retry_after:?}")]
    Throttled {
        /// Until a call may be made again.
        retry_after: Duration,
    },
    /// The upstream answered 429 without a word that tells which limit it means.
    #[error("too many calls, says the upstream, next one in {retry_after:?}")]
    TooMany {
        /// Until a call may be made again.
        retry_after: Duration,
    },
    /// The day's calls are spent; either our own count says so or the upstream did.
    #[error("the day's quota is spent, next call in {retry_after:?}")]
    QuotaExhausted {
        /// Until 00:00:00 UTC.
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
    TokenUnavailable,
    /// More requests are in flight than `server.max_in_flight`.
    #[error("too many requests in flight")]
    Overloaded,
    /// A bug here.
    #[error("internal error")]
    Internal,
}

/// How far a connection got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name did not resolve.
    #[error("its name does not resolve")]
    Dns,
    /// No name server answered in time.
    #[error("its name was not resolved in time")]
    DnsTimeout,
    /// Nothing accepted the connection.
    #[error("connecting failed")]
    Connect,
    /// No connection, TLS included, within `upstream.connect_timeout`.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The handshake failed.
    #[error("TLS failed")]
    Tls,
    /// Its certificate is not trusted, or is another host's.
    #[error("its certificate is not trusted")]
    Certificate,
    /// The connection was closed by the other side before the request was written to it.
    #[error("the connection was closed before it was used")]
    Closed,
    /// The connection broke before an answer began.
    #[error("the connection broke")]
    Broken,
    /// What came back is not HTTP.
    #[error("its answer is not HTTP")]
    NotHttp,
}

// === impl FetchError ===

impl FetchError {
    /// How far the call got.
    pub const fn stage(&self) -> FailureStage {
        match &self.cause {
            Cause::Unauthorized
            | Cause::Forbidden
            | Cause::Status { .. }
            | Cause::Invalid(_)
            | Cause::Timeout
            | Cause::TooMany { .. } => FailureStage::Sent,
            Cause::Unreachable(how_far) => how_far.stage(),
            Cause::Throttled { .. } | Cause::QuotaExhausted { .. } => match self.exchange.status {
                Some(_) => FailureStage::Sent,
                None => FailureStage::Refused,
            },
            Cause::CircuitOpen { .. } | Cause::TokenUnavailable | Cause::Overloaded | Cause::Internal => {
                FailureStage::Refused
            }
        }
    }

    /// Did a request go forward to the upstream, or at least try to?
    pub fn went_forward(&self) -> bool {
        self.incident == Incident::New && self.stage() != FailureStage::Refused
    }

    /// The same, with the time until there is a call again as our own count has it; unchanged where no limit is reached.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let cause = match self.cause {
            Cause::Throttled { retry_after: _ } => Cause::Throttled { retry_after: wait },
            Cause::TooMany { retry_after: _ } => Cause::TooMany { retry_after: wait },
            Cause::QuotaExhausted { retry_after: _ } => Cause::QuotaExhausted { retry_after: wait },
            other => other,
        };
        Self { cause, ..self }
    }

    /// The same, as the answer to a later request.
    #[must_use]
    pub fn remembered(self) -> Self {
        Self { incident: Incident::Remembered, ..self }
    }
}

impl From<Cause> for FetchError {
    fn from(cause: Cause) -> Self {
        Self { cause, exchange: Exchange::default(), incident: Incident::New }
    }
}

// === impl Cause ===

impl Cause {
    /// Its word: the `error_key` of a problem and the `detail` of `Cache-Status`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unauthorized => "upstream_unauthorized",
            Self::Forbidden => "upstream_forbidden",
            Self::Status { .. } => "upstream_error",
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Invalid(_) => "upstream_invalid_response",
            Self::Timeout => "upstream_timeout",
            Self::Throttled { .. } | Self::TooMany { .. } => "throttled",
            Self::QuotaExhausted { .. } => "quota_exhausted",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::TokenUnavailable => "token_unavailable",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal_error",
        }
    }
}

// === impl Unreachable ===

impl Unreachable {
    const fn stage(self) -> FailureStage {
        match self {
            Self::Dns
            | Self::DnsTimeout
            | Self::Connect
            | Self::ConnectTimeout
            | Self::Tls
            | Self::Certificate
            | Self::Closed => FailureStage::Connecting,
            Self::Broken | Self::NotHttp => FailureStage::Sent,
        }
    }
}
