//! Usage by day: the call counts of the last few days, so that a clock that shows another day for a while resets
//! nothing.
//!
//! A call is counted on the day that the clock shows. If the clock is then set to another day, the calls made meanwhile
//! are counted there too, since the upstream has counted them there.

use std::num::NonZeroU32;

use super::burn_rate::QuotaMode;
use crate::state::{DayRecord, DayStatus, LedgerRecord};

/// Where the count is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// In memory: it is lost when the process ends.
    Memory,
    /// In a durable store, from which calls are leased.
    Store,
}

/// The call count of a day.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayUsage {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    pub(super) used: u32,
    /// The part of `used` that was assumed at start, and that nobody has counted.
    pub(super) assumed: u32,
    /// Calls that may be made without another write: recorded in the store as used, or, after a failed or late write,
    /// also part of `unrecorded`.
    pub(super) leased: u32,
    /// Calls to be recorded with the next lease, as the store may not have them: assumed at start, released after a
    /// failed or late write (made or not), counted while the clock showed another day, or dropped by the store.
    pub(super) unrecorded: u32,
    /// Our count when the upstream said `quota_exceeded`, which it has not taken back since.
    pub(super) refused_at: Option<u32>,
    /// Which calls the count allows; kept for the hysteresis.
    pub(super) mode: QuotaMode,
    pub(super) status: DayStatus,
}

/// The day that the clock shows, and the last few days that it has shown.
#[derive(Debug)]
pub(super) struct UsageByDay {
    backing: Backing,
    current: DayUsage,
    /// Days with calls only; the most recent current day comes first.
    others: Vec<DayUsage>,
    /// Calls counted since the current day began to be shown.
    since_change: u32,
}

/// Why the day changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateChange {
    /// The clock shows the next day.
    Midnight,
    /// The clock shows any other day: it must have been set.
    ClockSet,
}

// === impl Backing ===

impl Backing {
    /// For `GET /quota`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Store => "store",
        }
    }
}

// === impl DayUsage ===

impl DayUsage {
    /// A day on which `used` calls are known to be made already.
    pub(super) fn new(day: u64, used: u32, backing: Backing) -> Self {
        Self {
            day,
            used,
            assumed: 0,
            leased: 0,
            // Assumed calls are recorded too: the next process must not assume fewer.
            unrecorded: match backing {
                Backing::Memory => 0,
                Backing::Store => used,
            },
            refused_at: None,
            mode: QuotaMode::Normal,
            status: DayStatus::Open,
        }
    }

    /// A day on which so many calls are assumed, since nobody has counted them.
    pub(super) fn assumed(day: u64, assumed: u32, backing: Backing) -> Self {
        Self { assumed, ..Self::new(day, assumed, backing) }
    }

    /// The fleet has counted so many calls: nothing has to be assumed any more.
    pub(super) fn learn(&mut self, spent: u32) {
        let assumed = std::mem::take(&mut self.assumed);
        // What is in the store already stays there.
        if self.unrecorded >= assumed || self.leased == 0 {
            self.unrecorded = self.unrecorded.saturating_sub(assumed);
            self.used -= assumed.min(self.used);
        }
        self.used = self.used.max(spent);
    }

    fn stored(record: DayRecord, limit: u32) -> Self {
        let DayRecord { day, spent, status } = record;
        let used = if spent == DayRecord::UNCOUNTED { limit } else { spent };
        let refused_at = match status {
            DayStatus::Open => None,
            DayStatus::Closed => Some(used),
        };
        Self { unrecorded: 0, refused_at, status, ..Self::new(day, used, Backing::Store) }
    }

    /// The clock shows this day again; `missed` calls were made meanwhile and count here too.
    fn after(self, missed: u32, backing: Backing) -> Self {
        let unrecorded = match backing {
            Backing::Memory => 0,
            Backing::Store => self.unrecorded.saturating_add(missed),
        };
        // The lease is given up: the next call then makes the store write, which keeps this day among its last few.
        Self { used: self.used.saturating_add(missed), unrecorded, leased: 0, ..self }
    }

    /// Our count when the upstream said `quota_exceeded`, if the day is closed by it.
    pub(super) fn exceeded_after(&self, limit: u32) -> Option<u32> {
        match self.status {
            DayStatus::Open => None,
            DayStatus::Closed => self.refused_at.map(|refused_at| refused_at.min(limit)),
        }
    }

