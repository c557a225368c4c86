//! The circuit as a layer: judges each answer, and refuses while the circuit is open.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::circuit::{CallOutcome, Circuit, CircuitLimits, CircuitOpen, CircuitPermit, CircuitState};
use crate::{
    report::{Call, FailureStage, FetchError, Fetched, LocalDenial, ReportKey, Responsible},
    telemetry::CircuitMetrics,
};

/// Puts a [`Breaker`] around a service.
#[derive(Debug, Clone)]
pub struct BreakerLayer {
    shared: Arc<SharedCircuit>,
}

/// Refuses calls while the upstream keeps failing.
#[derive(Debug, Clone)]
pub struct Breaker<S> {
    inner: S,
    shared: Arc<SharedCircuit>,
}

#[derive(Debug)]
struct SharedCircuit {
    circuit: Mutex<Circuit>,
    metrics: CircuitMetrics,
}

/// A pass whose end is told even if its call is dropped: a trial that nobody ends would refuse calls for ever.
struct CallGuard<'a> {
    shared: &'a SharedCircuit,
    pass: CircuitPermit,
    key: ReportKey,
    outcome: CallOutcome,
}

// === impl BreakerLayer ===

impl BreakerLayer {
    /// A closed circuit.
    pub fn new(limits: CircuitLimits, metrics: CircuitMetrics) -> Self {
        Self { shared: Arc::new(SharedCircuit { circuit: Mutex::new(Circuit::new(limits)), metrics }) }
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Breaker<S> {
        Breaker { inner, shared: Arc::clone(&self.shared) }
    }
}

// === impl Breaker ===

impl<S> Service<Call> for Breaker<S>
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
        let Self { inner, shared } = self.clone();
        async move {
            let mut trip = shared
                .begin(call.key)
                .map_err(|CircuitOpen { retry_in }| LocalDenial::CircuitOpen { retry_after: retry_in })?;
            let result = inner.oneshot(call).await;
            trip.outcome = outcome(&result);
            drop(trip);
            result
        }
        .boxed()
    }
}

fn outcome(result: &Result<Fetched, FetchError>) -> CallOutcome {
    let Err(error) = result else { return CallOutcome::Answered };
    match error.stage() {
        FailureStage::Refused => CallOutcome::NotSent,
        FailureStage::Connecting | FailureStage::Sent => match error.cause.responsible() {
            Responsible::Upstream => CallOutcome::Failed,
            // The token and the quota pause by themselves.
            Responsible::Token | Responsible::Quota | Responsible::Proxy => CallOutcome::Inconclusive,
        },
    }
}

// === impl SharedCircuit ===

impl SharedCircuit {
    fn begin(&self, key: ReportKey) -> Result<CallGuard<'_>, CircuitOpen> {
        let pass = self.with(Circuit::pass)?;
        Ok(CallGuard { shared: self, pass, key, outcome: CallOutcome::Inconclusive })
    }

    /// The gauge follows the circuit, and its every change is a line of log.
    fn with<T>(&self, act: impl FnOnce(&mut Circuit, Instant) -> T) -> T {
        let (result, before, after) = {
            let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
            let before = circuit.state();
            let result = act(&mut circuit, Instant::now());
            let after = circuit.state();
            if before != after {
                // Under the lock: two changes must not reach the gauge in the wrong order.
                self.metrics.state(after.as_str());
            }
            (result, before, after)
        };
        match after {
            _ if before == after => {}
            CircuitState::Open => tracing::warn!("circuit opened: the upstream is left alone for a while"),
            CircuitState::HalfOpen => tracing::info!("circuit half open: one call is let through"),
            CircuitState::Closed => tracing::info!("circuit closed: the upstream answers again"),
        }
        result
    }
}

