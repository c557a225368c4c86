//! Looks a key up under the refresh plan: a report is served until it is worth a call, whatever its age.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Entry, Lookup, Patience, Refresh, RefreshWaiting, ReportCache, Served, ServedFrom,
    entry::EntrySource,
    next_check::{NextCheck, Scheduled},
    plan::RefreshPlan,
    statistics::count,
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
    check: &'a NextCheck,
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
    pub(super) fn hit(&self, entry: &Entry, age: Duration) -> CacheHit {
        let hit = self.now(entry, age);
        CacheHit { answers: count(entry.hits() + 1), ..hit }
    }

    /// The time at which the report has this age, with the responses so far.
    fn now(&self, entry: &Entry, age: Duration) -> CacheHit {
        let (answers, held) = (count(entry.hits()), age.saturating_sub(entry.came_at_age()));
        let upstream_age = entry.upstream_age();
        CacheHit { answers, age, upstream_age, held, now: self.generated_at + age }
    }

    /// Applies the refresh rule, and decides when it has to be applied again.
    /// `number` is that of the response; `hit` has the answers of the activity's other report too, where they count.
    fn decide(&self, entry: &Entry, number: u32, hit: CacheHit) -> RefreshDecision {
        let Some(mut polls) = self.check.polls() else { return self.plan.decide(&self.copy, hit) };
        polls.record(number, hit.now);
        let (policy, terms) = (self.plan.policy(), self.plan.terms());
        let decision = match (self.check.scheduled(), entry.refresh_failure()) {
            (Scheduled::No, None) => policy.decide_ahead(&self.copy, hit, &terms, &polls),
            (Scheduled::Yes, _) | (_, Some(_)) => policy.decide(&self.copy, hit, &terms),
        };
        if decision == RefreshDecision::NotWorthIt && polls.are_many() {
            let (until, others) = (NextCheck::pause_end(hit), hit.answers.saturating_sub(number));
            let needed = policy.answers_to_be_worth_a_call(&self.copy, until, &terms);
            self.check.pause(hit, needed.saturating_sub(others));
        } else {
            self.check.end_pause();
        }
        decision
    }

    fn is_worth_a_call(&self, hit: CacheHit) -> bool {
        self.plan.policy().is_worth_a_call(&self.copy, hit, &self.plan.terms())
    }

    /// Whether the client waits for the refresh that this hit causes, and for how long.
    fn patience(&self, hit: CacheHit) -> Option<Patience> {
        match (self.plan.decide(&self.copy, hit), self.plan.waiting) {
            (RefreshDecision::RefreshFirst, _) => Some(Patience::UntilEnd),
            (_, RefreshWaiting::Shortly) => Some(Patience::Short),
            (_, RefreshWaiting::Rarely) => None,
        }
    }
}

// === impl ReportCache ===

impl ReportCache {
    /// The plan, if it decides on this entry: not on a negative answer, and not with fixed lifetimes.
    pub(super) fn planned<'a>(&'a self, entry: &'a Entry) -> Option<PlannedEntry<'a>> {
        let (plan, copy) = (self.plan.as_ref()?, entry.copy()?);
        let (check, generated_at) = (&copy.check, copy.generated_at());
        Some(PlannedEntry { plan, copy: copy.cell.get(), check, generated_at })
    }

