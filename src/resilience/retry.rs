//! Does a failed call deserve a second one? At most one, and only where it is likely to be worth its price.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt as _};

use crate::report::{
    Call, Cause, FailureStage, FetchError, Fetched, QuotaPressure, QuotaPressureFn, Reason, SentGeneration,
};

/// The pause before the second call is this long, give or take half: what failed together must not come again together.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells which generation of the access token is in use now: after a 401 a second call is only worth it with a newer
/// one. Passed in, since this module must not know the token.
#[derive(Clone)]
pub struct TokenGeneration(Arc<dyn Fn() -> u64 + Send + Sync>);

/// Puts [`RetryOnce`] in front of a service.
#[derive(Debug, Clone)]
pub struct RetryOnceLayer {
    tokens: TokenGeneration,
    quota_pressure: QuotaPressureFn,
}

/// Retries connect errors, 502, 503 and 504, and a 401 once the token that was sent has been renewed.
///
/// Never a timeout: the caller's patience is spent, and the upstream is slow enough without us. And never while calls
/// are scarce, since a second attempt is somebody's first; but for those that were not spent, as nothing was sent, and
/// for the 401, without whose second attempt the renewal was for nothing.
#[derive(Debug, Clone)]
pub struct RetryOnce<S> {
    inner: S,
    layer: RetryOnceLayer,
}

// === impl TokenGeneration ===

impl TokenGeneration {
    /// Wraps the question.
    pub fn new(current: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(current))
    }

    fn is_newer_than(&self, sent: Option<SentGeneration>) -> bool {
        sent.is_some_and(|SentGeneration(sent)| (self.0)() > sent)
    }
}

impl fmt::Debug for TokenGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenGeneration").field(&(self.0)()).finish()
    }
}

// === impl RetryOnceLayer ===

impl RetryOnceLayer {
    /// Asks `tokens` whether there is a newer one, and `quota_pressure` how scarce calls are.
    pub fn new(tokens: TokenGeneration, quota_pressure: QuotaPressureFn) -> Self {
        Self { tokens, quota_pressure }
    }

