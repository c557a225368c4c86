//! Asks the data port's stack for one report, for `POST /try/{id}` of the admin port, which has checked who asks.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use http::{Request, Response, StatusCode, header::HOST};
use http_body_util::Empty;

use super::{
    Calls,
    stack::{CallerRules, data_port},
};
use crate::{
    admin::ReportTrial,
    cache::ReportCache,
    quota::WallClock,
    server::{BearerAuth, Body},
    settings::Settings,
    telemetry::Metrics,
};

/// A stack like the data port's, with the same cache and the same calls, that asks for no client token. It is built for the
/// first request, since mostly there is none, and kept: by it a refresh is made later that an answer has scheduled.
pub(super) fn report_trial(
    settings: &Settings,
    memory: &Arc<ReportCache>,
    calls: Calls,
    rules: &CallerRules,
    (metrics, clock): (&Arc<Metrics>, &WallClock),
) -> ReportTrial {
    let (settings, memory, metrics, clock) =
        (settings.clone(), Arc::clone(memory), Arc::clone(metrics), clock.clone());
    let rules = CallerRules { clients: BearerAuth::anybody(), ..rules.clone() };
    let built = OnceLock::new();
    let build =
        move || data_port(&settings, Arc::clone(&memory), calls.clone(), &rules, &metrics, clock.clone());
    ReportTrial::new(move |target| {
        let port = Arc::clone(built.get_or_init(|| Arc::new(build())));
        let request = Request::get(target).header(HOST, "localhost").body(Empty::<Bytes>::new());
        async move {
            let Ok(request) = request else { return refused() };
            hyper::service::Service::call(&*port, request).await.unwrap_or_else(|never| match never {})
        }
        .boxed()
    })
}

/// What a query that is no part of a URI would get.
fn refused() -> Response<Body> {
    let mut response = Response::new(Body::new(Vec::new().into()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
