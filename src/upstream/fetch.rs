//! One upstream call: sends the request, reads the response as an `Answer` or a `Cause`, records metrics and a log
//! line.

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response, response::Parts};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::{Instant, error::Elapsed, timeout};
use tracing::Span;

use super::{RecentCalls, headers, request::request, response};
use crate::{
    middleware::Next,
    report::{
        Answer, Call, Cause, ClientNumber, Exchange, FetchError, Fetched, Reason, ReportKey, UpstreamFailure,
        UpstreamLimit,
    },
    settings::BaseUrl,
    telemetry::{CallStatus, ThrottleKind, UpstreamMetrics, traces},
};

/// The limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    /// The timeout, from the start of the call to the last byte of the body.
    pub attempt: Duration,
    /// The largest body in bytes, both as sent and decoded.
    pub max_body: u64,
}

/// Runs a [`Call`] against the upstream with the client `C`; also a
/// [`StatisticsCall`](crate::report::StatisticsCall).
#[derive(Debug, Clone)]
pub(crate) struct Fetch<C> {
    client: C,
    base_url: BaseUrl,
    limits: FetchLimits,
    metrics: UpstreamMetrics,
    recent: RecentCalls,
}

/// What the metrics and the log line of an attempt say about its call.
#[derive(Clone, Copy)]
pub(super) struct AttemptInfo<'a> {
    pub(super) reason: Reason,
    /// Whose request is the reason.
    pub(super) client: ClientNumber,
    pub(super) what: &'a dyn fmt::Display,
}

// === impl Fetch ===

impl<C> Fetch<C> {
    /// Calls the API at `base_url` with `client`. Each call is counted in `metrics` and noted in `recent`.
    pub(crate) fn new(
        client: C,
        base_url: BaseUrl,
        limits: FetchLimits,
        (metrics, recent): (UpstreamMetrics, RecentCalls),
    ) -> Self {
        Self { client, base_url, limits, metrics, recent }
    }

    pub(super) const fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    pub(super) const fn limits(&self) -> FetchLimits {
        self.limits
    }

    /// Sends a request and waits for the head of its response. Fills `exchange`.
    pub(super) async fn send<B>(
        &self,
        request: Result<Request<Empty<Bytes>>, http::Error>,
        exchange: &mut Exchange,
    ) -> Result<(Parts, B, Instant), Cause>
    where
        C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    {
        let request = request.map_err(|_error| Cause::Internal)?;
        let (head, body) = self.client.run(request).await?.into_parts();
        exchange.status = Some(head.status.as_u16());
        exchange.request_id = headers::request_id(&head.headers);
        exchange.date = headers::date(&head.headers);
        exchange.sent_generation = head.extensions.get().copied();
        Ok((head, body, Instant::now()))
    }

    /// Records the metrics and the log line of an attempt that has ended, or has reached its timeout.
    pub(super) fn ended<A>(
        &self,
        about: AttemptInfo<'_>,
        started: Instant,
        result: Result<Result<A, Cause>, Elapsed>,
        mut exchange: Exchange,
    ) -> Result<(A, Exchange), FetchError> {
        let result = result.unwrap_or(Err(UpstreamFailure::Timeout.into()));
        exchange.elapsed = started.elapsed();
        // A local denial is not a call: nothing was sent, and the module that denied it has logged and counted it.
        if !matches!(result, Err(Cause::Local(_))) {
            record(&self.metrics, about, &result, &exchange);
            let (status, request_id) = (exchange.status, exchange.request_id.as_deref());
            let error_key = result.as_ref().err().map(Cause::as_str);
            traces::called(&Span::current(), (status, request_id), error_key);
            self.recent.ended((about.reason.as_str(), about.what), result.as_ref().err(), &exchange);
        }
        match result {
            Ok(answer) => Ok((answer, exchange)),
            Err(cause) => Err(FetchError { exchange, ..cause.into() }),
        }
    }

    async fn attempt<B>(
        &self,
        key: ReportKey,
        exchange: &mut Exchange,
    ) -> Result<(Answer, Instant, Duration), Cause>
    where
        C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let request = request(&self.base_url, &key.path_and_query());
        if let Ok(request) = &request {
            traces::calling(&Span::current(), request.uri(), ReportKey::TEMPLATE);
        }
        let (head, body, answered_at) = self.send(request, exchange).await?;
        let age = headers::age(&head.headers);
        Ok((response::read(key.id, &head, body, self.limits.max_body).await?, answered_at, age))
    }
}

impl<C, B> Next<Call> for Fetch<C>
where
    C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Fetched;
    type Error = FetchError;

    async fn run(&self, call: Call) -> Result<Fetched, FetchError> {
        let mut exchange = Exchange::default();
        let started = Instant::now();
        let attempt = self.attempt(call.key, &mut exchange);
        let result = timeout(self.limits.attempt, attempt).await;
        let about = AttemptInfo { reason: call.reason, client: call.client, what: &call.key };
        let ((answer, answered_at, age), exchange) = self.ended(about, started, result, exchange)?;
        Ok(Fetched { answer, answered_at, age, exchange, stands_in_for: None })
    }
}

