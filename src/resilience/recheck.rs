//! The circuit breaker's second check, directly before a call is sent: the circuit may have opened while the call waited
//! for its turn.

use super::breaker::CircuitBreaker;
use crate::{
    middleware::{Middleware, Next},
    report::LocalDenial,
};

/// Refuses calls that the open circuit would refuse now. The trial passes, as does what waited beside it.
#[derive(Debug, Clone)]
pub(crate) struct CircuitRecheck {
    breaker: CircuitBreaker,
}

// === impl CircuitRecheck ===

impl CircuitRecheck {
    /// For calls that `breaker` has let through before.
    pub(crate) fn new(breaker: CircuitBreaker) -> Self {
        Self { breaker }
    }
}

impl<Q, N> Middleware<Q, N> for CircuitRecheck
where
    N: Next<Q>,
    N::Error: From<LocalDenial>,
    Q: Send,
{
    async fn handle(&self, call: Q, next: &N) -> Result<N::Response, N::Error> {
        self.breaker.recheck()?;
        next.run(call).await
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, num::NonZeroU32, time::Duration};

    use super::*;
    use crate::{
        middleware::TowerService,
        report::{
            Call, Cause, FetchError, Fetched, UpstreamFailure,
            testing::{call_for, good},
        },
        resilience::CircuitLimits,
        telemetry::Metrics,
    };

    const LIMITS: CircuitLimits = CircuitLimits {
        failures: NonZeroU32::new(2),
        open_for: Duration::from_secs(10),
        open_max: Duration::from_secs(60),
    };

    #[tokio::test(start_paused = true)]
    async fn a_call_that_has_waited_while_the_circuit_opened_is_not_sent() {
        let breaker = CircuitBreaker::new(LIMITS, Metrics::new().circuit);
        let recheck = CircuitRecheck::new(breaker.clone());
        let upstream = |answer: Result<Fetched, FetchError>| {
            TowerService(tower::service_fn(move |_call: Call| ready(answer.clone())))
        };
        let waited = async || {
            let result = recheck.handle(call_for(3), &upstream(Ok(good()))).await;
            result.map_err(|error| error.cause)
        };
        assert_eq!(waited().await, Ok(good()));
        let failing = upstream(Err(UpstreamFailure::Timeout.into()));
        for number in 1..=2 {
            breaker.handle(call_for(number), &failing).await.unwrap_err();
        }
        let open = |retry_after| Err(Cause::Local(LocalDenial::CircuitOpen { retry_after }));
        assert_eq!(waited().await, open(LIMITS.open_for));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(waited().await, open(Duration::from_secs(6)));
    }
}
