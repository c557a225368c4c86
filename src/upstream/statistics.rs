//! A call for the statistics of up to ten campaigns: the change probe's. It shares the client, the timeout and the
//! metrics with the calls for reports.

use std::{error::Error as StdError, time::SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::Instant;

use super::{
    fetch::{AttemptInfo, Fetch},
    headers,
    request::request,
    response,
};
use crate::{
    middleware::Next,
    report::{
        Cause, ClientNumber, Exchange, FetchError, FetchedStatistics, Reason, StatisticsAnswer,
        StatisticsCall, parse_statistics,
    },
};

/// The largest body, in bytes, both as sent and decoded: ten results have about ten kilobytes.
const MAX_BODY: u64 = 256 * 1024;

// === impl Fetch ===

impl<C> Fetch<C> {
    async fn statistics<B>(
        &self,
        call: &StatisticsCall,
        exchange: &mut Exchange,
    ) -> Result<(StatisticsAnswer, Instant, SystemTime), Cause>
    where
        C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let request = request(self.base_url(), &call.path());
        let limits = self.limits_from_now(MAX_BODY);
        let (head, body, answered_at) = self.send(request, limits.deadline, exchange).await?;
        // The ages of the statistics are counted by the upstream's own clock, if it tells the time. Its `Date` is of when
        // a cache on the way got the answer.
        let date = headers::date(&head.headers);
        let clock = date.map_or_else(SystemTime::now, |date| date + headers::age(&head.headers));
        let answer = match response::answered_body(&head, body, limits).await? {
            Some(body) => StatisticsAnswer::Statistics(parse_statistics(call, &body)?),
            None => StatisticsAnswer::Rejected,
        };
        Ok((answer, answered_at, clock))
    }
}

