//! One call: the question as HTTP, the answer as the domain's words.

use std::{
    error::Error as StdError,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceExt as _};

use super::{request::UpstreamOrigin, response};
use crate::{
    report::{Answer, Call, Cause, Exchange, FetchError, Fetched, ReportKey},
    telemetry::UpstreamMetrics,
};

/// What one attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// From the call to the last byte of the body.
    pub attempt: Duration,
    /// The longest body, in bytes, as sent and once decoded.
    pub max_body: u64,
}

/// Answers a [`Call`] by asking the upstream over `S`.
#[derive(Debug, Clone)]
pub struct Fetch<S> {
    client: S,
    terms: Arc<FetchContext>,
}

/// What each call is made with.
#[derive(Debug)]
struct FetchContext {
    origin: UpstreamOrigin,
    limits: FetchLimits,
    metrics: UpstreamMetrics,
}

// === impl Fetch ===

impl<S> Fetch<S> {
    /// Asks `origin` over `client`.
    pub fn new(client: S, origin: UpstreamOrigin, limits: FetchLimits, metrics: UpstreamMetrics) -> Self {
        Self { client, terms: Arc::new(FetchContext { origin, limits, metrics }) }
    }
}

impl<S, B> Service<Call> for Fetch<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Fetched;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Fetched, FetchError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        // Getting the client ready is part of the attempt, and of its deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Self { client, terms } = self.clone();
        async move {
            let FetchContext { origin, limits, metrics } = &*terms;
            let mut exchange = Exchange::default();
            let started = Instant::now();
            let attempt = attempt(client, origin, call.key, limits.max_body, &mut exchange);
            let result = timeout(limits.attempt, attempt).await.unwrap_or(Err(Cause::Timeout));
            exchange.elapsed = started.elapsed();
            // Refused before anything left: no call to count, and the module that refused has said why.
            if !matches!(result, Err(Cause::TokenUnavailable)) {
                record(metrics, call, &result, &exchange);
            }
            match result {
                Ok((answer, answered_at, age)) => Ok(Fetched { answer, answered_at, age, exchange }),
                Err(cause) => Err(FetchError { exchange, ..cause.into() }),
            }
        }
        .boxed()
    }
}

async fn attempt<S, B>(
    client: S,
    origin: &UpstreamOrigin,
    key: ReportKey,
    max_body: u64,
    exchange: &mut Exchange,
) -> Result<(Answer, Instant, Duration), Cause>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let request = origin.request(&key).map_err(|_error| Cause::Internal)?;
    let (head, body) = client.oneshot(request).await?.into_parts();
    let answered_at = Instant::now();
    exchange.status = Some(head.status.as_u16());
    exchange.request_id = response::request_id(&head.headers);
    exchange.date = response::date(&head.headers);
    exchange.sent_generation = head.extensions.get().copied();
    let age = response::age(&head.headers);
    Ok((response::read(key.id, &head, body, max_body).await?, answered_at, age))
}

