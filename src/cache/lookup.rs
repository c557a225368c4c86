//! What memory answers by itself, and when it wants a call.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Entry, Freshness, Lookup, Refresh, RefreshFailure, ReportCache, Served, ServedFrom};
use crate::report::{FailureKind, FetchError, LocalDenial, QuotaPressure, ReportKey};

/// A failure tells of the present for at least as long after its pause.
const RECENT: Duration = Duration::from_mins(1);

// === impl ReportCache ===

impl ReportCache {
    /// Looks a key up. Costs one lookup and no allocation: every hit goes through here.
    pub fn lookup(&self, key: &ReportKey, now: Instant) -> Lookup {
        let Some(held) = self.store.get(key) else { return self.look_up_unheld(key, now) };
        let age = held.age(now);
        match held.freshness_at(age) {
            Freshness::Fresh => {
                self.count(&held, age);
                Lookup::Answered(Served { entry: held, from: ServedFrom::Hit, age })
            }
            Freshness::Stale => self.look_up_stale(held, age, now),
            Freshness::StaleIfError => self.look_up_kept(held, now),
            // By its report, where that outlives the refusal before it.
            Freshness::Expired if held.stale_if_error(now).is_some() => self.look_up_kept(held, now),
            Freshness::Expired => {
                if let Some(refresh_failure) = held.refresh_failure() {
                    self.failures.take_over(*key, refresh_failure);
                }
                self.store.expire(key, &held);
                self.look_up_unheld(key, now)
            }
        }
    }

    fn look_up_unheld(&self, key: &ReportKey, now: Instant) -> Lookup {
        let failed = |error: FetchError| Lookup::Failed(error.remembered());
        self.failures.resting(key, now).map_or(Lookup::Absent(None), failed)
    }

    fn look_up_stale(&self, held: Arc<Entry>, age: Duration, now: Instant) -> Lookup {
        let from = match held.refresh_failure() {
            // To be put off is no failure.
            Some(RefreshFailure { error, .. }) if error.cause.kind() != FailureKind::Rationed => {
                ServedFrom::StaleIfError(Box::new(error.clone().remembered()))
            }
            Some(_) | None => ServedFrom::Stale,
        };
        self.count(&held, age);
        let served = Served { entry: Arc::clone(&held), from, age };
        match self.refresh(&held, now) {
            Refresh::Due => Lookup::Due { served, held },
            Refresh::Backoff(_) | Refresh::Deferred(_) | Refresh::Stopped => Lookup::Answered(served),
        }
    }

    /// What is too old to be answered as it is: a report, or a refusal with or without a report behind it.
    fn look_up_kept(&self, held: Arc<Entry>, now: Instant) -> Lookup {
        let rationed = |retry_after| LocalDenial::DailyQuota { retry_after }.into();
        let recent = held.refresh_failure().filter(|refresh_failure| self.is_recent(refresh_failure, now));
        let error = match (recent, self.refresh(&held, now)) {
            (Some(refresh_failure), Refresh::Backoff(_)) => refresh_failure.error.clone().remembered(),
            // The last refresh failed: nobody waits for the next one to fail, and it is made only now and then.
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
            (_, Refresh::Due | Refresh::Backoff(_)) => return Lookup::Absent(Some(held)),
        };
        match self.stale_if_error_from(Some(&held), error) {
            Ok(served) => Lookup::Answered(served),
            Err(error) => Lookup::Failed(error),
        }
    }

    /// A failure tells of the present for as long as a stale copy would: a vendor that failed last night may be well.
    fn is_recent(&self, refresh_failure: &RefreshFailure, now: Instant) -> bool {
        now < refresh_failure.retry_at + self.options.lifetimes.stale_while_revalidate.max(RECENT)
    }

    /// When a copy that is no longer fresh may be refreshed.
    pub fn refresh(&self, entry: &Entry, now: Instant) -> Refresh {
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

    /// Would a demand for a new answer be met by a fetch now? Bounds what impatient callers can spend.
    pub(super) fn may_fetch_anew(&self, entry: &Entry, now: Instant) -> bool {
        let interval = self.options.client_no_cache_interval;
        let tried = entry.refresh_failure().is_some_and(|refresh_failure| {
            refresh_failure.is_resting(now)
                || now.saturating_duration_since(refresh_failure.tried_at) < interval
        });
        entry.stored_for(now) >= interval && !tried && self.quota_pressure.ask(now) == QuotaPressure::Normal
    }

    /// Is still `seen` what is held of a key, and no failure noted since? Else a fetch has landed.
    pub(super) fn is_as_seen(&self, key: &ReportKey, seen: Option<&Arc<Entry>>) -> bool {
        let held = self.store.get(key);
        match (&held, seen) {
            (Some(held), Some(seen)) => Arc::ptr_eq(held, seen),
            (None, None) => self.failures.resting(key, Instant::now()).is_none(),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The copy that is a better answer than `error`: what was `held` when the caller came or, if nothing was, what is held
    /// now.
    ///
    /// # Errors
    /// `error`, if there is none.
    pub fn stale_if_error(
        &self,
        key: &ReportKey,
        held: Option<&Arc<Entry>>,
        error: FetchError,
    ) -> Result<Served, FetchError> {
        match held {
            Some(_) => self.stale_if_error_from(held, error),
            None => self.stale_if_error_from(self.store.get(key).as_ref(), error),
        }
    }

    fn stale_if_error_from(
        &self,
        held: Option<&Arc<Entry>>,
        error: FetchError,
    ) -> Result<Served, FetchError> {
        let now = Instant::now();
        let Some(held) = held else { return Err(error) };
        let entry = match error.cause.kind() {
            // The upstream was not even asked: its last word, if that was a refusal, is the best there is.
            FailureKind::Rationed => Some(held.stale_if_error(now).unwrap_or(held)),
            FailureKind::Denied | FailureKind::Failed => held.stale_if_error(now),
        };
        match entry.filter(|entry| entry.freshness(now) != Freshness::Expired) {
            Some(entry) => {
                let age = entry.age(now);
                self.count(held, age);
                Ok(Served { entry: Arc::clone(entry), from: ServedFrom::StaleIfError(Box::new(error)), age })
            }
            None => Err(error),
        }
    }

    /// Counts an answer of this age under the key of which this is held.
    fn count(&self, held: &Entry, age: Duration) {
        held.count_hit();
        self.metrics.served(age);
    }
}
