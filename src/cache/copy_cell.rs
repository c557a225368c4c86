//! The refresh statistics of an entry, which a hit reads without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{compact::Nanoseconds, next_check::NextCheck};
use crate::refresh::CopyStats;

/// The refresh statistics of a report.
#[derive(Debug)]
pub(super) struct PlannedCopy {
    /// When the upstream generated the report, by the plan's clock. A hit knows the report's age already: with this it
    /// need not ask the clock again.
    pub(super) generated_at: Nanoseconds,
    pub(super) cell: CopyCell,
    pub(super) check: NextCheck,
}

/// [`CopyStats`] in five atomics. It is written when a fetch or a probe has shown the campaign's clicks, never by a hit. A
/// hit that reads in the middle of a write may see some old words: then it causes one refresh too early or too late.
#[derive(Debug)]
pub(super) struct CopyCell([AtomicU64; 5]);

// === impl PlannedCopy ===

impl PlannedCopy {
    /// When the upstream generated the report, by the plan's clock.
    #[inline]
    pub(super) fn generated_at(&self) -> Duration {
        self.generated_at.into()
    }

    /// For an entry with the same report.
    pub(super) fn carried_over(&self) -> Self {
        Self {
            generated_at: self.generated_at,
            cell: CopyCell::new(self.cell.get()),
            check: NextCheck::after(Some(&self.check)),
        }
    }
}

// === impl CopyCell ===

impl CopyCell {
    pub(super) fn new(copy: CopyStats) -> Self {
        Self(copy.to_words().map(AtomicU64::new))
    }

    #[inline]
    pub(super) fn get(&self) -> CopyStats {
        let [looked_at, rate, clicks, answers, behind] = &self.0;
        // Not `map`: it is not always inlined, and each hit reads this.
        CopyStats::from_words([
            looked_at.load(Ordering::Relaxed),
            rate.load(Ordering::Relaxed),
            clicks.load(Ordering::Relaxed),
            answers.load(Ordering::Relaxed),
            behind.load(Ordering::Relaxed),
        ])
    }

    pub(super) fn set(&self, copy: CopyStats) {
        for (word, value) in self.0.iter().zip(copy.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
    }
}
