//! The two halves of the cache, what is remembered and what is being fetched, and every question about them that
//! needs no call.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Entry, How, Served, Standing, Trouble,
    entry::LONGEST_PAUSE,
    flight::{Flights, Keep, Landing, Outcome},
    store::Store,
    variant::Made,
};
use crate::{
    report::{ActivityId, Cause, FetchError, Fetched, LifetimePolicy, NoClicks, ReportKey, Scarcity},
    telemetry::CacheMetrics,
};

/// How the cache is to behave.
#[derive(Debug, Clone)]
pub struct MemoryOptions {
    /// How long answers live.
    pub lifetimes: LifetimePolicy,
    /// The weight of all entries together, at most, in bytes.
    pub max_bytes: u64,
    /// A caller waits this long for a fetch, at most; the fetch itself goes on.
    pub patience: Duration,
    /// A caller that demands a new answer gets what is held if that is younger.
    pub anew_interval: Duration,
}

/// Tells how scarce calls are now. Asked for, not known: this room has never seen a quota.
#[derive(Clone)]
pub struct ScarcityProbe(Arc<dyn Fn(Instant) -> Scarcity + Send + Sync>);

/// What is remembered and what is being fetched.
#[derive(Debug)]
pub struct Memory {
    pub(super) options: MemoryOptions,
    pub(super) flights: Arc<Flights>,
    store: Store,
    scarcity: ScarcityProbe,
    metrics: CacheMetrics,
}

/// What memory has to say to a question.
#[derive(Debug)]
pub enum Lookup {
    /// The answer.
    Answered(Served),
    /// The answer, which is due for a refresh behind.
    Due(Served),
    /// Nothing that may be answered as it is; an old copy if one is held that is better than an error.
    Absent(Option<Arc<Entry>>),
}

/// When a copy that is no longer fresh may be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Now, if somebody asks.
    Due,
    /// The last attempt failed: not before this time has passed.
    Resting(Duration),
    /// Calls are scarce: not before this time has passed.
    PutOff(Duration),
    /// Calls are so scarce that it is not known when.
    Stopped,
}

// === impl ScarcityProbe ===

impl ScarcityProbe {
    /// Wraps the question.
    pub fn new(ask: impl Fn(Instant) -> Scarcity + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for ScarcityProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScarcityProbe").field(&(self.0)(Instant::now())).finish()
    }
}

// === impl Memory ===

impl Memory {
    /// An empty memory.
    pub fn new(options: MemoryOptions, scarcity: ScarcityProbe, metrics: CacheMetrics) -> Self {
        let store = Store::new(options.max_bytes, metrics.clone());
        Self { options, flights: Arc::default(), store, scarcity, metrics }
    }

    /// Looks a key up. Costs one lookup and no allocation: every hit goes through here.
    pub fn lookup(&self, key: &ReportKey, now: Instant) -> Lookup {
        let Some(entry) = self.store.get(key) else { return Lookup::Absent(None) };
        let fallback = |error: FetchError| How::Fallback(Box::new(error.remembered()));
        let age = entry.age(now);
        let (how, refresh) = match (entry.standing_at(age), entry.trouble()) {
            (Standing::Fresh, _) => return Lookup::Answered(self.serve(key, entry, How::Hit, age)),
            // To be put off is no failure.
            (Standing::Stale, Some(Trouble { error, .. })) if !is_put_off(error) => {
                (fallback(error.clone()), self.refresh(&entry, now))
            }
            (Standing::Stale, _) => (How::Stale, self.refresh(&entry, now)),
            // The last refresh failed: nobody waits for the next one to fail, and it is made only now and then.
            (Standing::Kept, Some(trouble)) if self.is_recent(trouble, now) => {
                (fallback(trouble.error.clone()), self.refresh(&entry, now))
            }
            (Standing::Kept, _) => {
                let retry_after = match self.refresh(&entry, now) {
                    Refresh::Due | Refresh::Resting(_) => return Lookup::Absent(Some(entry)),
                    Refresh::PutOff(time) => time,
                    Refresh::Stopped => Duration::MAX,
                };
                (fallback(Cause::QuotaExhausted { retry_after }.into()), Refresh::Stopped)
            }
            (Standing::Spent, _) => return Lookup::Absent(None),
        };
        let served = self.serve(key, entry, how, age);
        match refresh {
            Refresh::Due => Lookup::Due(served),
            Refresh::Resting(_) | Refresh::PutOff(_) | Refresh::Stopped => Lookup::Answered(served),
        }
    }

    /// A failure tells of the present for as long as a stale copy would: a vendor that failed last night may be well.
    fn is_recent(&self, trouble: &Trouble, now: Instant) -> bool {
        now < trouble.retry_at + self.options.lifetimes.stale_while_revalidate.max(LONGEST_PAUSE)
    }

    /// When a copy that is no longer fresh may be refreshed.
    pub fn refresh(&self, entry: &Entry, now: Instant) -> Refresh {
        let resting = entry.trouble().map(|trouble| trouble.retry_at.saturating_duration_since(now));
        if let Some(resting) = resting.filter(|resting| !resting.is_zero()) {
            return Refresh::Resting(resting);
        }
        match entry.lifetime().due((self.scarcity.0)(now)) {
            None => Refresh::Stopped,
            Some(due) => match due.saturating_sub(entry.age(now)) {
                Duration::ZERO => Refresh::Due,
                left => Refresh::PutOff(left),
            },
        }
    }

