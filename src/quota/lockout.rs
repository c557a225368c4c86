//! The lockout after the vendor's `quota_exceeded`: no calls until midnight UTC, then one probe call.
//!
//! Unless our own count is far below the limit: then the word may be a stray one, and a call finds out after an hour,
//! the next after two more, and so on.

use std::time::{Duration, SystemTime};

use super::day::{DAY, end_of, later, since_midnight, till_midnight};
use crate::backoff::Backoff;

/// How far apart our clock and the vendor's may be. A `quota_exceeded` that soon after our midnight may still
/// speak of the vendor's yesterday, and must not cost us the whole new day.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How long such a doubtful verdict holds, at least. As long waits who has asked after midnight and got no answer.
const DOUBTFUL: Duration = Duration::from_secs(60);

/// The pauses before a call that finds out whether the verdict was a stray one; midnight ends each.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(60 * 60), DAY);

/// A probe comes up to this much later: replicas must not all probe at once.
const JITTER: Duration = Duration::from_secs(60);

/// How soon to come back where another call is finding out.
const SOON: Duration = Duration::from_secs(1);

/// A pure machine: the vendor's time of day comes as an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum UpstreamLockout {
    /// Calls may go.
    #[default]
    None,
    /// No call may go before; then one may.
    Until {
        /// When.
        at: SystemTime,
        /// How long the present pause is; zero where it is midnight that ends it.
        pause: Duration,
    },
    /// That one is under way.
    Probing {
        /// The pause before it.
        pause: Duration,
    },
}

/// What a call is that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    /// One of many.
    Regular,
    /// The one that finds out whether the vendor takes calls again.
    Probe,
}

/// What our own count says to the vendor's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnCount {
    /// It may well be.
    NearLimit,
    /// Either another program has spent the day, or it was a stray word.
    FarBelowLimit,
}

// === impl UpstreamLockout ===

impl UpstreamLockout {
    /// The verdict of a day that is closed, until it ends. `random` is a random number in `0.0..1.0`.
    pub(super) fn of_day(day: u64, random: f64) -> Self {
        Self::Until { at: later(end_of(day), JITTER.mul_f64(random)), pause: Duration::ZERO }
    }

    /// The verdict that a closed day's record holds, when this process meets it. Begins with the first pause, whenever
    /// it fell: a process that starts again and again must not find out again and again.
    pub(super) fn met(now: SystemTime, count: OwnCount, random: f64) -> Self {
        Self::after_pause(now, BACKOFF.pause(0), count, random)
    }

    fn after_pause(now: SystemTime, pause: Duration, count: OwnCount, random: f64) -> Self {
        let (hold, pause) = match count {
            OwnCount::NearLimit => (till_midnight(now), Duration::ZERO),
            OwnCount::FarBelowLimit => (till_midnight(now).min(pause), pause),
        };
        Self::Until { at: later(now, hold + JITTER.mul_f64(random)), pause }
    }

    /// Midnight has passed: a probe is due as on any day that begins after a closed one.
    #[must_use]
    pub(super) fn into_next_day(self) -> Self {
        let pause = Duration::ZERO;
        match self {
            Self::None => Self::None,
            Self::Until { at, pause: _ } => Self::Until { at, pause },
            Self::Probing { pause: _ } => Self::Probing { pause },
        }
    }

    /// May a call go, and as what? Changes nothing: [`UpstreamLockout::begin`] does.
    ///
    /// # Errors
    /// The time until one may.
    pub(super) fn check(self, now: SystemTime) -> Result<CallKind, Duration> {
        match self {
            Self::None => Ok(CallKind::Regular),
            Self::Probing { .. } => Err(SOON),
            Self::Until { at, .. } => match at.duration_since(now) {
                Ok(left) if !left.is_zero() => Err(left),
                Ok(_) | Err(_) => Ok(CallKind::Probe),
            },
        }
    }

    /// A call goes on this errand.
    pub(super) fn begin(&mut self, kind: CallKind) {
        match kind {
            CallKind::Regular => {}
            CallKind::Probe => *self = Self::Probing { pause: self.pause() },
        }
    }

    /// The vendor said `quota_exceeded`. `random` is a random number in `0.0..1.0`.
    pub(super) fn exceeded(&mut self, now: SystemTime, count: OwnCount, random: f64) {
        *self = match *self {
            // A call that left earlier brings old news.
            Self::Until { at, pause } if at > now => Self::Until { at, pause },
            Self::None | Self::Probing { .. } | Self::Until { .. } if is_doubtful(now) => {
                Self::Until { at: later(now, DOUBTFUL + JITTER.mul_f64(random)), pause: Duration::ZERO }
            }
            Self::None | Self::Probing { .. } | Self::Until { .. } => {
                Self::after_pause(now, BACKOFF.after(self.pause()), count, random)
            }
        };
    }

    /// The probe was answered, and not with `quota_exceeded`. Was there one?
    pub(super) fn clear(&mut self) -> Lifted {
        match *self {
            Self::Probing { .. } => {
                *self = Self::None;
                Lifted::Now
            }
            Self::None | Self::Until { .. } => Lifted::Not,
        }
    }

