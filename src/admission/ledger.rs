//! Counts the calls of a UTC day, as the vendor does: 10,000 of them, gone until 00:00 UTC when spent.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

/// A day of Unix time, which knows no leap seconds.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far apart our clock and the vendor's may be. A `quota_exceeded` that soon after our midnight may still
/// speak of the vendor's yesterday, and must not cost us the whole new day.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How long such a doubtful verdict holds.
const DOUBTFUL: Duration = Duration::from_secs(60);

/// The day's quota is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the day's quota is spent, the next call may go in {retry_in:?}")]
pub struct DaySpent {
    /// Till 00:00 UTC, as a rule.
    pub retry_in: Duration,
}

/// How a day stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayCount {
    /// Calls that a day has; `None` when the operator does not limit them.
    pub limit: Option<NonZeroU32>,
    /// Calls counted today, the share assumed at start included.
    pub used: u32,
    /// Calls left, 0 once the upstream said so; `None` without a limit.
    pub remaining: Option<u32>,
    /// The next 00:00 UTC.
    pub resets_at: SystemTime,
}

/// A pure machine: the wall clock comes as an argument. Memory only: another run knows nothing of this one.
#[derive(Debug)]
pub struct Ledger {
    limit: Option<NonZeroU32>,
    day: u64,
    used: u32,
    refused_until: Option<SystemTime>,
}

// === impl Ledger ===

impl Ledger {
    /// Nobody knows what the key spent today before this process came: the day's share up to now is taken as
    /// gone. Optimism could spend a day twice, a crash loop many times.
    pub fn new(limit: Option<NonZeroU32>, now: SystemTime) -> Self {
        let into_day = since_midnight(now).as_secs();
        let share = limit.map_or(0, |limit| (u64::from(limit.get()) * into_day).div_ceil(DAY.as_secs()));
        Self { limit, day: day_of(now), used: u32::try_from(share).unwrap_or(u32::MAX), refused_until: None }
    }

