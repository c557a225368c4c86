//! What memory answers by itself, and when it wants a call.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Entry, How, Lookup, Memory, Refresh, Served, Standing, Trouble, trouble::FailureKind};
use crate::report::{Cause, FetchError, ReportKey, Scarcity};

/// A failure tells of the present for at least as long after its pause.
const RECENT: Duration = Duration::from_mins(1);

// === impl Memory ===

impl Memory {
    /// Looks a key up. Costs one lookup and no allocation: every hit goes through here.
    pub fn lookup(&self, key: &ReportKey, now: Instant) -> Lookup {
        let Some(held) = self.store.get(key) else { return self.look_up_unheld(key, now) };
        let age = held.age(now);
        match held.standing_at(age) {
            Standing::Fresh => {
                self.count(&held, age);
                Lookup::Answered(Served { entry: held, how: How::Hit, age })
            }
            Standing::Stale => self.look_up_stale(held, age, now),
            Standing::Kept => self.look_up_kept(held, now),
            // By its report, where that outlives the refusal before it.
            Standing::Spent if held.stand_in(now).is_some() => self.look_up_kept(held, now),
            Standing::Spent => {
                if let Some(trouble) = held.trouble() {
                    self.failures.take_over(*key, trouble);
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
        let how = match held.trouble() {
            // To be put off is no failure.
            Some(Trouble { error, .. }) if FailureKind::of(error) != FailureKind::Rationed => {
                How::Fallback(Box::new(error.clone().remembered()))
            }
            Some(_) | None => How::Stale,
        };
        self.count(&held, age);
        let served = Served { entry: Arc::clone(&held), how, age };
        match self.refresh(&held, now) {
            Refresh::Due => Lookup::Due { served, held },
            Refresh::Resting(_) | Refresh::PutOff(_) | Refresh::Stopped => Lookup::Answered(served),
        }
    }

    /// What is too old to be answered as it is: a report, or a refusal with or without a report behind it.
    fn look_up_kept(&self, held: Arc<Entry>, now: Instant) -> Lookup {
        let rationed = |retry_after| Cause::QuotaExhausted { retry_after }.into();
        let recent = held.trouble().filter(|trouble| self.is_recent(trouble, now));
        let error = match (recent, self.refresh(&held, now)) {
            (Some(trouble), Refresh::Resting(_)) => trouble.error.clone().remembered(),
            // The last refresh failed: nobody waits for the next one to fail, and it is made only now and then.
            (Some(trouble), Refresh::Due) if held.stand_in(now).is_some() => {
                let error = trouble.error.clone().remembered();
                return match self.fall_back(Some(&held), error) {
                    Ok(served) => Lookup::Due { served, held },
                    Err(error) => Lookup::Failed(error),
                };
            }
            (Some(trouble), Refresh::PutOff(_) | Refresh::Stopped) if held.stand_in(now).is_some() => {
                trouble.error.clone().remembered()
            }
            (_, Refresh::PutOff(retry_after)) => rationed(retry_after),
            (_, Refresh::Stopped) => rationed(Duration::MAX),
            (_, Refresh::Due | Refresh::Resting(_)) => return Lookup::Absent(Some(held)),
        };
        match self.fall_back(Some(&held), error) {
            Ok(served) => Lookup::Answered(served),
            Err(error) => Lookup::Failed(error),
        }
    }

    /// A failure tells of the present for as long as a stale copy would: a vendor that failed last night may be well.
    fn is_recent(&self, trouble: &Trouble, now: Instant) -> bool {
        now < trouble.retry_at + self.options.lifetimes.stale_while_revalidate.max(RECENT)
    }

    /// When a copy that is no longer fresh may be refreshed.
    pub fn refresh(&self, entry: &Entry, now: Instant) -> Refresh {
        if let Some(trouble) = entry.trouble().filter(|trouble| trouble.is_resting(now)) {
            return Refresh::Resting(trouble.retry_at - now);
        }
        match entry.lifetime().due(self.scarcity.ask(now)) {
            None => Refresh::Stopped,
            Some(due) => match due.saturating_sub(entry.age(now)) {
                Duration::ZERO => Refresh::Due,
                left => Refresh::PutOff(left),
            },
        }
    }

    /// Would a demand for a new answer be met by a fetch now? Bounds what impatient callers can spend.
    pub(super) fn may_fetch_anew(&self, entry: &Entry, now: Instant) -> bool {
        let interval = self.options.anew_interval;
        let tried = entry.trouble().is_some_and(|trouble| {
            trouble.is_resting(now) || now.saturating_duration_since(trouble.tried_at) < interval
        });
        entry.stored_for(now) >= interval && !tried && self.scarcity.ask(now) == Scarcity::Ample
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

    /// The copy that goes before `error`, if one is held that is still better than that.
    ///
    /// # Errors
    /// `error`, if none is.
    pub fn stand_in(&self, key: &ReportKey, error: FetchError) -> Result<Served, FetchError> {
        self.fall_back(self.store.get(key).as_ref(), error)
    }

    /// As [`Memory::stand_in`], with what was held before.
    pub(super) fn fall_back(
        &self,
        held: Option<&Arc<Entry>>,
        error: FetchError,
    ) -> Result<Served, FetchError> {
        let now = Instant::now();
        let Some(held) = held else { return Err(error) };
        let entry = match FailureKind::of(&error) {
            // The upstream was not even asked: its last word, if that was a refusal, is the best there is.
            FailureKind::Rationed => Some(held.stand_in(now).unwrap_or(held)),
            FailureKind::Denied | FailureKind::Failed => held.stand_in(now),
        };
        match entry.filter(|entry| entry.standing(now) != Standing::Spent) {
            Some(entry) => {
                let age = entry.age(now);
                self.count(held, age);
                Ok(Served { entry: Arc::clone(entry), how: How::Fallback(Box::new(error)), age })
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
