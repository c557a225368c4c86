//! What is stored of a fetch.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    ClickedSource, Entry, ReportCache, StoreOutcome,
    derivable::Derivable,
    deriving::FetchedPair,
    entry::{EntrySource, EntryTimes},
    flight::{Arrived, FetchOutcome, FlightResult, FlightResults, FlightScope, Landed, Retain},
    index::TooHeavy,
    looks::{FetchedClicks, KnownOfReport},
    statistics::Recorded,
};
use crate::{
    report::{
        Answer, Exchange, Fetched, InvalidReport, LinkReport, NotDerivable, Origin, Reason, ReportKey,
        UpstreamFailure,
    },
    telemetry::RefreshResult,
};

/// What a fetch has changed.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) results: FlightResults,
    pub(super) next: Option<Verification>,
}

/// What is to be done to verify derivation.
#[derive(Debug)]
pub(super) enum Verification {
    /// Both reports of an activity were fetched: compare them.
    Compare(FetchedPair),
    /// Fetch the report that was derived, which will be compared then.
    Fetch { clicked: ReportKey, derived: Arc<Entry> },
}

/// Where a new entry comes from.
struct NewEntry<'a> {
    times: EntryTimes,
    source: EntrySource,
    before: Option<&'a Arc<Entry>>,
    recorded: Recorded,
    /// The requests a second for the reports that this fetch renews; `None`: not known.
    polls: Option<f64>,
    exchange: &'a Exchange,
}

// === impl ReportCache ===

impl ReportCache {
    /// Decides what is stored of a fetch: an answer replaces the entry, a failure never does.
    pub(super) fn apply_fetch(
        &self,
        scope: FlightScope,
        reason: Reason,
        outcome: FetchOutcome,
        keep: Retain,
    ) -> Applied {
        let now = Instant::now();
        let outcome = outcome.and_then(|arrived| self.hold_stand_in(scope, arrived, keep, now));
        let exchange =
            outcome.as_ref().map_or_else(|error| &error.exchange, |arrived| &arrived.fetched.exchange);
        match (&self.plan, exchange.origin) {
            (Some(plan), Origin::Upstream) => plan.fetched(reason, outcome.as_ref().err()),
            (Some(plan), Origin::SharedStore) if outcome.is_ok() => plan.fetched_elsewhere(reason),
            (Some(_), Origin::SharedStore) | (None, _) => {}
        }
        let applied = match outcome {
            Ok(arrived) => self.apply_answer(scope, arrived, keep, now),
            Err(error) => {
                Applied { results: self.apply_failure((scope, reason), error, keep, now), next: None }
            }
        };
        self.tell_why_empty(scope.fetched().id);
        applied
    }

    /// An old report of the shared store is held from now on, like one that was held before the call failed.
    ///
    /// # Errors
    /// Why it failed.
    fn hold_stand_in(
        &self,
        scope: FlightScope,
        arrived: Arrived,
        keep: Retain,
        now: Instant,
    ) -> FetchOutcome {
        match (arrived.fetched.stands_in_for.clone(), keep) {
            (None, _) => Ok(arrived),
            (Some(error), Retain::Yes) => {
                self.apply_answer(scope, arrived, keep, now);
                Err(*error)
            }
            (Some(error), Retain::No) => Err(*error),
        }
    }

    fn apply_answer(
        &self,
        scope: FlightScope,
        Arrived { fetched, clicked }: Arrived,
        keep: Retain,
        now: Instant,
    ) -> Applied {
        let (key, id, generated_at) = (scope.fetched(), scope.fetched().id, fetched.generated_at());
        let Fetched { answer, exchange, stands_in_for, .. } = fetched;
        let asked_at = generated_at.checked_sub(exchange.elapsed).unwrap_or(generated_at);
        let times = EntryTimes { generated_at, stored_at: now };
        if let Some(clicked) = &clicked {
            self.store.statistics().set_derivable(id, Derivable::of(clicked));
        }
        let (source, other_answer) = self.answer_for_other(scope, &answer, clicked);
        let other = key.other_form();
        // The store's report may be from before the other one came here, which then stays.
        let younger_other = match (&other_answer, exchange.origin) {
            (Some(_), Origin::SharedStore) => {
                self.store.get(&other).filter(|held| held.generated_at() > generated_at)
            }
            (Some(_) | None, Origin::Upstream) | (None, Origin::SharedStore) => None,
        };
        let other_answer = other_answer.filter(|_| younger_other.is_none());
        if stands_in_for.is_none() {
            self.count_refresh(scope, &answer, other_answer.as_ref());
        }

        let before = self.store.get(&key);
        let before_other = other_answer.as_ref().and_then(|_| self.store.get(&other));
        let polls = self.polls_per_second([before.as_deref(), before_other.as_deref()]);
        let clicks = answer.report().map(LinkReport::clicks);
        let statistics = self.store.statistics();
        let hits_of = |entry: &Option<Arc<Entry>>| entry.as_ref().map(|entry| entry.hits());
        let mut recorded = statistics.record_fetch(key, clicks, generated_at, hits_of(&before));
        let recorded_other = other_answer.as_ref().map(|answer| {
            let recorded_other = statistics.record_derived(other, answer.report(), hits_of(&before_other));
            recorded.looked = recorded_other.looked.or(recorded.looked);
            recorded_other
        });
        if let (Some(clicks), Some(looked)) = (clicks, recorded.looked) {
            self.look(
                key,
                before.as_deref(),
                FetchedClicks { clicks, looked, hits: recorded.hits, asked_at },
            );
        }

        let arrival = NewEntry {
            times,
            source: EntrySource::Fetched,
            before: before.as_ref(),
            recorded,
            polls,
            exchange: &exchange,
        };
        let landed = self.land(key, self.new_entry(answer, arrival), &exchange, keep, now);
        let landed_other = other_answer.zip(recorded_other).map(|(answer, recorded)| {
            let before = before_other.as_ref();
            let source = EntrySource::Derived;
            let arrival = NewEntry { times, source, before, recorded, polls, exchange: &exchange };
            // Without a jitter of its own: a refresh of either renews both.
            let entry = self.new_entry(answer, arrival).due_with(&landed.entry);
            self.land(other, entry, &exchange, keep, now)
        });
        let next = match (scope, keep) {
            (FlightScope::One(_), Retain::Yes) => {
                self.fetched_pair(key, &landed.entry).map(Verification::Compare)
            }
            (FlightScope::BothForms(_), Retain::Yes) if source == ClickedSource::DerivedAndFetched => {
                let derived = landed_other.as_ref().map(|landed| Arc::clone(&landed.entry));
                derived.map(|derived| Verification::Fetch { clicked: other, derived })
            }
            (FlightScope::One(_) | FlightScope::BothForms(_), Retain::Yes | Retain::No) => None,
        };
        let stored = StoreOutcome::No;
        let stays = || younger_other.map(|entry| Landed { entry, exchange, stored });
        let results = match scope {
            FlightScope::One(_) => FlightResults::Same(FlightResult::Landed(landed)),
            FlightScope::BothForms(_) => FlightResults::ByForm {
                all: FlightResult::Landed(landed),
                clicked: landed_other.or_else(stays).map_or(FlightResult::Nothing, FlightResult::Landed),
            },
        };
        Applied { results, next }
    }

