//! The refresh rule: whether a cached report is worth a call now.

use std::time::Duration;

use super::{ClickRate, CopyStats, PollTimes, Price, UnexpectedClicks, UtcTime};

/// How long before a predicted poll the refresh for it starts.
const LEAD: Duration = Duration::from_secs(1);

/// The operator's limits to the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// A report that is cached for a shorter time than this is not refreshed.
    pub min_refresh_interval: Duration,
    /// Up to this age of the cached report, beside the age that the upstream sent it with, a response never waits for the
    /// refresh.
    pub stale_while_revalidate: Duration,
}

/// A poll that is answered from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheHit {
    /// The responses served for this key so far, including this one.
    pub answers: u32,
    /// The age of the cached report.
    pub age: Duration,
    /// How old it was when the upstream sent it: then it comes from a cache, and another call would bring one as old.
    pub upstream_age: Duration,
    /// For how long it is cached here.
    pub held: Duration,
    /// The time of the poll.
    pub now: Duration,
}

/// The values common to all decisions, set in the last minutes: two or three atomics that each hit reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefreshTerms {
    /// The current price of a call.
    pub price: Price,
    /// The allowance for unexpected clicks.
    pub unexpected: UnexpectedClicks,
}

/// What to do with the cached report on a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshDecision {
    /// Serve it without a refresh.
    NotWorthIt,
    /// Serve it and refresh it in the background.
    Refresh,
    /// Serve it, and refresh it after this time, just before the next poll, if it is still worth a call then. If a poll
    /// comes earlier and the report is then worth a call, it is refreshed in the background at that poll.
    RefreshIn(Duration),
    /// Refresh it before responding: this response alone misses clicks worth a call, and the report is old.
    RefreshFirst,
}

// === impl RefreshPolicy ===

impl RefreshPolicy {
    /// The rule: whether the report is worth a call on this hit.
    #[inline]
    pub fn is_worth_a_call(&self, copy: &CopyStats, hit: CacheHit, terms: &RefreshTerms) -> bool {
        let CacheHit { answers, held, now, .. } = hit;
        held >= self.min_refresh_interval
            && copy.counted_answers(answers, now) * copy.lack(now, terms.unexpected).each()
                >= terms.price.clicks_missed()
    }

    /// Applies the rule on a hit, and says whether the response has to wait.
    #[inline]
    pub fn decide(&self, copy: &CopyStats, hit: CacheHit, terms: &RefreshTerms) -> RefreshDecision {
        if !self.is_worth_a_call(copy, hit, terms) {
            return RefreshDecision::NotWorthIt;
        }
        let lacks = copy.lack(hit.now, terms.unexpected).of_this_answer();
        let avoidable = hit.age.saturating_sub(hit.upstream_age);
        if avoidable > self.stale_while_revalidate && lacks >= terms.price.clicks_missed() {
            RefreshDecision::RefreshFirst
        } else {
            RefreshDecision::Refresh
        }
    }

    /// Like [`Self::decide`], but if the next poll is predicted, the report is refreshed just before the poll at
    /// which it will be worth a call.
    pub fn decide_ahead(
        &self,
        copy: &CopyStats,
        hit: CacheHit,
        terms: &RefreshTerms,
        polls: &PollTimes,
    ) -> RefreshDecision {
        if polls.are_many() {
            return self.decide(copy, hit, terms);
        }
        // Most hits end here: even after the longest wait the report would not be worth a call.
        let longest = hit.next_in(polls.longest_wait());
        if self.decide(copy, longest, terms) == RefreshDecision::NotWorthIt {
            return RefreshDecision::NotWorthIt;
        }
        let decision = self.decide(copy, hit, terms);
        if decision == RefreshDecision::RefreshFirst {
            return decision;
        }
        match polls.next() {
            Some(wait) if wait > 2 * LEAD => match self.decide(copy, hit.next_in(wait), terms) {
                RefreshDecision::NotWorthIt => decision,
                RefreshDecision::Refresh | RefreshDecision::RefreshFirst | RefreshDecision::RefreshIn(_) => {
                    RefreshDecision::RefreshIn(wait - LEAD)
                }
            },
            // The next poll comes too soon to gain anything.
            Some(_) | None => decision,
        }
    }

    /// With fewer responses than this the report is not worth a call up to `until`, if the terms stay as they are.
    pub fn answers_to_be_worth_a_call(&self, copy: &CopyStats, until: Duration, terms: &RefreshTerms) -> u32 {
        let needed = terms.price.clicks_missed() / copy.lack(until, terms.unexpected).each();
        let most = copy.most_counted_answers(until);
        // A response more is counted for the next one.
        if needed <= most { copy.answers_after_current(needed - 1.0) } else { u32::MAX }
    }

