//! Looks a key up under the refresh plan: a report is served until it is worth a call, whatever its age.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Entry, Lookup, Patience, Refresh, RefreshWaiting, ReportCache, Served, ServedFrom,
    copy_cell::PlannedCopy, entry::EntrySource, plan::RefreshPlan, statistics::count,
};
use crate::{
    refresh::{CacheHit, CopyStats, Lack, Price, RefreshDecision},
    report::{ActivityId, QuotaPressure, ReportKey},
};

/// An entry that the plan decides on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedEntry<'a> {
    pub(super) plan: &'a RefreshPlan,
    pub(super) copy: CopyStats,
    generated_at: Duration,
}

/// Why an entry is refreshed or not, for the admin port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedView {
    /// The responses served since the report was last known to be current; with derivation those of both reports.
    pub answers: u32,
    /// The clicks that each of them has missed, on average.
    pub lack: Lack,
    /// All of them together, the next response included, in clicks. At `price` the report is refreshed.
    pub owes: f64,
    /// The price of a call.
    pub price: Price,
    /// The campaign's rate of clicks.
    pub clicks_per_hour: f64,
    /// The time since the campaign's clicks were last looked at.
    pub looked_ago: Duration,
}

// === impl PlannedEntry ===

impl PlannedEntry<'_> {
    /// A request for this entry, whose report has this age.
    #[inline]
    pub(super) fn hit(&self, entry: &Entry, age: Duration) -> CacheHit {
        CacheHit { answers: count(entry.hits() + 1), age, now: self.generated_at + age }
    }

    /// The refresh rule, as each hit runs it: if not, the hit is surely not worth a call.
    #[inline]
    pub(super) fn may_be_worth_a_call(&self, hit: CacheHit) -> bool {
        self.plan.options.policy.is_worth_a_call(&self.copy, hit, &self.plan.hit_terms())
    }

    /// Whether the client waits for the refresh that this hit causes, and for how long.
    fn patience(&self, hit: CacheHit) -> Option<Patience> {
        match (self.plan.decide(&self.copy, hit), self.plan.options.waiting) {
            (RefreshDecision::RefreshFirst, _) => Some(Patience::UntilEnd),
            (_, RefreshWaiting::Shortly) => Some(Patience::Short),
            (_, RefreshWaiting::Rarely) => None,
        }
    }
}

// === impl ReportCache ===

