//! The one door that every call goes through: its turn in the second, then a line in the day's ledger.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tower::{Layer, Service, ServiceExt as _};

use super::{
    bucket::{Bucket, Place, QueueFull, Turn},
    ledger::{DayCount, DaySpent, Ledger},
};
use crate::{
    report::{Call, Cause, FetchError, Fetched},
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

/// Puts [`QuotaGate`] in front of a service.
#[derive(Debug, Clone)]
pub struct QuotaLayer {
    quota: Quota,
}

/// Lets a call through when the second and the day allow it.
#[derive(Debug, Clone)]
pub struct QuotaGate<S> {
    inner: S,
    quota: Quota,
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

    /// The layer that spends this quota.
    pub fn layer(&self) -> QuotaLayer {
        QuotaLayer { quota: self.clone() }
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
    async fn admit(&self) -> Result<(), Cause> {
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
    fn learn(&self, result: &mut Result<Fetched, FetchError>) {
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

// === impl QuotaGate ===

impl<S> Layer<S> for QuotaLayer {
    type Service = QuotaGate<S>;

    fn layer(&self, inner: S) -> QuotaGate<S> {
        QuotaGate { inner, quota: self.quota.clone() }
    }
}

impl<S> Service<Call> for QuotaGate<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Fetched;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Fetched, FetchError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        // The wait belongs to a call, so that dropping the call ends it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Self { inner, quota } = self.clone();
        async move {
            quota.admit().await?;
            let mut result = inner.oneshot(call).await;
            quota.learn(&mut result);
            result
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::task::JoinSet;

    use super::*;
    use crate::{
        admission::testing::{call, good},
        telemetry::Metrics,
    };

    const LIMITS: QuotaLimits =
        QuotaLimits { per_second: NonZeroU32::new(4), per_day: None, max_wait: Duration::from_secs(5) };

    fn quota(limits: QuotaLimits) -> Quota {
        Quota::new(limits, SystemTime::now(), Metrics::new().quota)
    }

    async fn ask(quota: &Quota, answer: Result<Fetched, Cause>) -> Result<Fetched, Cause> {
        let upstream = tower::service_fn(move |_call| ready(answer.clone().map_err(FetchError::from)));
        quota.layer().layer(upstream).oneshot(call()).await.map_err(|error| error.cause)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_spread_and_what_would_wait_too_long_is_throttled() {
        let (quota, start) = (quota(LIMITS), Instant::now());
        let mut calls = JoinSet::new();
        for _ in 0..30 {
            let quota = quota.clone();
            calls.spawn(async move { (ask(&quota, Ok(good())).await, start.elapsed()) });
        }
        let (went, denied): (Vec<_>, Vec<_>) =
            calls.join_all().await.into_iter().partition(|(result, _)| result.is_ok());
        assert_eq!((went.len(), denied.len()), (20, 10));
        let mut left: Vec<_> = went.into_iter().map(|(_, at)| at).collect();
        left.sort_unstable();
        assert!(left.windows(5).all(|five| five[4] - five[0] > Duration::from_secs(1)));
        assert!(left.iter().all(|at| *at <= LIMITS.max_wait));
        for (result, at) in denied {
            assert!(matches!(result, Err(Cause::Throttled { retry_after }) if !retry_after.is_zero()));
            assert_eq!(at, Duration::ZERO, "a refusal is immediate");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_lets_the_others_move_up() {
        let (quota, start) = (quota(LIMITS), Instant::now());
        ask(&quota, Ok(good())).await.unwrap();
        let [leaver, stayer] = [(); 2].map(|()| {
            let quota = quota.clone();
            tokio::spawn(async move { ask(&quota, Ok(good())).await.map(|_| start.elapsed()) })
        });
        while quota.snapshot(SystemTime::now()).second.waiting < 2 {
            tokio::task::yield_now().await;
        }
        leaver.abort();
        let waited = stayer.await.unwrap().unwrap();
        assert!(waited < Duration::from_millis(300), "the leaver's turn, not the one after it: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_s_throttled_holds_back_the_next_call() {
        let (quota, start) = (quota(LIMITS), Instant::now());
        let retry_after = Duration::from_secs(3);
        let refused = ask(&quota, Err(Cause::Throttled { retry_after })).await;
        assert_eq!(refused, Err(Cause::Throttled { retry_after }));
        ask(&quota, Ok(good())).await.unwrap();
        assert!(start.elapsed() >= retry_after);
        let retry_after = Duration::from_secs(60);
        ask(&quota, Err(Cause::Throttled { retry_after })).await.unwrap_err();
        let denied = ask(&quota, Ok(good())).await;
        assert!(matches!(denied, Err(Cause::Throttled { .. })), "longer than max_wait: not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_s_quota_exceeded_ends_the_day_at_once() {
        let metrics = Metrics::new();
        let limits = QuotaLimits { per_day: NonZeroU32::new(10_000), ..LIMITS };
        let quota = Quota::new(limits, SystemTime::UNIX_EPOCH, metrics.quota.clone());
        let exceeded = Cause::QuotaExhausted { retry_after: Duration::ZERO };
        for answer in [Err(exceeded), Ok(good())] {
            let Err(Cause::QuotaExhausted { retry_after }) = ask(&quota, answer).await else {
                panic!("not exhausted")
            };
            assert!(!retry_after.is_zero());
        }
        assert_eq!(quota.snapshot(SystemTime::now()).day.remaining, Some(0));
        quota.observe(SystemTime::now());
        let text = metrics.render().unwrap();
        for line in [
            "quota_used{window=\"day\"} 1",
            "quota_remaining{window=\"day\"} 0",
            "quota_denied_total{window=\"day\"} 1",
            "quota_limit{window=\"second\"} 4",
        ] {
            assert!(text.contains(&format!("link_report_proxy_{line}\n")), "{line}\n{text}");
        }
    }
}
