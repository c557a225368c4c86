//! The circuit breaker as middleware: records how each call ended, and refuses calls while the circuit is open.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::circuit::{
    CallOutcome, Circuit, CircuitLimits, CircuitOpen, CircuitPermit, CircuitState, CircuitView,
};
use crate::{
    middleware::{Middleware, Next},
    report::{
        Call, FailureStage, FetchError, Fetched, LocalDenial, ReportKey, Responsible, StatisticsCall,
        StatusCall,
    },
    telemetry::CircuitMetrics,
};

/// Middleware that refuses calls while the circuit is open. Clones share the circuit.
#[derive(Debug, Clone)]
pub(crate) struct CircuitBreaker {
    shared: Arc<SharedCircuit>,
}

#[derive(Debug)]
struct SharedCircuit {
    circuit: Mutex<Circuit>,
    metrics: CircuitMetrics,
}

/// Records the end of a call even if it is dropped: otherwise the circuit would wait for a trial that never ends.
struct CallGuard<'a> {
    shared: &'a SharedCircuit,
    permit: CircuitPermit,
    key: ReportKey,
    outcome: CallOutcome,
}

// === impl CircuitBreaker ===

impl CircuitBreaker {
    /// A closed circuit.
    pub(crate) fn new(limits: CircuitLimits, metrics: CircuitMetrics) -> Self {
        Self { shared: Arc::new(SharedCircuit { circuit: Mutex::new(Circuit::new(limits)), metrics }) }
    }

    /// Whether a call that it has let through may still be sent.
    pub(super) fn recheck(&self) -> Result<(), LocalDenial> {
        let checked = self.shared.with(|circuit, now| circuit.recheck(now));
        checked.map_err(|open| LocalDenial::CircuitOpen { retry_after: open.retry_in })
    }

    /// What is shown of it.
    pub(crate) fn view(&self) -> CircuitView {
        self.shared.circuit.lock().unwrap_or_else(PoisonError::into_inner).view()
    }
}

impl<N: Next<Call, Response = Fetched, Error = FetchError>> Middleware<Call, N> for CircuitBreaker {
    async fn handle(&self, call: Call, next: &N) -> Result<Fetched, FetchError> {
        let begun = self.shared.begin(call.key);
        let mut guard = begun.map_err(|open| LocalDenial::CircuitOpen { retry_after: open.retry_in })?;
        let result = next.run(call).await;
        guard.outcome = outcome(&result);
        drop(guard);
        result
    }
}

/// A change probe waits for a closed circuit, and does not count for it: reports must not fail since another endpoint
/// does, nor must calls for them go on since that one works.
impl<N: Next<StatisticsCall, Error = FetchError>> Middleware<StatisticsCall, N> for CircuitBreaker {
    async fn handle(&self, call: StatisticsCall, next: &N) -> Result<N::Response, FetchError> {
        self.shared.check()?;
        next.run(call).await
    }
}

/// The same for the status of an activity: a token that may not ask for it still reads reports.
impl<N: Next<StatusCall, Error = FetchError>> Middleware<StatusCall, N> for CircuitBreaker {
    async fn handle(&self, call: StatusCall, next: &N) -> Result<N::Response, FetchError> {
        self.shared.check()?;
        next.run(call).await
    }
}

fn outcome(result: &Result<Fetched, FetchError>) -> CallOutcome {
    let Err(error) = result else { return CallOutcome::Answered };
    match error.stage() {
        FailureStage::Refused => CallOutcome::NotSent,
        FailureStage::Connecting | FailureStage::Sent => match error.cause.responsible() {
            Responsible::Upstream => CallOutcome::Failed,
            Responsible::Token => CallOutcome::TokenRefused,
            // The quota has pauses of its own.
            Responsible::Quota | Responsible::Proxy => CallOutcome::Inconclusive,
        },
    }
}

// === impl SharedCircuit ===