    /// The time between two refreshes of a report at this price, if its campaign gets clicks at this rate and it is
    /// polled so many times a second: the square-root law.
    pub fn interval(&self, polls_per_second: f64, rate: ClickRate, price: Price) -> Duration {
        let gain = polls_per_second * rate.per_second();
        let seconds = (2.0 * price.clicks_missed() / gain).sqrt();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).max(self.min_refresh_interval)
    }

    /// The time until the report will be worth a call if it is polled at the same rate as since it was last current.
    /// `None`: not within a day, or it was not polled since.
    pub fn worth_a_call_in(&self, copy: &CopyStats, hit: CacheHit, terms: &RefreshTerms) -> Option<Duration> {
        let CacheHit { answers, held, now, .. } = hit;
        let since = copy.seconds_since_current(now);
        let polls_per_second = f64::from(copy.answers_since_current(answers)) / since.max(1.0);
        if polls_per_second <= 0.0 {
            return None;
        }
        let worth = |seconds: f64| {
            let then = now + Duration::from_secs_f64(seconds);
            let given = copy.counted_answers(answers, then) + polls_per_second * seconds;
            given * copy.lack(then, terms.unexpected).each() >= terms.price.clicks_missed()
        };
        let (mut early, mut late) = (0.0, UtcTime::DAY.as_secs_f64());
        if !worth(late) {
            return None;
        }
        while late - early > 0.5 {
            let middle = f64::midpoint(early, late);
            if worth(middle) { late = middle } else { early = middle }
        }
        Some(Duration::from_secs_f64(late).max(self.min_refresh_interval.saturating_sub(held)))
    }
}

// === impl CacheHit ===

