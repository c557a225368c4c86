//! A call that brought no answer, in words that whoever made it can act on.

use std::time::Duration;

use super::{Cause, Exchange, FailureStage, LocalDenial, UpstreamFailure};

/// There is no answer.
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

// === impl FetchError ===

impl FetchError {
    /// How far the call got.
    pub const fn stage(&self) -> FailureStage {
        match self.exchange.status {
            // Whatever became of the answer here.
            Some(_) => FailureStage::Sent,
            None => self.cause.stage(),
        }
    }

    /// Did a request go forward to the upstream, or at least try to?
    pub fn went_forward(&self) -> bool {
        self.incident == Incident::New && self.stage() != FailureStage::Refused
    }

    /// The same, as the answer to a later request.
    #[must_use]
    pub fn remembered(self) -> Self {
        Self { incident: Incident::Remembered, ..self }
    }

    /// The same after a 429, with the time until there is a call again by our own count; any other as it is.
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