    /// Calls by other programs, as a `quota_exceeded` implies: those missing from our count up to the limit.
    pub(super) fn external(&self, limit: u32) -> u32 {
        self.refused_at.map_or(0, |refused_at| limit.saturating_sub(refused_at))
    }

    /// The limit is `to` in place of `from`: what was assumed as a share of it grows with it.
    pub(super) fn assume_more(&mut self, from: NonZeroU32, to: NonZeroU32, backing: Backing) {
        let share = u64::from(self.assumed) * u64::from(to.get());
        let assumed = u32::try_from(share.div_ceil(from.get().into())).unwrap_or(u32::MAX);
        let more = assumed.saturating_sub(self.assumed);
        self.assumed += more;
        self.used = self.used.saturating_add(more);
        match backing {
            Backing::Memory => {}
            Backing::Store => self.unrecorded = self.unrecorded.saturating_add(more),
        }
    }

    fn is_blank(&self) -> bool {
        (self.used, self.leased, self.unrecorded, self.status) == (0, 0, 0, DayStatus::Open)
    }
}

// === impl UsageByDay ===

impl UsageByDay {
    pub(super) fn new(current: DayUsage, backing: Backing) -> Self {
        Self { backing, current, others: Vec::new(), since_change: 0 }
    }

    /// From the store's record. `limit` is the day's limit: used as the count of a day for which the store has none.
    pub(super) fn stored(record: &LedgerRecord, limit: u32) -> Self {
        let others = record.other_days().iter().map(|day| DayUsage::stored(*day, limit)).collect();
        Self { others, ..Self::new(DayUsage::stored(record.latest(), limit), Backing::Store) }
    }

    pub(super) const fn backing(&self) -> Backing {
        self.backing
    }

    pub(super) const fn current(&self) -> &DayUsage {
        &self.current
    }

    pub(super) fn current_mut(&mut self) -> &mut DayUsage {
        &mut self.current
    }

    /// The day before the current one, if calls were counted on it.
    pub(super) fn yesterday(&self) -> Option<&DayUsage> {
        self.others.iter().find(|usage| usage.day.checked_add(1) == Some(self.current.day))
    }

    /// A day by its number (days since 1970-01-01), if it is known.
    pub(super) fn of(&mut self, day: u64) -> Option<&mut DayUsage> {
        std::iter::once(&mut self.current).chain(&mut self.others).find(|usage| usage.day == day)
    }

    /// Counts a call on the current day.
    pub(super) fn count(&mut self) {
        self.current.used = self.current.used.saturating_add(1);
        self.since_change = self.since_change.saturating_add(1);
    }

    /// Takes back a call that was counted on this day but never sent.
    pub(super) fn refund(&mut self, day: u64) {
        if self.current.day == day {
            self.since_change = self.since_change.saturating_sub(1);
        }
        let backing = self.backing;
        if let Some(usage) = self.of(day) {
            usage.used = usage.used.saturating_sub(1);
            match backing {
                Backing::Memory => {}
                Backing::Store => usage.leased += 1,
            }
        }
    }

    /// Makes `day` the current one. `None`: it was before.
    pub(super) fn change_to(&mut self, day: u64) -> Option<DateChange> {
        let is_next = self.current.day.checked_add(1) == Some(day);
        self.change(day, if is_next { DateChange::Midnight } else { DateChange::ClockSet })
    }

    /// The same, where the clock turned out to be wrong: so the next day is no midnight either.
    pub(super) fn correct_to(&mut self, day: u64) -> Option<DateChange> {
        self.change(day, DateChange::ClockSet)
    }

    fn change(&mut self, day: u64, change: DateChange) -> Option<DateChange> {
        let before = self.current.day;
        if day == before {
            return None;
        }
        let known = self.others.iter().position(|usage| usage.day == day).map(|at| self.others.remove(at));
        let missed = match change {
            // The next day may be known already, from a clock that was ahead; the calls of the day before do not
            // count there.
            DateChange::Midnight => 0,
            DateChange::ClockSet => self.since_change,
        };
        let next = match known {
            Some(usage) => usage.after(missed, self.backing),
            // Back to an earlier, unknown day: the later date was wrong, but its calls were real.
            None if day < before => DayUsage::new(day, self.current.used, self.backing),
            None => DayUsage::new(day, 0, self.backing),
        };
        let previous = std::mem::replace(&mut self.current, next);
        if !previous.is_blank() {
            self.others.insert(0, previous);
        }
        self.others.truncate(LedgerRecord::MAX_DAYS - 1);
        self.since_change = 0;
        Some(change)
    }
}

#[cfg(test)]
mod tests;
