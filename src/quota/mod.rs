//! May this call be made now? The second, the day and the circuit; and does a failed call deserve another?
//!
//! Pure machines (time is an argument) and the layers that ask them. The second is a `Pacer`. The day is a
//! `DailyBudget`, which counts, rations by `BurnRate`, foretells by `Rate`, and obeys a `UpstreamLockout` when the upstream counts
//! otherwise; its days end by the `UpstreamClock`, and each keeps its count (`UsageByDay`). Failures are the `Circuit`'s.
//!
//! A step around any call: must never know HTTP, the token or the cache. The cache asks how scarce calls are through
//! a question that the composition root hands it.

mod admit;
mod budget;
mod burn_rate;
mod clock;
#[cfg(test)]
mod clock_steps;
mod day;
mod forecast;
mod gate;
mod lease;
mod lease_write;
mod lockout;
mod pacer;
mod permit;
mod quota_pressure;
mod shared_ledger;
mod snapshot;
#[cfg(test)]
mod stray_verdicts;
#[cfg(test)]
mod test_host;
mod turn;
mod upstream_clock;
mod usage;

pub use admit::{InitialCount, Quota, QuotaLimits};
pub use burn_rate::QuotaMode;
pub use clock::WallClock;
pub use forecast::Forecast;
pub use gate::QuotaGate;
pub use snapshot::{DayCount, QuotaSnapshot, SecondCount};
pub use upstream_clock::ClockSkew;
pub use usage::Backing;
