//! `FetchError`: a failed fetch, with its cause and its upstream exchange.

use std::time::Duration;

use super::{Cause, Exchange, FailureStage, LocalDenial, UpstreamFailure};

/// A failed fetch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct FetchError {
    /// Why it failed.
    #[source]
    pub cause: Cause,
    /// The exchange with the upstream; empty if nothing was sent.
    pub exchange: Exchange,
    /// Is the error new, or remembered from an earlier call?
    pub incident: Incident,
}

/// Is an error new, or remembered from an earlier call?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// New: this request's fetch failed.
    New,
    /// An earlier fetch failed, and the key is still backed off.
    Remembered,
}

// === impl FetchError ===

impl FetchError {
    /// How far the call got.
    pub const fn stage(&self) -> FailureStage {
        match self.exchange.status {
            // There was a response, so the request was sent, also if the cause is a later one.
            Some(_) => FailureStage::Sent,
            None => self.cause.stage(),
        }
    }

    /// Did this request cause a call, or at least an attempt to connect?
    pub fn went_forward(&self) -> bool {
        self.incident == Incident::New && self.stage() != FailureStage::Refused
    }

    /// The same error, marked as remembered, for a later request.
    #[must_use]
    pub fn remembered(self) -> Self {
        Self { incident: Incident::Remembered, ..self }
    }

    /// For a 429: the same error with `retry_after` replaced by `wait`, which the quota has computed. Any other error
    /// is unchanged.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let Cause::Upstream(UpstreamFailure::TooManyRequests { limit, retry_after: _ }) = self.cause else {
            return self;
        };
        Self { cause: UpstreamFailure::TooManyRequests { limit, retry_after: wait }.into(), ..self }
    }
}

impl From<Cause> for FetchError {
    fn from(cause: Cause) -> Self {
        Self { cause, exchange: Exchange::default(), incident: Incident::New }
    }
}

impl From<LocalDenial> for FetchError {
    fn from(denial: LocalDenial) -> Self {
        Cause::from(denial).into()
    }
}

impl From<UpstreamFailure> for FetchError {
    fn from(failure: UpstreamFailure) -> Self {
        Cause::from(failure).into()
    }
}
