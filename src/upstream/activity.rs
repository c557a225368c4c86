//! A call for the status of a campaign activity. It shares the client, the timeout and the metrics with the calls for
//! reports.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use tokio::time::Instant;

use super::{
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
        let limits = self.limits_from_now(MAX_BODY);
        let (head, body, _answered_at) = self.send(request, limits.deadline, exchange).await?;
        match response::answered_body(&head, body, limits).await? {
            Some(body) => Ok(ActivityDetails::parse(call.id, &body)?),
            None => Ok(ActivityDetails::NOT_FOUND),
        }
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
        let result = self.details(call, &mut exchange).await;
        let about = AttemptInfo { reason: Reason::Status, client: call.client, what: &call };
        let (details, exchange) = self.ended(about, started, result, exchange)?;
        Ok(FetchedStatus { details, exchange })
    }
}
