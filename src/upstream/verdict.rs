//! What an answer's head and body mean.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{DATE, RETRY_AFTER},
    response::Parts,
};
use http_body::Body;
use tokio::time::timeout;

use super::{
    body::{self, Encoding},
    retry_after,
};
use crate::report::{ActivityId, Answer, Cause, InvalidReport, LinkReport, Refusal, RefusalStatus};

/// The vendor's support asks for it (AWS API Gateway).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Gateways' ids are UUIDs; a longer one is not worth a line of log.
const MAX_REQUEST_ID: usize = 128;

/// An error's body is a sentence. A page of HTML past this says no more than none.
const MAX_ERROR_BODY: u64 = 64 * 1024;
/// A status that has come is not lost to a body that does not: what it says of the quota would go unheard.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(1);

/// The vendor's word for a spent day.
const QUOTA_EXCEEDED: &str = "quota_exceeded";

/// The vendor's word for a second that has had its calls.
const THROTTLED: &str = "throttled";

/// The longest that one `Retry-After` can silence us.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A 429 without `Retry-After` speaks of the current second.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// Reads the answer to a question about the activity `id`.
///
/// # Errors
/// The [`Cause`] that the status or an unusable body stands for. No byte of the body is in it.
pub(super) async fn read<B>(id: ActivityId, head: &Parts, body: B, max_body: u64) -> Result<Answer, Cause>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let headers = &head.headers;
    match head.status {
        StatusCode::OK => {
            let body = body::read(body, Encoding::of(headers)?, max_body).await?;
            Ok(Answer::Report(LinkReport::parse(id, &body)?))
        }
        StatusCode::BAD_REQUEST => Ok(refusal(RefusalStatus::BadRequest, headers, body).await),
        StatusCode::NOT_FOUND => Ok(refusal(RefusalStatus::NotFound, headers, body).await),
        StatusCode::UNAUTHORIZED => Err(Cause::Unauthorized),
        StatusCode::FORBIDDEN => Err(Cause::Forbidden),
        StatusCode::TOO_MANY_REQUESTS => Err(too_many(headers, body).await),
        other => Err(Cause::Status { status: other.as_u16() }),
    }
}

async fn refusal<B>(status: RefusalStatus, headers: &HeaderMap, body: B) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    Answer::Refusal(Refusal::parse(status, &error_body(headers, body).await.unwrap_or_default()))
}

async fn too_many<B>(headers: &HeaderMap, body: B) -> Cause
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let body = error_body(headers, body).await.unwrap_or_default();
    let wait = |value| retry_after::parse(value, SystemTime::now(), LONGEST_WAIT);
    let asked = headers.get(RETRY_AFTER).and_then(wait);
    match Refusal::error_key_of(&body).as_deref() {
        // How far midnight is, is the ledger's to say.
        Some(QUOTA_EXCEEDED) => Cause::QuotaExhausted { retry_after: asked.unwrap_or_default() },
        Some(THROTTLED) => Cause::Throttled { retry_after: asked.unwrap_or(THROTTLED_FOR) },
        Some(_) | None => Cause::TooMany { retry_after: asked.unwrap_or(THROTTLED_FOR) },
    }
}

/// The status has been said already: an error's body that cannot be read only leaves it without words.
async fn error_body<B>(headers: &HeaderMap, body: B) -> Result<Vec<u8>, InvalidReport>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let read = body::read(body, Encoding::of(headers)?, MAX_ERROR_BODY);
    timeout(ERROR_BODY_PATIENCE, read).await.unwrap_or(Err(InvalidReport::Truncated))
}

