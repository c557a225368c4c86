//! What may still be spent: a call's turn in the second, then its line in the day's ledger.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    bucket::{Bucket, Place, QueueFull, Turn},
    ledger::{DayCount, DaySpent, Ledger},
};
use crate::{
    report::{Cause, FetchError, Fetched},
    telemetry::QuotaMetrics,
};

/// What the key may spend, as far as the operator lets us.
#[derive(Debug, Clone, Copy)]
pub struct QuotaLimits {
    /// Calls a second; `None`: not limited here.
    pub per_second: Option<NonZeroU32>,
    /// Calls a UTC day; `None`: not limited here.
    pub per_day: Option<NonZeroU32>,
    /// The longest that a call waits for its turn.
    pub max_wait: Duration,
}

/// The quota's state, shared by the layer, `GET /quota` and the metrics.
#[derive(Debug, Clone)]
pub struct Quota {
    shared: Arc<Shared>,
}

/// How the quota stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSnapshot {
    /// The second.
    pub second: SecondCount,
    /// The day.
    pub day: DayCount,
}

/// How the current second stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondCount {
    /// Calls allowed; `None`: not limited here.
    pub limit: Option<NonZeroU32>,
    /// Calls that left within the last second.
    pub used: u32,
    /// Calls that wait for their turn.
    pub waiting: u32,
    /// How long a call that came now would wait.
    pub wait: Duration,
}

#[derive(Debug)]
struct Shared {
    limits: QuotaLimits,
    bucket: Mutex<Bucket>,
    ledger: Mutex<Ledger>,
    /// Someone left the queue: those behind may be due earlier.
    moved_up: Notify,
    metrics: QuotaMetrics,
}

/// A place in the bucket's queue that is given back if its owner goes away while waiting.
struct Held<'a> {
    shared: &'a Shared,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Window {
    Second,
    Day,
}

// === impl Quota ===

impl Quota {
    /// A quota of which nothing is known but the time of day.
    pub fn new(limits: QuotaLimits, now: SystemTime, metrics: QuotaMetrics) -> Self {
        let bucket = Bucket::new(limits.per_second, limits.max_wait, Instant::now());
        let shared = Shared {
            limits,
            bucket: Mutex::new(bucket),
            ledger: Mutex::new(Ledger::new(limits.per_day, now)),
            moved_up: Notify::new(),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How the quota stands at this time.
    pub fn snapshot(&self, now: SystemTime) -> QuotaSnapshot {
        let day = self.shared.ledger(|ledger| ledger.today(now));
        let limit = self.shared.limits.per_second;
        let second = self.shared.bucket(|bucket, now| SecondCount {
            limit,
            used: u32::try_from(bucket.used(now)).unwrap_or(u32::MAX),
            waiting: u32::try_from(bucket.waiting()).unwrap_or(u32::MAX),
            wait: bucket.wait(now),
        });
        QuotaSnapshot { second, day }
    }

    /// Sets the gauges; to be called before each scrape.
    pub fn observe(&self, now: SystemTime) {
        let QuotaSnapshot { second, day } = self.snapshot(now);
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
    }

    /// Waits for a call's turn, and counts it.
    pub(super) async fn admit(&self) -> Result<(), Cause> {
        // A spent day is not worth waiting for a turn.
        self.shared
            .ledger(|ledger| ledger.check(SystemTime::now()))
            .map_err(|spent| self.denied_day(spent))?;
        let arrived = Instant::now();
        let held = self.shared.join().map_err(|full| self.denied_second(full.wait))?;
        let latest = arrived + self.shared.limits.max_wait;
        loop {
            // Before the look at the queue, so that a move between look and wait is not missed.
            let moved_up = self.shared.moved_up.notified();
            match self.shared.bucket(|bucket, now| bucket.take(held.place, now)) {
                Turn::Go => break,
                // The upstream has slowed us since the place was given.
                Turn::NotBefore(due) if due > latest => {
                    return Err(self.denied_second(due.saturating_duration_since(Instant::now())));
                }
                Turn::NotBefore(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = moved_up => {}
                    }
                }
            }
        }
        drop(held);
        self.shared.metrics.waited(arrived.elapsed());
        self.shared.ledger(|ledger| ledger.count(SystemTime::now())).map_err(|spent| self.denied_day(spent))
    }

    /// What the upstream's answer says of the quota, in our words.
    pub(super) fn learn(&self, result: &mut Result<Fetched, FetchError>) {
        match result.as_mut().map_err(|error| &mut error.cause) {
            Err(Cause::Throttled { retry_after }) => {
                let wait = *retry_after;
                *retry_after = self.shared.bucket(|bucket, now| {
                    bucket.throttled(now);
                    bucket.hold_until(now + wait);
                    bucket.wait(now)
                });
            }
            Err(Cause::QuotaExhausted { retry_after }) => {
                let now = SystemTime::now();
                let spent = self.shared.ledger(|ledger| {
                    ledger.exceeded(now);
                    ledger.check(now)
                });
                *retry_after = spent.err().map_or(Duration::ZERO, |spent| spent.retry_in);
            }
            Ok(_) => self.shared.bucket(|bucket, _now| bucket.accepted()),
            Err(_) => {}
        }
    }

    fn denied_second(&self, wait: Duration) -> Cause {
        self.shared.metrics.denied(Window::Second.as_str());
        Cause::Throttled { retry_after: wait.saturating_sub(self.shared.limits.max_wait) }
    }

    fn denied_day(&self, spent: DaySpent) -> Cause {
        self.shared.metrics.denied(Window::Day.as_str());
        Cause::QuotaExhausted { retry_after: spent.retry_in }
    }
}

// === impl Shared ===

impl Shared {
    fn bucket<T>(&self, with: impl FnOnce(&mut Bucket, Instant) -> T) -> T {
        with(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    fn ledger<T>(&self, with: impl FnOnce(&mut Ledger) -> T) -> T {
        with(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn join(&self) -> Result<Held<'_>, QueueFull> {
        let place = self.bucket(Bucket::reserve)?;
        Ok(Held { shared: self, place })
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A place that was redeemed is not in the queue any more, and nobody moves up for it.
        if self.shared.bucket(|bucket, _now| bucket.give_back(self.place)) {
            self.shared.moved_up.notify_waiters();
        }
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
