//! The calls of each day, so that a clock that shows another day for a while resets nothing.
//!
//! A call is counted on the day that the clock shows. If the clock turns out to have been wrong, what went meanwhile is
//! counted on the right day too: the upstream has counted it there.

use super::burn_rate::QuotaMode;
use crate::state::{DayRecord, DayStatus, LedgerRecord};

/// Who keeps the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// This process alone: another run knows nothing of it.
    Memory,
    /// A store, of which calls are leased.
    Store,
}

/// The calls of a day.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayUsage {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    pub(super) used: u32,
    /// Written down in the store, and not used yet.
    pub(super) leased: u32,
    /// Used, and not written down yet.
    pub(super) unrecorded: u32,
    /// Counted by the upstream alone.
    pub(super) external: u32,
    /// What the count allows.
    pub(super) mode: QuotaMode,
    pub(super) status: DayStatus,
}

/// The day that the clock shows, and the last ones that it has shown.
#[derive(Debug)]
pub(super) struct UsageByDay {
    backing: Backing,
    current: DayUsage,
    /// Without those on which nothing was counted; the one that was current last comes first.
    others: Vec<DayUsage>,
    /// Calls since the clock showed another day than the current one.
    since_change: u32,
}

/// How the clock came to show another day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateChange {
    /// To the next day, as each midnight does.
    Midnight,
    /// To any other day, as only setting it does.
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
    /// A day on which so many calls are known, or assumed, to be gone.
    pub(super) fn new(day: u64, used: u32, backing: Backing) -> Self {
        Self {
            day,
            used,
            leased: 0,
            // What is assumed is written down too: the next run must not assume less.
            unrecorded: match backing {
                Backing::Memory => 0,
                Backing::Store => used,
            },
            external: 0,
            mode: QuotaMode::Normal,
            status: DayStatus::Open,
        }
    }

    fn stored(record: DayRecord, limit: u32) -> Self {
        let DayRecord { day, spent, status } = record;
        let used = if spent == DayRecord::UNCOUNTED { limit } else { spent };
        Self { unrecorded: 0, status, ..Self::new(day, used, Backing::Store) }
    }

    /// The clock shows it again, and so many calls have gone meanwhile that it has to count.
    fn after(self, missed: u32, backing: Backing) -> Self {
        let unrecorded = match backing {
            Backing::Memory => 0,
            Backing::Store => self.unrecorded.saturating_add(missed),
        };
        // What is leased is given up: the next call makes the store write, and know this day for one of the last.
        Self { used: self.used.saturating_add(missed), unrecorded, leased: 0, ..self }
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

    /// What a store holds. `limit` is a day's number of calls: taken for the count where the store has none.
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

    /// A day by its number, if anything is known of it.
    pub(super) fn of(&mut self, day: u64) -> Option<&mut DayUsage> {
        std::iter::once(&mut self.current).chain(&mut self.others).find(|usage| usage.day == day)
    }

    /// A call goes on the current day.
    pub(super) fn count(&mut self) {
        self.current.used = self.current.used.saturating_add(1);
        self.since_change = self.since_change.saturating_add(1);
    }

    /// A call that was counted on this day has not gone.
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

    /// The clock shows this day. `None`: it did before.
    pub(super) fn change_to(&mut self, day: u64) -> Option<DateChange> {
        let before = self.current.day;
        if day == before {
            return None;
        }
        let change =
            if before.checked_add(1) == Some(day) { DateChange::Midnight } else { DateChange::ClockSet };
        let known = self.others.iter().position(|usage| usage.day == day).map(|at| self.others.remove(at));
        let missed = match change {
            // A clock that was ahead had shown the day before it began: what went since is not of that day.
            DateChange::Midnight => 0,
            DateChange::ClockSet => self.since_change,
        };
        let next = match known {
            Some(usage) => usage.after(missed, self.backing),
            // The later day was somebody's mistake, and its calls were not.
            None if day < before => DayUsage::new(day, self.current.used, self.backing),
            None => DayUsage::new(day, 0, self.backing),
        };
        let left = std::mem::replace(&mut self.current, next);
        if !left.is_blank() {
            self.others.insert(0, left);
        }
        self.others.truncate(LedgerRecord::MAX_DAYS - 1);
        self.since_change = 0;
        Some(change)
    }
}
