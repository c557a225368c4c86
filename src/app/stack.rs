//! The inbound stack, top to bottom.

use std::sync::Arc;

use http::HeaderValue;
use tower::ServiceBuilder;

use super::{Calls, options};
use crate::{
    cache::{CacheLayer, ReportCache},
    inbound::{
        AccessLog, CrossOrigin, NoCache, ReportEndpoint, ReportService, RespondLayer, Responder,
        ServiceContext, SlowPath,
    },
    server::BearerAuth,
    settings::{ClientNoCache, Settings},
    telemetry::Metrics,
};

/// The data port's service: answers `clients` from `memory`, and from `calls` what that does not hold.
pub fn data_port(
    settings: &Settings,
    memory: Arc<ReportCache>,
    calls: Calls,
    clients: BearerAuth,
    metrics: &Metrics,
) -> ReportService<Calls> {
    let cross_origin = match settings.cors.allowed_origins.as_slice() {
        [] => CrossOrigin::Off,
        [_, ..] => CrossOrigin::On,
    };
    let answers = ServiceContext {
        browser_guard: options::browser_guard(settings, settings.server.listen),
        clients,
        no_cache: match settings.cache.client_no_cache {
            ClientNoCache::Ignore => NoCache::Ignored,
            ClientNoCache::Limited => NoCache::Limited,
        },
        cache: ServiceBuilder::new().layer(CacheLayer::new(memory)).service(calls),
        responder: Arc::new(Responder::new(match cross_origin {
            CrossOrigin::Off => HeaderValue::from_static("accept-encoding"),
            CrossOrigin::On => HeaderValue::from_static("accept-encoding, origin"),
        })),
        cross_origin,
    };
    let slow_path = slow_path(settings, &answers);
    ReportService::new(answers, slow_path, AccessLog::new(metrics.requests.clone()))
}

/// The slow path: what memory cannot answer.
fn slow_path(settings: &Settings, answers: &ServiceContext<Calls>) -> SlowPath {
    let stack = ServiceBuilder::new()
        // Outermost: a browser must be allowed to read errors too.
        .option_layer(options::cors(&settings.cors))
        // The one place where errors become HTTP.
        .layer(RespondLayer)
        // HTTP ends here. Deadline and load are no layers above it: whoever is turned away for one of them gets the old
        // copy if one is held, and only below this layer is it known which.
        .service(ReportEndpoint::new(answers.clone(), settings.server.max_in_flight));
    SlowPath::new(stack)
}