/// The vendor's time of day.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Only an id that is safe in a line of log.
pub(super) fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sane = (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::{HeaderValue, Response};
    use http_body::Frame;
    use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};

    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";
    const MAX_BODY: u64 = 4_096;
    const PLAIN: (&str, &str) = ("content-type", "application/json");

    type TestBody = BoxBody<Bytes, tower::BoxError>;

    fn full(body: impl Into<Bytes>) -> TestBody {
        Full::new(body.into()).map_err(Into::into).boxed()
    }

    fn cut_off() -> TestBody {
        let frames = [Ok(Frame::data(Bytes::from_static(b"{"))), Err("connection reset".into())];
        StreamBody::new(stream::iter(frames)).boxed()
    }

    fn report() -> String {
        format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[]}}"#)
    }

    async fn answer(
        status: u16,
        header: (&'static str, &'static str),
        body: TestBody,
    ) -> Result<Answer, Cause> {
        let response = Response::builder().status(status).header(header.0, header.1).body(body).unwrap();
        let (head, body) = response.into_parts();
        read(ActivityId::parse(ID.as_bytes()).unwrap(), &head, body, MAX_BODY).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_status_says_is_heard_though_its_body_never_comes() {
        let never = || StreamBody::new(stream::pending::<Result<Frame<Bytes>, tower::BoxError>>()).boxed();
        assert!(matches!(answer(429, PLAIN, never()).await, Err(Cause::TooMany { .. })));
        assert!(matches!(answer(404, PLAIN, never()).await, Ok(Answer::Refusal(_))));
    }

    #[tokio::test]
    async fn a_200_is_a_report_of_this_activity_or_no_answer_at_all() {
        let Ok(Answer::Report(good)) = answer(200, PLAIN, full(report())).await else { panic!("no report") };
        assert_eq!(good.tagged().body(), report().as_bytes());
        let other = report().replace("8892", "9999");
        for (expected, header, body) in [
            (InvalidReport::Malformed, PLAIN, full("<html>")),
            (InvalidReport::OtherActivity, PLAIN, full(other)),
            (InvalidReport::Encoding, ("content-encoding", "br"), full(report())),
            (InvalidReport::Encoding, ("content-encoding", "gzip"), full(report())),
            (InvalidReport::TooLarge { limit: MAX_BODY }, PLAIN, full(" ".repeat(5_000))),
            (InvalidReport::Truncated, PLAIN, cut_off()),
        ] {
            assert_eq!(answer(200, header, body).await, Err(expected.into()));
        }
    }

    #[tokio::test]
    async fn every_other_status_has_its_cause() {
        for (status, cause) in [
            (401, Cause::Unauthorized),
            (403, Cause::Forbidden),
            (204, Cause::Status { status: 204 }),
            (302, Cause::Status { status: 302 }),
            (418, Cause::Status { status: 418 }),
            (500, Cause::Status { status: 500 }),
            (503, Cause::Status { status: 503 }),
        ] {
            assert_eq!(answer(status, PLAIN, full("<secret>")).await, Err(cause));
        }
    }

    #[tokio::test]
    async fn a_400_or_404_is_an_answer_even_if_its_body_cannot_be_read() {
        let words = || full(r#"[{"error_key":"a.b","error_message":"No."}]"#);
        for (status, body, key) in
            [(400, words(), "a.b"), (404, words(), "a.b"), (404, cut_off(), "not_found")]
        {
            let Ok(Answer::Refusal(refusal)) = answer(status, PLAIN, body).await else {
                panic!("no refusal")
            };
            assert_eq!((refusal.status.code(), &*refusal.error_key), (status, key));
        }
    }

    #[tokio::test]
    async fn the_429s_are_told_apart_by_their_error_key() {
        let throttled = |seconds| Cause::Throttled { retry_after: Duration::from_secs(seconds) };
        let unclear = Cause::TooMany { retry_after: THROTTLED_FOR };
        let exhausted = Cause::QuotaExhausted { retry_after: Duration::ZERO };
        for (header, body, cause) in [
            (PLAIN, r#"{"error_key":"throttled"}"#, throttled(1)),
            (PLAIN, r#"{"message":"Limit Exceeded"}"#, unclear.clone()),
            (PLAIN, "<html>", unclear),
            (("retry-after", "86400"), r#"{"error_key":"throttled"}"#, throttled(60)),
            (PLAIN, r#"{"error_key":"quota_exceeded"}"#, exhausted),
        ] {
            assert_eq!(answer(429, header, full(body)).await, Err(cause));
        }
    }

    #[test]
    fn only_a_printable_request_id_is_kept() {
        for (sent, kept) in [("a1-b2", Some("a1-b2")), ("a b", None), ("", None)] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(sent))]);
            assert_eq!(request_id(&headers).as_deref(), kept);
        }
    }
}
