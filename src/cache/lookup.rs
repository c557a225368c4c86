//! Looks a key up: fresh, stale-while-revalidate, stale-if-error (RFC 5861), or a miss; decides when a refresh is due.
//!
//! Nothing here calls the upstream: `layer.rs` starts the fetches.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Entry, Freshness, Lookup, Refresh, RefreshFailure, ReportCache, Served, ServedFrom, plan::RefreshPlan,
};
use crate::report::{FailureKind, FetchError, LocalDenial, QuotaPressure, ReportKey};

/// A failed refresh counts as recent for at least this long after the end of its back-off.
const RECENT: Duration = Duration::from_mins(1);

// === impl ReportCache ===

impl ReportCache {
    /// Looks a key up. Every hit runs this: it makes one map lookup, and a fresh hit allocates nothing.
    pub fn lookup(&self, key: &ReportKey, now: Instant) -> Lookup {
        let Some(held) = self.store.get(key) else { return self.look_up_absent(key, now) };
        let age = held.age(now);
        if let (Some(_plan), Some(copy)) = (&self.plan, held.copy()) {
            if !copy.check.is_due(held.hits(), age) {
                self.count(&held, age);
                return Lookup::Answered(Served { entry: held, from: ServedFrom::Hit, age });
            }
            if let Some(lookup) = self.apply_rule(key, &held, age, now) {
                return lookup;
            }
        }
        match held.freshness_at(age) {
            Freshness::Fresh => {
                self.count(&held, age);
                Lookup::Answered(Served { entry: held, from: ServedFrom::Hit, age })
            }
            Freshness::Stale => self.look_up_stale(key, held, now),
            Freshness::StaleIfError => self.look_up_stale_if_error(key, held, now),
            // The negative answer has expired, but the older report kept with it may still be served.
            Freshness::Expired if held.stale_if_error(now).is_some() => {
                self.look_up_stale_if_error(key, held, now)
            }
            Freshness::Expired => {
                self.store.expire(key, &held);
                self.look_up_absent(key, now)
            }
        }
    }

    fn look_up_absent(&self, key: &ReportKey, now: Instant) -> Lookup {
        let failed = |error: FetchError| Lookup::Failed(error.remembered());
        self.failures.resting(key, now).map_or(Lookup::Absent(None), failed)
    }

    fn look_up_stale(&self, key: &ReportKey, held: Arc<Entry>, now: Instant) -> Lookup {
        let refresh = self.refresh(key, &held, now);
        self.answer_stale(held, refresh, now)
    }

    /// Serves a report whose refresh is due, and has it refreshed if `refresh` allows that now.
    pub(super) fn answer_stale(&self, held: Arc<Entry>, refresh: Refresh, now: Instant) -> Lookup {
        let served = self.serve_stale(Arc::clone(&held), now);
        match refresh {
            Refresh::Due => Lookup::Due { served, held },
            Refresh::Backoff(_)
            | Refresh::Deferred(_)
            | Refresh::Stopped
            | Refresh::Planned(_)
            | Refresh::AfterProbe
            | Refresh::OnceSent => Lookup::Answered(served),
        }
    }

    /// An entry too old to be served without a fetch: a report, or a negative answer with or without an older report.
    /// It is served only if a refresh failed recently or is deferred.
    fn look_up_stale_if_error(&self, key: &ReportKey, held: Arc<Entry>, now: Instant) -> Lookup {
        let rationed = |retry_after| LocalDenial::DailyQuota { retry_after }.into();
        let recent = self.recent_failure(&held, now);
        let error = match (recent, self.refresh(key, &held, now)) {
            (Some(refresh_failure), Refresh::Backoff(_)) => refresh_failure.error.clone().remembered(),
            // The last refresh failed: serve the stale report at once, and retry the refresh in the background, so that
            // no caller waits for another failure.
            (Some(refresh_failure), Refresh::Due) if held.stale_if_error(now).is_some() => {
                let error = refresh_failure.error.clone().remembered();
                return match self.stale_if_error_from(Some(&held), error) {
                    Ok(served) => Lookup::Due { served, held },
                    Err(error) => Lookup::Failed(error),
                };
            }
            (Some(refresh_failure), Refresh::Deferred(_) | Refresh::Stopped)
                if held.stale_if_error(now).is_some() =>
            {
                refresh_failure.error.clone().remembered()
            }
            (_, Refresh::Deferred(retry_after)) => rationed(retry_after),
            (_, Refresh::Stopped) => rationed(Duration::MAX),
            (
                _,
                Refresh::Due
                | Refresh::Backoff(_)
                | Refresh::Planned(_)
                | Refresh::AfterProbe
                | Refresh::OnceSent,
            ) => return Lookup::Absent(Some(held)),
        };
        match self.stale_if_error_from(Some(&held), error) {
            Ok(served) => Lookup::Answered(served),
            Err(error) => Lookup::Failed(error),
        }
    }

