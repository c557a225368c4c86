//! The vendor's two limits: calls in a sliding second and calls in a UTC day. Pure: `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::bodies::VendorError;
use super::clock::Moment;

const SECOND: Duration = Duration::from_secs(1);

/// Which limit a call exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Calls per second.
    PerSecond,
    /// Calls per UTC day.
    PerDay,
}

/// A limit of calls in any sliding second.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    limit: u32,
    recent: VecDeque<Instant>,
}

/// Both limits of one API key. A refused call counts against neither: the vendor doesn't say, and so a client
/// that goes on calling is refused for the documented window and no longer.
#[derive(Debug)]
pub(super) struct VendorQuota {
    second: SlidingWindow,
    per_day: u32,
    day: u64,
    spent_today: u32,
    refused: RefusedCalls,
}

/// Calls that were over a limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct RefusedCalls {
    pub(super) per_second: u64,
    pub(super) per_day: u64,
}

// === impl Limit ===

impl Limit {
    /// The vendor's `error_key`, the only difference between the two 429s.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "throttled",
            Self::PerDay => "quota_exceeded",
        }
    }

    pub(super) const fn error(self) -> VendorError {
        let message = match self {
            Self::PerSecond => "Too Many Requests",
            Self::PerDay => "Limit Exceeded",
        };
        VendorError { key: self.as_str(), message }
    }
}

// === impl SlidingWindow ===

impl SlidingWindow {
    /// 0 turns the limit off.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, recent: VecDeque::new() }
    }

    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|oldest| now - *oldest >= SECOND) {
            self.recent.pop_front();
        }
        self.limit == 0 || self.recent.len() < self.limit as usize
    }

    pub(super) fn take(&mut self, now: Instant) {
        // More than the limit changes no answer, and a window that is off must not grow.
        if self.recent.len() < self.limit as usize {
            self.recent.push_back(now);
        }
    }
}

// === impl VendorQuota ===

impl VendorQuota {
    pub(super) fn new(per_second: u32, per_day: u32) -> Self {
        let refused = RefusedCalls::default();
        Self { second: SlidingWindow::new(per_second), per_day, day: 0, spent_today: 0, refused }
    }

    /// Counts one call, or returns the limit that forbids it.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Limit> {
        self.turn_the_day(now);
        if self.per_day != 0 && self.spent_today >= self.per_day {
            self.refused.per_day += 1;
            return Err(Limit::PerDay);
        }
        if !self.second.has_room(now.instant) {
            self.refused.per_second += 1;
            return Err(Limit::PerSecond);
        }
        self.spend(now, 1);
        Ok(())
    }

    /// Calls of another program on the same key, made at this moment.
    pub(super) fn spend(&mut self, now: Moment, calls: u32) {
        self.turn_the_day(now);
        self.spent_today = self.spent_today.saturating_add(calls);
        self.second.has_room(now.instant);
        for _ in 0..calls.min(self.second.limit) {
            self.second.take(now.instant);
        }
    }

    pub(super) fn spent_today(&mut self, now: Moment) -> u32 {
        self.turn_the_day(now);
        self.spent_today
    }

    pub(super) const fn refused(&self) -> RefusedCalls {
        self.refused
    }

    fn turn_the_day(&mut self, now: Moment) {
        if self.day != now.day() {
            self.day = now.day();
            self.spent_today = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: Duration = Duration::from_secs(20_000 * 86_400);

    fn moments(before_midnight: Duration) -> impl Fn(u64) -> Moment {
        let instant = Instant::now();
        move |ms| {
            let later = Duration::from_millis(ms);
            Moment { instant: instant + later, since_epoch: MIDNIGHT - before_midnight + later }
        }
    }

    #[test]
    fn the_second_slides() {
        let at = moments(Duration::from_secs(3600));
        let mut quota = VendorQuota::new(4, 0);
        for ms in [0, 600, 700, 800] {
            assert_eq!(quota.take(at(ms)), Ok(()));
        }
        assert_eq!(quota.take(at(999)), Err(Limit::PerSecond));
        // A fixed window would let four through here; only the call at 0 has left this one.
        assert_eq!(quota.take(at(1000)), Ok(()));
        assert_eq!(quota.take(at(1001)), Err(Limit::PerSecond));
        assert_eq!(quota.take(at(1600)), Ok(()));
        assert_eq!(quota.refused(), RefusedCalls { per_second: 2, per_day: 0 });
    }

    #[test]
    fn the_day_ends_at_midnight_utc() {
        let at = moments(Duration::from_millis(500));
        let mut quota = VendorQuota::new(0, 2);
        assert_eq!(quota.take(at(0)), Ok(()));
        assert_eq!(quota.take(at(1)), Ok(()));
        assert_eq!(quota.take(at(499)), Err(Limit::PerDay));
        assert_eq!(quota.refused(), RefusedCalls { per_second: 0, per_day: 1 });
        assert_eq!(quota.take(at(500)), Ok(()));
        assert_eq!(quota.spent_today(at(500)), 1);
    }

    #[test]
    fn another_program_spends_the_same_quota() {
        let at = moments(Duration::from_secs(3600));
        let mut quota = VendorQuota::new(4, 3001);
        quota.spend(at(0), 3000);
        assert_eq!(quota.take(at(1)), Err(Limit::PerSecond));
        assert_eq!(quota.take(at(1000)), Ok(()));
        assert_eq!(quota.take(at(2000)), Err(Limit::PerDay));
    }

    #[test]
    fn zero_turns_a_limit_off() {
        let at = moments(Duration::from_secs(3600));
        let mut quota = VendorQuota::new(0, 0);
        assert!((0..20_000).all(|_| quota.take(at(0)).is_ok()));
    }
}
