//! What may still be spent: a call is counted on the day, then waits for its turn in the second.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use super::{
    budget::{DailyBudget, DailyQuotaExhausted, DayLimits},
    clock::WallClock,
    pacer::{Pacer, Priority},
    permit::CallPermit,
    quota_pressure::ScarcityCell,
    shared_ledger::SharedLedger,
    snapshot::{QuotaSnapshot, SecondCount},
    usage::Backing,
};
use crate::{
    report::{Cause, LocalDenial, QuotaPressure, Reason},
    state::{Durability, LedgerRecord, StateError, StateStore},
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
pub enum InitialCount {
    /// Nothing: the share of the day that is over is taken for gone.
    Unknown,
    /// The key is new-born, and has spent none.
    Unspent,
    /// A store knows, and goes on counting.
    Stored {
        /// The store.
        store: Arc<dyn StateStore>,
        /// What it holds; if nothing, nothing is known.
        record: Option<LedgerRecord>,
    },
}

/// The quota's state, shared by the layer, the cache, `GET /quota` and the metrics.
#[derive(Debug, Clone)]
pub struct Quota {
    pub(super) shared: Arc<SharedQuota>,
}

#[derive(Debug)]
pub(super) struct SharedQuota {
    pub(super) limits: QuotaLimits,
    pacer: Mutex<Pacer>,
    pub(super) day: SharedLedger,
    /// Someone left the queue, or has been sent: those behind may be due earlier.
    pub(super) queue_changed: Notify,
    quota_pressure: ScarcityCell,
    pub(super) metrics: QuotaMetrics,
}

#[derive(Debug, Clone, Copy)]
enum Window {
    Second,
    Day,
}

// === impl InitialCount ===

impl InitialCount {
    /// What a store knows; `None` for one that ends with the process.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn of(store: &Arc<dyn StateStore>) -> Result<Option<Self>, StateError> {
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
    pub fn new(limits: QuotaLimits, opening: InitialCount, clock: WallClock, metrics: QuotaMetrics) -> Self {
        let now = clock.now();
        let day = DayLimits { calls: limits.per_day, reserve: limits.reserve };
        let unknown = |backing| DailyBudget::new(day, backing, DailyBudget::pro_rata(day, now), now);
        let mut pacer = Pacer::new(limits.per_second, limits.max_wait, Instant::now());
        let (budget, store) = match opening {
            InitialCount::Unknown => (unknown(Backing::Memory), None),
            InitialCount::Unspent => (DailyBudget::new(day, Backing::Memory, 0, now), None),
            InitialCount::Stored { store, record: Some(record) } => {
                // The run before may have ended a moment ago, in the middle of a burst.
                pacer.resume_after_restart(Instant::now());
                (DailyBudget::resumed(day, &record, now, fastrand::f64()), Some(store))
            }
            InitialCount::Stored { store, record: None } => (unknown(Backing::Store), Some(store)),
        };
        let shared = SharedQuota {
            limits,
            pacer: Mutex::new(pacer),
            day: SharedLedger::new(budget, clock, store, metrics.clone()),
            queue_changed: Notify::new(),
            quota_pressure: ScarcityCell::new(),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How the quota stands.
    pub fn snapshot(&self) -> QuotaSnapshot {
        let day = self.shared.budget(DailyBudget::today);
        let limit = self.shared.limits.per_second;
        let second = self.shared.pacer(|pacer, now| SecondCount {
            limit,
            used: u32::try_from(pacer.used(now)).unwrap_or(u32::MAX),
            waiting: u32::try_from(pacer.waiting()).unwrap_or(u32::MAX),
            wait: pacer.wait(Priority::Miss, now),
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
        metrics.drift(day.external.into());
    }

    /// How scarce calls are, as of a second ago at most. Cheap: asked for each answer that is not fresh.
    pub fn quota_pressure(&self, now: Instant) -> QuotaPressure {
        let cell = &self.shared.quota_pressure;
        cell.get(now).unwrap_or_else(|| cell.set(self.shared.budget(DailyBudget::quota_pressure), now))
    }

    /// The call whose turn it was has a connection, and is being sent on it.
    pub fn sent(&self) {
        self.shared.turn_over(Pacer::sent);
    }

    /// Counts a call, and waits for its turn.
    pub(super) async fn admit(&self, reason: Reason) -> Result<CallPermit, Cause> {
        let (priority, arrived) = (Priority::from(reason), Instant::now());
        loop {
            // First the day: a spent one is not worth waiting for a turn, and a turn must not wait for a disk.
            let mut leave = self.reserve(priority).await?;
            let turn = self.shared.turn(priority, arrived).await?;
            // The wait may have taken it past midnight, or the upstream's `quota_exceeded` past it.
            if leave.begin(turn) {
                self.shared.metrics.waited(arrived.elapsed());
                return Ok(leave);
            }
        }
    }

    async fn reserve(&self, priority: Priority) -> Result<CallPermit, Cause> {
        let line = self.shared.day.reserve(priority).await.map_err(|spent| self.shared.denied_day(spent))?;
        Ok(CallPermit::new(self.clone(), line))
    }
}

// === impl SharedQuota ===

impl SharedQuota {
    pub(super) fn pacer<T>(&self, with: impl FnOnce(&mut Pacer, Instant) -> T) -> T {
        with(&mut self.pacer.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Asks the ledger at the upstream's time of day.
    pub(super) fn budget<T>(&self, with: impl FnOnce(&mut DailyBudget, SystemTime) -> T) -> T {
        self.day.with(with)
    }

    pub(super) fn denied_second(&self, wait: Duration) -> Cause {
        self.metrics.denied(Window::Second.as_str());
        LocalDenial::RateLimit { retry_after: wait.saturating_sub(self.limits.max_wait) }.into()
    }

    fn denied_day(&self, spent: DailyQuotaExhausted) -> Cause {
        self.metrics.denied(Window::Day.as_str());
        LocalDenial::DailyQuota { retry_after: spent.retry_in }.into()
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
