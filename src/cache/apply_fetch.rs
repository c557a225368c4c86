//! What is stored of a fetch.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Entry, ReportCache, StoreOutcome,
    entry::EntryTimes,
    flight::{FetchOutcome, FlightResult, Landed, Retain},
    index::TooHeavy,
    looks::FetchedClicks,
    statistics::Recorded,
};
use crate::{
    report::{
        Call, FailureKind, FetchError, Fetched, InvalidReport, LinkReport, Origin, ReportKey, UpstreamFailure,
    },
    telemetry::RefreshResult,
};

// === impl ReportCache ===

impl ReportCache {
    /// Decides what is stored of a fetch: an answer replaces the entry, a failure never does.
    pub(super) fn apply_fetch(&self, call: Call, outcome: FetchOutcome, keep: Retain) -> FlightResult {
        let (Call { key, reason }, now) = (call, Instant::now());
        let exchange = outcome.as_ref().map_or_else(|error| &error.exchange, |fetched| &fetched.exchange);
        match (&self.plan, exchange.origin) {
            (Some(plan), Origin::Upstream) => plan.fetched(reason, outcome.as_ref().err()),
            (Some(_), Origin::SharedStore) | (None, _) => {}
        }
        let before = self.store.get(&key);
        match outcome {
            Ok(fetched) => {
                let generated_at = fetched.generated_at();
                let Fetched { answer, exchange, .. } = fetched;
                match &before {
                    Some(before) if before.answer() == &answer => {
                        self.metrics.refreshed(RefreshResult::Unchanged);
                    }
                    Some(_) => self.metrics.refreshed(RefreshResult::Changed),
                    None => {}
                }
                let asked_at = generated_at.checked_sub(exchange.elapsed).unwrap_or(generated_at);
                let clicks = answer.report().map(LinkReport::clicks);
                let hits = before.as_ref().map(|before| before.hits());
                let Recorded { hits, looked } =
                    self.store.statistics().record_fetch(key, clicks, generated_at, hits);
                let times = EntryTimes { generated_at, stored_at: now };
                let entry = Entry::new(answer, times, before.as_ref(), hits, &self.options.lifetimes);
                let entry = match (clicks, looked) {
                    (Some(clicks), Some(looked)) => {
                        let fetched = FetchedClicks { clicks, looked, hits, asked_at };
                        self.with_plan(entry, key, before.as_deref(), fetched)
                    }
                    (_, _) => entry,
                };
                let entry = Arc::new(entry);
                let stored = match keep {
                    Retain::Yes => self.store_entry(key, before.as_deref(), &entry, now),
                    Retain::No => StoreOutcome::No,
                };
                Ok(Landed { entry, exchange, stored })
            }
            Err(error) => {
                match keep {
                    Retain::Yes => self.note(key, before.as_deref(), error.clone(), now),
                    Retain::No => {}
                }
                Err(error)
            }
        }
    }

    fn store_entry(
        &self,
        key: ReportKey,
        before: Option<&Entry>,
        entry: &Arc<Entry>,
        now: Instant,
    ) -> StoreOutcome {
        match self.store.insert(key, Arc::clone(entry), now) {
            Ok(()) => {
                self.failures.forget(&key);
                StoreOutcome::Yes
            }
            // Its waiters are answered. As it cannot be stored, each later request would make a call.
            Err(TooHeavy { weight }) => {
                let limit = self.store.max_bytes();
                tracing::warn!(%key, weight, limit, "the report does not fit into cache.max_bytes and is not kept");
                self.note(
                    key,
                    before,
                    UpstreamFailure::Invalid(InvalidReport::TooLarge { limit }).into(),
                    now,
                );
                StoreOutcome::No
            }
        }
    }

    /// Stores a failure: with the entry, if that may still be served, else in [`ReportCache::failures`].
    fn note(&self, key: ReportKey, before: Option<&Entry>, error: FetchError, now: Instant) {
        let kind = error.cause.kind();
        let good = before.filter(|before| !before.is_dead(now));
        match (good, kind) {
            (Some(before), _) => {
                if kind != FailureKind::Rationed {
                    self.metrics.refreshed(RefreshResult::Error);
                }
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
