//! May this call be made now? `admit` is the one way through, and `CallPermit` sees to the call's end.
//!
//! Three pure machines (time is an argument) decide. The `DailyBudget` counts, rations by `BurnRate` and foretells by
//! `Rate`; its days end by the `UpstreamClock`, and each keeps its count (`UsageByDay`). The `UpstreamLockout` obeys the
//! upstream's `quota_exceeded` and lets one probe find out whether it still holds. The `Pacer` spaces the calls of a
//! second, by a queue with priorities. `SharedDay` (the first two, joined by `QuotaDay`) and `SharedPacer` hold them for
//! all calls: the one leases calls of the store that keeps the count, the other waits.
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
mod handle;
mod lease;
mod lease_write;
mod lockout;
mod pacer;
mod permit;
mod quota_day;
mod quota_pressure;
mod shared_day;
mod shared_pacer;
mod snapshot;
#[cfg(test)]
mod stray_verdicts;
#[cfg(test)]
mod test_host;
mod upstream_clock;
mod usage;

pub(crate) use burn_rate::QuotaMode;
pub use clock::WallClock;
pub(crate) use forecast::Forecast;
pub(crate) use gate::QuotaGate;
pub use handle::{InitialCount, Quota};
pub(crate) use handle::{QuotaLimits, Window};
pub(crate) use snapshot::{QuotaSnapshot, SecondCount};
