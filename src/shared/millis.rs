//! Durations in whole milliseconds, the unit of the store.

use std::time::Duration;

/// The longest duration, a thousand years: sums of a few stay exact in Lua, whose numbers are doubles.
const LONGEST: u64 = 1 << 45;

/// Rounded down.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(LONGEST, |millis| millis.min(LONGEST))
}

/// Rounded up: for an age, which must not be less than the truth, and for times to wait.
pub(super) fn millis_up(duration: Duration) -> u64 {
    millis(duration.saturating_add(Duration::from_nanos(999_999)))
}
