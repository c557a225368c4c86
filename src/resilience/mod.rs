//! What is done about an upstream that fails: the circuit breaker, and at most one retry.
//!
//! The circuit is a pure machine (time is an argument); both are steps around any call. Must never know HTTP, the
//! token, the cache or what a call costs: how scarce calls are, and whether there is a newer token, it asks through
//! functions that the composition root hands it.

mod breaker;
mod circuit;
mod retry;

pub(crate) use breaker::CircuitBreaker;
pub(crate) use circuit::{CircuitLimits, CircuitState};
pub(crate) use retry::{RetryOnce, TokenGeneration};
