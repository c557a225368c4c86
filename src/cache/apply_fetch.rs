//! What is remembered of a fetch.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Entry, ReportCache, StoreOutcome,
    flight::{FetchOutcome, FlightResult, Landed, Retain},
    index::TooHeavy,
};
use crate::{
    report::{FailureKind, FetchError, Fetched, InvalidReport, ReportKey, UpstreamFailure},
    telemetry::RefreshResult,
};

// === impl ReportCache ===

impl ReportCache {
    /// Decides what is remembered of a fetch: an answer takes the place of what was held, a failure never does.
    pub(super) fn apply_fetch(&self, key: ReportKey, outcome: FetchOutcome, keep: Retain) -> FlightResult {
        let now = Instant::now();
        let before = self.store.get(&key);
        match outcome {
            Ok(Fetched { answer, age, exchange }) => {
                match &before {
                    Some(before) if before.answer() == &answer => {
                        self.metrics.refreshed(RefreshResult::Unchanged);
                    }
                    Some(_) => self.metrics.refreshed(RefreshResult::Changed),
                    None => {}
                }
                let policy = &self.options.lifetimes;
                let entry = Arc::new(Entry::new(answer, age, before.as_ref(), policy, now));
                let stored = match keep {
                    Retain::Yes => self.remember(key, before.as_deref(), &entry, now),
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

    fn remember(
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
            // Served to those who wait. As it can't be kept, each later request would be a call.
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

    /// Notes a failure, on what is held of the key if that is good for anything.
    fn note(&self, key: ReportKey, before: Option<&Entry>, error: FetchError, now: Instant) {
        let kind = error.cause.kind();
        let good = before.filter(|before| !before.is_dead(now));
        match (good, kind) {
            (Some(before), _) => {
                if kind != FailureKind::Rationed {
                    self.metrics.refreshed(RefreshResult::Error);
                }
                let with_failure = Arc::new(before.with_failure(error, now));
                // It weighs no more than what it takes the place of.
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
