//! Why a report is empty, kept with its entry, so that a hit reads it at the cost of one comparison.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::report::{Answer, WhyEmpty};

/// Of an empty report, one more than the place of the reason in [`WhyEmpty::ALL`]; of anything else, zero for ever.
#[derive(Debug)]
pub(super) struct WhyEmptyCell(AtomicU8);

// === impl WhyEmptyCell ===

impl WhyEmptyCell {
    /// Of an empty report it is not known why, until it is [set](Self::set).
    pub(super) fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Report(report) if report.links() == 0 => Self(AtomicU8::new(number(WhyEmpty::Unknown))),
            Answer::Report(_) | Answer::Negative(_) => Self(AtomicU8::new(0)),
        }
    }

    pub(super) fn set(&self, why: WhyEmpty) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(number(why), Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> Option<WhyEmpty> {
        let place = usize::from(self.0.load(Relaxed)).checked_sub(1)?;
        WhyEmpty::ALL.get(place).copied()
    }
}

impl Clone for WhyEmptyCell {
    fn clone(&self) -> Self {
        Self(AtomicU8::new(self.0.load(Relaxed)))
    }
}

const fn number(why: WhyEmpty) -> u8 {
    match why {
        WhyEmpty::NotSent => 1,
        WhyEmpty::NobodyClicked => 2,
        WhyEmpty::Unknown => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{good, report};

    #[test]
    fn an_empty_report_has_the_reason_that_was_set_last_and_no_other_answer_has_any() {
        let empty = WhyEmptyCell::of(&report(""));
        assert_eq!(empty.get(), Some(WhyEmpty::Unknown));
        for why in WhyEmpty::ALL {
            empty.set(why);
            assert_eq!((empty.get(), empty.clone().get()), (Some(why), Some(why)));
        }
        for other in [report("{}"), good().answer] {
            let cell = WhyEmptyCell::of(&other);
            cell.set(WhyEmpty::NotSent);
            assert_eq!(cell.get(), None);
        }
    }
}
