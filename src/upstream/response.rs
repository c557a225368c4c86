//! Interprets an upstream response: its status, headers and body, as an `Answer` or a `Cause`.

use std::{
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response::Parts};
use http_body::Body;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    body::{self, Coded, Encoding},
    retry_after,
};
use crate::report::{
    ActivityId, Answer, Cause, InvalidReport, LinkReport, NegativeAnswer, NegativeStatus, UpstreamFailure,
    UpstreamLimit,
};

/// A body above this size, in bytes, takes over a millisecond to decode, parse and hash, so it is done on another
/// thread.
const LARGE: u64 = 256 * 1024;
/// The largest error body that is read, in bytes. The vendor's are one sentence; a larger one is ignored.
const MAX_ERROR_BODY: u64 = 64 * 1024;
/// How long to wait for an error's body, at most until the end of the attempt. If it does not arrive, the status is used
/// without it: a 429 must not become a timeout.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest `Retry-After` that is obeyed; a longer one counts as this.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The wait after a 429 without `Retry-After`: the limit is per second.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// What reading a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// The largest body in bytes, both as sent and decoded.
    pub(super) max: u64,
    /// The end of the attempt. An error's status is used without its body then.
    pub(super) deadline: Instant,
}

/// Reads the response to a report request for the activity `id`.
///
/// # Errors
/// The [`Cause`] for an error status or an invalid body. It contains no bytes of the body, so it is safe to log.
pub(super) async fn read<B>(
    id: ActivityId,
    head: &Parts,
    body: B,
    limits: BodyLimits,
) -> Result<Answer, Cause>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (headers, deadline) = (&head.headers, limits.deadline);
    match head.status {
        StatusCode::OK => {
            let encoding = Encoding::of(headers)?;
            let report = async {
                let coded = Coded::read(body, limits.max).await?;
                report(id, coded, encoding, limits.max).await
            };
            Ok(Answer::Report(in_time(deadline, report).await?))
        }
        StatusCode::BAD_REQUEST => {
            Ok(negative_answer(NegativeStatus::BadRequest, headers, body, deadline).await)
        }
        StatusCode::NOT_FOUND => Ok(negative_answer(NegativeStatus::NotFound, headers, body, deadline).await),
        other => Err(failure(other, headers, body, deadline).await.into()),
    }
}

/// The decoded body of a 200; `None` of a 400 or 404, which are answers too. For small bodies: a report's may take a thread.
///
/// # Errors
/// The [`Cause`] for any other status, or for a body that cannot be read within these limits.
pub(super) async fn answered_body<B>(
    head: &Parts,
    body: B,
    limits: BodyLimits,
) -> Result<Option<Vec<u8>>, Cause>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    match head.status {
        StatusCode::OK => {
            let encoding = Encoding::of(&head.headers)?;
            let read = async { Ok(body::read(body, encoding, limits.max).await?) };
            in_time(limits.deadline, read).await.map(Some)
        }
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Ok(None),
        other => Err(failure(other, &head.headers, body, limits.deadline).await.into()),
    }
}

/// Its result, or a timeout at the end of the attempt.
pub(super) async fn in_time<T>(
    deadline: Instant,
    act: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    timeout_at(deadline, act).await.unwrap_or_else(|_elapsed| Err(UpstreamFailure::Timeout.into()))
}

/// The meaning of a status that is no answer, whatever was asked for.
async fn failure<B>(status: StatusCode, headers: &HeaderMap, body: B, deadline: Instant) -> UpstreamFailure
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    match status {
        StatusCode::UNAUTHORIZED => UpstreamFailure::Unauthorized,
        StatusCode::FORBIDDEN => UpstreamFailure::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => too_many(headers, body, deadline).await,
        other => UpstreamFailure::Status { status: other.as_u16() },
    }
}

/// Decodes, parses and hashes a report. A large one runs on a blocking thread, so that the worker threads can go on
/// serving hits.
async fn report(
    id: ActivityId,
    coded: Coded,
    encoding: Encoding,
    max_body: u64,
) -> Result<LinkReport, Cause> {
    let at_once = LARGE.min(max_body);
    match coded.decode(encoding, at_once) {
        Ok(body) => return Ok(LinkReport::parse(id, &body)?),
        // Larger than `LARGE`, as sent or as decoded.
        Err(InvalidReport::TooLarge { .. }) if at_once < max_body => {}
        Err(error) => return Err(error.into()),
    }
    let parsing = move || LinkReport::parse(id, &coded.decode(encoding, max_body)?);
    // A join error: it panicked, or the runtime is shutting down.
    let parsed = spawn_blocking(parsing).await.map_err(|_ended| Cause::Internal)?;
    Ok(parsed?)
}

async fn negative_answer<B>(status: NegativeStatus, headers: &HeaderMap, body: B, deadline: Instant) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let body = error_body(headers, body, deadline).await.unwrap_or_default();
    Answer::Negative(NegativeAnswer::parse(status, &body))
}

async fn too_many<B>(headers: &HeaderMap, body: B, deadline: Instant) -> UpstreamFailure
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let body = error_body(headers, body, deadline).await.unwrap_or_default();
    let requested = retry_after::of(headers, SystemTime::now(), MAX_WAIT);
    let limit = UpstreamLimit::of(NegativeAnswer::error_key_of(&body).as_deref());
    let retry_after = requested.unwrap_or(match limit {
        // The quota computes the wait until midnight UTC.
        UpstreamLimit::PerDay => Duration::ZERO,
        UpstreamLimit::PerSecond | UpstreamLimit::Unspecified => THROTTLED_FOR,
    });
    UpstreamFailure::TooManyRequests { limit, retry_after }
}

