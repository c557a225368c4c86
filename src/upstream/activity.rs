//! A call for the status of a campaign activity. It shares the client, the timeout and the metrics with the calls for
//! reports.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{Request, Response, StatusCode, response::Parts};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::{Instant, timeout};

use super::{
    body::{self, Encoding},
    fetch::{AttemptInfo, Fetch},
    request::request,
    response,
};
use crate::{
    middleware::Next,
    report::{ActivityDetails, Cause, Exchange, FetchError, FetchedStatus, Reason, StatusCall},
};

/// The largest body, in bytes, both as sent and decoded: without `include` it has some kilobytes.
const MAX_BODY: u64 = 256 * 1024;

// === impl Fetch ===

impl<C> Fetch<C> {
    async fn details<B>(&self, call: StatusCall, exchange: &mut Exchange) -> Result<ActivityDetails, Cause>
    where
        C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let request = request(self.base_url(), &call.path());
        let (head, body, _answered_at) = self.send(request, exchange).await?;
        read(call, &head, body, self.limits().max_body.min(MAX_BODY)).await
    }
}

impl<C, B> Next<StatusCall> for Fetch<C>
where
    C: Next<Request<Empty<Bytes>>, Response = Response<B>, Error = Cause>,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = FetchedStatus;
    type Error = FetchError;

    async fn run(&self, call: StatusCall) -> Result<FetchedStatus, FetchError> {
        let mut exchange = Exchange::default();
        let started = Instant::now();
        let result = timeout(self.limits().attempt, self.details(call, &mut exchange)).await;
        let about = AttemptInfo { reason: Reason::Status, client: call.client, what: &call };
        let (details, exchange) = self.ended(about, started, result, exchange)?;
        Ok(FetchedStatus { details, exchange })
    }
}

/// Reads the response.
///
/// # Errors
/// The [`Cause`] for an error status or an invalid body. 400 and 404 are answers.
async fn read<B>(call: StatusCall, head: &Parts, body: B, max_body: u64) -> Result<ActivityDetails, Cause>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    match head.status {
        StatusCode::OK => {
            let body = body::read(body, Encoding::of(&head.headers)?, max_body).await?;
            Ok(ActivityDetails::parse(call.id, &body)?)
        }
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Ok(ActivityDetails::NOT_FOUND),
        other => Err(response::failure(other, &head.headers, body).await.into()),
    }
}
