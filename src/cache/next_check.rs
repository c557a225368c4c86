//! When a hit has to apply the refresh rule. For a report that is polled many times a second, most hits need not.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::refresh::{CacheHit, PollTimes};

/// A report that is polled many times a second is checked once in this time, if it is not worth a call any earlier.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the rule is applied next, and what it has to know of the polls.
#[derive(Debug, Default)]
pub(super) struct NextCheck {
    /// The report's age in whole seconds and the number of the response from which on the rule is applied; one word, so
    /// that a hit reads it with one load.
    from: AtomicU64,
    /// Written by the hits that apply the rule.
    polls: Mutex<PollTimes>,
    /// Is a refresh scheduled for the time just before the next poll?
    scheduled: AtomicBool,
}

/// Whether a refresh of the entry is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheduled {
    /// It is.
    Yes,
    /// It is not.
    No,
}

// === impl NextCheck ===

impl NextCheck {
    /// For the entry after this one: its polls go on. (A scheduled refresh does not.)
    pub(super) fn after(before: Option<&Self>) -> Self {
        let polls = before.and_then(Self::polls).map(|polls| *polls).unwrap_or_default();
        Self { polls: Mutex::new(polls), ..Self::default() }
    }

    /// Whether the rule has to be applied to this hit. Each hit runs this.
    #[inline]
    pub(super) fn is_due(&self, hits: u64, age: Duration) -> bool {
        let from = self.from.load(Ordering::Relaxed);
        hits >= from & u64::from(u32::MAX) || age.as_secs() >= from >> 32
    }

    /// The polls. `None`: another hit applies the rule at this moment.
    pub(super) fn polls(&self) -> Option<MutexGuard<'_, PollTimes>> {
        self.polls.try_lock().ok()
    }

    /// The rule need not be applied before the response of this number, or before [`NextCheck::pause_end`] of `hit`.
    pub(super) fn pause(&self, hit: CacheHit, answers: u32) {
        let age = u32::try_from((hit.age + INTERVAL).as_secs()).unwrap_or(u32::MAX);
        // A hit compares the responses before it.
        self.from.store(u64::from(age) << 32 | u64::from(answers.saturating_sub(1)), Ordering::Relaxed);
    }

    /// The latest time of a hit to which the rule is not applied after [`NextCheck::pause`].
    pub(super) fn pause_end(hit: CacheHit) -> Duration {
        hit.now + INTERVAL
    }

    /// The rule is applied to each hit.
    pub(super) fn end_pause(&self) {
        self.from.store(0, Ordering::Relaxed);
    }

    pub(super) fn scheduled(&self) -> Scheduled {
        if self.scheduled.load(Ordering::Relaxed) { Scheduled::Yes } else { Scheduled::No }
    }

    pub(super) fn set_scheduled(&self, scheduled: Scheduled) {
        self.scheduled.store(scheduled == Scheduled::Yes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIT: CacheHit = CacheHit {
        answers: 70,
        age: Duration::from_millis(20_700),
        upstream_age: Duration::ZERO,
        held: Duration::from_millis(20_700),
        now: Duration::from_secs(1_000),
    };

    #[test]
    fn a_pause_ends_with_its_response_or_after_a_second() {
        let check = NextCheck::default();
        assert!(check.is_due(70, HIT.age), "without a pause each hit is checked");
        check.pause(HIT, 90);
        let due = [(70, 20_900), (88, 20_999), (89, 20_900), (71, 21_000), (u64::MAX, 20_900)]
            .map(|(hits, age)| check.is_due(hits, Duration::from_millis(age)));
        assert_eq!(due, [false, false, true, true, true]);
        check.end_pause();
        assert!(check.is_due(70, HIT.age));
    }

    #[test]
    fn the_next_entry_goes_on_with_the_polls_and_with_nothing_else() {
        let check = NextCheck::default();
        for (number, second) in (71..).zip([1_000, 1_030, 1_060]) {
            check.polls().expect("nobody else").record(number, Duration::from_secs(second));
        }
        check.pause(HIT, 90);
        check.set_scheduled(Scheduled::Yes);
        let next = NextCheck::after(Some(&check));
        let polls = *next.polls().expect("nobody else");
        assert_eq!((polls.last(), polls.next()), (73, Some(Duration::from_secs(30))));
        assert_eq!((next.scheduled(), next.is_due(70, HIT.age)), (Scheduled::No, true));
    }

    #[test]
    fn a_pause_ends_a_second_after_its_hit_and_a_refresh_is_scheduled_until_it_is_not() {
        assert_eq!(NextCheck::pause_end(HIT), HIT.now + Duration::from_secs(1));
        let check = NextCheck::default();
        let scheduled = [Scheduled::Yes, Scheduled::No].map(|scheduled| {
            check.set_scheduled(scheduled);
            check.scheduled()
        });
        assert_eq!(scheduled, [Scheduled::Yes, Scheduled::No]);
    }
}