    /// Looks up an entry to which the refresh rule has to be applied. `None`: its age decides, since no plan does, or it is
    /// worth a call and too old to be served before that.
    #[inline(never)]
    pub(super) fn apply_rule(
        &self,
        key: &ReportKey,
        held: &Arc<Entry>,
        age: Duration,
        now: Instant,
    ) -> Option<Lookup> {
        let planned = self.planned(held)?;
        let too_old = held.unconfirmed_for(age) >= held.lifetime().revalidate;
        let own = planned.hit(held, age);
        let hit = self.with_other_answers(key, &planned, held, own);
        match planned.decide(held, own.answers, hit) {
            RefreshDecision::NotWorthIt => Some(Lookup::Answered(self.serve_hit(held, age))),
            RefreshDecision::RefreshIn(_) if too_old && !planned.is_worth_a_call(hit) => {
                Some(Lookup::Answered(self.serve_hit(held, age)))
            }
            RefreshDecision::RefreshIn(_) | RefreshDecision::Refresh | RefreshDecision::RefreshFirst
                if too_old =>
            {
                None
            }
            RefreshDecision::RefreshIn(wait) => {
                planned.check.set_scheduled(Scheduled::Yes);
                let (served, held) = (self.serve_hit(held, age), Arc::clone(held));
                Some(Lookup::Scheduled { served, held, at: now + wait })
            }
            RefreshDecision::Refresh | RefreshDecision::RefreshFirst => {
                Some(self.look_up_due(key.id, planned, held, hit, now))
            }
        }
    }

    fn serve_hit(&self, held: &Arc<Entry>, age: Duration) -> Served {
        self.count(held, age);
        Served { entry: Arc::clone(held), from: ServedFrom::Hit, age }
    }

    /// Whether a refresh scheduled for this time is to be made: the report is still the same and worth a call.
    pub(super) fn scheduled_is_due(&self, key: &ReportKey, held: &Arc<Entry>, now: Instant) -> bool {
        let Some(planned) = self.planned(held) else { return false };
        planned.check.set_scheduled(Scheduled::No);
        let hit = self.with_other_answers(key, &planned, held, planned.hit(held, held.age(now)));
        self.is_as_seen(key, Some(held))
            && !self.is_known_to_be_empty(key.id, held, now)
            && planned.is_worth_a_call(hit)
            && !self.waits_for_probe(&planned, key.id, hit)
            && self.due(planned.plan, held, now) == Refresh::Due
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
        CacheHit { answers: hit.answers.wrapping_add(others.unwrap_or(0)), ..hit }
    }

    /// A hit whose report is worth a call. The client waits for it only if the call is possible.
    fn look_up_due(
        &self,
        id: ActivityId,
        planned: PlannedEntry<'_>,
        held: &Arc<Entry>,
        hit: CacheHit,
        now: Instant,
    ) -> Lookup {
        let (plan, age, patience) = (planned.plan, hit.age, planned.patience(hit));
        if self.waits_for_probe(&planned, id, hit) {
            return Lookup::Answered(self.serve_hit(held, age));
        }
        let (held, refresh) = (Arc::clone(held), self.due(plan, held, now));
        // No client waits for a call that is likely to fail.
        let recent_failure = self.recent_failure(&held, now);
        if let (Refresh::Due, None, Some(patience)) = (refresh, recent_failure, patience) {
            return Lookup::Awaited { held, patience };
        }
        self.answer_stale(held, refresh, now)
    }

    /// When an entry that the plan decides on is refreshed: what a request at this time would find.
    pub(super) fn planned_refresh(
        &self,
        key: &ReportKey,
        planned: PlannedEntry<'_>,
        entry: &Entry,
        now: Instant,
    ) -> Refresh {
        let PlannedEntry { plan, copy, .. } = planned;
        let hit = self.with_other_answers(key, &planned, entry, planned.now(entry, entry.age(now)));
        match plan.decide(&copy, CacheHit { answers: hit.answers.saturating_add(1), ..hit }) {
            RefreshDecision::NotWorthIt => {
                Refresh::Planned(plan.policy().worth_a_call_in(&copy, hit, &plan.terms()))
            }
            RefreshDecision::Refresh | RefreshDecision::RefreshFirst | RefreshDecision::RefreshIn(_) => {
                self.due(plan, entry, now)
            }
        }
    }

    /// What the rule has to decide on for the next request; `None` where no plan decides.
    pub fn planned_view(&self, key: &ReportKey, entry: &Entry, now: Instant) -> Option<PlannedView> {
        let planned = self.planned(entry)?;
        let PlannedEntry { plan, copy, .. } = planned;
        let hit = self.with_other_answers(key, &planned, entry, planned.now(entry, entry.age(now)));
        let (CacheHit { answers, now, .. }, terms) = (hit, plan.terms());
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