impl<C, B> Next<StatisticsCall> for Fetch<C>
where
    C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = FetchedStatistics;
    type Error = FetchError;

    async fn run(&self, call: StatisticsCall) -> Result<FetchedStatistics, FetchError> {
        let mut exchange = Exchange::default();
        let started = Instant::now();
        let result = self.statistics(&call, &mut exchange).await;
        let about = AttemptInfo { reason: Reason::Probe, client: ClientNumber::PROXY, what: &call };
        let ((answer, answered_at, clock), exchange) = self.ended(about, started, result, exchange)?;
        Ok(FetchedStatistics { answer, answered_at, clock, exchange })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::Duration,
    };

    use http_body_util::Full;

    use super::*;
    use crate::{
        middleware::TowerService,
        report::{ActivityClicks, ActivityId, InvalidReport, LocalDenial, UpstreamFailure, UpstreamLimit},
        settings::BaseUrl,
        telemetry::Metrics,
        upstream::{FetchLimits, RecentCalls},
    };

    const LIMITS: FetchLimits = FetchLimits { attempt: Duration::from_secs(10), max_body: 8 << 20 };
    const IDS: [&str; 2] = ["8892baf9-970a-4de6-8400-fa4ec461986d", "1ead98be-dfa0-4e04-81f7-5f1534d42e9c"];

    fn id(text: &str) -> ActivityId {
        ActivityId::parse(text.as_bytes()).unwrap()
    }

    /// A response of the vendor's, answering for both ids.
    fn body() -> String {
        let result = |id: &str, clicks: u32, second: u32| {
            let all = clicks + 2;
            format!(
                r#"{{"campaign_id":"x","campaign_activity_id":"{id}","stats":{{"em_clicks":{clicks},"em_clicks.all":{all}}},"last_refresh_time":"2020-09-24T16:26:{second}.000Z"}}"#
            )
        };
        format!(r#"{{"errors":[],"results":[{},{}]}}"#, result(IDS[0], 7, 56), result(IDS[1], 0, 30))
    }

    type Answered = Result<Response<Full<Bytes>>, Cause>;

    async fn fetch<F>(
        answer: impl Fn(Request<Empty<Bytes>>) -> F + Clone + Send + Sync + 'static,
        metrics: &Metrics,
    ) -> Result<FetchedStatistics, FetchError>
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let client = TowerService(tower::service_fn(answer));
        let base_url = BaseUrl::try_from("https://api.cc.email").unwrap();
        let fetch = Fetch::new(client, base_url, LIMITS, (metrics.upstream.clone(), RecentCalls::default()));
        fetch.run(StatisticsCall::new(IDS.map(id).to_vec()).unwrap()).await
    }

    async fn answered(
        status: u16,
        header: (&'static str, &'static str),
        body: String,
    ) -> Result<StatisticsAnswer, Cause> {
        let answer = move |_request| {
            let body = Full::new(Bytes::from(body.clone()));
            ready(Ok(Response::builder().status(status).header(header.0, header.1).body(body).unwrap()))
        };
        fetch(answer, &Metrics::new()).await.map(|fetched| fetched.answer).map_err(|error| error.cause)
    }

    const PLAIN: (&str, &str) = ("content-type", "application/json");

    #[tokio::test]
    async fn the_request_is_canonical_and_each_campaign_has_its_clicks_and_their_age_by_the_upstream_s_clock()
    {
        let answer = |request: Request<Empty<Bytes>>| {
            let expected = format!(
                "https://api.cc.email/v3/reports/stats/email_campaign_activities/{},{}",
                IDS[0], IDS[1]
            );
            assert_eq!(request.uri().to_string(), expected);
            let response =
                Response::builder().header("date", "Thu, 24 Sep 2020 16:27:00 GMT").header("age", "9");
            ready(Ok(response.body(Full::new(Bytes::from(body()))).unwrap()))
        };
        let metrics = Metrics::new();
        let fetched = fetch(answer, &metrics).await.unwrap();
        let StatisticsAnswer::Statistics(found) = &fetched.answer else { panic!("rejected") };
        let told: Vec<_> = found
            .iter()
            .map(|found: &ActivityClicks| (found.id, found.clicks, fetched.age_of(found).as_secs()))
            .collect();
        assert_eq!(told, [(id(IDS[0]), 9, 4 + 9), (id(IDS[1]), 2, 30 + 9)]);
        let text = metrics.render().unwrap();
        assert!(text.contains("upstream_requests_total{code=\"200\",reason=\"probe\"} 1\n"), "{text}");
    }

    #[tokio::test]
    async fn a_400_or_404_rejects_the_whole_batch_and_every_other_status_is_its_cause() {
        for status in [400, 404] {
            assert_eq!(answered(status, PLAIN, "<html>".to_owned()).await, Ok(StatisticsAnswer::Rejected));
        }
        let limit = UpstreamLimit::PerDay;
        for (status, failure) in [
            (401, UpstreamFailure::Unauthorized),
            (403, UpstreamFailure::Forbidden),
            (429, UpstreamFailure::TooManyRequests { limit, retry_after: Duration::ZERO }),
            (204, UpstreamFailure::Status { status: 204 }),
            (302, UpstreamFailure::Status { status: 302 }),
            (503, UpstreamFailure::Status { status: 503 }),
        ] {
            let body = r#"{"error_key":"quota_exceeded"}"#.to_owned();
            assert_eq!(answered(status, PLAIN, body).await, Err(failure.into()));
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_statistics_or_too_large_is_invalid() {
        let large = format!("{}{}", body(), " ".repeat(MAX_BODY as usize));
        for (expected, header, body) in [
            (InvalidReport::NoStatistics, PLAIN, "<html>".to_owned()),
            (InvalidReport::Encoding, ("content-encoding", "br"), body()),
            (InvalidReport::TooLarge { limit: MAX_BODY }, PLAIN, large),
        ] {
            assert_eq!(answered(200, header, body).await, Err(expected.into()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_upstream_is_a_timeout_and_a_call_denied_locally_is_not_counted() {
        let metrics = Metrics::new();
        let silent = fetch(|_| pending::<Answered>(), &metrics).await.unwrap_err();
        assert_eq!(
            (silent.cause, silent.exchange.elapsed),
            (UpstreamFailure::Timeout.into(), LIMITS.attempt)
        );
        let denied = fetch(|_| ready(Err(LocalDenial::NoToken.into())), &metrics).await.unwrap_err();
        assert_eq!(denied.cause, LocalDenial::NoToken.into());
        let text = metrics.render().unwrap();
        assert!(text.contains("upstream_requests_total{code=\"none\",reason=\"probe\"} 1\n"), "{text}");
    }
}
