//! What is remembered of a fetch.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Entry, Memory, Stored,
    flight::{Keep, Landed, Landing, Outcome},
    store::TooHeavy,
    trouble::FailureKind,
};
use crate::report::{Cause, FetchError, Fetched, InvalidReport, ReportKey};

// === impl Memory ===

impl Memory {
    /// Decides what is remembered of a fetch: an answer takes the place of what was held, a failure never does.
    pub(super) fn settle(&self, key: ReportKey, outcome: Outcome, keep: Keep) -> Landing {
        let now = Instant::now();
        let before = self.store.get(&key);
        match outcome {
            Ok(Fetched { answer, age, exchange }) => {
                match &before {
                    Some(before) if before.answer() == &answer => self.metrics.refreshed("unchanged"),
                    Some(_) => self.metrics.refreshed("changed"),
                    None => {}
                }
                let policy = &self.options.lifetimes;
                let entry = Arc::new(Entry::new(answer, age, before.as_ref(), policy, now));
                let stored = match keep {
                    Keep::Yes => self.remember(key, before.as_deref(), &entry, now),
                    Keep::No => Stored::No,
                };
                Ok(Landed { entry, exchange, stored })
            }
            Err(error) => {
                match keep {
                    Keep::Yes => self.note(key, before.as_deref(), error.clone(), now),
                    Keep::No => {}
                }
                Err(error)
            }
        }
    }

    fn remember(&self, key: ReportKey, before: Option<&Entry>, entry: &Arc<Entry>, now: Instant) -> Stored {
        match self.store.insert(key, Arc::clone(entry), now) {
            Ok(()) => {
                self.failures.forget(&key);
                Stored::Yes
            }
            // Served to those who wait. As it can't be kept, each later request would be a call.
            Err(TooHeavy { weight }) => {
                let limit = self.store.max_bytes();
                tracing::warn!(%key, weight, limit, "the report does not fit into cache.max_bytes and is not kept");
                self.note(key, before, Cause::Invalid(InvalidReport::TooLarge { limit }).into(), now);
                Stored::No
            }
        }
    }

    /// Notes a failure, on what is held of the key if that is good for anything.
    fn note(&self, key: ReportKey, before: Option<&Entry>, error: FetchError, now: Instant) {
        let kind = FailureKind::of(&error);
        let good = before.filter(|before| !before.is_dead(now));
        match (good, kind) {
            (Some(before), _) => {
                if kind != FailureKind::Rationed {
                    self.metrics.refreshed("error");
                }
                let troubled = Arc::new(before.troubled(error, now));
                // It weighs no more than what it takes the place of.
                let _fits = self.store.insert(key, troubled, now);
            }
            (None, FailureKind::Failed) => {
                if let Some(trouble) = before.and_then(Entry::trouble) {
                    self.failures.take_over(key, trouble);
                }
                self.failures.note(key, error, now);
            }
            (None, FailureKind::Rationed | FailureKind::Denied) => {}
        }
    }
}
