//! Counts the calls of a UTC day, as the vendor does: 10,000 of them, gone until 00:00 UTC when spent.
//!
//! Where a store keeps the count, calls are leased from it: a few are written down as gone before the first of them
//! leaves. A kill at any instant then forgets at most that some of them were never made.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use super::{
    ban::{Ban, Errand, Lifted, OwnCount, is_doubtful},
    bucket::Lane,
    day::{DAY, day_of, later, left_of, since_midnight, till_midnight},
    forecast::{Forecast, Rate},
    lease::{DayMark, Entry, LEASE, Lease, Line},
    pace::{Pace, Step, factor},
    standing::DayCount,
    usage::{Books, DateChange, DayUsage, UsageByDay},
};
use crate::{
    report::Scarcity,
    state::{DayRecord, DayStatus, LedgerRecord},
};

/// The share of the limit below which our own count speaks against a `quota_exceeded`.
const FAR_BELOW_LIMIT: f64 = 0.8;

/// The day's quota is spent, or what is left of it is not for this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the day's quota is spent, the next call may go in {retry_in:?}")]
pub(super) struct DaySpent {
    /// Till 00:00 UTC, as a rule.
    pub(super) retry_in: Duration,
}

/// What a day has to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayLimits {
    /// Calls that a day has; `None` when the operator does not limit them.
    pub(super) calls: Option<NonZeroU32>,
    /// The share of them that is kept for cold keys, in `0.0..=0.9`.
    pub(super) reserve: f64,
}

/// A pure machine: the vendor's time of day comes as an argument.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: DayLimits,
    usage: UsageByDay,
    rate: Rate,
    ban: Ban,
}

// === impl Ledger ===

impl Ledger {
    /// A ledger of a day on which so many calls are known to be gone.
    pub(super) fn new(limits: DayLimits, books: Books, used: u32, now: SystemTime) -> Self {
        let usage = UsageByDay::new(DayUsage::new(day_of(now), used, books), books);
        Self { limits, usage, rate: Rate::new(now), ban: Ban::None }
    }

    /// A ledger that goes on where the store's was left, on a day that may be over. `roll` is a random number in
    /// `0.0..1.0`.
    pub(super) fn resumed(limits: DayLimits, record: &LedgerRecord, now: SystemTime, roll: f64) -> Self {
        let usage = UsageByDay::stored(record, limits.calls.map_or(0, NonZeroU32::get));
        let DayUsage { day, status, .. } = *usage.current();
        let ban = match status {
            DayStatus::Open => Ban::None,
            DayStatus::Closed => Ban::of_day(day, roll),
        };
        let mut ledger = Self { limits, usage, rate: Rate::new(now), ban };
        if day == day_of(now) {
            ledger.meet_status(now, roll);
        } else {
            ledger.turn_page(now);
        }
        ledger
    }