impl SharedCircuit {
    fn begin(&self, key: ReportKey) -> Result<CallGuard<'_>, CircuitOpen> {
        let permit = self.with(Circuit::pass)?;
        Ok(CallGuard { shared: self, permit, key, outcome: CallOutcome::Inconclusive })
    }

    /// Whether a call that the circuit does not judge may be made.
    fn check(&self) -> Result<(), LocalDenial> {
        let checked = self.with(|circuit, now| circuit.check(now));
        checked.map_err(|open| LocalDenial::CircuitOpen { retry_after: open.retry_in })
    }

    /// Runs `act` on the circuit, then updates the gauge and logs a change of state.
    fn with<T>(&self, act: impl FnOnce(&mut Circuit, Instant) -> T) -> T {
        let (result, changed) = {
            let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
            let before = circuit.state();
            let result = act(&mut circuit, Instant::now());
            let changed = Some(circuit.state()).filter(|after| *after != before);
            if let Some(after) = changed {
                // Under the lock, so that two changes reach the gauge in the right order.
                self.metrics.state(after.as_str());
            }
            (result, changed)
        };
        match changed {
            Some(CircuitState::Open) => {
                tracing::warn!(
                    "circuit opened, the upstream keeps failing: no calls until a trial call is due"
                );
            }
            Some(CircuitState::HalfOpen) => tracing::info!("circuit half open: making one trial call"),
            Some(CircuitState::Closed) => tracing::info!("circuit closed: the upstream responds again"),
            None => {}
        }
        result
    }
}