impl ReportCache {
    /// The plan, if it decides on this entry: not on a negative answer, and not with fixed lifetimes.
    #[inline]
    pub(super) fn planned<'a>(&'a self, entry: &Entry) -> Option<PlannedEntry<'a>> {
        let (plan, PlannedCopy { generated_at, cell }) = (self.plan.as_ref()?, entry.copy()?);
        Some(PlannedEntry { plan, copy: cell.get(), generated_at: *generated_at })
    }

    /// The hit, if it is worth a call, with all answers that count for that.
    #[cold]
    pub(super) fn hit_worth_a_call(
        &self,
        key: &ReportKey,
        planned: &PlannedEntry<'_>,
        held: &Entry,
        hit: CacheHit,
    ) -> Option<CacheHit> {
        let hit = self.with_other_answers(key, planned, held, hit);
        match planned.plan.decide(&planned.copy, hit) {
            RefreshDecision::NotWorthIt => None,
            RefreshDecision::Refresh | RefreshDecision::RefreshFirst | RefreshDecision::RefreshAt(_) => {
                Some(hit)
            }
        }
    }

    /// The hit with the answers of the activity's other report too, where one call renews both. They have missed the same
    /// clicks.
    fn with_other_answers(
        &self,
        key: &ReportKey,
        PlannedEntry { plan, .. }: &PlannedEntry<'_>,
        held: &Entry,
        hit: CacheHit,
    ) -> CacheHit {
        let other = || {
            let other = self.store.get(&key.other_form())?;
            let is_derived = |entry: &Entry| entry.source() == EntrySource::Derived;
            let shared =
                is_derived(held) || is_derived(&other) || self.store.statistics().is_derivable(key.id);
            let copy = other.copy().filter(|_| shared)?.cell.get();
            Some(copy.answers_since_current(count(other.hits())))
        };
        let others = if plan.shares_answers() { other() } else { None };
        CacheHit { answers: hit.answers.saturating_add(others.unwrap_or(0)), ..hit }
    }

    /// A hit whose report is worth a call. The client waits for it only if the call is possible.
    #[cold]
    pub(super) fn look_up_due(
        &self,
        id: ActivityId,
        planned: PlannedEntry<'_>,
        held: Arc<Entry>,
        hit: CacheHit,
        now: Instant,
    ) -> Lookup {
        let (plan, age, patience) = (planned.plan, hit.age, planned.patience(hit));
        if self.waits_for_probe(&planned, id, hit) {
            self.count(&held, age);
            return Lookup::Answered(Served { entry: held, from: ServedFrom::Hit, age });
        }
        let refresh = self.due(plan, &held, now);
        // No client waits for a call that is likely to fail.
        if let (Refresh::Due, None, Some(patience)) = (refresh, held.refresh_failure(), patience) {
            return Lookup::Awaited { held, patience };
        }
        self.answer_stale(held, age, refresh)
    }

    /// When an entry that the plan decides on is refreshed: what a request at this time would find.
    pub(super) fn planned_refresh(
        &self,
        key: &ReportKey,
        planned: PlannedEntry<'_>,
        entry: &Entry,
        now: Instant,
    ) -> Refresh {
        let (PlannedEntry { plan, copy, generated_at }, age) = (planned, entry.age(now));
        let hit = CacheHit { answers: count(entry.hits()), age, now: generated_at + age };
        let hit = self.with_other_answers(key, &planned, entry, hit);
        match plan.decide(&copy, CacheHit { answers: hit.answers.saturating_add(1), ..hit }) {
            RefreshDecision::NotWorthIt => {
                Refresh::Planned(plan.options.policy.worth_a_call_in(&copy, hit, &plan.terms()))
            }
            RefreshDecision::Refresh | RefreshDecision::RefreshFirst | RefreshDecision::RefreshAt(_) => {
                self.due(plan, entry, now)
            }
        }
    }

    /// What the rule has to decide on for the next request; `None` where no plan decides.
    pub fn planned_view(&self, key: &ReportKey, entry: &Entry, now: Instant) -> Option<PlannedView> {
        let planned = self.planned(entry)?;
        let (PlannedEntry { plan, copy, generated_at }, age) = (planned, entry.age(now));
        let (now, terms) = (generated_at + age, plan.terms());
        let hit = CacheHit { answers: count(entry.hits()), age, now };
        let answers = self.with_other_answers(key, &planned, entry, hit).answers;
        let lack = copy.lack(now, terms.unexpected);
        Some(PlannedView {
            answers: copy.answers_since_current(answers),
            lack,
            owes: copy.counted_answers(answers, now) * lack.each(),
            price: terms.price,
            clicks_per_hour: copy.clicks_per_hour(),
            looked_ago: now.saturating_sub(copy.looked_at()),
        })
    }

    /// Whether a call that is worth it may be made.
    fn due(&self, plan: &RefreshPlan, entry: &Entry, now: Instant) -> Refresh {
        if let Some(failure) = entry.refresh_failure().filter(|failure| failure.is_resting(now)) {
            return Refresh::Backoff(failure.retry_at - now);
        }
        match self.quota_pressure.ask(now) {
            QuotaPressure::Normal | QuotaPressure::Delayed { .. } if plan.allows_refresh() => Refresh::Due,
            QuotaPressure::Normal | QuotaPressure::Delayed { .. } | QuotaPressure::Stopped => {
                Refresh::Stopped
            }
        }
    }
}