    /// The share of a day that an even day has spent by now. For whoever does not know what the key has spent:
    /// optimism could spend a day twice, a crash loop many times.
    pub(super) fn pro_rata(limits: DayLimits, now: SystemTime) -> u32 {
        let into_day = since_midnight(now).as_secs();
        let share =
            limits.calls.map_or(0, |limit| (u64::from(limit.get()) * into_day).div_ceil(DAY.as_secs()));
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// May a call go today? Counts nothing.
    ///
    /// # Errors
    /// [`DaySpent`] with the time until it may.
    pub(super) fn check(&mut self, lane: Lane, now: SystemTime) -> Result<Errand, DaySpent> {
        self.turn_page(now);
        let errand = self.ban.check(now).map_err(|retry_in| DaySpent { retry_in })?;
        match (self.step_by_count(now), lane) {
            (Step::Normal | Step::Stretched, _) | (Step::ColdOnly, Lane::Cold) => Ok(errand),
            (Step::ColdOnly, Lane::Refresh) | (Step::Spent, _) => {
                Err(DaySpent { retry_in: till_midnight(now) })
            }
        }
    }

    /// Counts one call, before it is sent.
    ///
    /// # Errors
    /// [`DaySpent`], and nothing was counted.
    pub(super) fn enter(&mut self, lane: Lane, now: SystemTime) -> Result<Entry, DaySpent> {
        let errand = self.check(lane, now)?;
        let (books, today) = (self.usage.books(), self.usage.current_mut());
        match books {
            Books::Memory => {}
            Books::Store if today.leased > 0 => today.leased -= 1,
            Books::Store => {
                let left = self.limits.calls.map_or(LEASE, |limit| limit.get().saturating_sub(today.used));
                let calls = left.clamp(1, LEASE);
                return Ok(Entry::Lease(Lease { day: today.day, calls, owed: today.owed }));
            }
        }
        let day = today.day;
        self.usage.count();
        self.rate.count(now);
        self.ban.set_out(errand);
        Ok(Entry::Entered(Line { day, errand }))
    }

    /// Is a counted call still good to go? One of a day that is over is not: the new day has not counted it. Nor is one
    /// that the upstream's `quota_exceeded` overtook.
    pub(super) fn is_good(&mut self, line: Line, now: SystemTime) -> bool {
        self.turn_page(now);
        let allowed = match line.errand {
            Errand::Regular => self.ban == Ban::None,
            Errand::Probe => true,
        };
        allowed && line.day == self.usage.current().day
    }

    /// A counted call was not sent after all.
    pub(super) fn strike_out(&mut self, line: Line, now: SystemTime) {
        self.turn_page(now);
        self.usage.strike_out(line.day);
        match line.errand {
            Errand::Regular => {}
            Errand::Probe => self.ban.not_sent(now),
        }
    }

    /// The store wrote a lease down; its count of that day is now this.
    pub(super) fn leased(&mut self, lease: Lease, spent: u32) {
        if let Some(usage) = self.usage.of(lease.day) {
            usage.leased += lease.calls;
            usage.owed = usage.owed.saturating_sub(lease.owed);
            // Others may share the store: what they took is gone for us, and so is what it does not know of yet.
            if spent != DayRecord::UNCOUNTED {
                let taken = spent.saturating_add(usage.owed);
                let known = usage.used.saturating_add(usage.leased);
                usage.used = taken.saturating_sub(usage.leased).max(usage.used);
                // A store keeps few days: this one it may have lost to days that a wrong clock has shown.
                usage.owed = usage.owed.saturating_add(known.saturating_sub(taken));
            }
        }
    }

    /// The store failed, or is late. The calls are made all the same, and written down when it works again: a full disk must not
    /// end all service, and if the worst comes the upstream's own count ends the day.
    pub(super) fn unleased(&mut self, lease: Lease) {
        if let Some(usage) = self.usage.of(lease.day) {
            usage.leased += lease.calls;
            usage.owed = usage.owed.saturating_add(lease.calls);
        }
    }

    /// The upstream said `quota_exceeded`. It knows better: other programs spend the same quota unseen. `roll` is a
    /// random number in `0.0..1.0`. Returns what the store has to write down, for the run after a crash.
    pub(super) fn exceeded(&mut self, now: SystemTime, roll: f64) -> Option<DayMark> {
        self.turn_page(now);
        self.ban.exceeded(now, self.own_count(), roll);
        if is_doubtful(now) {
            return None;
        }
        let limit = self.limits.calls.map_or(0, NonZeroU32::get);
        let today = self.usage.current_mut();
        today.unseen = today.unseen.max(limit.saturating_sub(today.used));
        self.mark(DayStatus::Closed)
    }

    /// A call was answered, and not with `quota_exceeded`. Returns what the store has to write down.
    pub(super) fn answered(&mut self, line: Line) -> Option<DayMark> {
        let lifted = match line.errand {
            Errand::Regular => Lifted::Not,
            Errand::Probe => self.ban.lift(),
        };
        match lifted {
            Lifted::Not => None,
            Lifted::Now => {
                self.usage.current_mut().unseen = 0;
                self.mark(DayStatus::Open)
            }
        }
    }

    /// A call ended without an answer.
    pub(super) fn untold(&mut self, line: Line, now: SystemTime) {
        match line.errand {
            Errand::Regular => {}
            Errand::Probe => self.ban.unanswered(now),
        }
    }

    /// What calls may be made for.
    pub(super) fn step(&mut self, now: SystemTime) -> Step {
        self.turn_page(now);
        let step = self.step_by_count(now);
        if self.ban.closes_day(now) { Step::Spent } else { step }
    }

    /// How scarce calls are for refreshes. A probe that is due is as good as a refresh as any call.
    pub(super) fn scarcity(&mut self, now: SystemTime) -> Scarcity {
        self.turn_page(now);
        match self.step_by_count(now) {
            _ if self.ban.holds(now) => Scarcity::Stopped,
            Step::Normal => Scarcity::Ample,
            Step::Stretched => Scarcity::Scarce { factor: factor(self.tightness(now).unwrap_or(1.0)) },
            Step::ColdOnly | Step::Spent => Scarcity::Stopped,
        }
    }

    /// How the day stands.
    pub(super) fn today(&mut self, now: SystemTime) -> DayCount {
        let (step, today) = (self.step(now), *self.usage.current());
        let left = self.limits.calls.map(|limit| match step {
            Step::Normal | Step::Stretched | Step::ColdOnly => limit.get().saturating_sub(today.used),
            Step::Spent => 0,
        });
        // A share of a u32.
        let reserved = self.pace().map_or(0, |pace| pace.reserved(left_of(now)) as u32);
        DayCount {
            limit: self.limits.calls,
            used: today.used,
            remaining: left,
            reserved: left.map_or(0, |left| left.min(reserved)),
            unseen: today.unseen,
            resets_at: later(now, till_midnight(now)),
            resets_in: till_midnight(now),
            books: self.usage.books(),
            step,
            per_second: self.rate.per_second(now),
            forecast: match step {
                Step::Normal | Step::Stretched | Step::ColdOnly => self.rate.forecast(left, now),
                Step::Spent => Forecast::Exhausted,
            },
        }
    }

    fn step_by_count(&mut self, now: SystemTime) -> Step {
        let (tightness, limit) = (self.tightness(now), self.limits.calls);
        let today = self.usage.current_mut();
        today.step = if limit.is_some_and(|limit| today.used >= limit.get()) {
            Step::Spent
        } else {
            tightness.map_or(Step::Normal, |tightness| today.step.next(tightness))
        };
        today.step
    }

    fn pace(&self) -> Option<Pace> {
        self.limits.calls.map(|limit| Pace::new(limit, self.limits.reserve))
    }

    fn tightness(&self, now: SystemTime) -> Option<f64> {
        self.pace().map(|pace| pace.tightness(self.usage.current().used, left_of(now)))
    }

    /// A count that has no limit bears no verdict out.
    fn own_count(&self) -> OwnCount {
        let used = f64::from(self.usage.current().used);
        match self.limits.calls {
            Some(limit) if used >= f64::from(limit.get()) * FAR_BELOW_LIMIT => OwnCount::NearLimit,
            Some(_) | None => OwnCount::FarBelowLimit,
        }
    }

    fn mark(&mut self, status: DayStatus) -> Option<DayMark> {
        let (books, today) = (self.usage.books(), self.usage.current_mut());
        let before = std::mem::replace(&mut today.status, status);
        match books {
            Books::Store if before != status => Some(DayMark { day: today.day, status }),
            Books::Memory | Books::Store => None,
        }
    }

    /// Wherever the clock goes, each day has its own count.
    fn turn_page(&mut self, now: SystemTime) {
        match self.usage.change_to(day_of(now)) {
            None => {}
            Some(DateChange::Midnight) => {
                self.ban = self.ban.into_next_day();
                self.meet_status(now, 0.0);
            }
            // The verdict was about another day.
            Some(DateChange::Step) => {
                self.ban = Ban::None;
                self.meet_status(now, 0.0);
            }
        }
    }

    /// Today may have been closed when the clock showed it before, or by a run before.
    fn meet_status(&mut self, now: SystemTime, roll: f64) {
        match self.usage.current().status {
            DayStatus::Open => {}
            DayStatus::Closed => self.ban = Ban::met(now, self.own_count(), roll),
        }
    }
}

#[cfg(test)]
mod tests;
