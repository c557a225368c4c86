//! How the quota stands: what `GET /quota` and the gauges show.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use super::{burn_rate::QuotaMode, forecast::Forecast, upstream_clock::ClockSkew, usage::Backing};

/// How the quota stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaSnapshot {
    /// The second.
    pub second: SecondCount,
    /// The day.
    pub day: DayCount,
    /// How far the upstream's clock is from ours, where it is believed in the place of ours.
    pub skew: ClockSkew,
}

/// How the current second stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondCount {
    /// Calls allowed; `None`: not limited here.
    pub limit: Option<NonZeroU32>,
    /// Calls that left within the last second.
    pub used: u32,
    /// Calls that wait for their turn.
    pub waiting: u32,
    /// How long a call for a cold key that came now would wait.
    pub wait: Duration,
}

/// How a day stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayCount {
    /// Calls that a day has; `None` when the operator does not limit them.
    pub limit: Option<NonZeroU32>,
    /// Calls counted today, the share assumed at start included.
    pub used: u32,
    /// Calls left, 0 once the upstream said so; `None` without a limit.
    pub remaining: Option<u32>,
    /// Of these, the calls that are kept for cold keys.
    pub reserved: u32,
    /// Calls that the upstream counted and we did not, as its `quota_exceeded` has shown today.
    pub external: u32,
    /// The next 00:00 UTC, by the upstream's clock.
    pub resets_at: SystemTime,
    /// Till then.
    pub resets_in: Duration,
    /// Who keeps the count.
    pub backing: Backing,
    /// What calls may be made for.
    pub mode: QuotaMode,
    /// Calls a second, lately.
    pub per_second: f64,
    /// How the day will end at that pace.
    pub forecast: Forecast,
}
