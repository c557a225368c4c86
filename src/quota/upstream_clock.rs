//! Upstream clock: the upstream's time of day, from its `Date` headers; the daily quota resets at its midnight.
//!
//! It advances with tokio's monotonic clock, so that setting our wall clock changes nothing once it is known.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// `Date` has a resolution of a second, and responses take some time. Our own clock is used if it differs by no more.
const TOLERANCE: Duration = Duration::from_secs(5);

/// Two responses at least this far apart have to agree: one wrong `Date`, or a burst from one bad host, is not enough.
const APART: Duration = Duration::from_secs(60);

/// tokio's clock stops while the machine sleeps. After this long without a response, our wall clock is used too to tell
/// how much time has passed; otherwise a used-up day would last longer by the time slept.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// What responses have shown about the upstream's clock. Pure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct UpstreamClock {
    /// Confirmed by two responses; as of the last one that agreed.
    confirmed: Option<Reading>,
    /// From one response since, not yet confirmed by another.
    claimed: Option<Reading>,
}

/// How far the upstream's clock is ahead of ours; zero while ours is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockSkew {
    ahead_seconds: i64,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    theirs: SystemTime,
    ours: SystemTime,
    at: Instant,
}

// === impl UpstreamClock ===

impl UpstreamClock {
    /// A response received at `at`, when our clock showed `ours`, carried this `Date`.
    pub(super) fn observe(&mut self, date: SystemTime, ours: SystemTime, at: Instant) {
        let observe = Reading { theirs: date, ours, at };
        if let Some(theirs) = self.confirmed.and_then(|confirmed| confirmed.agreed(observe)) {
            // Not the new `Date`, which is late by the time that the response took.
            *self = Self { confirmed: Some(Reading { theirs, ..observe }), claimed: None };
            return;
        }
        match self.claimed.filter(|claimed| claimed.agreed(observe).is_some()) {
            Some(claimed) if at.saturating_duration_since(claimed.at) >= APART => {
                *self = Self { confirmed: Some(observe), claimed: None };
            }
            Some(_too_soon) => {}
            None => self.claimed = Some(observe),
        }
    }

    /// The upstream's time of day when our clock shows `ours`; `ours` until two responses have agreed.
    pub(super) fn now(self, ours: SystemTime, at: Instant) -> SystemTime {
        match self.confirmed.and_then(|confirmed| confirmed.carried_on(ours, at)) {
            Some(theirs) if apart(theirs, ours) > TOLERANCE => theirs,
            Some(_) | None => ours,
        }
    }

    pub(super) fn skew(self, ours: SystemTime, at: Instant) -> ClockSkew {
        let theirs = self.now(ours, at);
        let seconds = i64::try_from(apart(theirs, ours).as_secs()).unwrap_or(i64::MAX);
        ClockSkew { ahead_seconds: if theirs < ours { -seconds } else { seconds } }
    }
}

// === impl ClockSkew ===

impl ClockSkew {
    /// Whether our own clock is used.
    pub fn is_none(self) -> bool {
        self.ahead_seconds == 0
    }

    /// By how many seconds the upstream is ahead of us; negative: behind.
    pub const fn ahead_seconds(self) -> i64 {
        self.ahead_seconds
    }
}

// === impl Reading ===

impl Reading {
    fn carried_on(self, ours: SystemTime, at: Instant) -> Option<SystemTime> {
        let passed = at.saturating_duration_since(self.at);
        let by_ours = ours.duration_since(self.ours).unwrap_or_default();
        self.theirs.checked_add(if passed < SILENCE { passed } else { passed.max(by_ours) })
    }