// === impl CallGuard ===

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        let (permit, key, outcome) = (self.permit, self.key, self.outcome);
        self.shared.with(|circuit, now| circuit.record(permit, key, outcome, now));
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, num::NonZeroU32, time::Duration};

    use super::*;
    use crate::{
        middleware::TowerService,
        report::testing::{call_for, good, statistics_call},
        report::{Cause, Exchange, InvalidReport, Unreachable, UpstreamFailure, UpstreamLimit},
        telemetry::Metrics,
    };

    const LIMITS: CircuitLimits = CircuitLimits {
        failures: NonZeroU32::new(2),
        open_for: Duration::from_secs(10),
        open_max: Duration::from_secs(60),
    };

    async fn ask(
        breaker: &CircuitBreaker,
        number: u128,
        answer: Result<Fetched, FetchError>,
    ) -> Result<Fetched, Cause> {
        let upstream = TowerService(tower::service_fn(move |_call| ready(answer.clone())));
        breaker.handle(call_for(number), &upstream).await.map_err(|error| error.cause)
    }

    /// All kinds of failure, each with the upstream's status if it has one.
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
            of(UpstreamFailure::Unauthorized.into(), Some(401), CallOutcome::TokenRefused),
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
            let breaker = CircuitBreaker::new(LIMITS, Metrics::new().circuit);
            for number in 0..2 {
                assert_eq!(ask(&breaker, number, Err(failure.clone())).await, Err(failure.cause.clone()));
            }
            let expected = match outcome {
                CallOutcome::Failed => {
                    Err(Cause::Local(LocalDenial::CircuitOpen { retry_after: LIMITS.open_for }))
                }
                CallOutcome::Answered
                | CallOutcome::TokenRefused
                | CallOutcome::Inconclusive
                | CallOutcome::NotSent => Ok(good()),
            };
            assert_eq!(ask(&breaker, 2, Ok(good())).await, expected, "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_was_sent_and_got_no_response_is_followed_by_a_pause() {
        for (failure, outcome) in failures() {
            let breaker = CircuitBreaker::new(LIMITS, Metrics::new().circuit);
            for number in 0..2 {
                ask(&breaker, number, Err(UpstreamFailure::Timeout.into())).await.unwrap_err();
            }
            tokio::time::advance(LIMITS.open_for).await;
            assert_eq!(ask(&breaker, 1, Err(failure.clone())).await, Err(failure.cause.clone()));
            let expected = match outcome {
                CallOutcome::Failed | CallOutcome::Inconclusive => {
                    Err(Cause::Local(LocalDenial::CircuitOpen { retry_after: LIMITS.open_for * 2 }))
                }
                CallOutcome::Answered | CallOutcome::TokenRefused | CallOutcome::NotSent => Ok(good()),
            };
            assert_eq!(ask(&breaker, 1, Ok(good())).await, expected, "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_gets_a_401_leaves_the_next_call_the_trial() {
        let breaker = CircuitBreaker::new(LIMITS, Metrics::new().circuit);
        for number in 0..2 {
            ask(&breaker, number, Err(UpstreamFailure::Timeout.into())).await.unwrap_err();
        }
        tokio::time::advance(LIMITS.open_for).await;
        let unauthorized = Cause::from(UpstreamFailure::Unauthorized);
        for _ in 0..3 {
            assert_eq!(ask(&breaker, 1, Err(unauthorized.clone().into())).await, Err(unauthorized.clone()));
            assert_eq!(breaker.view().state, CircuitState::HalfOpen);
        }
        // Its pause is the first one's double.
        ask(&breaker, 1, Err(UpstreamFailure::Timeout.into())).await.unwrap_err();
        let open = LocalDenial::CircuitOpen { retry_after: LIMITS.open_for * 2 };
        assert_eq!(ask(&breaker, 1, Ok(good())).await, Err(open.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_dropped_does_not_keep_the_circuit_open() {
        let metrics = Metrics::new();
        let breaker = CircuitBreaker::new(LIMITS, metrics.circuit.clone());
        for number in 0..2 {
            ask(&breaker, number, Err(UpstreamFailure::Timeout.into())).await.unwrap_err();
        }
        assert!(metrics.render().unwrap().contains("circuit_state{state=\"open\"} 1\n"));
        tokio::time::advance(LIMITS.open_for).await;
        let hanging =
            TowerService(tower::service_fn(|_call| std::future::pending::<Result<Fetched, FetchError>>()));
        let trial = tokio::time::timeout(Duration::from_secs(1), breaker.handle(call_for(1), &hanging));
        assert!(trial.await.is_err());
        // It may have been sent.
        tokio::time::advance(LIMITS.open_for * 2).await;
        assert_eq!(ask(&breaker, 1, Ok(good())).await, Ok(good()));
        assert!(metrics.render().unwrap().contains("circuit_state{state=\"closed\"} 1\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_waits_for_a_closed_circuit_and_neither_opens_nor_closes_it() {
        let breaker = CircuitBreaker::new(LIMITS, Metrics::new().circuit);
        let probe = |answer: Result<(), Cause>| {
            let answer = answer.map_err(FetchError::from);
            let upstream = tower::service_fn(move |_call: StatisticsCall| ready(answer.clone()));
            let breaker = breaker.clone();
            async move {
                breaker.handle(statistics_call(), &TowerService(upstream)).await.map_err(|error| error.cause)
            }
        };
        let failed = || Cause::from(UpstreamFailure::Timeout);
        let open = |retry_after| Err(LocalDenial::CircuitOpen { retry_after }.into());
        for _ in 0..5 {
            assert_eq!(probe(Err(failed())).await, Err(failed()));
        }
        for number in 0..2 {
            // A success of the other endpoint between two failures.
            assert_eq!(probe(Ok(())).await, Ok(()));
            assert_eq!(ask(&breaker, number, Err(failed().into())).await, Err(failed()));
        }
        assert_eq!(probe(Ok(())).await, open(LIMITS.open_for));
        tokio::time::advance(LIMITS.open_for).await;
        assert_eq!(probe(Ok(())).await, open(Duration::ZERO), "the trial is a report's");
        assert_eq!(ask(&breaker, 1, Ok(good())).await, Ok(good()));
        assert_eq!(probe(Ok(())).await, Ok(()));
    }
}
