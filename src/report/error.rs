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
    /// Nothing accepted the connection.
    #[error("connecting failed")]
    Connect,
    /// The handshake failed, or its certificate is not trusted.
    #[error("TLS failed")]
    Tls,
    /// The connection broke before an answer began.
    #[error("the connection broke")]
    Broken,
}

// === impl FetchError ===

impl From<Cause> for FetchError {
    fn from(cause: Cause) -> Self {
        Self { cause, exchange: Exchange::default() }
    }
}
