//! Quota snapshot: the numbers that `GET /quota` and the gauges show.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use super::{burn_rate::QuotaMode, forecast::Forecast, upstream_clock::ClockSkew, usage::Backing};

/// The state of the quota at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaSnapshot {
    /// The per-second limit.
    pub second: SecondCount,
    /// The daily limit.
    pub day: DayCount,
    /// How far the upstream's clock is ahead of ours; zero while our own clock is used.
    pub skew: ClockSkew,
    /// The fleet whose calls `day` counts; `None`: it counts this replica's.
    pub fleet: Option<FleetShare>,
}

/// What a replica of a fleet may do while the shared store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetShare {
    /// Where calls are counted at present.
    pub backing: FleetBacking,
    /// The replicas that share the calls.
    pub replicas: NonZeroU32,
    /// The calls of the day that this replica may make without the store; `None`: any number.
    pub day_share: Option<u64>,
    /// Those that it has made.
    pub offline_calls: u64,
    /// The least time between two of them.
    pub interval: Duration,
}

/// Where the calls of a fleet are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetBacking {
    /// In the shared store.
    Shared,
    /// By this replica, until the store is back.
    Offline,
}

/// The per-second limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondCount {
    /// Calls allowed; `None`: not limited here.
    pub limit: Option<NonZeroU32>,
    /// Calls sent within the last second.
    pub used: u32,
    /// Calls that wait for their turn.
    pub waiting: u32,
    /// How long a miss that came now would wait.
    pub wait: Duration,
}

/// The daily limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayCount {
    /// Calls per day; `None`: not limited here.
    pub limit: Option<NonZeroU32>,
    /// Calls counted today, including those assumed at start.
    pub used: u32,
    /// The part of `used` that was assumed at start, and that nobody has counted since.
    pub assumed: u32,
    /// Calls left, 0 during a lockout; `None` without a limit.
    pub remaining: Option<u32>,
    /// The part of `remaining` that is reserved for misses.
    pub reserved: u32,
    /// Calls by other programs, as today's `quota_exceeded` implies: the limit minus our count.
    pub external: u32,
    /// Our count when the upstream said `quota_exceeded` today. `None` too if a probe has found since that it accepts
    /// calls; one still may until midnight.
    pub exceeded_after: Option<u32>,
    /// The same of the day before, as it was at its end: this no longer changes.
    pub yesterday_exceeded_after: Option<u32>,
    /// The next 00:00 UTC, by the upstream's clock.
    pub resets_at: SystemTime,
    /// The time until `resets_at`.
    pub resets_in: Duration,
    /// Where the count is kept.
    pub backing: Backing,
    /// Which calls are allowed.
    pub mode: QuotaMode,
    /// Recent calls per second (moving average).
    pub per_second: f64,
    /// When the calls will be used up at that rate.
    pub forecast: Forecast,
}

// === impl FleetBacking ===

impl FleetBacking {
    /// For `GET /quota`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Offline => "offline",
        }
    }
}

// === impl QuotaSnapshot ===

impl QuotaSnapshot {
    /// The time of the snapshot, by the upstream's clock.
    pub fn now(&self) -> SystemTime {
        self.day.resets_at.checked_sub(self.day.resets_in).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
