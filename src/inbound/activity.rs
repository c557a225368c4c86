//! `GET /v1/activities/{id}`: whether an activity was sent, and what it is called. It always answers: what is not known is
//! `unknown`, and `error_key` says why.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Response, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::{access_log::AccessLogEntry, outcome::RequestOutcome};
use crate::{
    cache::{ReportCache, StatusChecks, StatusOrigin},
    quota::WallClock,
    report::{ActivityId, Cause, ClientNumber, FetchError, StatusCall, UpstreamFailure},
    server::{Body, Chunk},
};

/// Builds the responses that tell of an activity.
#[derive(Debug)]
pub(crate) struct ActivityResponder {
    pub(crate) memory: Arc<ReportCache>,
    /// `None`: only what is known is told.
    pub(crate) checks: Option<StatusChecks>,
    pub(crate) clock: WallClock,
    /// The longest that a request waits for a call.
    pub(crate) deadline: Duration,
}

#[derive(Serialize)]
struct ActivityView<'a> {
    campaign_activity_id: ActivityId,
    status: Option<&'static str>,
    sent: &'static str,
    subject: Option<&'a str>,
    role: Option<&'a str>,
    checked_at: Option<String>,
    /// In seconds.
    age: Option<u64>,
    error_key: Option<&'static str>,
}

// === impl ActivityResponder ===

impl ActivityResponder {
    /// The response to this client, and its access log entry.
    pub(super) async fn respond(
        &self,
        id: ActivityId,
        client: ClientNumber,
    ) -> (Response<Body>, AccessLogEntry) {
        let checked = self.check(StatusCall { id, client }).await;
        let known = self.memory.activity_status(id);
        let age = known.as_ref().map(|known| Instant::now().saturating_duration_since(known.checked_at));
        let details = known.as_ref().map(|known| &*known.details);
        let error_key = checked.as_ref().err().map(|error| error.cause.as_str());
        let view = ActivityView {
            campaign_activity_id: id,
            status: details.map(|details| details.status.as_str()),
            sent: self.memory.sent_evidence(id).sent().certain(),
            subject: details.and_then(|details| details.subject.as_deref()),
            role: details.and_then(|details| details.role.as_deref()),
            checked_at: age.and_then(|age| rfc3339(&self.clock, age)),
            age: age.map(|age| age.as_secs()),
            error_key,
        };
        let mut body = serde_json::to_vec(&view).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Body::new(Chunk::from(body)));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Some(age) = age {
            headers.insert(AGE, age.as_secs().into());
        }
        let outcome = match checked {
            Ok(StatusOrigin::Memory) => RequestOutcome::Hit,
            Ok(StatusOrigin::Call) => RequestOutcome::Miss,
            Err(_) => RequestOutcome::StaleIfError,
        };
        let error_key = error_key.map(Into::into);
        (response, AccessLogEntry { outcome, age, exchange: None, error_key })
    }

    async fn check(&self, call: StatusCall) -> Result<StatusOrigin, FetchError> {
        let Some(checks) = &self.checks else { return Ok(StatusOrigin::Memory) };
        let late = |_elapsed| Err(Cause::from(UpstreamFailure::Timeout).into());
        timeout(self.deadline, checks.check(call)).await.unwrap_or_else(late)
    }
}

/// The time so long ago, by the calendar; `None` where RFC 3339 cannot write it.
fn rfc3339(clock: &WallClock, ago: Duration) -> Option<String> {
    let seconds = clock.now().checked_sub(ago)?.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    (seconds < 253_402_300_800).then(|| humantime::format_rfc3339_seconds(time).to_string())
}