impl CacheHit {
    /// The next hit, `wait` later, with no other in between.
    #[must_use]
    pub fn next_in(self, wait: Duration) -> Self {
        Self {
            answers: self.answers.saturating_add(1),
            age: self.age + wait,
            held: self.held + wait,
            now: self.now + wait,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::ClickHistory;

    const POLICY: RefreshPolicy = RefreshPolicy {
        min_refresh_interval: Duration::from_secs(10),
        stale_while_revalidate: Duration::from_secs(600),
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn terms(price: f64) -> RefreshTerms {
        RefreshTerms {
            price: Price::from_u((2.0 * price).sqrt()),
            unexpected: UnexpectedClicks::shared_by(7.0, 1, 1),
        }
    }

    /// A report with a rate of about one click a second; the last look was at 1,000 s.
    fn copy() -> CopyStats {
        let mut history = ClickHistory::first_look(0, at(0));
        history.look(100_000, at(1_000));
        CopyStats::fetched(&history, 100_000, 50)
    }

    fn hit(copy: &CopyStats, answers: u32, now: u64) -> CacheHit {
        let age = at(now) - copy.looked_at();
        CacheHit { answers, age, upstream_age: Duration::ZERO, held: age, now: at(now) }
    }

    fn decide(copy: &CopyStats, answers: u32, now: u64, price: f64) -> RefreshDecision {
        POLICY.decide(copy, hit(copy, answers, now), &terms(price))
    }

    #[test]
    fn a_copy_is_refreshed_when_its_answers_times_their_lack_reach_the_price() {
        let copy = copy();
        let lack = copy.lack(at(1_020), terms(1.0).unexpected);
        let worth = 5.0 * lack.each();
        assert_eq!(decide(&copy, 54, 1_020, worth * 1.001), RefreshDecision::NotWorthIt);
        assert_eq!(decide(&copy, 54, 1_020, worth * 0.999), RefreshDecision::Refresh);
        assert_eq!(decide(&copy, 53, 1_020, worth * 0.999), RefreshDecision::NotWorthIt);
    }

    #[test]
    fn nothing_is_refreshed_before_the_minimum_interval() {
        assert_eq!(decide(&copy(), 90, 1_009, 1e-6), RefreshDecision::NotWorthIt);
        assert_eq!(decide(&copy(), 90, 1_010, 1e-6), RefreshDecision::Refresh);
    }

    #[test]
    fn no_call_is_made_too_soon_for_another_report_as_old_and_none_is_waited_for() {
        let (copy, price) = (copy(), terms(1e-6));
        let old = |upstream_age, held| CacheHit {
            upstream_age: at(upstream_age),
            held: at(held),
            ..hit(&copy, 90, 101_000)
        };
        assert_eq!(old(0, 0).age, at(100_000));
        assert_eq!(
            [(100_000, 9), (99_990, 10), (99_400, 600), (99_399, 601)]
                .map(|(upstream_age, held)| POLICY.decide(&copy, old(upstream_age, held), &price)),
            [
                RefreshDecision::NotWorthIt,
                RefreshDecision::Refresh,
                RefreshDecision::Refresh,
                RefreshDecision::RefreshFirst
            ]
        );
        assert_eq!(POLICY.worth_a_call_in(&copy, old(100_000, 3), &price), Some(at(7)));
        // Another replica has stored it long ago: a call brings a new one.
        assert_eq!(POLICY.decide(&copy, old(0, 10), &price), RefreshDecision::RefreshFirst);
    }

    #[test]
    fn an_answer_waits_only_if_it_alone_is_worth_the_call_and_the_copy_is_old() {
        let copy = copy();
        let lack = copy.lack(at(1_700), terms(1.0).unexpected).of_this_answer();
        assert_eq!(decide(&copy, 51, 1_700, lack * 0.999), RefreshDecision::RefreshFirst);
        assert_eq!(decide(&copy, 60, 1_700, lack * 1.001), RefreshDecision::Refresh);
        assert_eq!(decide(&copy, 60, 1_600, 1.0), RefreshDecision::Refresh, "the copy is not old");
    }

    #[test]
    fn a_refresh_comes_just_before_the_poll_that_will_find_it_worth_a_call() {
        let copy = copy();
        let mut polls = PollTimes::default();
        (52..).zip([1_000, 1_020, 1_040]).for_each(|(number, poll)| polls.record(number, at(poll)));
        let decide = |polls, price| POLICY.decide_ahead(&copy, hit(&copy, 54, 1_040), &terms(price), polls);
        let worth = |answers, now| {
            copy.counted_answers(answers, at(now)) * copy.lack(at(now), terms(1.0).unexpected).each()
        };
        assert_eq!(decide(&polls, worth(55, 1_060) * 0.999), RefreshDecision::RefreshIn(at(19)));
        assert_eq!(decide(&polls, worth(54, 1_040) * 0.999), RefreshDecision::RefreshIn(at(19)));
        assert_eq!(decide(&polls, worth(55, 1_060) * 1.001), RefreshDecision::NotWorthIt);
        let (mut quick, none) = (PollTimes::default(), PollTimes::default());
        (52..).zip([1_036, 1_038, 1_040]).for_each(|(number, poll)| quick.record(number, at(poll)));
        assert_eq!(quick.next(), Some(2 * LEAD));
        let no_poll = decide(&none, worth(54, 1_040) * 0.999);
        assert_eq!(no_poll, RefreshDecision::Refresh, "no poll is foreseen");
        let too_soon = decide(&quick, worth(54, 1_040) * 0.999);
        assert_eq!(too_soon, RefreshDecision::Refresh, "the next poll comes too soon");
        let just_fetched = CacheHit { held: at(1), ..hit(&copy, 54, 1_040) };
        let ahead = POLICY.decide_ahead(&copy, just_fetched, &terms(worth(55, 1_060) * 0.999), &polls);
        assert_eq!(ahead, RefreshDecision::RefreshIn(at(19)), "by then it is held for long enough");
    }

    #[test]
    fn until_the_next_hit_all_goes_on() {
        let hit = CacheHit { answers: 7, age: at(50), upstream_age: at(20), held: at(30), now: at(1_000) };
        let next = CacheHit { answers: 8, age: at(56), upstream_age: at(20), held: at(36), now: at(1_006) };
        assert_eq!(hit.next_in(at(6)), next);
    }

    #[test]
    fn with_fewer_answers_than_needed_nothing_is_worth_a_call_until_then() {
        let (copy, until) = (copy(), at(1_020));
        for price in [30.0, 100.0, 400.0, 900.0] {
            let needed = POLICY.answers_to_be_worth_a_call(&copy, until, &terms(price));
            let worth = |answers, now| POLICY.is_worth_a_call(&copy, hit(&copy, answers, now), &terms(price));
            assert!((1_010..=1_020).all(|now| !worth(needed - 1, now)), "{price}: {needed}");
            assert!(worth(needed, 1_020), "{price}: {needed}");
        }
        let never = POLICY.answers_to_be_worth_a_call(&copy, until, &terms(1e9));
        assert_eq!(never, u32::MAX, "more than ten responses a second do not count");
    }

    #[test]
    fn the_time_until_it_is_worth_a_call_is_when_the_rule_says_so_at_the_same_polls() {
        let copy = copy();
        let (now, terms) = (hit(&copy, 60, 1_100), terms(2_000.0));
        let left = POLICY.worth_a_call_in(&copy, now, &terms).expect("it is polled");
        let due = |left: Duration| {
            let answers = 60 + (left.as_secs_f64() * 0.1).round() as u32;
            let then = CacheHit { answers, ..now.next_in(left) };
            POLICY.decide(&copy, then, &terms) == RefreshDecision::Refresh
        };
        assert!(!due(left - at(5)) && due(left + at(5)), "{left:?}");
        assert_eq!(POLICY.worth_a_call_in(&copy, hit(&copy, 50, 1_100), &terms), None);
    }

    #[test]
    fn the_interval_between_refreshes_follows_the_square_root_law() {
        let interval = |polls, price| {
            POLICY.interval(polls, copy().rate, Price::from_u(price)).as_secs_f64()
                * copy().rate.per_second().sqrt()
        };
        assert!((interval(0.01, 9.0) - 90.0).abs() < 1e-6 && (interval(0.0025, 9.0) - 180.0).abs() < 1e-6);
        assert_eq!(POLICY.interval(10.0, copy().rate, Price::from_u(0.001)), at(10), "not below the minimum");
        assert_eq!(POLICY.interval(0.0, copy().rate, Price::from_u(9.0)), Duration::MAX, "it is not polled");
    }
}
