//! What may still be spent: a call is counted on the day, then waits for its turn in the second.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use super::{
    bucket::{Bucket, Lane},
    clock::WallClock,
    leave::Leave,
    ledger::{DayLimits, DaySpent, Ledger},
    scarcity::ScarcityCell,
    shared_ledger::SharedLedger,
    standing::{QuotaSnapshot, SecondCount},
    usage::Books,
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
    pub(super) day: SharedLedger,
    /// Someone left the queue, or has been sent: those behind may be due earlier.
    pub(super) moved_up: Notify,
    scarcity: ScarcityCell,
    pub(super) metrics: QuotaMetrics,
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
                (Ledger::resumed(day, &record, now, fastrand::f64()), Some(store))
            }
            Opening::Stored { store, record: None } => (unknown(Books::Store), Some(store)),
        };
        let shared = Shared {
            limits,
            bucket: Mutex::new(bucket),
            day: SharedLedger::new(ledger, clock, store, metrics.clone()),
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
        QuotaSnapshot { second, day, skew: self.shared.day.skew() }
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
        let line = self.shared.day.enter(lane).await.map_err(|spent| self.shared.denied_day(spent))?;
        Ok(Leave::new(self.clone(), line))
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn bucket<T>(&self, with: impl FnOnce(&mut Bucket, Instant) -> T) -> T {
        with(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Asks the ledger at the upstream's time of day.
    pub(super) fn ledger<T>(&self, with: impl FnOnce(&mut Ledger, SystemTime) -> T) -> T {
        self.day.with(with)
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