    fn is_worth_it(&self, error: &FetchError) -> bool {
        let ample = || self.quota_pressure.ask(Instant::now()) == QuotaPressure::Normal;
        match &error.cause {
            // A connection that broke before an answer was most often an idle one that the other side had just
            // closed; a GET may be sent again (RFC 9110 §9.2.2).
            Cause::Unreachable(_) => error.stage() == FailureStage::Connecting || ample(),
            Cause::Status { status } => matches!(status, 502..=504) && ample(),
            Cause::Unauthorized => self.tokens.is_newer_than(error.exchange.sent_generation),
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

impl<S> Layer<S> for RetryOnceLayer {
    type Service = RetryOnce<S>;

    fn layer(&self, inner: S) -> RetryOnce<S> {
        RetryOnce { inner, layer: self.clone() }
    }
}

// === impl RetryOnce ===

impl<S> Service<Call> for RetryOnce<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Fetched;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Fetched, FetchError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Self { inner, layer } = self.clone();
        async move {
            let first = match inner.clone().oneshot(call).await {
                Err(error) if layer.is_worth_it(&error) => error,
                last => return last,
            };
            sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
            match inner.oneshot(Call { reason: Reason::Retry, ..call }).await {
                // It was not made: what the first one met is what there is to tell.
                Err(second) if second.stage() == FailureStage::Refused => Err(first),
                second => second,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::*;
    use crate::{
        report::testing::{call, good},
        report::{Exchange, InvalidReport, Unreachable},
    };

    type Answered = Result<Fetched, FetchError>;

    /// An upstream that answers so, one call after the other, and what it was called for. Before its first answer the
    /// token in use becomes that of the generation `renewed`.
    async fn ask(pressure: QuotaPressure, renewed: u64, answers: &[Answered]) -> (Vec<Reason>, Answered) {
        let generation = Arc::new(AtomicU64::new(1));
        let current = Arc::clone(&generation);
        let tokens = TokenGeneration::new(move || current.load(Ordering::Relaxed));
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let (seen, left) = (Arc::clone(&reasons), Arc::new(Mutex::new(VecDeque::from(answers.to_vec()))));
        let upstream = tower::service_fn(move |call: Call| {
            seen.lock().unwrap().push(call.reason);
            generation.store(renewed, Ordering::Relaxed);
            std::future::ready(left.lock().unwrap().pop_front().unwrap())
        });
        let result = RetryOnceLayer::new(tokens, QuotaPressureFn::new(move |_now| pressure))
            .layer(upstream)
            .oneshot(call())
            .await;
        (Arc::into_inner(reasons).unwrap().into_inner().unwrap(), result)
    }

    fn failed(cause: Cause) -> Answered {
        Err(cause.into())
    }

    /// A 401 to a call that carried this token.
    fn unauthorized(sent: u64) -> Answered {
        let exchange = Exchange { sent_generation: Some(SentGeneration(sent)), ..Exchange::default() };
        Err(FetchError { exchange, ..Cause::Unauthorized.into() })
    }

    const ONCE: [Reason; 1] = [Reason::Miss];
    const TWICE: [Reason; 2] = [Reason::Miss, Reason::Retry];

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_may_mend_is_tried_once_more() {
        for cause in [
            Cause::Unreachable(Unreachable::Connect),
            Cause::Unreachable(Unreachable::Broken),
            Cause::Status { status: 502 },
            Cause::Status { status: 503 },
            Cause::Status { status: 504 },
        ] {
            let answer = Ok(good());
            assert_eq!(
                ask(QuotaPressure::Normal, 1, &[failed(cause), answer.clone()]).await,
                (TWICE.into(), answer)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_never_a_third_attempt() {
        let answers = [502, 503].map(|status| failed(Cause::Status { status }));
        assert_eq!(ask(QuotaPressure::Normal, 1, &answers).await, (TWICE.into(), answers[1].clone()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_attempt_that_is_refused_here_does_not_replace_the_upstream_s_answer() {
        let retry_after = Duration::from_secs(1);
        for denial in [
            Cause::Throttled { retry_after },
            Cause::QuotaExhausted { retry_after },
            Cause::CircuitOpen { retry_after },
            Cause::TokenUnavailable,
        ] {
            let first = failed(Cause::Status { status: 503 });
            assert_eq!(
                ask(QuotaPressure::Normal, 1, &[first.clone(), failed(denial)]).await,
                (TWICE.into(), first.clone())
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_401_is_retried_only_where_there_is_a_newer_token_than_the_one_that_was_sent() {
        for (sent, renewed, reasons) in [(1, 2, &TWICE[..]), (1, 1, &ONCE), (2, 2, &ONCE)] {
            let (seen, _) = ask(QuotaPressure::Normal, renewed, &[unauthorized(sent), Ok(good())]).await;
            assert_eq!(seen, reasons, "sent {sent}, then there was {renewed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_calls_are_scarce_only_a_renewed_401_and_what_was_never_sent_are_tried_again() {
        let broken = failed(Cause::Unreachable(Unreachable::Broken));
        let unconnected = failed(Cause::Unreachable(Unreachable::Connect));
        let delayed = QuotaPressure::Delayed { factor: 1.5 };
        for (pressure, answer, reasons) in [
            (QuotaPressure::Normal, broken.clone(), &TWICE[..]),
            (delayed, broken.clone(), &ONCE),
            (QuotaPressure::Stopped, broken, &ONCE),
            (delayed, unauthorized(1), &TWICE),
            (delayed, unconnected, &TWICE),
        ] {
            let (seen, _) = ask(pressure, 2, &[answer.clone(), Ok(good())]).await;
            assert_eq!(seen, reasons, "{answer:?} under {pressure:?}");
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
            assert_eq!(ask(QuotaPressure::Normal, 2, &[failed(cause.clone())]).await.0, ONCE, "{cause}");
        }
    }
}
