//! The state of the cache: the entries and the fetches in flight. Everything here is answered without a call.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};

use super::{
    ActivityStatistics, Entry, Patience, PlanClock, RefreshFailure, RefreshPlanOptions, Served,
    StatusChecking,
    derivation_control::DerivationControl,
    failures::Failures,
    flight::{FlightAudience, FlightScope, Flights, Joined, StartedFlight},
    gzip::Encoded,
    index::EntryIndex,
    known_statuses::KnownStatuses,
    live_options::{KeptOptions, LiveOptions, LiveValues},
    plan::RefreshPlan,
};
use crate::{
    backoff::Jitter,
    refresh::{ClickHistory, ShadowMode, UtcTime},
    report::{
        ActivityId, Answer, FetchError, Fetched, LifetimePolicy, LifetimeReason, NoClicks, Observed,
        QuotaPressureFn, Reason, ReportKey,
    },
    telemetry::CacheMetrics,
};

/// How the cache is to behave.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// How long answers live.
    pub lifetimes: LifetimePolicy,
    /// The weight of all entries together, at most, in bytes.
    pub max_bytes: u64,
    /// A caller that demands a new answer gets what is held if that is younger.
    pub client_no_cache_interval: Duration,
    /// When a report is refreshed.
    pub refresh: RefreshSchedule,
    /// `cache.derive_clicked`
    pub derivation: ShadowMode,
    /// `status.enabled`
    pub statuses: StatusChecking,
    /// The clock of the refresh plan.
    pub clock: PlanClock,
}

/// When a report is refreshed: the setting `cache.refresh`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RefreshSchedule {
    /// When it is older than its fixed lifetime.
    Fixed,
    /// When that is worth one of the day's calls.
    Planned(RefreshPlanOptions),
}

/// Entries, failures, statistics and flights.
#[derive(Debug)]
pub struct ReportCache {
    pub(super) options: KeptOptions,
    pub(super) live: LiveOptions,
    pub(super) flights: Arc<Flights>,
    pub(super) store: EntryIndex,
    pub(super) failures: Arc<Failures>,
    /// `None`: reports have fixed lifetimes.
    pub(super) plan: Option<RefreshPlan>,
    /// `None`: no report is derived. Locked after the flights and before the plan's `control`.
    pub(super) derivation: Option<Mutex<DerivationControl>>,
    /// `None`: the vendor is not asked for the status of activities.
    pub(super) statuses: Option<KnownStatuses>,
    /// Counts the purges.
    pub(super) purges: watch::Sender<u64>,
    pub(super) quota_pressure: QuotaPressureFn,
    pub(super) metrics: CacheMetrics,
}

/// The result of looking a key up.
#[derive(Debug)]
pub enum Lookup {
    /// Served from memory.
    Answered(Served),
    /// Served from memory, and a refresh in the background is due.
    Due {
        /// What the caller gets.
        served: Served,
        /// The entry to refresh.
        held: Arc<Entry>,
    },
    /// Served from memory; a refresh will be due just before the next request that is expected.
    Scheduled {
        /// What the caller gets.
        served: Served,
        /// The entry to refresh.
        held: Arc<Entry>,
        /// The time of the refresh.
        at: Instant,
    },
    /// A refresh is due, and the caller waits for it.
    Awaited {
        /// The entry to refresh, served if the call fails or takes too long.
        held: Arc<Entry>,
        /// For how long the caller waits.
        patience: Patience,
    },
    /// It takes a call. The entry, if there is one, may be served if the call fails.
    Absent(Option<Arc<Entry>>),
    /// The last call failed with this error, there is no copy to serve, and it is too early for another call.
    Failed(FetchError),
}

/// When a copy that is no longer fresh may be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// With the next request.
    Due,
    /// It is worth a call, but the next change probe first tells whether the report has changed.
    AfterProbe,
    /// It is the empty report of a draft: not before that is sent.
    OnceSent,
    /// When enough responses may have missed enough clicks: at the current rate of requests after this time. `None`: not
    /// within a day.
    Planned(Option<Duration>),
    /// The last attempt failed: after this time.
    Backoff(Duration),
    /// Calls are scarce: after this time.
    Deferred(Duration),
    /// Calls are so scarce that none is made for refreshes.
    Stopped,
}

// === impl ReportCache ===

impl ReportCache {
    /// An empty cache.
    pub fn new(options: CacheOptions, quota_pressure: QuotaPressureFn, metrics: CacheMetrics) -> Self {
        let CacheOptions { clock, lifetimes, client_no_cache_interval, .. } = options;
        metrics.max_bytes(options.max_bytes);
        let failures = Arc::new(Failures::new());
        let store = EntryIndex::new(options.max_bytes, clock, Arc::clone(&failures), metrics.clone());
        let plan = match options.refresh {
            RefreshSchedule::Fixed => None,
            RefreshSchedule::Planned(planned) => {
                let now = clock.at(Instant::now());
                Some(RefreshPlan::new(planned, now, UtcTime::since_epoch(now)))
            }
        };
        let derivation = DerivationControl::new(options.derivation, &metrics).map(Mutex::new);
        Self {
            live: LiveOptions::new(LiveValues { lifetimes, client_no_cache_interval }),
            options: KeptOptions { clock, derivation: options.derivation },
            flights: Arc::default(),
            store,
            failures,
            plan,
            derivation,
            statuses: KnownStatuses::new(options.statuses),
            purges: watch::Sender::default(),
            quota_pressure,
            metrics,
        }
    }

