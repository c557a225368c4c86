//! Retry: at most one second attempt for a failed call, and only where it is likely to help.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::{Instrument as _, Span};

use crate::{
    middleware::{Middleware, Next},
    report::{
        Call, FailureStage, FetchError, Fetched, QuotaPressure, QuotaPressureFn, Reason, RetryWhen,
        SentGeneration,
    },
};

/// The pause before the second attempt, plus or minus half, so that calls that failed together are not repeated
/// together.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the generation of the current access token: after a 401 a retry makes sense only with a newer token. A
/// function passed in, since this module must not depend on the token.
#[derive(Clone)]
pub(crate) struct TokenGeneration(Arc<dyn Fn() -> u64 + Send + Sync>);

/// Retries once: failures to reach the upstream ([`Unreachable`](crate::report::Unreachable): connect errors and
/// timeouts, broken connections, not HTTP), 502, 503, 504, and a 401 once the token that was sent has been renewed.
///
/// A response timeout is never retried: the caller has waited long enough, and the upstream is slow already. While
/// calls are scarce, only calls that were never sent (they cost nothing) and the 401 (else the renewal was useless)
/// are retried.
#[derive(Debug, Clone)]
pub(crate) struct RetryOnce {
    tokens: TokenGeneration,
    quota_pressure: QuotaPressureFn,
}

// === impl TokenGeneration ===