    /// The upstream's time at a later reading, computed from this one, if the two agree.
    fn agreed(self, later: Self) -> Option<SystemTime> {
        let theirs = self.theirs.checked_add(later.at.saturating_duration_since(self.at))?;
        (apart(theirs, later.theirs) <= TOLERANCE).then_some(theirs)
    }
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|earlier| earlier.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// The resulting skew in seconds. Each response is given by the seconds after the start at which it came, and by
    /// the seconds of its `Date`. At the start our clock shows 1,000,000,000.
    fn believed(answers: &[(u64, u64)]) -> i64 {
        let (begin, mut clock, mut passed) = (Instant::now(), UpstreamClock::default(), 0);
        for (after, date) in answers {
            passed = *after;
            clock.observe(at(*date), at(1_000_000_000 + passed), begin + Duration::from_secs(passed));
        }
        clock.skew(at(1_000_000_000 + passed), begin + Duration::from_secs(passed)).ahead_seconds()
    }

    #[test]
    fn two_answers_a_minute_apart_that_agree_are_believed_however_far_they_are_from_our_clock() {
        for (answers, ahead) in [
            (&[(0, 1_000_000_100)][..], 0),
            (&[(0, 1_000_000_100), (59, 1_000_000_159)], 0),
            (&[(0, 1_000_000_100), (60, 1_000_000_160)], 100),
            (&[(0, 1_000_000_100), (30, 1_000_000_130), (60, 1_000_000_160)], 100),
            (&[(0, 1_000_000_100), (60, 1_000_000_166)], 0),
            (&[(0, 1_000_000_100), (60, 1_000_000_100)], 0),
            (&[(0, 1_000_000_005), (60, 1_000_000_065)], 0),
            (&[(0, 999_999_000), (60, 999_999_060)], -1_000),
            (&[(0, 253_370_764_800), (60, 253_370_764_860)], 252_370_764_800),
            (&[(0, 0), (60, 60)], -1_000_000_000),
        ] {
            assert_eq!(believed(answers), ahead, "{answers:?}");
        }
    }

    #[test]
    fn one_answer_that_disagrees_with_all_others_is_forgotten() {
        let right = |after: u64| (after, 1_000_000_100 + after);
        let bogus = |after: u64| (after, 1_000_070_000 + after);
        assert_eq!(believed(&[right(0), right(60), bogus(70)]), 100);
        assert_eq!(believed(&[right(0), right(60), bogus(70), right(80), bogus(140)]), 100);
        assert_eq!(believed(&[right(0), right(60), bogus(70), bogus(130)]), 70_000, "it was set");
    }

    /// A clock that was confirmed at the returned instant, when both clocks showed 1,000,000,000.
    fn confirmed() -> (UpstreamClock, Instant) {
        let (confirmed, mut clock) = (Instant::now() + APART, UpstreamClock::default());
        clock.observe(at(999_999_940), at(999_999_940), confirmed - APART);
        clock.observe(at(1_000_000_000), at(1_000_000_000), confirmed);
        (clock, confirmed)
    }

    #[test]
    fn setting_our_clock_changes_nothing_once_the_upstream_s_is_known() {
        let (clock, confirmed) = confirmed();
        let later = confirmed + Duration::from_secs(3_000);
        for ours in [0, 999_900_000, 1_000_090_000, 2_000_000_000] {
            assert_eq!(clock.now(at(ours), later), at(1_000_003_000), "{ours}");
        }
        assert_eq!(
            clock.now(at(1_000_003_004), later),
            at(1_000_003_004),
            "close enough: ours has the finer resolution"
        );
    }

    #[test]
    fn after_sleep_our_own_clock_tells_how_much_time_passed() {
        let (clock, confirmed) = confirmed();
        let (awake, slept) = (SILENCE, 36_000);
        let ours = at(1_000_003_600 + slept);
        assert_eq!(clock.now(ours, confirmed + awake), ours);
        assert_eq!(clock.now(at(0), confirmed + awake), at(1_000_003_600), "and time does not go back");
    }

    #[test]
    fn slow_responses_do_not_push_the_clock_back_step_by_step() {
        let (mut clock, confirmed) = confirmed();
        for minutes in 1..=100 {
            let passed = minutes * 60;
            let late = at(1_000_000_000 + passed - 4);
            clock.observe(late, at(0), confirmed + Duration::from_secs(passed));
        }
        assert_eq!(clock.now(at(0), confirmed + Duration::from_secs(6_000)), at(1_000_006_000));
    }
}