// === impl CallGuard ===

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        let (pass, key, outcome) = (self.pass, self.key, self.outcome);
        self.shared.with(|circuit, now| circuit.record(pass, key, outcome, now));
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, num::NonZeroU32, time::Duration};

    use super::*;
    use crate::{
        report::testing::{call, call_for, good},
        report::{Cause, Exchange, InvalidReport, Unreachable, UpstreamFailure, UpstreamLimit},
        telemetry::Metrics,
    };

    const LIMITS: CircuitLimits = CircuitLimits {
        failures: NonZeroU32::new(2),
        open_for: Duration::from_secs(10),
        open_max: Duration::from_secs(60),
    };

    async fn ask(
        layer: &BreakerLayer,
        number: u128,
        answer: Result<Fetched, FetchError>,
    ) -> Result<Fetched, Cause> {
        let upstream = tower::service_fn(move |_call| ready(answer.clone()));
        layer.layer(upstream).oneshot(call_for(number)).await.map_err(|error| error.cause)
    }

    /// Every way to fail; with the upstream's status, if it has one.
    fn failures() -> Vec<(FetchError, CallOutcome)> {
        const NOW: Duration = Duration::ZERO;
        let of = |cause: Cause, status, outcome| {
            (FetchError { exchange: Exchange { status, ..Exchange::default() }, ..cause.into() }, outcome)
        };
        let refused = |limit| UpstreamFailure::TooManyRequests { limit, retry_after: NOW }.into();
        vec![
            of(UpstreamFailure::Forbidden.into(), Some(403), CallOutcome::Failed),
            of(UpstreamFailure::Status { status: 302 }.into(), Some(302), CallOutcome::Failed),
            of(UpstreamFailure::Status { status: 410 }.into(), Some(410), CallOutcome::Failed),
            of(UpstreamFailure::Status { status: 500 }.into(), Some(500), CallOutcome::Failed),
            of(UpstreamFailure::Invalid(InvalidReport::Malformed).into(), Some(200), CallOutcome::Failed),
            of(UpstreamFailure::Unreachable(Unreachable::Dns).into(), None, CallOutcome::Failed),
            of(UpstreamFailure::Unreachable(Unreachable::Broken).into(), None, CallOutcome::Failed),
            of(UpstreamFailure::Timeout.into(), None, CallOutcome::Failed),
            of(UpstreamFailure::Unauthorized.into(), Some(401), CallOutcome::Inconclusive),
            of(refused(UpstreamLimit::PerSecond), Some(429), CallOutcome::Inconclusive),
            of(refused(UpstreamLimit::Unspecified), Some(429), CallOutcome::Inconclusive),
            of(refused(UpstreamLimit::PerDay), Some(429), CallOutcome::Inconclusive),
            of(LocalDenial::RateLimit { retry_after: NOW }.into(), None, CallOutcome::NotSent),
            of(LocalDenial::DailyQuota { retry_after: NOW }.into(), None, CallOutcome::NotSent),
            of(Cause::Local(LocalDenial::NoToken), None, CallOutcome::NotSent),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_any_kind_from_different_keys_open_the_circuit() {
        for (failure, outcome) in failures() {
            let layer = BreakerLayer::new(LIMITS, Metrics::new().circuit);
            for number in 0..2 {
                assert_eq!(ask(&layer, number, Err(failure.clone())).await, Err(failure.cause.clone()));
            }
            let expected = match outcome {
                CallOutcome::Failed => {
                    Err(Cause::Local(LocalDenial::CircuitOpen { retry_after: LIMITS.open_for }))
                }
                CallOutcome::Answered | CallOutcome::Inconclusive | CallOutcome::NotSent => Ok(good()),
            };
            assert_eq!(ask(&layer, 2, Ok(good())).await, expected, "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_was_sent_and_not_answered_is_followed_by_a_pause() {
        for (failure, outcome) in failures() {
            let layer = BreakerLayer::new(LIMITS, Metrics::new().circuit);
            for number in 0..2 {
                ask(&layer, number, Err(UpstreamFailure::Timeout.into())).await.unwrap_err();
            }
            tokio::time::advance(LIMITS.open_for).await;
            assert_eq!(ask(&layer, 1, Err(failure.clone())).await, Err(failure.cause.clone()));
            let expected = match outcome {
                CallOutcome::Failed | CallOutcome::Inconclusive => {
                    Err(Cause::Local(LocalDenial::CircuitOpen { retry_after: LIMITS.open_for * 2 }))
                }
                CallOutcome::Answered | CallOutcome::NotSent => Ok(good()),
            };
            assert_eq!(ask(&layer, 1, Ok(good())).await, expected, "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_dropped_does_not_keep_the_circuit_open_for_ever() {
        let metrics = Metrics::new();
        let shared = BreakerLayer::new(LIMITS, metrics.circuit.clone());
        let failing = shared.layer(tower::service_fn(|_call| {
            ready(Err::<Fetched, FetchError>(UpstreamFailure::Timeout.into()))
        }));
        for number in 0..2 {
            failing.clone().oneshot(call_for(number)).await.unwrap_err();
        }
        assert!(metrics.render().unwrap().contains("circuit_state{state=\"open\"} 1\n"));
        tokio::time::advance(LIMITS.open_for).await;
        let hanging = shared.layer(tower::service_fn(|_call| std::future::pending()));
        let trial = tokio::time::timeout(Duration::from_secs(1), hanging.oneshot(call()));
        assert!(trial.await.is_err());
        // It may have been sent.
        tokio::time::advance(LIMITS.open_for * 2).await;
        let mending = shared.layer(tower::service_fn(|_call| ready(Ok(good()))));
        assert_eq!(mending.oneshot(call()).await, Ok(good()));
        assert!(metrics.render().unwrap().contains("circuit_state{state=\"closed\"} 1\n"));
    }
}
