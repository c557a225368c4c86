//! The refresh statistics of an entry, which a hit reads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::refresh::CopyStats;

/// [`CopyStats`] in five atomics. It is written when a fetch or a probe has shown the campaign's clicks, never by a hit. A
/// hit that reads in the middle of a write may see some old words: then it causes one refresh too early or too late.
#[derive(Debug)]
pub(super) struct CopyCell([AtomicU64; 5]);

// === impl CopyCell ===

impl CopyCell {
    pub(super) fn new(copy: CopyStats) -> Self {
        Self(copy.to_words().map(AtomicU64::new))
    }

    #[inline]
    pub(super) fn get(&self) -> CopyStats {
        let [looked_at, rate, clicks, answers, behind] = &self.0;
        CopyStats::from_words(
            [looked_at, rate, clicks, answers, behind].map(|word| word.load(Ordering::Relaxed)),
        )
    }

    pub(super) fn set(&self, copy: CopyStats) {
        for (word, value) in self.0.iter().zip(copy.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Clone for CopyCell {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}
