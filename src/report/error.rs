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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::UpstreamLimit;

    #[test]
    fn a_request_went_forward_if_its_own_call_got_beyond_this_proxy() {
        let timeout = || FetchError::from(UpstreamFailure::Timeout);
        let refused = || FetchError::from(LocalDenial::NoToken);
        assert!(timeout().went_forward());
        assert!(!timeout().remembered().went_forward(), "an earlier request's did");
        assert!(!refused().went_forward());
        // A call that was answered, and whose retry was refused.
        let exchange = Exchange { status: Some(503), ..Exchange::default() };
        assert!(FetchError { exchange, ..refused() }.went_forward());
    }

    #[test]
    fn only_a_429_has_a_time_to_wait() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        let limit = UpstreamLimit::PerSecond;
        let throttled =
            |retry_after| FetchError::from(UpstreamFailure::TooManyRequests { limit, retry_after });
        assert_eq!(throttled(short).with_retry_after(long), throttled(long));
        assert_eq!(
            FetchError::from(UpstreamFailure::Timeout).with_retry_after(long),
            UpstreamFailure::Timeout.into()
        );
    }
}