    /// May a call go today? Counts nothing.
    ///
    /// # Errors
    /// [`DaySpent`] with the time until it may.
    pub fn check(&mut self, now: SystemTime) -> Result<(), DaySpent> {
        self.turn_page(now);
        if let Some(retry_in) = self.refused_until.and_then(|until| until.duration_since(now).ok())
            && !retry_in.is_zero()
        {
            return Err(DaySpent { retry_in });
        }
        match self.limit {
            Some(limit) if self.used >= limit.get() => Err(DaySpent { retry_in: till_midnight(now) }),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts one call, before it is sent.
    ///
    /// # Errors
    /// [`DaySpent`], and nothing was counted.
    pub fn count(&mut self, now: SystemTime) -> Result<(), DaySpent> {
        self.check(now)?;
        self.used = self.used.saturating_add(1);
        Ok(())
    }

    /// The upstream said `quota_exceeded`. It knows better: other programs spend the same quota unseen.
    pub fn exceeded(&mut self, now: SystemTime) {
        self.turn_page(now);
        let hold = if since_midnight(now) < CLOCK_SKEW { DOUBTFUL } else { till_midnight(now) };
        self.refused_until = Some(now + hold);
    }

    /// How the day stands.
    pub fn today(&mut self, now: SystemTime) -> DayCount {
        self.turn_page(now);
        let refused = self.refused_until.is_some_and(|until| now < until);
        DayCount {
            limit: self.limit,
            used: self.used,
            remaining: self
                .limit
                .map(|limit| if refused { 0 } else { limit.get().saturating_sub(self.used) }),
            resets_at: now + till_midnight(now),
        }
    }

    /// Only forwards: a clock that is set back a little around midnight must not hand out the day again.
    fn turn_page(&mut self, now: SystemTime) {
        let today = day_of(now);
        if today > self.day {
            self.day = today;
            self.used = 0;
        }
    }
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn day_of(now: SystemTime) -> u64 {
    since_epoch(now).as_secs() / DAY.as_secs()
}

fn since_midnight(now: SystemTime) -> Duration {
    since_epoch(now).saturating_sub(DAY * u32::try_from(day_of(now)).unwrap_or(u32::MAX))
}

fn till_midnight(now: SystemTime) -> Duration {
    DAY.saturating_sub(since_midnight(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIDNIGHT: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(days: u32, hours: u64, seconds: u64) -> SystemTime {
        MIDNIGHT + DAY * (20_000 + days) + Duration::from_secs(hours * 3600 + seconds)
    }

    fn ledger(limit: u32, now: SystemTime) -> Ledger {
        Ledger::new(NonZeroU32::new(limit), now)
    }

    #[test]
    fn a_start_assumes_that_the_day_s_share_is_spent() {
        for (now, used) in
            [(at(0, 0, 0), 0), (at(0, 6, 0), 2_500), (at(0, 12, 1), 5_001), (at(0, 23, 3599), 10_000)]
        {
            assert_eq!(ledger(10_000, now).today(now).used, used);
        }
    }

    #[test]
    fn a_spent_day_ends_at_midnight_utc() {
        let (before, after) = (at(0, 0, 0), at(1, 0, 0));
        let mut ledger = ledger(2, before);
        assert_eq!([ledger.count(before), ledger.count(before)], [Ok(()), Ok(())]);
        assert_eq!(ledger.count(at(0, 23, 0)), Err(DaySpent { retry_in: Duration::from_secs(3600) }));
        assert_eq!(ledger.today(at(0, 23, 0)).used, 2, "a refusal counts nothing");
        assert_eq!(ledger.count(after), Ok(()));
        assert_eq!(ledger.today(after).remaining, Some(1));
    }

    #[test]
    fn quota_exceeded_spends_the_day_whatever_our_count_says() {
        let noon = at(0, 12, 0);
        for limit in [0, 10_000] {
            let mut ledger = ledger(limit, noon);
            ledger.exceeded(noon);
            assert_eq!(ledger.count(noon), Err(DaySpent { retry_in: DAY / 2 }));
            assert!(ledger.today(noon).remaining.is_none_or(|left| left == 0));
            assert_eq!(ledger.count(at(1, 0, 0)), Ok(()));
        }
    }

    #[test]
    fn quota_exceeded_right_after_midnight_may_be_yesterday_s() {
        let mut ledger = ledger(10_000, at(0, 12, 0));
        ledger.exceeded(at(1, 0, 2));
        assert_eq!(ledger.count(at(1, 0, 3)), Err(DaySpent { retry_in: Duration::from_secs(59) }));
        assert_eq!(ledger.count(at(1, 0, 62)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_hands_out_nothing_twice() {
        let mut ledger = ledger(1, at(1, 0, 0));
        assert_eq!(ledger.count(at(1, 0, 0)), Ok(()));
        assert!(ledger.count(at(0, 23, 3599)).is_err());
        assert!(ledger.count(at(1, 0, 1)).is_err());
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let mut ledger = ledger(0, at(0, 23, 0));
        assert!((0..100_000).all(|_| ledger.count(at(0, 23, 0)).is_ok()));
        assert_eq!(ledger.today(at(0, 23, 0)).remaining, None);
    }

    proptest! {
        #[test]
        fn no_day_holds_more_than_its_limit(
            limit in 1..50_u32,
            steps in prop::collection::vec(0..7_200_u64, 1..300),
        ) {
            let mut now = at(0, 0, 0);
            let mut ledger = ledger(limit, now);
            let mut sent = std::collections::BTreeMap::new();
            for step in steps {
                now += Duration::from_secs(step);
                if ledger.count(now).is_ok() {
                    *sent.entry(day_of(now)).or_insert(0) += 1;
                }
            }
            prop_assert!(sent.values().all(|calls| *calls <= limit));
        }
    }
}
