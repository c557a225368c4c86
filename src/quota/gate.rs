//! The quota as middleware: counts and paces every upstream call.

use tracing::Instrument as _;

use super::Quota;
use crate::{
    middleware::{Middleware, Next},
    report::{
        Call, Exchanged, FetchError, Fetched, FetchedStatistics, FetchedStatus, Reason, StatisticsCall,
        StatusCall,
    },
};

/// Passes a call on once the daily budget and the per-second pacer allow it.
#[derive(Debug, Clone)]
pub(crate) struct QuotaGate {
    quota: Quota,
}

// === impl QuotaGate ===

impl QuotaGate {
    /// Middleware that counts its calls on this quota.
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota }
    }

    async fn pass<Q, R, N>(&self, reason: Reason, call: Q, next: &N) -> Result<R, FetchError>
    where
        Q: Send,
        R: Exchanged,
        N: Next<Q, Response = R, Error = FetchError>,
    {
        let waiting = tracing::debug_span!("quota.wait", reason = reason.as_str());
        let permit = self.quota.admit(reason).instrument(waiting).await?;
        self.quota.shared.metrics.on_day(permit.day());
        let result = next.run(call).await;
        match permit.learn(&result).await {
            // Our own wait is more exact than the upstream's: it includes the calls in the queue.
            Some(wait) => result.map_err(|error| error.with_retry_after(wait)),
            None => result,
        }
    }
}

impl<N: Next<Call, Response = Fetched, Error = FetchError>> Middleware<Call, N> for QuotaGate {
    async fn handle(&self, call: Call, next: &N) -> Result<Fetched, FetchError> {
        self.pass(call.reason, call, next).await
    }
}

/// A change probe is a call like any other: the quota treats it as a refresh.
impl<N> Middleware<StatisticsCall, N> for QuotaGate
where
    N: Next<StatisticsCall, Response = FetchedStatistics, Error = FetchError>,
{
    async fn handle(&self, call: StatisticsCall, next: &N) -> Result<FetchedStatistics, FetchError> {
        self.pass(Reason::Probe, call, next).await
    }
}

