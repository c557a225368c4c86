//! What is stored of a fetch that failed, and what those get who wait for it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Entry, ReportCache,
    derivable::Derivable,
    flight::{FlightResult, FlightResults, FlightScope, Retain},
};
use crate::{
    report::{Cause, FailureKind, FailureStage, FetchError, Reason, ReportKey, UpstreamFailure},
    telemetry::RefreshResult,
};

// === impl ReportCache ===

impl ReportCache {
    /// Notes a failure for each key of the flight: whichever is requested next, the same call would be made.
    pub(super) fn apply_failure(
        &self,
        (scope, reason): (FlightScope, Reason),
        error: FetchError,
        keep: Retain,
        now: Instant,
    ) -> FlightResults {
        let asked = self.store.get(&scope.asked());
        let note = |key| match keep {
            Retain::Yes => self.note(key, self.store.get(&key).as_deref(), error.clone(), now),
            Retain::No => {}
        };
        if keep == Retain::Yes {
            self.count_failed_refresh(asked.as_deref(), &error, now);
        }
        match (scope, &error.cause) {
            // The report of the clicked links is a smaller one: the upstream may have a valid one.
            (FlightScope::BothForms(_), Cause::Upstream(UpstreamFailure::Invalid(_))) => {
                let all = scope.fetched();
                self.store.statistics().set_derivable(all.id, Derivable::No);
                note(all);
                FlightResults::ByForm { all: FlightResult::Failed(error), clicked: FlightResult::Nothing }
            }
            (FlightScope::One(_) | FlightScope::BothForms(_), _) => {
                scope.keys().for_each(note);
                let result = |key| self.result_of_failure(key, reason, &error);
                match scope {
                    FlightScope::One(key) => FlightResults::Same(result(key)),
                    FlightScope::BothForms(_) => FlightResults::ByForm {
                        all: result(scope.fetched()),
                        clicked: result(scope.fetched().other_form()),
                    },
                }
            }
        }
    }

    /// What those get who wait for this key. Of a refresh that was denied for the sake of the quota, who holds nothing
    /// looks again: a miss may be made.
    fn result_of_failure(&self, key: ReportKey, reason: Reason, error: &FetchError) -> FlightResult {
        let denied = error.cause.kind() == FailureKind::Rationed && error.stage() == FailureStage::Refused;
        if denied && reason == Reason::Refresh && self.store.get(&key).is_none() {
            FlightResult::Nothing
        } else {
            FlightResult::Failed(error.clone())
        }
    }

    pub(super) fn count_failed_refresh(&self, before: Option<&Entry>, error: &FetchError, now: Instant) {
        let is_held = before.is_some_and(|before| !before.is_dead(now));
        if is_held && error.cause.kind() != FailureKind::Rationed {
            self.metrics.refreshed(RefreshResult::Error);
        }
    }

    /// Stores a failure: with the entry, if that may still be served, else in [`ReportCache::failures`].
    pub(super) fn note(&self, key: ReportKey, before: Option<&Entry>, error: FetchError, now: Instant) {
        let kind = error.cause.kind();
        let good = before.filter(|before| !before.is_dead(now));
        match (good, kind) {
            (Some(before), _) => {
                let with_failure = Arc::new(before.with_failure(error, now));
                // It weighs no more than the entry that it replaces.
                let _fits = self.store.insert(key, with_failure, now);
            }
            (None, FailureKind::Failed) => {
                if let Some(refresh_failure) = before.and_then(Entry::refresh_failure) {
                    self.failures.take_over(key, refresh_failure);
                }
                self.failures.note(key, error, now);
            }
            (None, FailureKind::Rationed | FailureKind::Denied) => {}
        }
    }
}
