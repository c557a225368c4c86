//! The vendor's day: from 00:00 UTC to 00:00 UTC.

use std::time::{Duration, SystemTime};

/// A day of Unix time, which has no leap seconds.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Days since 1970-01-01.
pub(super) fn day_of(now: SystemTime) -> u64 {
    since_epoch(now).as_secs() / DAY.as_secs()
}

pub(super) fn since_midnight(now: SystemTime) -> Duration {
    since_epoch(now).saturating_sub(Duration::from_secs(day_of(now) * DAY.as_secs()))
}

pub(super) fn till_midnight(now: SystemTime) -> Duration {
    DAY.saturating_sub(since_midnight(now))
}

/// The 00:00 UTC that ends a day; the epoch if that time cannot be represented.
pub(super) fn end_of(day: u64) -> SystemTime {
    let seconds = day.saturating_add(1).saturating_mul(DAY.as_secs());
    later(SystemTime::UNIX_EPOCH, Duration::from_secs(seconds))
}

/// `time` plus `by`; `time` itself if the sum cannot be represented.
pub(super) fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

/// The share of the day that is still to come, in `0.0..=1.0`.
pub(super) fn left_of(now: SystemTime) -> f64 {
    till_midnight(now).div_duration_f64(DAY)
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
