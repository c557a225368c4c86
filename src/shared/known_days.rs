//! The day's calls as this replica knows them: what the store has counted, and what was called without it.

use super::SpentDay;

/// What this replica knows of the day, and of the day before while that is not over for sure.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownDays {
    today: KnownDay,
    /// The day before `today`, until the store counts `today` too: the clock that showed it may be wrong.
    before: Option<KnownDay>,
    /// What was assumed at start, of calls that nobody has counted; 0 once the store has told what it counts on that day.
    assumed: SpentDay,
}

/// What this replica knows of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KnownDay {
    /// The highest count that it was told.
    pub(super) told: SpentDay,
    /// The calls that it has made without the store.
    pub(super) offline: u64,
}

// === impl KnownDays ===

impl KnownDays {
    pub(super) const fn today(&self) -> KnownDay {
        self.today
    }

    /// What a store that has lost the count is told.
    pub(super) fn told_or_assumed(&self) -> SpentDay {
        let SpentDay { day, spent } = self.today.told;
        let assumed = if self.assumed.day == day { self.assumed.spent } else { 0 };
        SpentDay { day, spent: spent.max(assumed) }
    }

    /// What is known of this day. A day that is over by what the store has told is taken for the present one: the clock
    /// that shows it is behind.
    pub(super) fn on(&self, day: u64) -> KnownDay {
        if day <= self.today.told.day { self.today } else { KnownDay::default() }
    }

    pub(super) fn assume(&mut self, assumed: SpentDay) {
        self.count(SpentDay { spent: 0, ..assumed });
        self.assumed = assumed;
    }

    /// A call was made without the store.
    pub(super) fn count_offline(&mut self, day: u64) {
        self.count(SpentDay { day, spent: 0 });
        self.today.offline += 1;
    }

    /// So many calls are counted.
    pub(super) fn count(&mut self, SpentDay { day, spent }: SpentDay) {
        let today = &mut self.today;
        if day == today.told.day {
            today.told.spent = today.told.spent.max(spent);
        } else if day > today.told.day {
            let over = std::mem::replace(today, KnownDay { told: SpentDay { day, spent }, offline: 0 });
            match &mut self.before {
                // Of days that the store has not counted, what matters are the calls.
                Some(before) => before.offline += over.offline,
                None => self.before = Some(over),
            }
        }
    }

    /// The store counts this day. `heartbeat` is the day that it was told of before, if it was.
    pub(super) fn learn(&mut self, fleet: SpentDay, heartbeat: Option<u64>) {
        let today = self.today.told.day;
        if fleet.day < today && heartbeat == Some(today) {
            self.go_back_to(fleet.day);
        }
        self.count(fleet);
        if fleet.day == self.today.told.day {
            self.before = None;
        }
        // From now on it is known.
        if fleet.day == self.assumed.day {
            self.assumed = SpentDay::default();
        }
    }

    /// The store does not begin the day that this replica's clock shows: the calls of that day were made on this one.
    fn go_back_to(&mut self, day: u64) {
        let wrong = self.today;
        self.today = self.before.take().filter(|before| before.told.day == day).unwrap_or_default();
        self.today.told.day = day;
        self.today.offline += wrong.offline;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn spent(day: u64, spent: u64) -> SpentDay {
        SpentDay { day, spent }
    }

    #[test]
    fn a_clock_that_is_behind_gives_no_second_share() {
        let mut days = KnownDays::default();
        days.learn(spent(5, 100), None);
        days.count_offline(4);
        assert_eq!(days.on(4), KnownDay { told: spent(5, 100), offline: 1 });
        assert_eq!(days.on(5).offline, 1, "and the store is told of it");
    }

    #[test]
    fn what_was_known_before_a_clock_went_ahead_is_known_after_it() {
        let mut days = KnownDays::default();
        days.learn(spent(5, 100), None);
        days.count_offline(5);
        days.count_offline(7);
        days.count_offline(9);
        assert_eq!(days.today(), KnownDay { told: spent(9, 0), offline: 1 });
        days.learn(spent(5, 90), None);
        assert_eq!(days.today().told.day, 9, "the store was not told of it yet");
        days.learn(spent(5, 90), Some(9));
        assert_eq!(days.today(), KnownDay { told: spent(5, 100), offline: 3 });
    }

    #[test]
    fn a_day_that_the_store_counts_too_has_begun() {
        let mut days = KnownDays::default();
        days.learn(spent(5, 100), None);
        days.count_offline(5);
        days.count_offline(6);
        days.learn(spent(6, 1), Some(6));
        days.learn(spent(5, 100), None);
        assert_eq!(days.today(), KnownDay { told: spent(6, 1), offline: 1 });
    }

    #[test]
    fn a_store_that_counts_less_than_it_told_takes_nothing_back() {
        let mut days = KnownDays::default();
        days.learn(spent(5, 100), None);
        days.count_offline(5);
        days.learn(spent(5, 90), Some(5));
        assert_eq!(days.today(), KnownDay { told: spent(5, 100), offline: 1 });
    }

    #[test]
    fn what_is_assumed_is_told_only_where_nothing_is_known() {
        let mut days = KnownDays::default();
        days.assume(spent(5, 7_000));
        assert_eq!((days.today().told, days.told_or_assumed()), (spent(5, 0), spent(5, 7_000)));
        days.count(spent(6, 1));
        assert_eq!(days.told_or_assumed(), spent(6, 1));
    }

    #[test]
    fn what_the_store_has_told_takes_the_place_of_what_was_assumed_of_that_day() {
        let mut days = KnownDays::default();
        days.assume(spent(5, 7_000));
        days.learn(spent(4, 9_000), None);
        assert_eq!(days.told_or_assumed(), spent(5, 7_000), "another day");
        days.learn(spent(5, 500), None);
        days.count(spent(5, 520));
        assert_eq!(days.told_or_assumed(), spent(5, 520));
    }
}