    /// The probe has gone, and nothing is known of it: it has cost its call all the same.
    pub(super) fn unanswered(&mut self, now: SystemTime) {
        if let Self::Probing { pause } = *self {
            let hold = pause.max(DOUBTFUL).min(till_midnight(now));
            *self = Self::Until { at: later(now, hold), pause };
        }
    }

    /// The probe has not gone: the next call is one.
    pub(super) fn not_sent(&mut self, now: SystemTime) {
        if let Self::Probing { pause } = *self {
            *self = Self::Until { at: now, pause };
        }
    }

    /// Is the vendor's word still against all calls?
    pub(super) fn holds(self, now: SystemTime) -> bool {
        self.check(now).is_err()
    }

    /// Is the day closed? It still is while a probe is due that could open it, but not once midnight has passed.
    pub(super) fn closes_day(self, now: SystemTime) -> bool {
        self.holds(now) || !self.pause().is_zero()
    }

    fn pause(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Until { pause, .. } | Self::Probing { pause } => pause,
        }
    }
}

/// Whether an answer has ended a ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifted {
    /// It has.
    Now,
    /// There was none, or it was no answer to the probe.
    Not,
}

/// So soon after midnight the verdict may be about yesterday.
pub(super) fn is_doubtful(now: SystemTime) -> bool {
    since_midnight(now) < CLOCK_SKEW
}

#[cfg(test)]
mod tests {
    use super::{
        OwnCount::{FarBelowLimit, NearLimit},
        *,
    };

    const HOUR: u64 = 3_600;

    fn at(days: u32, seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * (20_000 + days) + Duration::from_secs(seconds)
    }

    fn probing() -> UpstreamLockout {
        UpstreamLockout::Probing { pause: Duration::ZERO }
    }

    #[test]
    fn nothing_goes_before_midnight_and_one_jittered_probe_after_it() {
        let mut lockout = UpstreamLockout::default();
        lockout.exceeded(at(0, 43_200), NearLimit, 0.5);
        assert_eq!(lockout.check(at(0, 43_200)), Err(DAY / 2 + JITTER / 2));
        assert_eq!(lockout.check(at(1, 29)), Err(Duration::from_secs(1)));
        assert_eq!(lockout.check(at(1, 30)), Ok(CallKind::Probe));
        lockout.begin(CallKind::Probe);
        assert_eq!(lockout.check(at(1, 31)), Err(SOON), "one, and no more");
        assert_eq!(lockout.clear(), Lifted::Now);
        assert_eq!(lockout.check(at(1, 31)), Ok(CallKind::Regular));
    }

    #[test]
    fn a_word_that_our_count_does_not_bear_out_is_probed_after_1_2_4_and_8_hours_and_at_midnight() {
        let (mut lockout, mut probes, mut now) = (UpstreamLockout::default(), Vec::new(), at(0, HOUR));
        lockout.exceeded(now, FarBelowLimit, 0.0);
        while now < at(1, 0) {
            now += Duration::from_secs(60);
            if lockout.check(now) == Ok(CallKind::Probe) {
                assert_eq!(lockout.closes_day(now), now < at(1, 0));
                probes.push(now);
                lockout.begin(CallKind::Probe);
                lockout.exceeded(now, FarBelowLimit, 0.0);
            }
            if now == at(1, 0) - Duration::from_secs(60) {
                lockout = lockout.into_next_day();
            }
        }
        assert_eq!(probes, [at(0, 2 * HOUR), at(0, 4 * HOUR), at(0, 8 * HOUR), at(0, 16 * HOUR), at(1, 0)]);
    }

    #[test]
    fn a_probe_that_did_not_go_leaves_the_probing_to_the_next_call() {
        let mut lockout = probing();
        lockout.not_sent(at(1, 40));
        assert_eq!(lockout.check(at(1, 40)), Ok(CallKind::Probe));
    }

    #[test]
    fn a_probe_that_nobody_answers_is_not_repeated_at_once() {
        let mut lockout = probing();
        lockout.unanswered(at(1, 40));
        assert_eq!(lockout.check(at(1, 40)), Err(DOUBTFUL));
        lockout = UpstreamLockout::Probing { pause: BACKOFF.pause(0) };
        lockout.unanswered(at(1, 43_200));
        assert_eq!(lockout.check(at(1, 43_200)), Err(BACKOFF.pause(0)));
    }

    #[test]
    fn quota_exceeded_right_after_midnight_may_be_yesterday_s() {
        let mut lockout = probing();
        lockout.exceeded(at(1, 2), NearLimit, 0.0);
        assert_eq!(lockout.check(at(1, 61)), Err(Duration::from_secs(1)));
        assert_eq!(lockout.check(at(1, 62)), Ok(CallKind::Probe));
        lockout.exceeded(at(1, 400), NearLimit, 0.0);
        assert!(lockout.holds(at(1, 86_399)) && !lockout.holds(at(2, 0)));
    }

    #[test]
    fn answers_to_calls_that_left_earlier_change_nothing() {
        let mut lockout = UpstreamLockout::default();
        lockout.exceeded(at(0, 80_000), FarBelowLimit, 0.0);
        let before = lockout;
        lockout.exceeded(at(0, 80_001), NearLimit, 0.9);
        assert_eq!(lockout.clear(), Lifted::Not);
        lockout.unanswered(at(0, 80_002));
        lockout.not_sent(at(0, 80_002));
        assert_eq!(lockout, before);
    }
}
