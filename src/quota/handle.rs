//! `Quota`, the handle that all calls share: its limits, its initial count and its snapshot.

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    budget::DayLimits,
    clock::WallClock,
    fleet_lockout::OwnLockout,
    fleet_quota::FleetQuota,
    forecast::{Forecast, OthersCalls},
    limits::QuotaLimits,
    pacer::{Pacer, Priority},
    quota_day::QuotaDay,
    quota_pressure::ScarcityCell,
    rationing::PlannedRationing,
    shared_day::SharedDay,
    shared_pacer::SharedPacer,
    snapshot::{QuotaSnapshot, SecondCount},
    usage::Backing,
};
use crate::{
    report::QuotaPressure,
    shared::{FleetState, SpentDay},
    state::{CallCounter, CallCounterError, Durability, LedgerRecord},
    telemetry::QuotaMetrics,
};

/// What is known at start about the calls made today.
#[derive(Debug, Clone)]
pub enum InitialCount {
    /// Nothing: an even pace since 00:00 UTC is assumed.
    Unknown,
    /// None were made.
    Unspent,
    /// A store has the count and keeps it from now on.
    Stored {
        /// The store.
        counter: Arc<dyn CallCounter>,
        /// What it has recorded; `None`: as [`InitialCount::Unknown`].
        record: Option<LedgerRecord>,
    },
}

/// The quota, shared by the middleware, the cache, `GET /quota` and the metrics. Clones share it.
#[derive(Debug, Clone)]
pub struct Quota {
    pub(super) shared: Arc<SharedQuota>,
}

#[derive(Debug)]
pub(super) struct SharedQuota {
    limits: RwLock<QuotaLimits>,
    /// The daily budget and the lockout.
    pub(super) day: SharedDay,
    /// The per-second pacer.
    pub(super) second: SharedPacer,
    /// Empty: this process shares its calls with no other.
    pub(super) fleet: OnceLock<FleetQuota>,
    quota_pressure: ScarcityCell,
    pub(super) metrics: QuotaMetrics,
}

/// The window of a limit: the label `window` of `quota_*`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Window {
    /// `quota.per_second`.
    Second,
    /// `quota.per_day`.
    Day,
}

// === impl InitialCount ===

impl InitialCount {
    /// The count in a durable store; `None` for a volatile one, which is empty at start.
    ///
    /// # Errors
    /// [`CallCounterError`] if the store cannot be read.
    pub async fn of(counter: &Arc<dyn CallCounter>) -> Result<Option<Self>, CallCounterError> {
        match counter.durability() {
            Durability::Volatile => Ok(None),
            Durability::Durable => {
                Ok(Some(Self::Stored { record: counter.read().await?, counter: Arc::clone(counter) }))
            }
        }
    }
}

// === impl Quota ===