fn record<A>(
    metrics: &UpstreamMetrics,
    AttemptInfo { reason, client, what }: AttemptInfo<'_>,
    result: &Result<A, Cause>,
    exchange: &Exchange,
) {
    let Exchange { status, request_id, sent_generation: _, date: _, elapsed, origin: _, flight: _ } =
        exchange;
    let end = match (result, *status) {
        (Err(Cause::Upstream(UpstreamFailure::Invalid(_))), _) => CallStatus::Invalid,
        (_, Some(status)) => CallStatus::Status(status),
        (_, None) => CallStatus::NoStatus,
    };
    metrics.called(reason.as_str(), client.index(), end, *elapsed);
    if let Some((limit, _wait)) = result.as_ref().err().and_then(Cause::limit_reached) {
        metrics.throttled(match limit {
            UpstreamLimit::PerSecond | UpstreamLimit::Unspecified => ThrottleKind::Throttled,
            UpstreamLimit::PerDay => ThrottleKind::QuotaExceeded,
        });
    }
    let reason = reason.as_str();
    let (request_id, upstream_ms) = (request_id.as_deref(), elapsed.as_millis() as u64);
    match result {
        Ok(_) => tracing::debug!(key = %what, reason, status, request_id, upstream_ms, "upstream call"),
        Err(cause) => {
            tracing::warn!(key = %what, reason, status, request_id, upstream_ms, "upstream call failed: {cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};

    use super::*;
    use crate::{
        middleware::TowerService,
        report::{ActivityId, LocalDenial, NoClicks, Unreachable},
        telemetry::Metrics,
    };

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";
    const LIMITS: FetchLimits = FetchLimits { attempt: Duration::from_secs(10), max_body: 4_096 };

    type TestBody = BoxBody<Bytes, tower::BoxError>;

    /// A body with a first byte, followed by `end`: the rest, an error, or nothing.
    fn begun(
        end: impl Future<Output = Result<Frame<Bytes>, tower::BoxError>> + Send + Sync + 'static,
    ) -> TestBody {
        let first = ready(Ok(Frame::data(Bytes::from_static(b"{"))));
        StreamBody::new(stream::StreamExt::chain(stream::once(first), stream::once(end))).boxed()
    }

    async fn fetch<F>(
        answer: impl Fn() -> F + Clone + Send + Sync + 'static,
        metrics: &Metrics,
    ) -> Result<Fetched, FetchError>
    where
        F: Future<Output = Result<Response<TestBody>, Cause>> + Send + 'static,
    {
        let client = TowerService(tower::service_fn(move |_request: Request<Empty<Bytes>>| answer()));
        let base_url = BaseUrl::try_from("https://api.cc.email").unwrap();
        let key = ReportKey { id: ActivityId::parse(ID.as_bytes()).unwrap(), no_clicks: NoClicks::Omitted };
        let fetch = Fetch::new(client, base_url, LIMITS, (metrics.upstream.clone(), RecentCalls::default()));
        fetch.run(Call { key, reason: Reason::Miss, client: ClientNumber::ANONYMOUS }).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_attempt_timeout_covers_the_head_and_the_body() {
        let metrics = Metrics::new();
        let silent = fetch(pending::<Result<Response<TestBody>, Cause>>, &metrics).await.unwrap_err();
        let expected = Exchange { elapsed: LIMITS.attempt, ..Exchange::default() };
        assert_eq!(
            silent,
            FetchError { exchange: expected.clone(), ..Cause::Upstream(UpstreamFailure::Timeout).into() }
        );
        let endless = fetch(|| ready(Ok(Response::new(begun(pending())))), &metrics).await.unwrap_err();
        let expected = Exchange { status: Some(200), ..expected };
        assert_eq!(
            endless,
            FetchError { exchange: expected, ..Cause::Upstream(UpstreamFailure::Timeout).into() }
        );
        let text = metrics.render().unwrap();
        for code in ["none", "200"] {
            let line = format!("upstream_requests_total{{code=\"{code}\",reason=\"miss\"}} 1\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn generated_at_is_the_time_of_the_response_head_minus_its_age() {
        let seconds = Duration::from_secs;
        let sent_at = Instant::now();
        let answer = move || async move {
            tokio::time::sleep(seconds(2)).await;
            let rest = async move {
                tokio::time::sleep(seconds(3)).await;
                let rest = format!(r#""campaign_activity_id":"{ID}","link_click_counts":[]}}"#);
                Ok(Frame::data(Bytes::from(rest)))
            };
            Ok(Response::builder().header("age", "100").body(begun(rest)).unwrap())
        };
        let fetched = fetch(answer, &Metrics::new()).await.unwrap();
        assert_eq!((fetched.answered_at - sent_at, fetched.age), (seconds(2), seconds(100)));
        assert_eq!(Instant::now() - fetched.generated_at(), seconds(103));
    }

    #[tokio::test]
    async fn the_age_header_is_the_age_of_the_answer() {
        let body = format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[]}}"#);
        let body = move || Full::new(Bytes::from(body.clone())).map_err(Into::into).boxed();
        let aged = move || ready(Ok(Response::builder().header("age", "600").body(body()).unwrap()));
        assert_eq!(fetch(aged, &Metrics::new()).await.unwrap().age, Duration::from_secs(600));
    }

    #[tokio::test]
    async fn a_call_denied_locally_is_not_counted() {
        let metrics = Metrics::new();
        fetch(|| ready(Err(Cause::Local(LocalDenial::NoToken))), &metrics).await.unwrap_err();
        fetch(|| ready(Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Dns)))), &metrics)
            .await
            .unwrap_err();
        assert!(metrics.render().unwrap().contains("{code=\"none\",reason=\"miss\"} 1\n"));
    }
}
