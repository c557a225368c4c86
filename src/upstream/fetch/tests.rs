//! What an attempt makes of each response, and when it ends.

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
async fn a_status_that_came_in_time_is_no_timeout_though_its_body_does_not_come() {
    let late = |status: u16| {
        move || async move {
            tokio::time::sleep(LIMITS.attempt - Duration::from_millis(100)).await;
            let head = Response::builder().status(status).header("retry-after", "7");
            Ok(head.body(begun(pending())).unwrap())
        }
    };
    let throttled = fetch(late(429), &Metrics::new()).await.unwrap_err();
    let (limit, retry_after) = (UpstreamLimit::Unspecified, Duration::from_secs(7));
    assert_eq!(throttled.cause, UpstreamFailure::TooManyRequests { limit, retry_after }.into());
    assert_eq!((throttled.exchange.status, throttled.exchange.elapsed), (Some(429), LIMITS.attempt));
    let unknown = fetch(late(404), &Metrics::new()).await.unwrap();
    assert!(matches!(unknown.answer, Answer::Negative(_)));
}

#[tokio::test]
async fn a_date_to_retry_after_is_one_of_the_upstream_s_clock() {
    // By ours it was over long ago.
    for (age, seconds) in [(None, 7), (Some("3"), 4)] {
        let dated = move || {
            let head = Response::builder().status(429).header("date", "Thu, 24 Sep 2020 16:27:00 GMT");
            let head = head.header("retry-after", "Thu, 24 Sep 2020 16:27:07 GMT");
            let head = age.into_iter().fold(head, |head, age| head.header("age", age));
            ready(Ok(head.body(Full::default().map_err(Into::into).boxed()).unwrap()))
        };
        let throttled = fetch(dated, &Metrics::new()).await.unwrap_err();
        let (limit, retry_after) = (UpstreamLimit::Unspecified, Duration::from_secs(seconds));
        assert_eq!(throttled.cause, UpstreamFailure::TooManyRequests { limit, retry_after }.into());
    }
}

#[tokio::test]
async fn a_429_is_counted_by_the_limit_that_it_names_if_it_names_one() {
    let metrics = Metrics::new();
    for body in [r#"{"error_key":"throttled"}"#, r#"{"error_key":"quota_exceeded"}"#, "", "<html>", "{}"] {
        let body = move || Full::new(Bytes::from_static(body.as_bytes())).map_err(Into::into).boxed();
        let refused = move || ready(Ok(Response::builder().status(429).body(body()).unwrap()));
        fetch(refused, &metrics).await.unwrap_err();
    }
    let text = metrics.render().unwrap();
    for (kind, count) in [("throttled", 1), ("quota_exceeded", 1), ("unspecified", 3)] {
        let line = format!("upstream_throttled_total{{kind=\"{kind}\"}} {count}\n");
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
async fn the_date_of_a_stored_answer_is_not_the_time_by_the_upstream_s_clock() {
    for (age, is_told) in [(None, true), (Some("0"), true), (Some("1"), false), (Some("600"), false)] {
        let dated = move || {
            let head = Response::builder().status(404).header("date", "Thu, 24 Sep 2020 16:27:00 GMT");
            let head = match age {
                Some(age) => head.header("age", age),
                None => head,
            };
            ready(Ok(head.body(Full::default().map_err(Into::into).boxed()).unwrap()))
        };
        let fetched = fetch(dated, &Metrics::new()).await.unwrap();
        assert_eq!(fetched.exchange.date.is_some(), is_told, "{age:?}");
    }
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
