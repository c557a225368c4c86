//! The one door that every call goes through on its way out.

use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt as _};
use tower::{Layer, Service, ServiceExt as _};

use super::quota::Quota;
use crate::report::{Call, FetchError, Fetched};

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

// === impl QuotaLayer ===

impl QuotaLayer {
    /// The layer that spends this quota.
    pub fn new(quota: Quota) -> Self {
        Self { quota }
    }
}

impl<S> Layer<S> for QuotaLayer {
    type Service = QuotaGate<S>;

    fn layer(&self, inner: S) -> QuotaGate<S> {
        QuotaGate { inner, quota: self.quota.clone() }
    }
}

// === impl QuotaGate ===

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
    use std::{
        future::ready,
        num::NonZeroU32,
        time::{Duration, SystemTime},
    };

    use tokio::{task::JoinSet, time::Instant};

    use super::*;
    use crate::{
        admission::{
            QuotaLimits,
            testing::{call, good},
        },
        report::Cause,
        telemetry::Metrics,
    };

    const LIMITS: QuotaLimits =
        QuotaLimits { per_second: NonZeroU32::new(4), per_day: None, max_wait: Duration::from_secs(5) };

    fn quota(limits: QuotaLimits) -> Quota {
        Quota::new(limits, SystemTime::now(), Metrics::new().quota)
    }

    async fn ask(quota: &Quota, answer: Result<Fetched, Cause>) -> Result<Fetched, Cause> {
        let upstream = tower::service_fn(move |_call| ready(answer.clone().map_err(FetchError::from)));
        QuotaLayer::new(quota.clone()).layer(upstream).oneshot(call()).await.map_err(|error| error.cause)
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
