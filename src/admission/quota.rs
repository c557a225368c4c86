//! What may still be spent: a call's line in the day's ledger, then its turn in the second.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use super::{
    bucket::{Bucket, Lane},
    clock::{Skew, WallClock},
    leave::Leave,
    ledger::{Books, DayLimits, DaySpent, Entry, Lease, Ledger},
    pace::Step,
    scarcity::ScarcityCell,
    standing::{QuotaSnapshot, SecondCount},
    writing::{Writing, Written},
};
use crate::{
    report::{Cause, Reason, Scarcity},
    state::{Durability, LedgerRecord, StateError, Store},
    telemetry::QuotaMetrics,
};

/// What the key may spend, as far as the operator lets us.
#[derive(Debug, Clone, Copy)]
pub struct QuotaLimits {
    /// Calls a second; `None`: not limited here.
    pub per_second: Option<NonZeroU32>,
    /// Calls a UTC day; `None`: not limited here.
    pub per_day: Option<NonZeroU32>,
    /// The share of the day's calls that is kept for cold keys, in `0.0..=0.9`.
    pub reserve: f64,
    /// The longest that a call waits for its turn.
    pub max_wait: Duration,
}

/// What is known, at the start, of the calls that the key has spent today.
#[derive(Debug, Clone)]
pub enum Opening {
    /// Nothing: the share of the day that is over is taken for gone.
    Unknown,
    /// The key is new-born, and has spent none.
    Unspent,
    /// A store knows, and goes on counting.
    Stored {
        /// The store.
        store: Arc<dyn Store>,
        /// What it holds; if nothing, nothing is known.
        record: Option<LedgerRecord>,
    },
}

/// The quota's state, shared by the layer, the cache, `GET /quota` and the metrics.
#[derive(Debug, Clone)]
pub struct Quota {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: QuotaLimits,
    bucket: Mutex<Bucket>,
    day: Mutex<Day>,
    clock: WallClock,
    store: Option<Arc<dyn Store>>,
    /// One lease at a time: those who wait for it will find calls in it. And what the store is still at.
    leasing: tokio::sync::Mutex<Option<Writing>>,
    /// Someone left the queue, or has been sent: those behind may be due earlier.
    pub(super) moved_up: Notify,
    scarcity: ScarcityCell,
    pub(super) metrics: QuotaMetrics,
}

#[derive(Debug)]
struct Day {
    ledger: Ledger,
    skew: Skew,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Window {
    Second,
    Day,
}

// === impl Opening ===

impl Opening {
    /// What a store knows; `None` for one that ends with the process.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn of(store: &Arc<dyn Store>) -> Result<Option<Self>, StateError> {
        match store.durability() {
            Durability::Volatile => Ok(None),
            Durability::Durable => {
                Ok(Some(Self::Stored { record: store.ledger()?, store: Arc::clone(store) }))
            }
        }
    }
}

// === impl Quota ===

