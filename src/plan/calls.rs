//! The simulated upstream calls: rate limit, daily budget and latency; calls are sent one at a time.

use std::time::Duration;

use super::Workload;
use crate::refresh::UtcTime;

/// Time between two calls: the limit of four calls a second, with a margin of 5 %.
const SPACING: Duration = Duration::from_micros(262_500);
/// A call that would wait longer than this for the rate limit is denied.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// From sending a call to its response.
const LATENCY: Duration = Duration::from_millis(200);

/// The queue of calls, and the count of calls of the UTC day.
#[derive(Debug, Default)]
pub(crate) struct CallLine {
    free_at: Duration,
    used: u32,
    day: u64,
    locked_out_on: Option<u64>,
    unseen_before: usize,
    unseen_of_day: usize,
    /// When each call was sent.
    pub(super) made: Vec<Duration>,
    /// Calls that were requested and denied.
    pub(super) denied: u64,
}

/// The result of [`CallLine::depart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// Sent. The report is as the upstream had it at `answered_at`; the response arrives at `here_at`.
    Call { answered_at: Duration, here_at: Duration },
    /// Sent, and the upstream responded that the daily quota is used up.
    QuotaExceeded,
    /// Not sent: the budget is used up, the upstream is locked out, or the wait would be too long.
    Denied,
}

// === impl CallLine ===

impl CallLine {
    /// Calls sent on this UTC day, as of the last [`Self::turn_to`].
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// Resets the count if `now` is on a later UTC day.
    pub(super) fn turn_to(&mut self, now: Duration) {
        let day = UtcTime::since_epoch(now).day();
        if day > self.day {
            (self.day, self.used) = (day, 0);
        }
    }

    /// Are calls left today, and is there no quota lockout?
    pub(super) fn is_open(&self, per_day: u32, now: Duration) -> bool {
        self.used < per_day && self.locked_out_on != Some(UtcTime::since_epoch(now).day())
    }

    /// Requests a call: sends it if the budget and the rate limit allow it.
    pub(super) fn depart(&mut self, workload: &Workload, now: Duration) -> Departure {
        let at = now.max(self.free_at);
        if !self.is_open(workload.per_day, now) || at - now > LONGEST_WAIT {
            return Departure::Denied;
        }
        self.used += 1;
        self.made.push(at);
        if !workload.unseen.is_empty() && self.used - 1 + self.unseen_today(workload, now) >= workload.per_day
        {
            self.locked_out_on = Some(UtcTime::since_epoch(now).day());
            return Departure::QuotaExceeded;
        }
        self.free_at = at + SPACING;
        Departure::Call { answered_at: at + LATENCY / 2, here_at: at + LATENCY }
    }

    /// Calls of the same quota that other programs have made today.
    fn unseen_today(&mut self, workload: &Workload, now: Duration) -> u32 {
        let midnight = now - UtcTime::since_epoch(now).into_day();
        while workload.unseen.get(self.unseen_before).is_some_and(|call| *call <= now) {
            self.unseen_before += 1;
        }
        while workload.unseen.get(self.unseen_of_day).is_some_and(|call| *call < midnight) {
            self.unseen_of_day += 1;
        }
        (self.unseen_before.saturating_sub(self.unseen_of_day)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_one_after_the_other_and_a_long_line_is_refused() {
        let (mut line, workload) = (CallLine::default(), Workload { per_day: 100, ..Workload::default() });
        let granted = (0..40).filter(|_| line.depart(&workload, Duration::ZERO) != Departure::Denied).count();
        assert_eq!(granted, 20, "those that leave within five seconds");
        assert!(line.made.is_sorted_by(|before, after| *after - *before == SPACING));
    }

    #[test]
    fn no_day_has_more_calls_than_its_budget_and_midnight_begins_a_new_one() {
        let (mut line, workload) = (CallLine::default(), Workload { per_day: 2, ..Workload::default() });
        let mut wants = |hour| {
            let now = Duration::from_hours(hour);
            line.turn_to(now);
            line.depart(&workload, now) != Departure::Denied
        };
        assert_eq!([1, 2, 3, 24, 25, 26].map(&mut wants), [true, true, false, true, true, false]);
    }

    #[test]
    fn what_others_spend_locks_us_out_until_midnight() {
        let unseen = (0..3).map(Duration::from_hours).collect();
        let workload = Workload { per_day: 4, unseen, ..Workload::default() };
        let mut line = CallLine::default();
        let mut at = |hour| {
            let now = Duration::from_hours(hour);
            line.turn_to(now);
            line.depart(&workload, now)
        };
        assert!(matches!(at(3), Departure::Call { .. }));
        assert_eq!([at(4), at(5)], [Departure::QuotaExceeded, Departure::Denied]);
        assert!(matches!(at(24), Departure::Call { .. }));
    }
}
