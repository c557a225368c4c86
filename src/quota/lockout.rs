//! The lockout after the vendor's `quota_exceeded`: no calls except single probe calls, until one of them is accepted.
//!
//! As a rule the first probe is due at midnight UTC. If our own count is far below the limit, the response may be
//! wrong: then probes are due after one hour, two more, four more and so on. In the first minutes after midnight,
//! when the response may be about yesterday, the probe is due after one minute.

use std::time::{Duration, SystemTime};

use super::day::{DAY, end_of, later, since_midnight, till_midnight};
use crate::backoff::Backoff;

/// How far apart our clock and the vendor's may be. A `quota_exceeded` this soon after our midnight may still be about
/// the vendor's yesterday, and must not close the whole new day.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The lockout after such a doubtful `quota_exceeded`, and the shortest one after a probe without a response.
const DOUBTFUL: Duration = Duration::from_secs(60);

/// The pauses before probes while our count is far below the limit; midnight ends each.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(60 * 60), DAY);

/// A random delay of up to this is added before a probe: replicas must not all probe at once.
const JITTER: Duration = Duration::from_secs(60);

/// The `retry_in` for other calls while a probe is under way.
const SOON: Duration = Duration::from_secs(1);

/// Pure: the upstream's time of day is an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum UpstreamLockout {
    /// No lockout: calls are allowed.
    #[default]
    None,
    /// No call before this time; then one probe.
    Until {
        /// When the probe is due.
        at: SystemTime,
        /// The length of the present pause; zero if midnight ends it.
        pause: Duration,
    },
    /// A probe is under way.
    Probing {
        /// The pause before it.
        pause: Duration,
    },
}

/// What an allowed call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    /// A call outside any lockout.
    Regular,
    /// The one call that tests whether the vendor accepts calls again.
    Probe,
}

/// Whether our own count makes the vendor's `quota_exceeded` plausible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnCount {
    /// Plausible.
    NearLimit,
    /// Either another program has used the day's calls, or the response was wrong.
    FarBelowLimit,
}

// === impl UpstreamLockout ===

impl UpstreamLockout {
    /// The lockout of a closed day, until the end of that day. `random` is in `0.0..1.0`.
    pub(super) fn of_day(day: u64, random: f64) -> Self {
        Self::Until { at: later(end_of(day), JITTER.mul_f64(random)), pause: Duration::ZERO }
    }

    /// The lockout when the stored record says that today is closed. It starts with the first pause from `now`,
    /// whenever the day was closed: a process in a crash loop must not probe at each start.
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

    /// Midnight has passed: the pauses start over, and the day counts as open while a probe is due.
    #[must_use]
    pub(super) fn into_next_day(self) -> Self {
        let pause = Duration::ZERO;
        match self {
            Self::None => Self::None,
            Self::Until { at, pause: _ } => Self::Until { at, pause },
            Self::Probing { pause: _ } => Self::Probing { pause },
        }
    }

    /// Whether a call is allowed now, and of which kind. Changes nothing: [`UpstreamLockout::begin`] does.
    ///
    /// # Errors
    /// The time until a call is allowed.
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

    /// A call of this kind begins.
    pub(super) fn begin(&mut self, kind: CallKind) {
        match kind {
            CallKind::Regular => {}
            CallKind::Probe => *self = Self::Probing { pause: self.pause() },
        }
    }

    /// The vendor said `quota_exceeded`. `random` is in `0.0..1.0`.
    pub(super) fn exceeded(&mut self, now: SystemTime, count: OwnCount, random: f64) {
        *self = match *self {
            // The response to a call sent before the lockout says nothing new.
            Self::Until { at, pause } if at > now => Self::Until { at, pause },
            Self::None | Self::Probing { .. } | Self::Until { .. } if is_doubtful(now) => {
                Self::Until { at: later(now, DOUBTFUL + JITTER.mul_f64(random)), pause: Duration::ZERO }
            }
            Self::None | Self::Probing { .. } | Self::Until { .. } => {
                Self::after_pause(now, BACKOFF.after(self.pause()), count, random)
            }
        };
    }