    /// What the answer for all links says of the other report of the activity.
    fn answer_for_other(
        &self,
        scope: FlightScope,
        answer: &Answer,
        clicked: Option<Result<LinkReport, NotDerivable>>,
    ) -> (ClickedSource, Option<Answer>) {
        match (scope, answer, clicked) {
            (FlightScope::One(_), _, _) => (ClickedSource::Fetched, None),
            // There is no such activity, in whatever form.
            (FlightScope::BothForms(_), Answer::Negative(_), _) => {
                (ClickedSource::Derived, Some(answer.clone()))
            }
            (FlightScope::BothForms(_), Answer::Report(_), Some(Ok(clicked))) => {
                match self.clicked_source() {
                    // It was switched off during the fetch.
                    ClickedSource::Fetched => (ClickedSource::Fetched, None),
                    source @ (ClickedSource::Derived | ClickedSource::DerivedAndFetched) => {
                        self.metrics.derivation.derived();
                        (source, Some(Answer::Report(clicked)))
                    }
                }
            }
            (FlightScope::BothForms(_), Answer::Report(_), Some(Err(_)) | None) => {
                (ClickedSource::Fetched, None)
            }
        }
    }

    /// Counts the refresh of the report that was asked for, if it was held.
    fn count_refresh(&self, scope: FlightScope, fetched: &Answer, derived: Option<&Answer>) {
        let asked = scope.asked();
        let answer = if asked == scope.fetched() { Some(fetched) } else { derived };
        if let (Some(answer), Some(before)) = (answer, self.store.get(&asked)) {
            self.metrics.refreshed(if before.answer() == answer {
                RefreshResult::Unchanged
            } else {
                RefreshResult::Changed
            });
        }
    }

    fn new_entry(
        &self,
        answer: Answer,
        NewEntry { times, source, before, recorded: Recorded { hits, looked }, polls, exchange }: NewEntry<
            '_,
        >,
    ) -> Entry {
        let clicks = answer.report().map(LinkReport::clicks);
        let entry = Entry::new(answer, times, before, hits, &self.lifetimes(), exchange).from(source);
        match (clicks, looked) {
            (Some(clicks), Some(looked)) => {
                let known = KnownOfReport { history: &looked.history, clicks, hits, polls };
                self.with_plan(entry, before.map(|before| &**before), known)
            }
            (_, _) => entry,
        }
    }

    fn land(&self, key: ReportKey, entry: Entry, exchange: &Exchange, keep: Retain, now: Instant) -> Landed {
        let entry = Arc::new(entry);
        let stored = match keep {
            Retain::Yes => self.store_entry(key, &entry, now),
            Retain::No => StoreOutcome::No,
        };
        Landed { entry, exchange: exchange.clone(), stored }
    }

    fn store_entry(&self, key: ReportKey, entry: &Arc<Entry>, now: Instant) -> StoreOutcome {
        match self.store.insert(key, Arc::clone(entry), now) {
            Ok(()) => {
                self.failures.forget(&key);
                StoreOutcome::Yes
            }
            // Its waiters are answered. As it cannot be stored, each later request would make a call.
            Err(TooHeavy { weight }) => {
                let limit = self.store.max_bytes();
                tracing::warn!(%key, weight, limit, "the report does not fit into cache.max_bytes and is not kept");
                let error = UpstreamFailure::Invalid(InvalidReport::TooLarge { limit }).into();
                let before = self.store.get(&key);
                self.count_failed_refresh(before.as_deref(), &error, now);
                self.note(key, before.as_deref(), error, now);
                StoreOutcome::No
            }
        }
    }
}
