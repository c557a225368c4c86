//! Counts the calls of a UTC day, as the vendor does: 10,000 of them, gone until 00:00 UTC when spent.
//!
//! Where a store keeps the count, calls are leased from it: a few are written down as gone before the first of them
//! leaves. A kill at any instant then forgets at most that some of them were never made.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use super::{
    ban::{Ban, Errand, is_doubtful},
    bucket::Lane,
    day::{DAY, day_of, left_of, since_midnight, till_midnight},
    forecast::{Forecast, Rate},
    pace::{Pace, Step, factor},
    standing::DayCount,
};
use crate::{report::Scarcity, state::LedgerRecord};

/// Calls that are written down together. A kill overcounts by at most as many; each write is a flush to the disk.
const LEASE: u32 = 8;

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

/// Who keeps the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Books {
    /// This process alone: another run knows nothing of it.
    Memory,
    /// A store, of which calls are leased.
    Store,
}

/// A call that is counted, and has not left yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    day: u64,
    /// What the call is for.
    pub(super) errand: Errand,
}

/// What [`Ledger::enter`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The call is counted.
    Entered(Line),
    /// The store has to write down some more calls first; then ask again.
    Lease(Lease),
}

/// Calls that a store has to write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// Calls to be made.
    pub(super) calls: u32,
    /// Calls that are made already, which the store could not write down when it was asked.
    pub(super) owed: u32,
}

/// A pure machine: the vendor's time of day comes as an argument.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: DayLimits,
    books: Books,
    day: u64,
    used: u32,
    /// Written down in the store, and not used yet.
    leased: u32,
    owed: u32,
    unseen: u32,
    step: Step,
    rate: Rate,
    ban: Ban,
}

// === impl Books ===

impl Books {
    /// For `GET /quota`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Store => "store",
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// A ledger of a day on which so many calls are known to be gone.
    pub(super) fn new(limits: DayLimits, books: Books, used: u32, now: SystemTime) -> Self {
        Self {
            limits,
            books,
            day: day_of(now),
            used,
            leased: 0,
            // What is assumed is written down too: the next run must not assume less.
            owed: match books {
                Books::Memory => 0,
                Books::Store => used,
            },
            unseen: 0,
            step: Step::Normal,
            rate: Rate::new(now),
            ban: Ban::None,
        }
    }

