//! Quota and rate limiting of upstream calls: every call passes `admit`, and its `CallPermit` settles it at the end.
//!
//! Three pure state machines (time is an argument) decide. `DailyBudget` counts the calls of each UTC day
//! (`UsageByDay`), rations them (`Rationing`: by the `BurnRate`, or as the plan of the day says) and forecasts by `Rate`; its
//! day ends by the `UpstreamClock`.
//! `UpstreamLockout` stops calls after the upstream's `quota_exceeded`, except for probes. `Pacer` spaces calls within
//! the second, by a queue with priorities. `QuotaDay` joins the first two. `SharedDay` and `SharedPacer` share them
//! between all calls: the former leases calls from the store that keeps the count, the latter does the waiting. Where
//! replicas share a store, `FleetQuota` has the last word: it counts and places each call there; `OfflineShare` is what
//! a replica may do while that store is away.
//!
//! This module must not depend on HTTP, the token or the cache. The cache learns how scarce calls are through a
//! function that the composition root passes to it.

mod admit;
mod budget;
mod burn_rate;
mod clock;
#[cfg(test)]
mod clock_steps;
mod day;
mod fleet_call;
mod fleet_lockout;
mod fleet_quota;
mod forecast;
mod gate;
mod handle;
mod lease;
mod lease_write;
mod limits;
mod lockout;
mod offline_share;
mod pacer;
mod permit;
#[cfg(test)]
mod planned_day;
mod quota_day;
mod quota_pressure;
mod rationing;
mod shared_day;
mod shared_pacer;
mod snapshot;
#[cfg(test)]
mod stray_verdicts;
#[cfg(test)]
mod test_host;
mod unused_calls;
mod upstream_clock;
mod usage;

pub(crate) use burn_rate::{BurnRate, QuotaMode, factor};
pub use clock::WallClock;
pub use fleet_quota::FleetQuota;
pub(crate) use forecast::Forecast;
pub(crate) use gate::QuotaGate;
pub(crate) use handle::Window;
pub use handle::{InitialCount, Quota};
pub use limits::QuotaLimits;
pub use rationing::{PlannedRationing, Scarcity};
pub(crate) use snapshot::{DayCount, FleetShare, QuotaSnapshot, SecondCount};