/// So is a call for the status of an activity.
impl<N> Middleware<StatusCall, N> for QuotaGate
where
    N: Next<StatusCall, Response = FetchedStatus, Error = FetchError>,
{
    async fn handle(&self, call: StatusCall, next: &N) -> Result<FetchedStatus, FetchError> {
        self.pass(Reason::Status, call, next).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        num::NonZeroU32,
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use tokio::{task::JoinSet, time::Instant};

    use super::*;
    use crate::{
        middleware::TowerService,
        quota::{InitialCount, QuotaLimits, QuotaSnapshot, WallClock},
        report::testing::{call, good, statistics_call},
        report::{
            Cause, Exchange, LocalDenial, Reason, StatisticsAnswer, Unreachable, UpstreamFailure,
            UpstreamLimit,
        },
        state::{CallClaim, CallCounter, DayRecord, DayStatus, LedgerRecord, MemoryStore},
        telemetry::Metrics,
    };

    const LIMITS: QuotaLimits = QuotaLimits {
        per_second: NonZeroU32::new(4),
        per_day: None,
        reserve: 0.1,
        max_wait: Duration::from_secs(5),
    };

    /// The upstream's 429 for the per-second limit.
    fn throttled(retry_after: Duration) -> Cause {
        UpstreamFailure::TooManyRequests { limit: UpstreamLimit::PerSecond, retry_after }.into()
    }

    /// The upstream's 429 for the daily limit.
    fn exceeded() -> Cause {
        let retry_after = Duration::ZERO;
        UpstreamFailure::TooManyRequests { limit: UpstreamLimit::PerDay, retry_after }.into()
    }

    fn quota(limits: QuotaLimits) -> Quota {
        let midnight = WallClock::starting_at(SystemTime::UNIX_EPOCH);
        Quota::new(limits, InitialCount::Unspent, midnight, Metrics::new().quota)
    }

    async fn ask(quota: &Quota, answer: Result<Fetched, Cause>) -> Result<Fetched, Cause> {
        let upstream = tower::service_fn(move |_call| ready(answer.clone().map_err(FetchError::from)));
        let upstream = TowerService(upstream);
        QuotaGate::new(quota.clone()).handle(call(), &upstream).await.map_err(|error| error.cause)
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
            assert!(
                matches!(result, Err(Cause::Local(LocalDenial::RateLimit { retry_after })) if !retry_after.is_zero())
            );
            assert_eq!(at, Duration::ZERO, "a refusal is immediate");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_counted_and_paced_like_a_refresh_and_its_429_is_obeyed() {
        let (quota, start) = (quota(LIMITS), Instant::now());
        let probe = |answer: Result<(), Cause>| {
            let upstream = tower::service_fn(move |_call: StatisticsCall| {
                let fetched = FetchedStatistics {
                    answer: StatisticsAnswer::Rejected,
                    answered_at: Instant::now(),
                    clock: SystemTime::UNIX_EPOCH,
                    exchange: Exchange { status: Some(404), ..Exchange::default() },
                };
                ready(answer.clone().map(|()| fetched).map_err(FetchError::from))
            });
            let gate = QuotaGate::new(quota.clone());
            async move { gate.handle(statistics_call(), &TowerService(upstream)).await.map(drop) }
        };
        probe(Ok(())).await.unwrap();
        probe(Ok(())).await.unwrap();
        assert_eq!(quota.snapshot().day.used, 2);
        assert!(start.elapsed() >= Duration::from_millis(250));
        let retry_after = Duration::from_secs(3);
        assert_eq!(probe(Err(throttled(retry_after))).await.unwrap_err().cause, throttled(retry_after));
        let held_back = start.elapsed();
        ask(&quota, Ok(good())).await.unwrap();
        assert!(start.elapsed() - held_back >= retry_after);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_lets_the_others_move_up() {
        let (quota, start) = (quota(LIMITS), Instant::now());
        ask(&quota, Ok(good())).await.unwrap();
        let [cancelled, waiting] = [(); 2].map(|()| {
            let quota = quota.clone();
            tokio::spawn(async move { ask(&quota, Ok(good())).await.map(|_| start.elapsed()) })
        });
        while quota.snapshot().second.waiting < 2 {
            tokio::task::yield_now().await;
        }
        cancelled.abort();
        let waited = waiting.await.unwrap().unwrap();
        assert!(
            waited < Duration::from_millis(300),
            "it takes the cancelled call's place, not the next one: {waited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_s_throttled_holds_back_the_next_call() {
        let (quota, start) = (quota(LIMITS), Instant::now());
        let retry_after = Duration::from_secs(3);
        let refused = ask(&quota, Err(throttled(retry_after))).await;
        assert_eq!(refused, Err(throttled(retry_after)));
        ask(&quota, Ok(good())).await.unwrap();
        assert!(start.elapsed() >= retry_after);
        let retry_after = Duration::from_secs(60);
        ask(&quota, Err(throttled(retry_after))).await.unwrap_err();
        let denied = ask(&quota, Ok(good())).await;
        assert!(
            matches!(denied, Err(Cause::Local(LocalDenial::RateLimit { .. }))),
            "longer than max_wait: refused at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_s_quota_exceeded_ends_the_day_at_once() {
        let metrics = Metrics::new();
        let limits = QuotaLimits { per_day: NonZeroU32::new(10_000), ..LIMITS };
        let noon = WallClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
        let quota = Quota::new(limits, InitialCount::Unspent, noon, metrics.quota.clone());
        let refused = ask(&quota, Err(exceeded())).await.unwrap_err();
        assert!(matches!(refused.limit_reached(), Some((UpstreamLimit::PerDay, wait)) if !wait.is_zero()));
        let denied = ask(&quota, Ok(good())).await.unwrap_err();
        assert!(
            matches!(denied, Cause::Local(LocalDenial::DailyQuota { retry_after }) if !retry_after.is_zero())
        );
        assert_eq!(quota.snapshot().day.remaining, Some(0));
        quota.observe();
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

    #[tokio::test(start_paused = true)]
    async fn the_day_turns_by_the_upstream_s_clock() {
        let quota = quota(QuotaLimits { per_day: NonZeroU32::new(100), ..LIMITS });
        let hour_to_midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(23 * 3_600);
        let dated = |date| {
            let answer = good();
            Ok(Fetched { exchange: Exchange { date: Some(date), ..answer.exchange }, ..answer })
        };
        ask(&quota, dated(hour_to_midnight)).await.unwrap();
        assert_eq!(quota.snapshot().skew.ahead_seconds(), 0, "a single response may be wrong");
        let minute = Duration::from_secs(60);
        tokio::time::advance(minute).await;
        ask(&quota, dated(hour_to_midnight + minute)).await.unwrap();
        let QuotaSnapshot { day, skew, .. } = quota.snapshot();
        assert_eq!((day.used, skew.ahead_seconds()), (2, 23 * 3_600));
        tokio::time::advance(Duration::from_secs(3_541)).await;
        assert_eq!(quota.snapshot().day.used, 0, "past midnight by the upstream's clock, not by ours");
    }

    fn day(day: u64, spent: u32) -> DayRecord {
        DayRecord { day, spent, status: DayStatus::Open }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_continues_the_count_in_the_store() {
        let store: Arc<dyn CallCounter> = Arc::new(MemoryStore::default());
        for (record, used) in [(None, 1), (Some(8), 9), (Some(16), 17)] {
            let opening = InitialCount::Stored {
                counter: Arc::clone(&store),
                record: record.map(|spent| LedgerRecord::of(day(0, spent))),
            };
            let clock = WallClock::starting_at(SystemTime::UNIX_EPOCH);
            let quota = Quota::new(
                QuotaLimits { per_day: NonZeroU32::new(100), ..LIMITS },
                opening,
                clock,
                Metrics::new().quota,
            );
            ask(&quota, Ok(good())).await.unwrap();
            assert_eq!(quota.snapshot().day.used, used);
        }
        assert_eq!(store.read().await.unwrap(), Some(LedgerRecord::of(day(0, 24))), "three leases");
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_after_quota_exceeded_makes_no_call_until_midnight_and_then_one_probe() {
        let limits = QuotaLimits { per_day: NonZeroU32::new(10_000), ..LIMITS };
        let store: Arc<dyn CallCounter> = Arc::new(MemoryStore::default());
        store.take(CallClaim { day: 0, made: 9_000, wanted: 0, ceiling: None }).await.unwrap();
        let noon = WallClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
        let start = async || {
            let record = store.read().await.unwrap();
            let opening = InitialCount::Stored { counter: Arc::clone(&store), record };
            Quota::new(limits, opening, noon.clone(), Metrics::new().quota)
        };
        ask(&start().await, Err(exceeded())).await.unwrap_err();
        let quota = start().await;
        for wait in [0, 43_199] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            ask(&quota, Ok(good())).await.unwrap_err();
        }
        // Past midnight and the jitter.
        tokio::time::advance(Duration::from_secs(61)).await;
        let probe = quota.admit(Reason::Miss).await.unwrap();
        ask(&quota, Ok(good())).await.unwrap_err();
        probe.learn(&Ok(good())).await;
        ask(&quota, Ok(good())).await.unwrap();
        assert_eq!(store.read().await.unwrap().unwrap().latest(), day(1, 8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_finds_no_connection_is_not_counted_and_leaves_the_probing_to_the_next_call() {
        let noon = WallClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
        let quota = Quota::new(LIMITS, InitialCount::Unspent, noon, Metrics::new().quota);
        ask(&quota, Err(exceeded())).await.unwrap_err();
        // Past midnight and the jitter.
        tokio::time::advance(Duration::from_secs(43_261)).await;
        let unreachable = Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect));
        for _ in 0..2 {
            assert_eq!(ask(&quota, Err(unreachable.clone())).await, Err(unreachable.clone()));
        }
        assert_eq!(quota.snapshot().day.used, 0);
        let _probe = quota.admit(Reason::Miss).await.unwrap();
        let second = ask(&quota, Ok(good())).await;
        assert!(matches!(second, Err(Cause::Local(LocalDenial::DailyQuota { .. }))), "one at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_never_sent_is_not_counted() {
        let quota = quota(QuotaLimits { per_day: NonZeroU32::new(100), ..LIMITS });
        ask(&quota, Err(Cause::Local(LocalDenial::NoToken))).await.unwrap_err();
        assert_eq!(quota.snapshot().day.used, 0);
        let too_fast = || FetchError {
            exchange: Exchange { status: Some(429), ..Exchange::default() },
            ..throttled(Duration::from_secs(60)).into()
        };
        let upstream = TowerService(tower::service_fn(move |_call| ready(Err::<Fetched, _>(too_fast()))));
        QuotaGate::new(quota.clone()).handle(call(), &upstream).await.unwrap_err();
        ask(&quota, Ok(good())).await.unwrap_err();
        assert_eq!(quota.snapshot().day.used, 1, "a call that was refused by the pacer is not counted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_lost_by_a_bug_of_ours_still_counts_as_a_call() {
        let quota = quota(QuotaLimits { per_day: NonZeroU32::new(100), ..LIMITS });
        let lost = || FetchError {
            exchange: Exchange { status: Some(200), ..Exchange::default() },
            ..Cause::Internal.into()
        };
        let upstream = TowerService(tower::service_fn(move |_call| ready(Err::<Fetched, _>(lost()))));
        QuotaGate::new(quota.clone()).handle(call(), &upstream).await.unwrap_err();
        assert_eq!(quota.snapshot().day.used, 1);
    }
}