    /// The failure of the last refresh, if it is recent enough to be the response. An older one says nothing about the
    /// upstream now, so the caller waits for a fetch instead.
    pub(super) fn recent_failure<'a>(&self, held: &'a Entry, now: Instant) -> Option<&'a RefreshFailure> {
        let recent = self.lifetimes().stale_while_revalidate.max(RECENT);
        held.refresh_failure().filter(|refresh_failure| now < refresh_failure.retry_at + recent)
    }

    /// As [`ReportCache::refresh`], for the next request of this key: its report may wait for a change probe, or be known to
    /// be empty.
    pub fn refresh_of(&self, key: &ReportKey, entry: &Entry, now: Instant) -> Refresh {
        if self.is_known_to_be_empty(key.id, entry, now) {
            return Refresh::OnceSent;
        }
        match (self.refresh(key, entry, now), self.planned(entry)) {
            (Refresh::Due, Some(planned))
                if self.waits_for_probe(&planned, key.id, planned.hit(entry, entry.age(now))) =>
            {
                Refresh::AfterProbe
            }
            (refresh, _) => refresh,
        }
    }

    /// When this entry may be refreshed: depends on its age, its back-off and how scarce calls are.
    pub(super) fn refresh(&self, key: &ReportKey, entry: &Entry, now: Instant) -> Refresh {
        match self.planned(entry) {
            Some(planned) => self.planned_refresh(key, planned, entry, now),
            None => self.refresh_by_age(entry, now),
        }
    }

    fn refresh_by_age(&self, entry: &Entry, now: Instant) -> Refresh {
        if let Some(refresh_failure) =
            entry.refresh_failure().filter(|refresh_failure| refresh_failure.is_resting(now))
        {
            return Refresh::Backoff(refresh_failure.retry_at - now);
        }
        match entry.lifetime().due(self.quota_pressure.ask(now)) {
            None => Refresh::Stopped,
            Some(due) => match due.saturating_sub(entry.age(now)) {
                Duration::ZERO => Refresh::Due,
                left => Refresh::Deferred(left),
            },
        }
    }

    /// Does a request with `Cache-Control: no-cache` cause a fetch now? Limits how many calls such clients can use:
    /// at most one per `client_no_cache_interval` and key, and none while calls are scarce.
    pub(super) fn may_fetch_anew(&self, key: &ReportKey, entry: &Entry, now: Instant) -> bool {
        let interval = self.live.get().client_no_cache_interval;
        let has_just_failed = |failure: &RefreshFailure| {
            failure.is_resting(now) || now.saturating_duration_since(failure.tried_at) < interval
        };
        // That of an entry which can no longer be served is beside it.
        let tried = entry.refresh_failure().is_some_and(has_just_failed)
            || self.failures.get(key).as_ref().is_some_and(has_just_failed);
        let calls_left = self.quota_pressure.ask(now) == QuotaPressure::Normal
            && self.plan.as_ref().is_none_or(RefreshPlan::allows_refresh);
        entry.stored_for(now) >= interval && !tried && calls_left
    }

    /// Is the key's state still what the caller saw? If the entry changed, or an absent key is backed off, another
    /// fetch ended in between.
    pub(super) fn is_as_seen(&self, key: &ReportKey, seen: Option<&Arc<Entry>>) -> bool {
        let held = self.store.get(key);
        match (&held, seen) {
            (Some(held), Some(seen)) => Arc::ptr_eq(held, seen),
            (None, None) => self.failures.resting(key, Instant::now()).is_none(),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Stale-if-error (RFC 5861 §4): the entry to serve instead of `error`. `held` is the entry that the request's
    /// lookup found; if there was none, or another replica's newer one has come since, that which is held now.
    ///
    /// # Errors
    /// `error`, if no entry may be served.
    pub fn stale_if_error(
        &self,
        key: &ReportKey,
        held: Option<&Arc<Entry>>,
        error: FetchError,
    ) -> Result<Served, FetchError> {
        let now_held = self.store.get(key);
        let is_newer =
            |now_held: &&Arc<Entry>| held.is_none_or(|held| now_held.generated_at() > held.generated_at());
        self.stale_if_error_from(now_held.as_ref().filter(is_newer).or(held), error)
    }

    fn stale_if_error_from(
        &self,
        held: Option<&Arc<Entry>>,
        error: FetchError,
    ) -> Result<Served, FetchError> {
        let now = Instant::now();
        let Some(held) = held else { return Err(error) };
        let entry = match error.cause.kind() {
            // No call was made for lack of quota: without a report, even a negative answer is better than an error.
            FailureKind::Rationed => Some(held.stale_if_error(now).unwrap_or(held)),
            FailureKind::Denied | FailureKind::Failed => held.stale_if_error(now),
        };
        match entry.filter(|entry| entry.freshness(now) != Freshness::Expired) {
            Some(entry) => {
                let age = entry.age(now);
                self.count(held, age);
                Ok(Served { entry: Arc::clone(entry), from: from_error(error), age })
            }
            None => Err(error),
        }
    }

    /// The response with a report whose refresh is due.
    pub(super) fn serve_stale(&self, held: Arc<Entry>, now: Instant) -> Served {
        let (age, from) = (held.age(now), from_stale(self.recent_failure(&held, now)));
        self.count(&held, age);
        Served { from, entry: held, age }
    }

    /// Counts a response of this age from the cache.
    pub(super) fn count(&self, held: &Entry, age: Duration) {
        held.count_hit();
        self.metrics.served(age);
    }
}

/// How a report is served in place of this error.
fn from_error(error: FetchError) -> ServedFrom {
    match error.cause.is_daily_quota() && !error.went_forward() {
        true => ServedFrom::Rationed,
        false => ServedFrom::StaleIfError(Box::new(error)),
    }
}

/// How a report is served whose refresh is due; the last one has failed so.
fn from_stale(recent_failure: Option<&RefreshFailure>) -> ServedFrom {
    match recent_failure {
        // A refresh that was only deferred for the quota did not fail.
        Some(RefreshFailure { error, .. }) if error.cause.kind() != FailureKind::Rationed => {
            ServedFrom::StaleIfError(Box::new(error.clone().remembered()))
        }
        Some(_) | None => ServedFrom::Stale,
    }
}
