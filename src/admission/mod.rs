//! May this call be made now? The second, the day and the circuit; and does a failed call deserve another?
//!
//! Pure machines (time is an argument) and the layers that ask them. The second is a `Bucket`. The day is a
//! `Ledger`, which counts, rations by `Pace`, foretells by `Rate`, and obeys a `Ban` when the upstream counts
//! otherwise; its days end by the `UpstreamClock`, and each keeps its count (`UsageByDay`). Failures are the `Circuit`'s.
//!
//! Wraps any `Service<Call>`: must never know HTTP, the token or the cache. The cache asks how scarce calls are through
//! a question that the composition root hands it.

mod ban;
mod breaker;
mod bucket;
mod circuit;
mod clock;
#[cfg(test)]
mod clock_steps;
mod day;
mod forecast;
mod gate;
mod lease;
mod leave;
mod ledger;
mod pace;
mod quota;
mod retry;
mod scarcity;
mod shared_ledger;
mod standing;
#[cfg(test)]
mod stray_verdicts;
#[cfg(test)]
mod test_host;
#[cfg(test)]
mod testing;
mod turn;
mod upstream_clock;
mod usage;
mod writing;

pub use breaker::{Breaker, BreakerLayer};
pub use circuit::CircuitLimits;
pub use clock::WallClock;
pub use forecast::Forecast;
pub use gate::{QuotaGate, QuotaLayer};
pub use pace::Step;
pub use quota::{Opening, Quota, QuotaLimits};
pub use retry::{RetryOnce, RetryOnceLayer, TokenGeneration};
pub use standing::{DayCount, QuotaSnapshot, SecondCount};
pub use upstream_clock::Skew;
pub use usage::Books;
