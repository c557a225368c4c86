//! What an entry may be used for at a given time.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Entry;
use crate::report::{Lifetime, LifetimeReason};

/// A report that the plan decides on is kept for so long, if there is room: it may not be worth a call for days.
const PLANNED_KEPT: Duration = Duration::from_hours(7 * 24);

/// What an entry may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is the answer.
    Fresh,
    /// It is the answer, and is refreshed in the background (RFC 5861 stale-while-revalidate).
    Stale,
    /// A report: it is the answer only where a call fails (RFC 5861 stale-if-error). A negative answer: it is not served,
    /// but if it comes again its lifetime is doubled.
    StaleIfError,
    /// For nothing.
    Expired,
}

// === impl Entry ===

impl Entry {
    /// Too old to be served, even instead of an error?
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.freshness(now) == Freshness::Expired
    }

    /// The report to answer with instead of an error, if there is one: this one, or the one behind this negative answer.
    /// A negative answer itself is only cached to save calls.
    pub(super) fn stale_if_error(self: &Arc<Self>, now: Instant) -> Option<&Arc<Self>> {
        self.report_or_behind().filter(|entry| !entry.is_expired(now))
    }

    /// May it be removed? Neither it nor the report behind it may be served, and it holds back no call.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        let resting = self.refresh_failure().is_some_and(|refresh_failure| refresh_failure.is_resting(now));
        let age = self.unconfirmed_for(self.age(now));
        let planned = self.is_planned() && age < PLANNED_KEPT;
        let expired = self.freshness_at(age) == Freshness::Expired;
        expired && self.behind(now).is_none() && !resting && !planned
    }

    /// Does the refresh plan decide on it? Then it may be served at any age, as long as it is not worth a call.
    fn is_planned(&self) -> bool {
        self.lifetime().reason == LifetimeReason::Planned
    }

    /// The earliest time from which on [`Entry::is_dead`] can hold.
    pub(super) fn dead_from(&self) -> Instant {
        let (generated_at, lifetime) = (self.generated_at(), self.lifetime());
        let kept = if self.is_planned() { PLANNED_KEPT } else { Duration::ZERO };
        // A lifetime beyond the clock's range is checked more often than it need be.
        let expired_from = generated_at
            .checked_add(lifetime.keep.max(lifetime.revalidate).max(kept))
            .unwrap_or(generated_at);
        let behind = self.report_behind().map(|report| report.dead_from());
        let retry_at = self.refresh_failure().map(|refresh_failure| refresh_failure.retry_at);
        behind.into_iter().chain(retry_at).fold(expired_from, Instant::max)
    }

    /// What it may be used for now.
    pub fn freshness(&self, now: Instant) -> Freshness {
        let age = self.age(now);
        match self.freshness_at(age) {
            within @ (Freshness::Fresh | Freshness::Stale) => within,
            beyond @ (Freshness::StaleIfError | Freshness::Expired) => {
                match self.freshness_at(self.unconfirmed_for(age)) {
                    Freshness::Fresh | Freshness::Stale => Freshness::Stale,
                    Freshness::StaleIfError | Freshness::Expired => beyond,
                }
            }
        }
    }

    /// For how long it may lack clicks, at this age. The refresh plan learns from other calls that a report is current; then
    /// it is as good as one fetched at that time, and only too old to be served when it would be.
    pub(super) fn unconfirmed_for(&self, age: Duration) -> Duration {
        match self.copy().filter(|_| self.is_planned()) {
            Some(copy) => age.min((copy.generated_at() + age).saturating_sub(copy.cell.get().current_at())),
            None => age,
        }
    }

    /// What it may be used for at an age.
    pub(super) fn freshness_at(&self, age: Duration) -> Freshness {
        let Lifetime { fresh, revalidate, keep, reason: _ } = self.lifetime();
        if age < fresh {
            Freshness::Fresh
        } else if age < revalidate {
            Freshness::Stale
        } else if age <= keep {
            Freshness::StaleIfError
        } else {
            Freshness::Expired
        }
    }

    /// The report behind a negative answer, as long as it may be served instead of an error.
    pub fn behind(&self, now: Instant) -> Option<&Self> {
        self.report_behind().map(|report| &**report).filter(|report| !report.is_expired(now))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::entry::EntryTimes, *};
    use crate::{
        refresh::{CampaignStats, CopyStats, ReportForm},
        report::{
            Answer, NegativeAnswer, NegativeStatus,
            testing::{policy, report},
        },
    };

    const HOUR: Duration = Duration::from_hours(1);

    fn entry(answer: Answer, now: Instant) -> Entry {
        Entry::new(
            answer,
            EntryTimes { generated_at: now, stored_at: now },
            None,
            0,
            &policy(),
            &crate::report::Exchange::default(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_goes_from_fresh_to_stale_to_stale_if_error_to_expired() {
        let start = Instant::now();
        let entry = entry(report("{}"), start);
        for (age, freshness) in [
            (0, Freshness::Fresh),
            (299, Freshness::Fresh),
            (300, Freshness::Stale),
            (899, Freshness::Stale),
            (900, Freshness::StaleIfError),
            (3_600, Freshness::StaleIfError),
            (3_601, Freshness::Expired),
        ] {
            assert_eq!(entry.freshness(start + Duration::from_secs(age)), freshness, "{age}");
        }
        let negative_answer = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
        let entry = super::tests::entry(negative_answer, start);
        for (age, freshness) in [
            (59, Freshness::Fresh),
            (60, Freshness::StaleIfError),
            (3_660, Freshness::StaleIfError),
            (3_661, Freshness::Expired),
        ] {
            assert_eq!(
                entry.freshness(start + Duration::from_secs(age)),
                freshness,
                "a negative answer of {age} s"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_from_which_an_entry_can_be_removed_is_never_too_late() {
        let start = Instant::now();
        let good = Arc::new(entry(report("{}"), start));
        let times = |at| EntryTimes { generated_at: at, stored_at: at };
        let negative = |at: Instant, before: &Arc<Entry>| {
            let answer = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
            Arc::new(Entry::new(
                answer,
                times(at),
                Some(before),
                0,
                &policy(),
                &crate::report::Exchange::default(),
            ))
        };
        let at = |seconds| start + Duration::from_secs(seconds);
        let behind = negative(at(100), &good);
        let failing = Arc::new(good.with_failure(crate::report::UpstreamFailure::Timeout.into(), at(3_599)));
        for (name, entry) in
            [("a report", &good), ("one behind a negative answer", &behind), ("backed off", &failing)]
        {
            let first_dead = (0..10_000).find(|second| entry.is_dead(at(*second))).unwrap();
            let from = (entry.dead_from() - start).as_secs();
            assert!((first_dead - 1..=first_dead).contains(&from), "{name}: {first_dead} and {from}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_answers_instead_of_an_error_for_as_long_as_it_is_kept() {
        let start = Instant::now();
        let entry = Arc::new(entry(report("{}"), start));
        for (age, serves) in [(HOUR, true), (HOUR + Duration::from_nanos(1), false)] {
            assert_eq!(entry.stale_if_error(start + age).is_some(), serves, "{age:?}");
        }
    }

    /// A report that the plan decides on. It is generated now, ten hours after the plan's clock began.
    fn planned(now: Instant) -> Entry {
        let generated_at = 10 * HOUR;
        let campaign = CampaignStats::first_look(ReportForm::Clicked, 7, generated_at);
        let copy = CopyStats::fetched(campaign.history(ReportForm::Clicked), 7, 0);
        entry(report("{}"), now).with_lifetime(policy().planned(Duration::from_mins(5))).with_copy(
            copy,
            generated_at,
            None,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_plan_decides_on_is_kept_for_a_week() {
        let start = Instant::now();
        let entry = planned(start);
        let week = Duration::from_hours(7 * 24);
        let (before, after) = (week - Duration::from_secs(1), week);
        assert_eq!([before, after].map(|age| entry.is_dead(start + age)), [false, true]);
        assert_eq!(entry.dead_from(), start + week);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_of_which_another_call_showed_that_it_is_current_is_as_good_as_one_of_that_time() {
        let start = Instant::now();
        let entry = planned(start);
        let copy = entry.copy().unwrap();
        let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 7, copy.generated_at());
        assert_eq!(entry.unconfirmed_for(2 * HOUR), 2 * HOUR);
        assert_eq!(entry.freshness(start + 2 * HOUR), Freshness::Expired);
        campaign.look(ReportForm::AllLinks, 7, copy.generated_at() + HOUR * 3 / 2);
        copy.cell.set(copy.cell.get().campaign_looked(campaign.history(ReportForm::Clicked), 0));
        assert_eq!(entry.unconfirmed_for(2 * HOUR), HOUR / 2);
        assert_eq!(entry.freshness(start + 2 * HOUR), Freshness::Stale);
        let after_a_week = Duration::from_hours(7 * 24 + 1);
        let shown = CampaignStats::first_look(ReportForm::Clicked, 7, copy.generated_at() + after_a_week);
        copy.cell.set(copy.cell.get().campaign_looked(shown.history(ReportForm::Clicked), 0));
        assert!(!entry.is_dead(start + after_a_week), "it is current");
        assert!(entry.is_dead(start + 2 * after_a_week));
        let fixed =
            super::tests::entry(report("{}"), start).with_copy(copy.cell.get(), copy.generated_at(), None);
        assert_eq!(fixed.unconfirmed_for(2 * HOUR), 2 * HOUR, "with fixed lifetimes only a call counts");
    }
}
