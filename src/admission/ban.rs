//! What the vendor's `quota_exceeded` means: silence until midnight, and then one call that finds out.

use std::time::{Duration, SystemTime};

use super::day::{end_of, since_midnight, till_midnight};

/// How far apart our clock and the vendor's may be. A `quota_exceeded` that soon after our midnight may still
/// speak of the vendor's yesterday, and must not cost us the whole new day.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How long such a doubtful verdict holds, at least.
const DOUBTFUL: Duration = Duration::from_secs(60);

/// The first call after midnight comes up to this much later: replicas must not all probe at once.
const JITTER: Duration = Duration::from_secs(60);

/// How soon to come back where another call is finding out.
const SOON: Duration = Duration::from_secs(1);

/// A pure machine: the vendor's time of day comes as an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ban {
    /// Calls may go.
    #[default]
    None,
    /// No call may go before; then one may.
    Until(SystemTime),
    /// That one is under way.
    Probing,
}

/// What a call is that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// One of many.
    Regular,
    /// The one that finds out whether the vendor takes calls again.
    Probe,
}

// === impl Ban ===

impl Ban {
    /// The verdict of a run before, on this day. `roll` is a random number in `0.0..1.0`.
    pub(super) fn of_day(day: u64, roll: f64) -> Self {
        Self::Until(end_of(day) + JITTER.mul_f64(roll))
    }

    /// May a call go, and as what? Changes nothing: [`Ban::set_out`] does.
    ///
    /// # Errors
    /// The time until one may.
    pub(super) fn check(self, now: SystemTime) -> Result<Errand, Duration> {
        match self {
            Self::None => Ok(Errand::Regular),
            Self::Probing => Err(SOON),
            Self::Until(until) => match until.duration_since(now) {
                Ok(left) if !left.is_zero() => Err(left),
                Ok(_) | Err(_) => Ok(Errand::Probe),
            },
        }
    }

    /// A call goes on this errand.
    pub(super) fn set_out(&mut self, errand: Errand) {
        match errand {
            Errand::Regular => {}
            Errand::Probe => *self = Self::Probing,
        }
    }

    /// The vendor said `quota_exceeded`. `roll` is a random number in `0.0..1.0`.
    pub(super) fn exceeded(&mut self, now: SystemTime, roll: f64) {
        let jitter = JITTER.mul_f64(roll);
        let hold = if is_doubtful(now) { DOUBTFUL } else { till_midnight(now) };
        *self = match *self {
            // A call that left earlier brings old news.
            Self::Until(until) if until > now => Self::Until(until),
            Self::None | Self::Probing | Self::Until(_) => Self::Until(now + hold + jitter),
        };
    }

    /// The probe was answered, and not with `quota_exceeded`.
    pub(super) fn lift(&mut self) {
        if *self == Self::Probing {
            *self = Self::None;
        }
    }

    /// The probe ended without an answer: the next call is one.
    pub(super) fn untold(&mut self, now: SystemTime) {
        if *self == Self::Probing {
            *self = Self::Until(now);
        }
    }

    /// Is the vendor's word still against all calls?
    pub(super) fn holds(self, now: SystemTime) -> bool {
        self.check(now).is_err()
    }
}

/// So soon after midnight the verdict may be about yesterday.
pub(super) fn is_doubtful(now: SystemTime) -> bool {
    since_midnight(now) < CLOCK_SKEW
}

#[cfg(test)]
mod tests {
    use super::{super::day::DAY, *};

    fn at(days: u32, seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * (20_000 + days) + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_goes_before_midnight_and_one_jittered_probe_after_it() {
        let mut ban = Ban::default();
        ban.exceeded(at(0, 43_200), 0.5);
        assert_eq!(ban.check(at(0, 43_200)), Err(DAY / 2 + JITTER / 2));
        assert_eq!(ban.check(at(1, 29)), Err(Duration::from_secs(1)));
        assert_eq!(ban.check(at(1, 30)), Ok(Errand::Probe));
        ban.set_out(Errand::Probe);
        assert_eq!(ban.check(at(1, 31)), Err(SOON), "one, and no more");
        ban.lift();
        assert_eq!(ban.check(at(1, 31)), Ok(Errand::Regular));
    }

    #[test]
    fn a_probe_that_nobody_answers_leaves_the_probing_to_the_next_call() {
        let mut ban = Ban::Probing;
        ban.untold(at(1, 40));
        assert_eq!(ban.check(at(1, 40)), Ok(Errand::Probe));
    }

    #[test]
    fn quota_exceeded_right_after_midnight_may_be_yesterday_s() {
        let mut ban = Ban::Probing;
        ban.exceeded(at(1, 2), 0.0);
        assert_eq!(ban.check(at(1, 61)), Err(Duration::from_secs(1)));
        assert_eq!(ban.check(at(1, 62)), Ok(Errand::Probe));
        ban.exceeded(at(1, 400), 0.0);
        assert!(ban.holds(at(1, 86_399)) && !ban.holds(at(2, 0)));
    }

    #[test]
    fn answers_to_calls_that_left_earlier_change_nothing() {
        let mut ban = Ban::default();
        ban.exceeded(at(0, 86_000), 0.0);
        let before = ban;
        ban.exceeded(at(0, 86_001), 0.9);
        ban.lift();
        ban.untold(at(0, 86_002));
        assert_eq!(ban, before);
    }
}
