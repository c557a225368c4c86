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
