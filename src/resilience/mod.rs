//! Resilience against a failing upstream: the circuit breaker, and at most one retry.
//!
//! Both are middleware; the circuit itself is a pure state machine (time is an argument). This module must not depend
//! on HTTP, the token, the cache or the quota. It learns how scarce calls are, and which generation the token has,
//! through functions that the composition root passes to it.

mod breaker;
mod circuit;
mod recheck;
mod retry;

pub(crate) use breaker::CircuitBreaker;
pub(crate) use circuit::{CircuitLimits, CircuitState, CircuitView};
pub(crate) use recheck::CircuitRecheck;
pub(crate) use retry::{RetryOnce, TokenGeneration};