/// Reads an error's body. On failure the caller uses the status alone.
async fn error_body<B>(headers: &HeaderMap, body: B, deadline: Instant) -> Result<Vec<u8>, InvalidReport>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let read = body::read(body, Encoding::of(headers)?, MAX_ERROR_BODY);
    let until = deadline.min(Instant::now() + ERROR_BODY_TIMEOUT);
    timeout_at(until, read).await.unwrap_or(Err(InvalidReport::Truncated))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::mpsc;

    use flate2::{Compression, write::GzEncoder};
    use futures_util::{FutureExt as _, stream};
    use http::Response;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
    use tokio::runtime::Builder;

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

    fn up_to(max: u64) -> BodyLimits {
        BodyLimits { max, deadline: Instant::now() + Duration::from_secs(10) }
    }

    async fn answer(
        status: u16,
        header: (&'static str, &'static str),
        body: TestBody,
    ) -> Result<Answer, Cause> {
        let response = Response::builder().status(status).header(header.0, header.1).body(body).unwrap();
        let (head, body) = response.into_parts();
        read(ActivityId::parse(ID.as_bytes()).unwrap(), &head, body, up_to(MAX_BODY)).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_status_is_used_even_if_its_body_never_arrives() {
        let never = || StreamBody::new(stream::pending::<Result<Frame<Bytes>, tower::BoxError>>()).boxed();
        assert!(matches!(
            answer(429, PLAIN, never()).await,
            Err(Cause::Upstream(UpstreamFailure::TooManyRequests { limit: UpstreamLimit::Unspecified, .. }))
        ));
        assert!(matches!(answer(404, PLAIN, never()).await, Ok(Answer::Negative(_))));
    }

    #[tokio::test]
    async fn a_200_is_a_report_of_this_activity_or_an_error() {
        let Ok(Answer::Report(parsed)) = answer(200, PLAIN, full(report())).await else {
            panic!("no report")
        };
        assert_eq!(parsed.representation().body(), report().as_bytes());
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

    #[test]
    fn a_large_body_is_decoded_and_parsed_on_a_blocking_thread() {
        let id = ActivityId::parse(ID.as_bytes()).unwrap();
        let gzip = |body: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body.as_bytes()).unwrap();
            Bytes::from(encoder.finish().unwrap())
        };
        let padded = |len: usize| format!("{}{}", report(), " ".repeat(len - report().len()));
        let large = LARGE as usize;
        // The only blocking thread is busy at first: a result at the first poll was computed on this thread.
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        for (len, at_once) in [(1_000, true), (large, true), (large + 1, false), (2 << 20, false)] {
            let body = padded(len);
            for (coding, sent) in [("identity", Bytes::from(body.clone())), ("gzip", gzip(&body))] {
                let response = || {
                    let response = Response::builder().header("content-encoding", coding);
                    response.body(full(sent.clone())).unwrap().into_parts()
                };
                let (release, busy) = mpsc::channel::<()>();
                runtime.spawn_blocking(move || busy.recv());
                runtime.block_on(async {
                    let (head, sent) = response();
                    let now = read(id, &head, sent, up_to(8 << 20)).now_or_never();
                    assert_eq!(now.is_some(), at_once, "{len} bytes, {coding}");
                    drop(release);
                    let (head, sent) = response();
                    let Ok(Answer::Report(read)) = read(id, &head, sent, up_to(8 << 20)).await else {
                        panic!("{len}")
                    };
                    assert_eq!(read.representation().body(), body.as_bytes());
                });
            }
        }
    }

    #[tokio::test]
    async fn every_other_status_is_its_cause() {
        for (status, cause) in [
            (401, Cause::Upstream(UpstreamFailure::Unauthorized)),
            (403, Cause::Upstream(UpstreamFailure::Forbidden)),
            (204, Cause::Upstream(UpstreamFailure::Status { status: 204 })),
            (302, Cause::Upstream(UpstreamFailure::Status { status: 302 })),
            (418, Cause::Upstream(UpstreamFailure::Status { status: 418 })),
            (500, Cause::Upstream(UpstreamFailure::Status { status: 500 })),
            (503, Cause::Upstream(UpstreamFailure::Status { status: 503 })),
        ] {
            assert_eq!(answer(status, PLAIN, full("<secret>")).await, Err(cause));
        }
    }

    #[tokio::test]
    async fn a_400_or_404_is_a_negative_answer_even_if_its_body_cannot_be_read() {
        let words = || full(r#"[{"error_key":"a.b","error_message":"No."}]"#);
        for (status, body, key) in
            [(400, words(), "a.b"), (404, words(), "a.b"), (404, cut_off(), "not_found")]
        {
            let Ok(Answer::Negative(negative_answer)) = answer(status, PLAIN, body).await else {
                panic!("not a negative answer")
            };
            assert_eq!((negative_answer.status.code(), &*negative_answer.error_key), (status, key));
        }
    }

    #[tokio::test]
    async fn the_error_key_of_a_429_says_which_limit() {
        let refused =
            |limit, retry_after| Cause::from(UpstreamFailure::TooManyRequests { limit, retry_after });
        let throttled = |seconds| refused(UpstreamLimit::PerSecond, Duration::from_secs(seconds));
        let unclear = refused(UpstreamLimit::Unspecified, THROTTLED_FOR);
        let exhausted = refused(UpstreamLimit::PerDay, Duration::ZERO);
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
}