    /// Would a demand for a new answer be met by a fetch now? Bounds what impatient callers can spend.
    pub(super) fn may_fetch_anew(&self, entry: &Entry, now: Instant) -> bool {
        let resting = entry.trouble().is_some_and(|trouble| now < trouble.retry_at);
        let ample = (self.scarcity.0)(now) == Scarcity::Ample;
        entry.age(now) >= self.options.anew_interval && !resting && ample
    }

    /// Answers from memory with an entry of this age, and counts it.
    fn serve(&self, key: &ReportKey, entry: Arc<Entry>, how: How, age: Duration) -> Served {
        self.store.used(key, entry.count_hit());
        self.metrics.served(age);
        Served { entry, how, age }
    }

    /// The copy that goes before `error`, if one is held that is still better than that.
    ///
    /// # Errors
    /// `error`, if none is.
    pub fn stand_in(&self, key: &ReportKey, error: FetchError) -> Result<Served, FetchError> {
        self.fall_back(key, self.store.get(key), error)
    }

    /// As [`Memory::stand_in`], with a copy that was held before.
    pub(super) fn fall_back(
        &self,
        key: &ReportKey,
        old: Option<Arc<Entry>>,
        error: FetchError,
    ) -> Result<Served, FetchError> {
        let now = Instant::now();
        match old.filter(|old| old.is_usable(now)) {
            Some(old) => {
                let age = old.age(now);
                Ok(self.serve(key, old, How::Fallback(Box::new(error)), age))
            }
            None => Err(error),
        }
    }

    /// Decides what is remembered of a fetch: an answer takes the place of what was held, a failure never does.
    pub(super) fn settle(&self, key: ReportKey, outcome: Outcome, keep: Keep) -> Landing {
        let now = Instant::now();
        let before = self.store.get(&key);
        match outcome {
            Ok(Fetched { answer, exchange }) => {
                match &before {
                    Some(before) if before.answer() == &answer => self.metrics.refreshed("unchanged"),
                    Some(_) => self.metrics.refreshed("changed"),
                    None => self.store.missed(&key),
                }
                let entry = Arc::new(Entry::new(answer, before.as_deref(), &self.options.lifetimes, now));
                match keep {
                    Keep::Yes => self.store.insert(key, Arc::clone(&entry)),
                    Keep::No => {}
                }
                Ok((entry, exchange))
            }
            Err(error) => {
                // A copy that nobody may be answered with is not worth a note.
                if let Some(before) = before.filter(|before| before.is_usable(now)) {
                    if !is_put_off(&error) {
                        self.metrics.refreshed("error");
                    }
                    self.store.insert(key, Arc::new(before.troubled(error.clone(), now)));
                }
                Err(error)
            }
        }
    }

    /// Makes the gzip variant of a held report, if there is none yet.
    pub async fn encode(&self, key: ReportKey, entry: &Arc<Entry>) {
        match entry.make_gzip().await {
            Made::Now => self.store.reweigh(key, entry),
            Made::Before | Made::Not => {}
        }
    }

    /// What is held under a key, whatever its age.
    pub fn peek(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.store.get(key)
    }

    /// Is the key being fetched?
    pub fn is_being_fetched(&self, key: &ReportKey) -> bool {
        self.flights.is_in_the_air(key)
    }

    /// Every key that is held, in order.
    pub fn keys(&self) -> Vec<ReportKey> {
        self.store.keys()
    }

    /// Forgets what is held of an activity, and what a fetch in the air would bring. Returns how many entries went.
    pub fn purge(&self, id: ActivityId) -> usize {
        let keys = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| ReportKey { id, no_clicks });
        self.flights.purge(|key| key.id == id, || self.forget(keys))
    }

    /// Forgets everything. Returns how many entries went.
    pub fn purge_all(&self) -> usize {
        self.flights.purge(|_| true, || self.forget(self.store.keys()))
    }

    /// Tells the gauges how full the memory is.
    pub fn observe(&self) {
        let (entries, bytes) = self.store.size();
        self.metrics.size(entries, bytes);
    }

    fn forget(&self, keys: impl IntoIterator<Item = ReportKey>) -> usize {
        keys.into_iter().filter(|key| self.store.remove(key).is_some()).count()
    }
}

/// Did our own quota say no, rather than the upstream fail?
fn is_put_off(error: &FetchError) -> bool {
    match &error.cause {
        Cause::QuotaExhausted { .. } => true,
        // For want of a turn in the second; with a status it is the upstream's own word.
        Cause::Throttled { .. } => error.exchange.status.is_none(),
        Cause::Unauthorized
        | Cause::Forbidden
        | Cause::Status { .. }
        | Cause::Unreachable(_)
        | Cause::Invalid(_)
        | Cause::Timeout
        | Cause::TooMany { .. }
        | Cause::CircuitOpen { .. }
        | Cause::TokenUnavailable
        | Cause::Overloaded
        | Cause::Internal => false,
    }
}
