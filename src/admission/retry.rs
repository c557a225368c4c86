//! Does a failed call deserve a second one? At most one, and only where it is likely to be worth its price.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, Sleep, sleep};
use tower::retry::{Policy, RetryLayer};

use super::quota::Quota;
use crate::report::{Call, Cause, FetchError, Fetched, Reason, Scarcity};

/// The pause before the second call is this long, give or take half: what failed together must not come again together.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells which generation of the access token is in use now: after a 401 a second call is only worth it with a newer
/// one. Asked for, not known: this room has never seen a token.
#[derive(Clone)]
pub struct TokenGeneration(Arc<dyn Fn() -> u64 + Send + Sync>);

/// Retries connect errors, 502, 503 and 504, and a 401 once the token has been renewed.
///
/// Never a timeout: the caller's patience is spent, and the upstream is slow enough without us. And never while calls
/// are scarce: a second attempt is somebody's first.
#[derive(Debug, Clone)]
pub struct RetryOnce {
    tokens: TokenGeneration,
    quota: Quota,
    seen: u64,
    left: Attempts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempts {
    One,
    None,
}

// === impl TokenGeneration ===

impl TokenGeneration {
    /// Wraps the question.
    pub fn new(current: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(current))
    }
}

impl fmt::Debug for TokenGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenGeneration").field(&(self.0)()).finish()
    }
}

// === impl RetryOnce ===

impl RetryOnce {
    /// The policy as a layer.
    pub fn layer(tokens: TokenGeneration, quota: Quota) -> RetryLayer<Self> {
        let seen = (tokens.0)();
        RetryLayer::new(Self { tokens, quota, seen, left: Attempts::One })
    }

    fn is_worth_it(&self, cause: &Cause) -> bool {
        match cause {
            // A connection that broke before an answer was most often an idle one that the other side had just
            // closed; a GET may be sent again (RFC 9110 §9.2.2).
            Cause::Unreachable(_) => true,
            Cause::Status { status } => matches!(status, 502..=504),
            Cause::Unauthorized => (self.tokens.0)() > self.seen,
            Cause::Forbidden
            | Cause::Invalid(_)
            | Cause::Timeout
            | Cause::Throttled { .. }
            | Cause::TooMany { .. }
            | Cause::QuotaExhausted { .. }
            | Cause::CircuitOpen { .. }
            | Cause::TokenUnavailable
            | Cause::Overloaded
            | Cause::Internal => false,
        }
    }
}

impl Policy<Call, Fetched, FetchError> for RetryOnce {
    type Future = Sleep;

    fn retry(&mut self, call: &mut Call, result: &mut Result<Fetched, FetchError>) -> Option<Sleep> {
        let cause = result.as_ref().err().map(|error| &error.cause)?;
        let ample = || self.quota.scarcity(Instant::now()) == Scarcity::Ample;
        if self.left == Attempts::None || !self.is_worth_it(cause) || !ample() {
            return None;
        }
        self.left = Attempts::None;
        call.reason = Reason::Retry;
        Some(sleep(PAUSE.mul_f64(0.5 + fastrand::f64())))
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        // Called right before each attempt: what is in use now is what the attempt will carry, or older.
        self.seen = (self.tokens.0)();
        Some(*call)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tower::{Layer as _, Service as _, ServiceExt as _};
    use tower_test::mock;

    use super::*;
    use crate::{
        admission::testing::{as_sent, call, good, quota},
        report::{InvalidReport, Unreachable},
    };

    /// The calls that reached a mock that fails with `cause` first, and what came of them.
    async fn attempts(cause: Cause, renewed: u64) -> (Vec<Reason>, Result<Fetched, FetchError>) {
        attempts_within(&quota(10_000, 0), cause, renewed).await
    }

    async fn attempts_within(
        quota: &Quota,
        cause: Cause,
        renewed: u64,
    ) -> (Vec<Reason>, Result<Fetched, FetchError>) {
        let generation = Arc::new(AtomicU64::new(1));
        let current = Arc::clone(&generation);
        let tokens = TokenGeneration::new(move || current.load(Ordering::Relaxed));
        let (inner, mut upstream) = mock::pair::<Call, Fetched>();
        let mut retry = RetryOnce::layer(tokens, quota.clone()).layer(inner.map_err(as_sent));
        let result = tokio::spawn(retry.ready().await.unwrap().call(call()));
        drop(retry);
        let mut reasons = Vec::new();
        while let Some((call, answer)) = upstream.next_request().await {
            reasons.push(call.reason);
            generation.store(renewed, Ordering::Relaxed);
            if call.reason == Reason::Retry && reasons.len() == 2 && cause != (Cause::Status { status: 502 })
            {
                answer.send_response(good());
            } else {
                answer.send_error(FetchError::from(cause.clone()));
            }
        }
        (reasons, result.await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_may_mend_is_tried_once_more() {
        for cause in [
            Cause::Unreachable(Unreachable::Connect),
            Cause::Unreachable(Unreachable::Broken),
            Cause::Status { status: 503 },
            Cause::Status { status: 504 },
        ] {
            assert_eq!(attempts(cause, 1).await, (vec![Reason::Miss, Reason::Retry], Ok(good())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_never_a_third_attempt() {
        let (reasons, result) = attempts(Cause::Status { status: 502 }, 1).await;
        assert_eq!(reasons, [Reason::Miss, Reason::Retry]);
        assert_eq!(result.unwrap_err().cause, Cause::Status { status: 502 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_401_is_retried_only_with_a_newer_token() {
        assert_eq!(attempts(Cause::Unauthorized, 2).await.0, [Reason::Miss, Reason::Retry]);
        assert_eq!(attempts(Cause::Unauthorized, 1).await.0, [Reason::Miss]);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_second_attempt_while_calls_are_scarce() {
        let cause = Cause::Unreachable(Unreachable::Broken);
        for (limit, used, reasons) in [(100, 4, 2), (100, 6, 1), (100, 100, 1)] {
            let (seen, _) = attempts_within(&quota(limit, used), cause.clone(), 1).await;
            assert_eq!(seen.len(), reasons, "{used} of {limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everything_else_is_final() {
        let retry_after = Duration::ZERO;
        for cause in [
            Cause::Timeout,
            Cause::Status { status: 500 },
            Cause::Status { status: 301 },
            Cause::Forbidden,
            Cause::Invalid(InvalidReport::Truncated),
            Cause::Throttled { retry_after },
            Cause::QuotaExhausted { retry_after },
            Cause::CircuitOpen { retry_after },
            Cause::TokenUnavailable,
        ] {
            assert_eq!(attempts(cause.clone(), 2).await.0, [Reason::Miss], "{cause}");
        }
    }
}
