//! A moment by two clocks, so that a process knows how long ago another one did something, whatever happened to the
//! calendar clock in between.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::quota::WallClock;

/// Both clocks are read in whole steps, the slower one in hundredths of a second: added, so that no time is too short.
const STEP: Duration = Duration::from_millis(10);

/// A moment by the calendar clock and, on Linux, by the time since the machine's start, which nobody can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClockReading {
    unix_ms: u64,
    uptime: Option<Uptime>,
}

/// The time since the machine's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Uptime {
    /// Of this start of the machine; another start has another.
    boot_id: Box<str>,
    ms: u64,
}

// === impl ClockReading ===

impl ClockReading {
    /// This moment.
    pub(super) fn now(clock: &WallClock) -> Self {
        let since = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), uptime: Uptime::now() }
    }

    /// How long after `earlier` it is: never less, unless the calendar clock was put back while the machine was started anew
    /// or another one took over. `None`: it is not known, as the calendar clock was certainly put back.
    pub(super) fn since(&self, earlier: &Self) -> Option<Duration> {
        let by_calendar = self.unix_ms.checked_sub(earlier.unix_ms);
        let by_uptime = match (&self.uptime, &earlier.uptime) {
            (Some(now), Some(before)) if now.boot_id == before.boot_id => now.ms.checked_sub(before.ms),
            (_, _) => None,
        };
        // The longer: a calendar clock that was put forward makes reports older than they are, which costs some calls. And
        // in some containers the uptime is not the machine's.
        by_calendar.max(by_uptime).map(|ms| Duration::from_millis(ms).saturating_add(STEP))
    }
}

// === impl Uptime ===

impl Uptime {
    /// `None` where the system does not tell.
    fn now() -> Option<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let since = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Self { boot_id: boot_id.trim().into(), ms: u64::try_from(since.as_millis()).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(unix_ms: u64, uptime: Option<(&str, u64)>) -> ClockReading {
        ClockReading { unix_ms, uptime: uptime.map(|(boot_id, ms)| Uptime { boot_id: boot_id.into(), ms }) }
    }

    #[test]
    fn a_clock_that_is_set_between_two_processes_makes_nothing_younger() {
        let stopped = reading(1_000_000, Some(("a", 50_000)));
        for (why, started, since) in [
            ("no step", reading(1_060_000, Some(("a", 110_000))), Some(60_000)),
            (
                "put back, but not so far that it shows",
                reading(1_010_000, Some(("a", 110_000))),
                Some(60_000),
            ),
            ("put back", reading(900_000, Some(("a", 110_000))), Some(60_000)),
            ("put forward", reading(9_000_000, Some(("a", 110_000))), Some(8_000_000)),
            ("an uptime that begins with the container", reading(1_060_000, Some(("a", 700))), Some(60_000)),
            ("the machine was started anew", reading(1_060_000, Some(("b", 700))), Some(60_000)),
            ("the same, and put back", reading(900_000, Some(("b", 700))), None),
            ("no uptime", reading(1_060_000, None), Some(60_000)),
            ("no uptime, and put back", reading(999_999, None), None),
        ] {
            let since = since.map(|ms| Duration::from_millis(ms) + STEP);
            assert_eq!(started.since(&stopped), since, "{why}");
        }
    }

    #[test]
    fn this_machine_tells_its_uptime() {
        let clock = WallClock::machine();
        let (first, second) = (ClockReading::now(&clock), ClockReading::now(&clock));
        assert!(first.uptime.is_some());
        assert!(second.since(&first).expect("no step") < Duration::from_mins(1));
    }
}