fn record<A>(metrics: &UpstreamMetrics, call: Call, result: &Result<A, Cause>, exchange: &Exchange) {
    let Exchange { status, request_id, sent_generation: _, date: _, elapsed } = exchange;
    metrics.called(call.reason.as_str(), *status, *elapsed);
    match result {
        Err(Cause::Throttled { .. } | Cause::TooMany { .. }) => metrics.throttled("throttled"),
        Err(Cause::QuotaExhausted { .. }) => metrics.throttled("quota_exceeded"),
        Ok(_) | Err(_) => {}
    }
    let (key, reason) = (call.key, call.reason.as_str());
    let (request_id, upstream_ms) = (request_id.as_deref(), elapsed.as_millis() as u64);
    match result {
        Ok(_) => tracing::debug!(%key, reason, status, request_id, upstream_ms, "upstream call"),
        Err(cause) => {
            tracing::warn!(%key, reason, status, request_id, upstream_ms, "upstream call failed: {cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::stream;
    use http::Uri;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};

    use super::*;
    use crate::{
        report::{ActivityId, NoClicks, Reason, Unreachable},
        telemetry::Metrics,
    };

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";
    const LIMITS: FetchLimits = FetchLimits { attempt: Duration::from_secs(10), max_body: 4_096 };

    type TestBody = BoxBody<Bytes, tower::BoxError>;

    /// A body that begins, and then breaks off or hangs.
    fn begun(
        end: impl Future<Output = Result<Frame<Bytes>, tower::BoxError>> + Send + Sync + 'static,
    ) -> TestBody {
        let first = ready(Ok(Frame::data(Bytes::from_static(b"{"))));
        StreamBody::new(stream::StreamExt::chain(stream::once(first), stream::once(end))).boxed()
    }

    async fn ask<F>(
        answer: impl Fn() -> F + Clone + Send + 'static,
        metrics: &Metrics,
    ) -> Result<Fetched, FetchError>
    where
        F: Future<Output = Result<Response<TestBody>, Cause>> + Send + 'static,
    {
        let client = tower::service_fn(move |_request: Request<Empty<Bytes>>| answer());
        let origin = UpstreamOrigin::try_from(&Uri::from_static("https://api.cc.email")).unwrap();
        let key = ReportKey { id: ActivityId::parse(ID.as_bytes()).unwrap(), no_clicks: NoClicks::Omitted };
        let fetch = Fetch::new(client, origin, LIMITS, metrics.upstream.clone());
        fetch.oneshot(Call { key, reason: Reason::Miss }).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_attempt_s_deadline_covers_the_head_and_the_body() {
        let metrics = Metrics::new();
        let silent = ask(pending::<Result<Response<TestBody>, Cause>>, &metrics).await.unwrap_err();
        let expected = Exchange { elapsed: LIMITS.attempt, ..Exchange::default() };
        assert_eq!(silent, FetchError { exchange: expected.clone(), ..Cause::Timeout.into() });
        let endless = ask(|| ready(Ok(Response::new(begun(pending())))), &metrics).await.unwrap_err();
        let expected = Exchange { status: Some(200), ..expected };
        assert_eq!(endless, FetchError { exchange: expected, ..Cause::Timeout.into() });
        let text = metrics.render().unwrap();
        for code in ["none", "200"] {
            let line = format!("upstream_requests_total{{code=\"{code}\",reason=\"miss\"}} 1\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_an_answer_is_that_of_its_head_less_its_age() {
        let seconds = Duration::from_secs;
        let asked_at = Instant::now();
        let answer = move || async move {
            tokio::time::sleep(seconds(2)).await;
            let rest = async move {
                tokio::time::sleep(seconds(3)).await;
                let rest = format!(r#""campaign_activity_id":"{ID}","link_click_counts":[]}}"#);
                Ok(Frame::data(Bytes::from(rest)))
            };
            Ok(Response::builder().header("age", "100").body(begun(rest)).unwrap())
        };
        let fetched = ask(answer, &Metrics::new()).await.unwrap();
        assert_eq!((fetched.answered_at - asked_at, fetched.age), (seconds(2), seconds(100)));
        assert_eq!(Instant::now() - fetched.generated_at(), seconds(103));
    }

    #[tokio::test]
    async fn an_answer_is_as_old_as_the_cache_before_the_upstream_says() {
        let body = format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[]}}"#);
        let body = move || Full::new(Bytes::from(body.clone())).map_err(Into::into).boxed();
        let aged = move || ready(Ok(Response::builder().header("age", "600").body(body()).unwrap()));
        assert_eq!(ask(aged, &Metrics::new()).await.unwrap().age, Duration::from_secs(600));
    }

    #[tokio::test]
    async fn a_call_that_never_left_is_not_counted_as_one() {
        let metrics = Metrics::new();
        ask(|| ready(Err(Cause::TokenUnavailable)), &metrics).await.unwrap_err();
        ask(|| ready(Err(Cause::Unreachable(Unreachable::Dns))), &metrics).await.unwrap_err();
        assert!(metrics.render().unwrap().contains("{code=\"none\",reason=\"miss\"} 1\n"));
    }
}
