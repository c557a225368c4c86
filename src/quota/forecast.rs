//! Quota forecast: from the recent call rate, whether the daily budget lasts until midnight UTC.

use std::time::{Duration, SystemTime};

use super::day::{later, till_midnight};

/// Time constant of the moving average: long enough that a lunch break does not look like the end of the traffic.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// Time assumed to have passed at the start, so that two calls in the first second do not count as a high rate.
const HEAD_START: Duration = Duration::from_secs(5 * 60);

/// The recent call rate: an exponentially decaying average. Pure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Weighted number of calls as of `at`; older calls weigh less.
    calls: f64,
    at: SystemTime,
    since: SystemTime,
}

/// When the daily budget ends at the present rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    /// The calls last until 00:00 UTC, or are not limited here.
    Enough,
    /// They will be used up at this time.
    ExhaustedAt(SystemTime),
    /// They are used up.
    Exhausted,
}

/// When other replicas have made the calls that this one learns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OthersCalls {
    /// Since it last learned of some: they count in the rate.
    Recent,
    /// At any time: before it met the fleet; or nobody has made them, and the store counts them as it may have lost some.
    Earlier,
}

// === impl Rate ===

impl Rate {
    /// No calls yet.
    pub(super) const fn new(now: SystemTime) -> Self {
        Self { calls: 0.0, at: now, since: now }
    }

    /// Counts so many calls.
    pub(super) fn count(&mut self, calls: u32, now: SystemTime) {
        self.calls = self.decayed(now) + f64::from(calls);
        self.at = now;
    }

    /// Calls per second.
    pub(super) fn per_second(&self, now: SystemTime) -> f64 {
        let running = now.duration_since(self.since).unwrap_or_default() + HEAD_START;
        // The weight that one call per second would have reached by now.
        let weight = MEMORY.as_secs_f64() * (1.0 - (-running.div_duration_f64(MEMORY)).exp());
        self.decayed(now) / weight
    }

    /// The forecast for a day with `left` calls; `None`: not limited.
    pub(super) fn forecast(&self, left: Option<u32>, now: SystemTime) -> Forecast {
        let Some(left) = left else { return Forecast::Enough };
        if left == 0 {
            return Forecast::Exhausted;
        }
        let lasts = Duration::try_from_secs_f64(f64::from(left) / self.per_second(now));
        match lasts {
            Ok(lasts) if lasts < till_midnight(now) => Forecast::ExhaustedAt(later(now, lasts)),
            // Also the division by a rate of zero.
            Ok(_) | Err(_) => Forecast::Enough,
        }
    }

    fn decayed(&self, now: SystemTime) -> f64 {
        let passed = now.duration_since(self.at).unwrap_or_default();
        self.calls * (-passed.div_duration_f64(MEMORY)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::day::DAY, *};

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * 20_000 + DAY / 2
    }

    /// One call each `seconds`, for two hours up to noon.
    fn each(seconds: u64) -> Rate {
        let start = noon() - Duration::from_secs(2 * 3_600);
        let mut rate = Rate::new(start);
        for call in 0..2 * 3_600 / seconds {
            rate.count(1, start + Duration::from_secs(call * seconds));
        }
        rate
    }

    #[test]
    fn a_steady_pace_is_recognised() {
        for seconds in [1, 5, 60] {
            let per_second = each(seconds).per_second(noon());
            let expected = 1.0 / seconds as f64;
            assert!((per_second / expected - 1.0).abs() < 0.05, "{per_second} for {expected}");
        }
    }

    #[test]
    fn a_pace_of_half_an_hour_counts_for_the_time_in_which_there_were_calls() {
        let start = noon() - MEMORY;
        let mut rate = Rate::new(start);
        (0..MEMORY.as_secs()).for_each(|second| rate.count(1, start + Duration::from_secs(second)));
        let per_second = rate.per_second(noon());
        assert!((0.85..1.0).contains(&per_second), "{per_second}");
    }

    #[test]
    fn the_forecast_names_the_time_or_says_enough() {
        let Forecast::ExhaustedAt(at) = each(1).forecast(Some(3_600), noon()) else { panic!("enough?") };
        let hour = Duration::from_secs(3_600);
        assert!(at > noon() + hour.mul_f64(0.95) && at < noon() + hour.mul_f64(1.05));
        assert_eq!(each(60).forecast(Some(3_600), noon()), Forecast::Enough);
        assert_eq!(each(1).forecast(Some(0), noon()), Forecast::Exhausted);
        assert_eq!(each(1).forecast(None, noon()), Forecast::Enough);
        assert_eq!(Rate::new(noon()).forecast(Some(1), noon()), Forecast::Enough);
    }

    #[test]
    fn the_first_calls_of_a_process_are_no_pace() {
        let mut rate = Rate::new(noon());
        (0..20).for_each(|_| rate.count(1, noon()));
        assert!(rate.per_second(noon()) < 0.1);
    }
}