    /// A ledger that goes on where the store's was left, on a day that may be over. `roll` is a random number in
    /// `0.0..1.0`.
    pub(super) fn resumed(limits: DayLimits, record: LedgerRecord, now: SystemTime, roll: f64) -> Self {
        let LedgerRecord { day, spent } = record;
        let used = match spent {
            LedgerRecord::CLOSED => limits.calls.map_or(0, NonZeroU32::get),
            spent => spent,
        };
        // A day that is still to come stays: somebody's clock is wrong, and it may be ours.
        let mut ledger = Self { day, owed: 0, ..Self::new(limits, Books::Store, used, now) };
        ledger.turn_page(now);
        if spent == LedgerRecord::CLOSED {
            ledger.ban = Ban::of_day(day.min(ledger.day), roll);
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
        let step = self.step(now);
        let errand = self.ban.check(now).map_err(|retry_in| DaySpent { retry_in })?;
        match (step, lane) {
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
        match self.books {
            Books::Memory => {}
            Books::Store if self.leased > 0 => self.leased -= 1,
            Books::Store => {
                let left = self.limits.calls.map_or(LEASE, |limit| limit.get().saturating_sub(self.used));
                return Ok(Entry::Lease(Lease {
                    day: self.day,
                    calls: left.clamp(1, LEASE),
                    owed: self.owed,
                }));
            }
        }
        self.used = self.used.saturating_add(1);
        self.rate.count(now);
        self.ban.set_out(errand);
        Ok(Entry::Entered(Line { day: self.day, errand }))
    }

    /// Is a counted call still good to go? One of a day that is over is not: the new day has not counted it. Nor is one
    /// that the upstream's `quota_exceeded` overtook.
    pub(super) fn is_good(&mut self, line: Line, now: SystemTime) -> bool {
        self.turn_page(now);
        let allowed = match line.errand {
            Errand::Regular => self.ban == Ban::None,
            Errand::Probe => true,
        };
        allowed && line.day == self.day
    }

    /// A counted call was not sent after all.
    pub(super) fn strike_out(&mut self, line: Line, now: SystemTime) {
        self.turn_page(now);
        if line.day == self.day {
            self.used = self.used.saturating_sub(1);
            match self.books {
                Books::Memory => {}
                Books::Store => self.leased += 1,
            }
        }
        self.untold(line, now);
    }

    /// The store wrote a lease down; its count of that day is now this.
    pub(super) fn leased(&mut self, lease: Lease, spent: u32) {
        if lease.day == self.day {
            self.leased += lease.calls;
            self.owed = self.owed.saturating_sub(lease.owed);
            // Others may share the store: what they took is gone for us, and so is what it does not know of yet.
            // A closed day tells no number.
            if spent != LedgerRecord::CLOSED {
                let taken = spent.saturating_add(self.owed);
                self.used = taken.saturating_sub(self.leased).max(self.used);
            }
        }
    }

    /// The store failed, or is late. The calls are made all the same, and written down when it works again: a full disk must not
    /// end all service, and if the worst comes the upstream's own count ends the day.
    pub(super) fn unleased(&mut self, lease: Lease) {
        if lease.day == self.day {
            self.leased += lease.calls;
            self.owed = self.owed.saturating_add(lease.calls);
        }
    }

    /// The upstream said `quota_exceeded`. It knows better: other programs spend the same quota unseen. `roll` is a
    /// random number in `0.0..1.0`. Returns what the store has to write down, for the run after a crash.
    pub(super) fn exceeded(&mut self, now: SystemTime, roll: f64) -> Option<Lease> {
        self.turn_page(now);
        let before = self.ban;
        self.ban.exceeded(now, roll);
        if is_doubtful(now) {
            return None;
        }
        let known = self.limits.calls.map_or(0, |limit| limit.get().saturating_sub(self.used));
        self.unseen = self.unseen.max(known);
        match self.books {
            Books::Store if before != self.ban => {
                Some(Lease { day: self.day, calls: 0, owed: LedgerRecord::CLOSED })
            }
            Books::Memory | Books::Store => None,
        }
    }

    /// A call was answered, and not with `quota_exceeded`.
    pub(super) fn answered(&mut self, line: Line) {
        match line.errand {
            Errand::Regular => {}
            Errand::Probe => self.ban.lift(),
        }
    }

    /// A call ended without an answer.
    pub(super) fn untold(&mut self, line: Line, now: SystemTime) {
        match line.errand {
            Errand::Regular => {}
            Errand::Probe => self.ban.untold(now),
        }
    }

    /// What calls may be made for.
    pub(super) fn step(&mut self, now: SystemTime) -> Step {
        self.turn_page(now);
        let spent = self.limits.calls.is_some_and(|limit| self.used >= limit.get());
        self.step = if spent || self.ban.holds(now) {
            Step::Spent
        } else {
            self.tightness(now).map_or(Step::Normal, |tightness| self.step.next(tightness))
        };
        self.step
    }

    /// How scarce calls are for refreshes.
    pub(super) fn scarcity(&mut self, now: SystemTime) -> Scarcity {
        match self.step(now) {
            Step::Normal => Scarcity::Ample,
            Step::Stretched => Scarcity::Scarce { factor: factor(self.tightness(now).unwrap_or(1.0)) },
            Step::ColdOnly | Step::Spent => Scarcity::Stopped,
        }
    }

    /// How the day stands.
    pub(super) fn today(&mut self, now: SystemTime) -> DayCount {
        let step = self.step(now);
        let left = self.limits.calls.map(|limit| match step {
            Step::Normal | Step::Stretched | Step::ColdOnly => limit.get().saturating_sub(self.used),
            Step::Spent => 0,
        });
        // A share of a u32.
        let reserved = self.pace().map_or(0, |pace| pace.reserved(left_of(now)) as u32);
        DayCount {
            limit: self.limits.calls,
            used: self.used,
            remaining: left,
            reserved: left.map_or(0, |left| left.min(reserved)),
            unseen: self.unseen,
            resets_at: now + till_midnight(now),
            resets_in: till_midnight(now),
            books: self.books,
            step,
            per_second: self.rate.per_second(now),
            forecast: match step {
                Step::Normal | Step::Stretched | Step::ColdOnly => self.rate.forecast(left, now),
                Step::Spent => Forecast::Exhausted,
            },
        }
    }

    fn pace(&self) -> Option<Pace> {
        self.limits.calls.map(|limit| Pace::new(limit, self.limits.reserve))
    }

    fn tightness(&self, now: SystemTime) -> Option<f64> {
        self.pace().map(|pace| pace.tightness(self.used, left_of(now)))
    }

    /// Forwards: a clock that is set back a little around midnight must not hand out the day again. A clock that goes
    /// back by more was wrong before; its day is taken, yet what is spent stays spent.
    fn turn_page(&mut self, now: SystemTime) {
        let today = day_of(now);
        if today > self.day {
            self.used = 0;
            self.leased = 0;
            self.owed = 0;
            self.unseen = 0;
            self.step = Step::Normal;
            self.day = today;
        } else if today + 1 < self.day {
            self.day = today;
        }
    }
}

#[cfg(test)]
mod tests;
