//! Unused calls: counted by the fleet, and never made. The count is never lowered, since replicas tell it each other and the
//! highest is taken; so the next calls of this replica take their place in it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::shared::CallCount;

/// The unused calls of a day. Those of another day are forgotten.
#[derive(Debug, Default)]
pub(super) struct UnusedCalls {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Days since 1970-01-01.
    day: u64,
    calls: u32,
}

/// A call on its way to the upstream. Dropped before it [leaves](CallToCount::leaves), it is unused, if it is counted.
#[derive(Debug)]
#[must_use]
pub(super) struct CallToCount<'a> {
    unused: &'a UnusedCalls,
    day: u64,
    is_counted: bool,
}

// === impl UnusedCalls ===

impl UnusedCalls {
    /// The next call of this day (days since 1970-01-01): counted already, if there is an unused one.
    pub(super) fn next(&self, day: u64) -> CallToCount<'_> {
        let mut held = self.held();
        let is_counted = held.day == day && held.calls > 0;
        held.calls -= u32::from(is_counted);
        CallToCount { unused: self, day, is_counted }
    }

    /// A call that was counted on this day was not made.
    pub(super) fn add(&self, day: u64) {
        let mut held = self.held();
        if held.day != day {
            *held = Held { day, calls: 0 };
        }
        held.calls = held.calls.saturating_add(1);
    }

    /// The store counts this day: calls that were counted on a later one, by a clock that is ahead, are counted on this one.
    pub(super) fn forget_after(&self, day: u64) {
        let mut held = self.held();
        if held.day > day {
            *held = Held::default();
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl CallToCount ===

impl CallToCount<'_> {
    /// What it adds to the count.
    pub(super) const fn count(&self) -> CallCount {
        if self.is_counted { CallCount::Counted } else { CallCount::One }
    }

    /// It is counted now, if it was not before.
    pub(super) fn counted(&mut self) {
        self.is_counted = true;
    }

    /// It is made.
    pub(super) fn leaves(mut self) {
        self.is_counted = false;
    }
}

impl Drop for CallToCount<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            self.unused.add(self.day);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        CallCount::{Counted, One},
        *,
    };

    /// What the next call of a day adds to the count; it does not leave.
    fn adds(unused: &UnusedCalls, day: u64) -> CallCount {
        unused.next(day).count()
    }

    #[test]
    fn a_call_that_was_counted_and_not_made_is_the_next_one_of_its_day() {
        let unused = UnusedCalls::default();
        let mut call = unused.next(5);
        assert_eq!(call.count(), One);
        call.counted();
        drop(call);
        unused.add(5);
        let calls = [unused.next(5), unused.next(5), unused.next(5)];
        assert_eq!(calls.each_ref().map(CallToCount::count), [Counted, Counted, One]);
        let [made, refused, _not_counted] = calls;
        made.leaves();
        drop(refused);
        assert_eq!(adds(&unused, 5), Counted);
        unused.next(5).leaves();
        assert_eq!(adds(&unused, 5), One);
    }

    #[test]
    fn a_call_that_was_not_counted_leaves_nothing() {
        let unused = UnusedCalls::default();
        assert_eq!([adds(&unused, 5), adds(&unused, 5)], [One; 2]);
    }

    #[test]
    fn unused_calls_are_of_one_day() {
        let unused = UnusedCalls::default();
        unused.add(5);
        assert_eq!(adds(&unused, 6), One);
        unused.add(6);
        assert_eq!((adds(&unused, 5), adds(&unused, 6)), (One, Counted));
        unused.forget_after(6);
        assert_eq!(adds(&unused, 6), Counted);
        unused.forget_after(5);
        assert_eq!(adds(&unused, 6), One);
    }
}