impl Quota {
    /// A quota that starts with what is known about today's calls.
    pub fn new(limits: QuotaLimits, opening: InitialCount, clock: WallClock, metrics: QuotaMetrics) -> Self {
        let now = clock.now();
        let day = DayLimits::of(&limits);
        let unknown = |backing| QuotaDay::assumed(day, backing, now);
        let mut pacer = Pacer::new(limits.per_second, limits.max_wait, Instant::now());
        let (quota_day, counter) = match opening {
            InitialCount::Unknown => (unknown(Backing::Memory), None),
            InitialCount::Unspent => (QuotaDay::new(day, Backing::Memory, 0, now), None),
            InitialCount::Stored { counter, record: Some(record) } => {
                // The previous process may have ended a moment ago, in the middle of a burst.
                pacer.resume_after_restart(Instant::now());
                (QuotaDay::resumed(day, &record, now, fastrand::f64()), Some(counter))
            }
            InitialCount::Stored { counter, record: None } => (unknown(Backing::Store), Some(counter)),
        };
        let shared = SharedQuota {
            limits: RwLock::new(limits),
            day: SharedDay::new(quota_day, clock, counter, metrics.clone()),
            second: SharedPacer::new(pacer),
            fleet: OnceLock::new(),
            quota_pressure: ScarcityCell::new(),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes over new limits, in the middle of the day too: the calls made and assumed stay counted.
    pub fn set_limits(&self, limits: QuotaLimits) {
        let shared = &*self.shared;
        *shared.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        shared.second.set_limits(limits.per_second, limits.max_wait);
        let (day, spent) = shared.day.with(|day, now| {
            day.set_limits(DayLimits::of(&limits));
            (day.day(), u64::from(day.today(now).used))
        });
        if let Some(fleet) = shared.fleet.get() {
            fleet.set_limits(&limits);
            // If the store knows nothing.
            fleet.assume_spent(SpentDay { day, spent });
        }
        shared.quota_pressure.expire();
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> QuotaLimits {
        *self.shared.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the calls are shared with a fleet. Only the first time counts.
    pub fn join(&self, fleet: FleetQuota) {
        let (day, used, assumed) = self.shared.day.with(|day, now| {
            let used = day.today(now).used;
            (day.day(), u64::from(used), u64::from(day.assumed_today()))
        });
        // If the store knows less.
        fleet.learn_spent(SpentDay { day, spent: used.saturating_sub(assumed) });
        // If it knows nothing.
        fleet.assume_spent(SpentDay { day, spent: used });
        let _joined_before = self.shared.fleet.set(fleet);
    }

    /// A heartbeat has told the fleet's state.
    pub fn learn(&self, fleet: &FleetState) {
        let SpentDay { day, spent } = fleet.today;
        let (lockout, others) =
            self.shared.fleet.get().map_or((OwnLockout::Unchanged, OthersCalls::Earlier), |own| {
                (own.learn_lockout(fleet.locked_out_for, fleet.epoch), own.meets(fleet.epoch, day))
            });
        let reopening = self.shared.day.with(|quota_day, now| {
            quota_day.learn(day, spent, others, now);
            match lockout {
                OwnLockout::Over => quota_day.end_lockout(),
                OwnLockout::Unchanged | OwnLockout::Lost(_) => None,
            }
        });
        let shared = Arc::clone(&self.shared);
        match (lockout, reopening) {
            // A restart must not find the day closed.
            (_, Some(reopening)) => drop(tokio::spawn(async move { shared.day.mark(reopening).await })),
            (OwnLockout::Lost(rest), None) => drop(tokio::spawn(async move {
                if let Some(fleet) = shared.fleet.get() {
                    fleet.lock_out(day, rest).await;
                }
            })),
            (_, None) => {}
        }
    }

    /// The current numbers of both limits.
    pub fn snapshot(&self) -> QuotaSnapshot {
        let day = self.shared.day.with(QuotaDay::today);
        let limit = self.limits().per_second;
        let second = self.shared.second.with(|pacer, now| SecondCount {
            limit,
            used: u32::try_from(pacer.used(now)).unwrap_or(u32::MAX),
            waiting: u32::try_from(pacer.waiting()).unwrap_or(u32::MAX),
            wait: pacer.wait(Priority::Miss, now),
        });
        let number = self.shared.day.with(|day, _now| day.day());
        self.shared.metrics.on_day(number);
        let fleet = self.shared.fleet.get().map(|fleet| fleet.share(number));
        QuotaSnapshot { second, day, skew: self.shared.day.skew(), fleet }
    }

    /// Sets the gauges; to be called before each scrape.
    pub fn observe(&self) {
        let snapshot = self.snapshot();
        let QuotaSnapshot { second, day, skew, fleet: _ } = snapshot;
        let (limit, used) = (second.limit.map_or(0, NonZeroU32::get), second.used);
        let metrics = &self.shared.metrics;
        metrics.window(Window::Second.as_str(), limit.into(), used.into(), limit.saturating_sub(used).into());
        metrics.window(
            Window::Day.as_str(),
            day.limit.map_or(0, NonZeroU32::get).into(),
            day.used.into(),
            day.remaining.unwrap_or(0).into(),
        );
        let unix =
            |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        metrics.reset_at(unix(day.resets_at));
        metrics.exhausted_at(match day.forecast {
            Forecast::Enough => None,
            Forecast::ExhaustedAt(at) => Some(unix(at)),
            Forecast::Exhausted => Some(unix(snapshot.now())),
        });
        metrics.clock_ahead(skew.ahead_seconds());
        metrics.external(day.external.into());
        metrics.reserved(day.reserved.into());
    }

    /// How scarce calls are, at most one second old. Cheap: called for every response that is not fresh.
    pub fn quota_pressure(&self, now: Instant) -> QuotaPressure {
        let cell = &self.shared.quota_pressure;
        cell.get(now).unwrap_or_else(|| cell.set(self.shared.day.with(QuotaDay::quota_pressure), now))
    }

    /// The plan of the day says how its calls are rationed. From the first time on, refreshes are no longer held to an
    /// even pace: they stop only where no more than the plan's reserve is left.
    pub fn ration(&self, planned: PlannedRationing) {
        self.shared.day.with(|day, _now| day.ration(planned));
    }

    /// The call that the pacer let go has a connection and is being sent: the next one may follow.
    pub fn sent(&self) {
        self.shared.second.turn_over(Pacer::sent);
    }
}

// === impl Window ===

impl Window {
    /// Each label of `quota_*{window}`.
    pub(crate) const ALL: [Self; 2] = [Self::Second, Self::Day];

    /// The label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Day => "day",
        }
    }
}

#[cfg(test)]
mod tests;