    /// A call got a response other than `quota_exceeded`: ends the lockout if that call was the probe.
    pub(super) fn clear(&mut self) -> Lifted {
        match *self {
            Self::Probing { .. } => {
                *self = Self::None;
                Lifted::Now
            }
            Self::None | Self::Until { .. } => Lifted::Not,
        }
    }

    /// The probe was sent and got no response. It counts as a call, so the next one has to wait again.
    pub(super) fn unanswered(&mut self, now: SystemTime) {
        if let Self::Probing { pause } = *self {
            let hold = pause.max(DOUBTFUL).min(till_midnight(now));
            *self = Self::Until { at: later(now, hold), pause };
        }
    }

    /// The probe was not sent: the next call becomes the probe.
    pub(super) fn not_sent(&mut self, now: SystemTime) {
        if let Self::Probing { pause } = *self {
            *self = Self::Until { at: now, pause };
        }
    }

    /// Whether no call is allowed now.
    pub(super) fn holds(self, now: SystemTime) -> bool {
        self.check(now).is_err()
    }

    /// Whether the day is closed. Also while a probe is due that could open it, but not once midnight has passed.
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

/// Whether a response has ended the lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifted {
    /// It has ended.
    Now,
    /// There was no lockout, or the response was not the probe's.
    Not,
}

/// Whether it is so soon after midnight that a `quota_exceeded` may be about yesterday.
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
    fn no_call_before_midnight_and_one_jittered_probe_after_it() {
        let mut lockout = UpstreamLockout::default();
        lockout.exceeded(at(0, 43_200), NearLimit, 0.5);
        assert_eq!(lockout.check(at(0, 43_200)), Err(DAY / 2 + JITTER / 2));
        assert_eq!(lockout.check(at(1, 29)), Err(Duration::from_secs(1)));
        assert_eq!(lockout.check(at(1, 30)), Ok(CallKind::Probe));
        lockout.begin(CallKind::Probe);
        assert_eq!(lockout.check(at(1, 31)), Err(SOON), "only one");
        assert_eq!(lockout.clear(), Lifted::Now);
        assert_eq!(lockout.check(at(1, 31)), Ok(CallKind::Regular));
    }

    #[test]
    fn a_quota_exceeded_that_our_count_contradicts_is_probed_after_1_2_4_and_8_hours_and_at_midnight() {
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
    fn after_a_probe_that_was_not_sent_the_next_call_is_the_probe() {
        let mut lockout = probing();
        lockout.not_sent(at(1, 40));
        assert_eq!(lockout.check(at(1, 40)), Ok(CallKind::Probe));
    }

    #[test]
    fn a_probe_without_a_response_is_not_repeated_at_once() {
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
    fn a_doubtful_quota_exceeded_is_one_of_the_first_five_minutes_and_costs_a_jittered_minute() {
        for (seconds, count, costs) in [
            (0, NearLimit, DOUBTFUL + JITTER / 2),
            (299, FarBelowLimit, DOUBTFUL + JITTER / 2),
            (300, FarBelowLimit, BACKOFF.pause(0) + JITTER / 2),
            (300, NearLimit, Duration::from_secs(86_100) + JITTER / 2),
        ] {
            let (mut lockout, now) = (UpstreamLockout::default(), at(1, seconds));
            lockout.exceeded(now, count, 0.5);
            assert_eq!(lockout.check(now), Err(costs), "{seconds} s after midnight, {count:?}");
        }
    }

    #[test]
    fn a_quota_exceeded_at_the_moment_when_the_probe_is_due_begins_a_longer_pause() {
        let mut lockout = UpstreamLockout::default();
        lockout.exceeded(at(0, 2 * HOUR), FarBelowLimit, 0.0);
        let due = at(0, 3 * HOUR);
        lockout.exceeded(due, FarBelowLimit, 0.0);
        assert_eq!(lockout.check(due), Err(BACKOFF.pause(1)));
    }

    #[test]
    fn responses_to_calls_sent_earlier_change_nothing() {
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