impl TokenGeneration {
    /// Wraps a function that returns the current generation.
    pub(crate) fn new(current: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
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

// === impl RetryOnce ===

impl RetryOnce {
    /// `tokens` returns the token's generation, `quota_pressure` how scarce calls are.
    pub(crate) fn new(tokens: TokenGeneration, quota_pressure: QuotaPressureFn) -> Self {
        Self { tokens, quota_pressure }
    }

    fn is_worth_it(&self, error: &FetchError) -> bool {
        let ample = || self.quota_pressure.ask(Instant::now()) == QuotaPressure::Normal;
        match error.cause.retry() {
            RetryWhen::Never => false,
            RetryWhen::Affordable => error.stage() == FailureStage::Connecting || ample(),
            RetryWhen::TokenRenewed => self.tokens.is_newer_than(error.exchange.sent_generation),
        }
    }
}

impl<N: Next<Call, Response = Fetched, Error = FetchError>> Middleware<Call, N> for RetryOnce {
    async fn handle(&self, call: Call, next: &N) -> Result<Fetched, FetchError> {
        let first = match next.run(call).instrument(attempt(1)).await {
            Err(error) if self.is_worth_it(&error) => error,
            last => return last,
        };
        sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        match next.run(Call { reason: Reason::Retry, ..call }).instrument(attempt(2)).await {
            // The second call was refused by us and never sent: the first error says more.
            Err(second) if second.stage() == FailureStage::Refused => Err(first),
            second => second,
        }
    }
}

fn attempt(number: u8) -> Span {
    tracing::debug_span!("attempt", number)
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
        middleware::TowerService,
        report::testing::{call, good},
        report::{Cause, Exchange, InvalidReport, LocalDenial, Unreachable, UpstreamFailure},
    };

    type Answered = Result<Fetched, FetchError>;

    /// Runs a call against an upstream that gives these responses in order. Returns the reasons of the calls made,
    /// and the result. Before the first response the token's generation becomes `renewed`.
    async fn ask(pressure: QuotaPressure, renewed: u64, answers: &[Answered]) -> (Vec<Reason>, Answered) {
        let generation = Arc::new(AtomicU64::new(1));
        let current = Arc::clone(&generation);
        let tokens = TokenGeneration::new(move || current.load(Ordering::Relaxed));
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let (seen, left) = (Arc::clone(&reasons), Arc::new(Mutex::new(VecDeque::from(answers.to_vec()))));
        let upstream = TowerService(tower::service_fn(move |call: Call| {
            seen.lock().unwrap().push(call.reason);
            generation.store(renewed, Ordering::Relaxed);
            std::future::ready(left.lock().unwrap().pop_front().unwrap())
        }));
        let retry = RetryOnce::new(tokens, QuotaPressureFn::new(move |_now| pressure));
        let result = retry.handle(call(), &upstream).await;
        drop(upstream);
        (Arc::into_inner(reasons).unwrap().into_inner().unwrap(), result)
    }

    fn failed(cause: Cause) -> Answered {
        Err(cause.into())
    }

    /// A 401 to a call that was sent with the token of this generation.
    fn unauthorized(sent: u64) -> Answered {
        let exchange = Exchange { sent_generation: Some(SentGeneration(sent)), ..Exchange::default() };
        Err(FetchError { exchange, ..Cause::Upstream(UpstreamFailure::Unauthorized).into() })
    }

    const ONCE: [Reason; 1] = [Reason::Miss];
    const TWICE: [Reason; 2] = [Reason::Miss, Reason::Retry];

    #[tokio::test(start_paused = true)]
    async fn a_temporary_failure_is_retried_once() {
        for cause in [
            Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)),
            Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Broken)),
            Cause::Upstream(UpstreamFailure::Status { status: 502 }),
            Cause::Upstream(UpstreamFailure::Status { status: 503 }),
            Cause::Upstream(UpstreamFailure::Status { status: 504 }),
        ] {
            let answer = Ok(good());
            assert_eq!(
                ask(QuotaPressure::Normal, 1, &[failed(cause), answer.clone()]).await,
                (TWICE.into(), answer)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_before_a_retry_is_random_by_half_of_it() {
        let mut pauses = Vec::new();
        for _ in 0..100 {
            let (start, first) =
                (Instant::now(), failed(UpstreamFailure::Unreachable(Unreachable::Connect).into()));
            ask(QuotaPressure::Normal, 1, &[first, Ok(good())]).await.1.unwrap();
            pauses.push(start.elapsed());
        }
        // Timers have a resolution of a millisecond.
        let longest = PAUSE * 3 / 2 + Duration::from_millis(1);
        assert!(pauses.iter().all(|pause| (PAUSE / 2..=longest).contains(pause)), "{pauses:?}");
        pauses.dedup();
        assert!(pauses.len() > 1, "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_never_a_third_attempt() {
        let answers = [502, 503].map(|status| failed(Cause::Upstream(UpstreamFailure::Status { status })));
        assert_eq!(ask(QuotaPressure::Normal, 1, &answers).await, (TWICE.into(), answers[1].clone()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_that_is_refused_here_does_not_replace_the_upstream_s_response() {
        let retry_after = Duration::from_secs(1);
        for denial in [
            Cause::Local(LocalDenial::RateLimit { retry_after }),
            Cause::Local(LocalDenial::DailyQuota { retry_after }),
            Cause::Local(LocalDenial::CircuitOpen { retry_after }),
            Cause::Local(LocalDenial::NoToken),
        ] {
            let first = failed(Cause::Upstream(UpstreamFailure::Status { status: 503 }));
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
            assert_eq!(seen, reasons, "sent {sent}, current {renewed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_calls_are_scarce_only_a_renewed_401_and_calls_never_sent_are_retried() {
        let broken = failed(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Broken)));
        let unconnected = failed(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)));
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
    async fn all_other_failures_are_not_retried() {
        let retry_after = Duration::ZERO;
        for cause in [
            Cause::Upstream(UpstreamFailure::Timeout),
            Cause::Upstream(UpstreamFailure::Status { status: 500 }),
            Cause::Upstream(UpstreamFailure::Status { status: 301 }),
            Cause::Upstream(UpstreamFailure::Forbidden),
            Cause::Upstream(UpstreamFailure::Invalid(InvalidReport::Truncated)),
            Cause::Local(LocalDenial::RateLimit { retry_after }),
            Cause::Local(LocalDenial::DailyQuota { retry_after }),
            Cause::Local(LocalDenial::CircuitOpen { retry_after }),
            Cause::Local(LocalDenial::NoToken),
        ] {
            assert_eq!(ask(QuotaPressure::Normal, 2, &[failed(cause.clone())]).await.0, ONCE, "{cause}");
        }
    }
}