    /// Stores an answer that another replica has fetched, as if a refresh here had brought it. Does nothing while the key
    /// is in flight.
    pub(super) fn install(self: &Arc<Self>, key: ReportKey, fetched: Fetched) -> Joined {
        let scope = match key.no_clicks {
            NoClicks::Listed => self.flight_scope(key),
            NoClicks::Omitted => FlightScope::One(key),
        };
        let memory = Arc::clone(self);
        let start = |scope| {
            let deriving = Arc::clone(&memory);
            let arrived = async move { Ok(deriving.derive(key, fetched).await) };
            // What another replica has fetched verifies nothing here.
            let apply =
                move |outcome, keep| memory.apply_fetch(scope, Reason::Refresh, outcome, keep).results;
            StartedFlight { fetch: arrived, apply, trace: None }
        };
        self.flights.join_or_start(scope, FlightAudience::Background, || true, start)
    }

    /// Does it hold an answer that is not older than this? It may have been fetched without the shared store.
    pub(super) fn holds_younger(&self, key: &ReportKey, age: Duration) -> bool {
        self.peek(key).is_some_and(|held| held.age(Instant::now()) <= age)
    }

    /// May an answer of another replica, of this age, be served without a call? Not if this one holds a younger one.
    pub(super) fn may_serve(&self, key: &ReportKey, answer: &Answer, age: Duration) -> bool {
        if self.holds_younger(key, age) {
            return false;
        }
        let reason = match (LifetimeReason::of(answer), &self.plan) {
            (LifetimeReason::Links, Some(_)) => LifetimeReason::Planned,
            (reason, _) => reason,
        };
        let known = Observed { reason, repeats: 0, age: Duration::ZERO, jitter: Jitter(0.5) };
        let lifetime = self.lifetimes().lifetime(known);
        age < match reason {
            // It is held until it is worth a call.
            LifetimeReason::Planned => lifetime.keep.max(lifetime.revalidate),
            LifetimeReason::Links
            | LifetimeReason::Empty
            | LifetimeReason::Refused
            | LifetimeReason::NotTrusted => lifetime.revalidate,
        }
    }

    /// Makes the gzip variant of a stored report, if there is none yet; goes on if the caller disconnects.
    pub async fn encode(self: &Arc<Self>, key: ReportKey, entry: &Arc<Entry>) {
        let (memory, entry) = (Arc::clone(self), Arc::clone(entry));
        let encoding = tokio::spawn(async move {
            match entry.make_gzip().await {
                Encoded::Now => memory.store.reweigh(&key),
                Encoded::Before | Encoded::Not => {}
            }
        });
        // Ends early only with the runtime.
        let _ended = encoding.await;
    }

    /// The entry of a key, whatever its age. Counts no hit.
    pub fn peek(&self, key: &ReportKey) -> Option<Arc<Entry>> {
        self.store.get(key)
    }

    /// The last failure of a key that has no entry.
    pub fn failure(&self, key: &ReportKey) -> Option<RefreshFailure> {
        self.failures.get(key)
    }

    /// What the fetches of an activity have shown, also after its entries were evicted.
    pub fn statistics(&self, id: ActivityId) -> Option<ActivityStatistics> {
        self.store.statistics().get(id)
    }

    /// How long ago this last look was.
    pub fn since_look(&self, history: &ClickHistory, now: Instant) -> Duration {
        self.options.clock.at(now).saturating_sub(history.looked_at())
    }

    /// Is a fetch of this key in flight?
    pub fn is_being_fetched(&self, key: &ReportKey) -> bool {
        self.flights.is_in_flight(key)
    }

    /// The keys of all entries, sorted.
    pub fn keys(&self) -> Vec<ReportKey> {
        self.store.keys()
    }

    /// Removes the entries of an activity; a fetch in flight will not be stored. Returns the number of entries removed.
    pub fn purge(&self, id: ActivityId) -> usize {
        let keys = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| ReportKey { id, no_clicks });
        let purged = self.flights.purge(
            |key| key.id == id,
            || {
                let purged = self.forget(keys);
                // Last: an entry that is removed for room meanwhile leaves its failure.
                keys.iter().for_each(|key| self.failures.forget(key));
                purged
            },
        );
        self.purges.send_modify(|purges| *purges += 1);
        purged
    }

    /// Removes all entries; the fetches in flight will not be stored. Returns the number of entries removed.
    pub fn purge_all(&self) -> usize {
        let purged = self.flights.purge(
            |_| true,
            || {
                let purged = self.forget(self.store.keys());
                self.failures.forget_all();
                purged
            },
        );
        self.purges.send_modify(|purges| *purges += 1);
        purged
    }

    /// The number of purges so far: a snapshot that was made before the last one is void.
    pub fn purges(&self) -> watch::Receiver<u64> {
        self.purges.subscribe()
    }

    /// Sets the gauges of the cache and of the refresh plan; `utc` is the calendar time.
    pub fn observe(&self, utc: SystemTime) {
        if let Some((status, plan)) = self.plan_status(utc).zip(self.plan.as_ref()) {
            let calls = status.calls_at_this_price().unwrap_or(0.0);
            self.metrics.planned(status.price.clicks_missed(), calls, plan.control().scarce_price());
        }
        self.metrics.oldest(self.store.oldest_report(Instant::now()));
        let (entries, bytes) = self.store.size();
        self.metrics.size(entries, bytes);
        self.metrics.unpaired(self.store.statistics().unpaired());
    }

    fn forget(&self, keys: impl IntoIterator<Item = ReportKey>) -> usize {
        keys.into_iter().filter(|key| self.store.purge(key)).count()
    }
}