impl Quota {
    /// A quota that begins with what is known of the day.
    pub fn new(limits: QuotaLimits, opening: Opening, clock: WallClock, metrics: QuotaMetrics) -> Self {
        let now = clock.now();
        let day = DayLimits { calls: limits.per_day, reserve: limits.reserve };
        let unknown = |books| Ledger::new(day, books, Ledger::pro_rata(day, now), now);
        let mut bucket = Bucket::new(limits.per_second, limits.max_wait, Instant::now());
        let (ledger, store) = match opening {
            Opening::Unknown => (unknown(Books::Memory), None),
            Opening::Unspent => (Ledger::new(day, Books::Memory, 0, now), None),
            Opening::Stored { store, record: Some(record) } => {
                // The run before may have ended a moment ago, in the middle of a burst.
                bucket.follow_on(Instant::now());
                (Ledger::resumed(day, record, now, fastrand::f64()), Some(store))
            }
            Opening::Stored { store, record: None } => (unknown(Books::Store), Some(store)),
        };
        let shared = Shared {
            limits,
            bucket: Mutex::new(bucket),
            day: Mutex::new(Day { ledger, skew: Skew::default(), step: Step::Normal }),
            clock,
            store,
            leasing: tokio::sync::Mutex::new(None),
            moved_up: Notify::new(),
            scarcity: ScarcityCell::new(),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How the quota stands.
    pub fn snapshot(&self) -> QuotaSnapshot {
        let day = self.shared.ledger(Ledger::today);
        let limit = self.shared.limits.per_second;
        let second = self.shared.bucket(|bucket, now| SecondCount {
            limit,
            used: u32::try_from(bucket.used(now)).unwrap_or(u32::MAX),
            waiting: u32::try_from(bucket.waiting()).unwrap_or(u32::MAX),
            wait: bucket.wait(Lane::Cold, now),
        });
        QuotaSnapshot { second, day, skew: self.shared.skew() }
    }

    /// Sets the gauges; to be called before each scrape.
    pub fn observe(&self) {
        let QuotaSnapshot { second, day, skew: _ } = self.snapshot();
        let (limit, used) = (second.limit.map_or(0, NonZeroU32::get), second.used);
        let metrics = &self.shared.metrics;
        metrics.window(Window::Second.as_str(), limit.into(), used.into(), limit.saturating_sub(used).into());
        metrics.window(
            Window::Day.as_str(),
            day.limit.map_or(0, NonZeroU32::get).into(),
            day.used.into(),
            day.remaining.unwrap_or(0).into(),
        );
        metrics.reset_at(
            day.resets_at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        );
        metrics.drift(day.unseen.into());
    }

    /// How scarce calls are, as of a second ago at most. Cheap: asked for each answer that is not fresh.
    pub fn scarcity(&self, now: Instant) -> Scarcity {
        let cell = &self.shared.scarcity;
        cell.get(now).unwrap_or_else(|| cell.set(self.shared.ledger(Ledger::scarcity), now))
    }

    /// The call whose turn it was has a connection, and is being sent on it.
    pub fn sent(&self) {
        self.shared.turn_over(Bucket::sent);
    }

    /// Counts a call, and waits for its turn.
    pub(super) async fn admit(&self, reason: Reason) -> Result<Leave, Cause> {
        let (lane, arrived) = (Lane::from(reason), Instant::now());
        loop {
            // First the day: a spent one is not worth waiting for a turn, and a turn must not wait for a disk.
            let mut leave = self.enter(lane).await?;
            let turn = self.shared.turn(lane, arrived).await?;
            // The wait may have taken it past midnight, or the upstream's `quota_exceeded` past it.
            if leave.set_out(turn) {
                self.shared.metrics.waited(arrived.elapsed());
                return Ok(leave);
            }
        }
    }

    async fn enter(&self, lane: Lane) -> Result<Leave, Cause> {
        let mut leasing: Option<tokio::sync::MutexGuard<'_, _>> = None;
        loop {
            let entry = self.shared.ledger(|ledger, now| ledger.enter(lane, now));
            match entry.map_err(|spent| self.shared.denied_day(spent))? {
                Entry::Entered(line) => return Ok(Leave::new(self.clone(), line)),
                Entry::Lease(lease) => match &mut leasing {
                    Some(writing) => self.shared.write_down(lease, writing).await,
                    None => leasing = Some(self.shared.leasing.lock().await),
                },
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn bucket<T>(&self, with: impl FnOnce(&mut Bucket, Instant) -> T) -> T {
        with(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Asks the ledger at the vendor's time of day. The gauge follows its step, and each change is a line of log.
    pub(super) fn ledger<T>(&self, with: impl FnOnce(&mut Ledger, SystemTime) -> T) -> T {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let now = day.skew.correct(self.clock.now());
        let result = with(&mut day.ledger, now);
        let step = day.ledger.step(now);
        if step != day.step {
            day.step = step;
            self.metrics.step(step.as_str());
            drop(day);
            match step {
                Step::Normal => tracing::info!("quota: calls are ample again"),
                Step::Stretched => tracing::info!("quota: reports are refreshed less often, to last the day"),
                Step::ColdOnly => tracing::warn!("quota: what is left of the day is kept for cold keys"),
                Step::Spent => tracing::warn!("quota: the day's calls are spent until midnight UTC"),
            }
        }
        result
    }

    /// An answer carried the upstream's time of day.
    pub(super) fn heard(&self, date: SystemTime) {
        let (before, after) = {
            let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
            let before = day.skew;
            day.skew.heard(date, self.clock.now());
            (before, day.skew)
        };
        if before.is_none() && !after.is_none() {
            let ahead_seconds = after.ahead_seconds();
            tracing::warn!(ahead_seconds, "the upstream's clock is not ours: its day is the one that counts");
        }
    }

    fn skew(&self) -> Skew {
        self.day.lock().unwrap_or_else(PoisonError::into_inner).skew
    }

    /// Has the store write calls down as gone, or learns what became of those that it was still at.
    async fn write_down(&self, lease: Lease, slot: &mut Option<Writing>) {
        let Some(store) = &self.store else {
            return self.ledger(|ledger, _now| ledger.unleased(lease));
        };
        let writing = slot.get_or_insert_with(|| Writing::begin(Arc::clone(store), lease));
        match writing.end().await {
            Written::Done { lease, spent } => self.ledger(|ledger, _now| ledger.leased(lease, spent)),
            Written::Failed { lease } => self.ledger(|ledger, _now| ledger.unleased(lease)),
            // Not written a second time: a slow disk gets to it yet.
            Written::NotYet => {
                let lease = writing.give_out().unwrap_or(lease);
                return self.ledger(|ledger, _now| ledger.unleased(lease));
            }
        }
        *slot = None;
    }

    /// Has the store close the day, for the run that comes after a crash.
    pub(super) async fn close(&self, closing: Lease) {
        let mut slot = self.leasing.lock().await;
        // Whatever the store is still at: its calls make no difference to a closed day, before or after.
        *slot = None;
        self.write_down(closing, &mut slot).await;
    }

    pub(super) fn denied_second(&self, wait: Duration) -> Cause {
        self.metrics.denied(Window::Second.as_str());
        Cause::Throttled { retry_after: wait.saturating_sub(self.limits.max_wait) }
    }

    fn denied_day(&self, spent: DaySpent) -> Cause {
        self.metrics.denied(Window::Day.as_str());
        Cause::QuotaExhausted { retry_after: spent.retry_in }
    }
}

// === impl Window ===

impl Window {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Day => "day",
        }
    }
}
