//! May this call be made now? The second, the day and the circuit; and does a failed call deserve another?
//!
//! Three pure machines ([`Bucket`], [`Ledger`], [`Circuit`]: time is an argument) and the layers that ask them. Wraps
//! any `Service<Call>`: must never know HTTP, the token or the cache.

mod breaker;
mod bucket;
mod circuit;
mod gate;
mod ledger;
mod quota;
mod retry;
#[cfg(test)]
mod testing;

pub use breaker::{Breaker, BreakerLayer};
pub use bucket::{Bucket, Place, QueueFull, Turn};
pub use circuit::{Circuit, CircuitLimits, CircuitOpen, CircuitState, Outcome, Pass};
pub use gate::{QuotaGate, QuotaLayer};
pub use ledger::{DayCount, DaySpent, Ledger};
pub use quota::{Quota, QuotaLimits, QuotaSnapshot, SecondCount};
pub use retry::{RetryOnce, TokenGeneration};
