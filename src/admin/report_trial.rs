//! `POST /try/{id}`: asks the data port's stack for a report, as a caller would. It may spend a call.

use std::fmt;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Response, header::CACHE_CONTROL};

use crate::{
    report::{ActivityId, NoClicks, ReportKey},
    server::Body,
};

/// The data port's answer to a path and query.
pub struct ReportTrial(Box<AnswerFn>);

type AnswerFn = dyn Fn(String) -> BoxFuture<'static, Response<Body>> + Send + Sync;

// === impl ReportTrial ===

impl ReportTrial {
    /// Answers by this function.
    pub fn new(
        answer: impl Fn(String) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(answer))
    }

    /// The report of this activity, or why there is none.
    pub(super) async fn run(&self, id: ActivityId, query: Option<String>) -> Response<Body> {
        let path = ReportKey { id, no_clicks: NoClicks::Omitted }.path_and_query();
        let target = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut response = (self.0)(target).await;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl fmt::Debug for ReportTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportTrial")
    }
}
