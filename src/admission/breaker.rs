//! The circuit as a layer: judges each answer, and refuses while the circuit is open.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::circuit::{Circuit, CircuitLimits, CircuitOpen, CircuitState, Outcome, Pass};
use crate::{
    report::{Call, Cause, FetchError, Fetched},
    telemetry::CircuitMetrics,
};

/// Puts a [`Breaker`] around a service.
#[derive(Debug, Clone)]
pub struct BreakerLayer {
    shared: Arc<Shared>,
}

/// Refuses calls while the upstream keeps failing.
#[derive(Debug, Clone)]
pub struct Breaker<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    circuit: Mutex<Circuit>,
    metrics: CircuitMetrics,
}

/// A pass whose end is told even if its call is dropped: a trial that nobody ends would refuse calls for ever.
struct Trip<'a> {
    shared: &'a Shared,
    pass: Pass,
    outcome: Outcome,
}

// === impl BreakerLayer ===

impl BreakerLayer {
    /// A closed circuit.
    pub fn new(limits: CircuitLimits, metrics: CircuitMetrics) -> Self {
        Self { shared: Arc::new(Shared { circuit: Mutex::new(Circuit::new(limits)), metrics }) }
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
                .set_out()
                .map_err(|CircuitOpen { retry_in }| Cause::CircuitOpen { retry_after: retry_in })?;
            let result = inner.oneshot(call).await;
            trip.outcome = outcome(&result);
            drop(trip);
            result
        }
        .boxed()
    }
}

fn outcome(result: &Result<Fetched, FetchError>) -> Outcome {
    match result.as_ref().map_err(|error| &error.cause) {
        Ok(_) | Err(Cause::Unauthorized | Cause::Forbidden) => Outcome::Answered,
        Err(Cause::Status { status }) if *status < 500 => Outcome::Answered,
        Err(Cause::Status { .. } | Cause::Unreachable(_) | Cause::Timeout) => Outcome::Failed,
        // An unusable answer may be one report's fault, and must not cut off the others. The rest never left, but
        // for the upstream's own 429s: of those the quota takes care.
        Err(
            Cause::Invalid(_)
            | Cause::Throttled { .. }
            | Cause::TooMany { .. }
            | Cause::QuotaExhausted { .. }
            | Cause::CircuitOpen { .. }
            | Cause::TokenUnavailable
            | Cause::Overloaded
            | Cause::Internal,
        ) => Outcome::Untold,
    }
}

// === impl Shared ===

impl Shared {
    fn set_out(&self) -> Result<Trip<'_>, CircuitOpen> {
        let pass = self.with(Circuit::pass)?;
        Ok(Trip { shared: self, pass, outcome: Outcome::Untold })
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

// === impl Trip ===

impl Drop for Trip<'_> {
    fn drop(&mut self) {
        let (pass, outcome) = (self.pass, self.outcome);
        self.shared.with(|circuit, now| circuit.record(pass, outcome, now));
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, num::NonZeroU32, time::Duration};

    use super::*;
    use crate::{
        admission::testing::{call, good},
        report::{InvalidReport, Unreachable},
        telemetry::Metrics,
    };

    const LIMITS: CircuitLimits = CircuitLimits {
        failures: NonZeroU32::new(2),
        open_for: Duration::from_secs(10),
        open_max: Duration::from_secs(60),
    };

    #[tokio::test(start_paused = true)]
    async fn connect_errors_timeouts_and_5xx_open_the_circuit_and_nothing_else_does() {
        for (cause, opens) in [
            (Cause::Unreachable(Unreachable::Dns), true),
            (Cause::Timeout, true),
            (Cause::Status { status: 500 }, true),
            (Cause::Status { status: 302 }, false),
            (Cause::Unauthorized, false),
            (Cause::Forbidden, false),
            (Cause::Invalid(InvalidReport::Malformed), false),
            (Cause::Throttled { retry_after: Duration::ZERO }, false),
            (Cause::QuotaExhausted { retry_after: Duration::ZERO }, false),
            (Cause::TokenUnavailable, false),
        ] {
            let failed = FetchError::from(cause.clone());
            let failing = tower::service_fn(move |_call| ready(Err::<Fetched, _>(failed.clone())));
            let breaker = BreakerLayer::new(LIMITS, Metrics::new().circuit).layer(failing);
            for _ in 0..2 {
                assert_eq!(breaker.clone().oneshot(call()).await.unwrap_err().cause, cause);
            }
            let third = breaker.oneshot(call()).await.unwrap_err().cause;
            let expected = if opens { Cause::CircuitOpen { retry_after: LIMITS.open_for } } else { cause };
            assert_eq!(third, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_dropped_does_not_keep_the_circuit_open_for_ever() {
        let metrics = Metrics::new();
        let shared = BreakerLayer::new(LIMITS, metrics.circuit.clone());
        let failing =
            shared.layer(tower::service_fn(|_call| ready(Err::<Fetched, FetchError>(Cause::Timeout.into()))));
        for _ in 0..2 {
            failing.clone().oneshot(call()).await.unwrap_err();
        }
        assert!(metrics.render().unwrap().contains("circuit_state{state=\"open\"} 1\n"));
        tokio::time::advance(LIMITS.open_for).await;
        let hanging = shared.layer(tower::service_fn(|_call| std::future::pending()));
        let trial = tokio::time::timeout(Duration::from_secs(1), hanging.oneshot(call()));
        assert!(trial.await.is_err());
        let mending = shared.layer(tower::service_fn(|_call| ready(Ok(good()))));
        assert_eq!(mending.oneshot(call()).await, Ok(good()));
        assert!(metrics.render().unwrap().contains("circuit_state{state=\"closed\"} 1\n"));
    }
}
