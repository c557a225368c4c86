//! The inbound stack, top to bottom.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use http::HeaderValue;
use tower::{Service, ServiceBuilder};

use super::{Calls, options};
use crate::{
    cache::{Cache, CacheLayer, Miss, ReportCache, Served},
    inbound::{
        AccessLog, CrossOrigin, InFlightLimit, NoCache, ReportService, RequestParser, Responder, SlowPath,
        catch_panic, complete_head, deadline, from_fn, record, respond, shed_load, stale_if_error, trace,
    },
    report::{Call, FetchError, Fetched},
    server::BearerAuth,
    settings::{ClientNoCache, Settings},
    telemetry::Metrics,
};

/// What bounds a request that takes a fetch.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// How many there may be at a time (`server.max_in_flight`).
    pub max_in_flight: NonZeroUsize,
    /// How long each may wait (`server.request_timeout`).
    pub request_timeout: Duration,
}

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
    // Parses and authenticates every request, once.
    let parser = RequestParser {
        browser_guard: options::browser_guard(settings, settings.server.listen),
        clients,
        no_cache: match settings.cache.client_no_cache {
            ClientNoCache::Ignore => NoCache::Ignored,
            ClientNoCache::Limited => NoCache::Limited,
        },
        cross_origin,
    };
    let responder = Arc::new(Responder::new(match cross_origin {
        CrossOrigin::Off => HeaderValue::from_static("accept-encoding"),
        CrossOrigin::On => HeaderValue::from_static("accept-encoding, origin"),
    }));
    let access_log = Arc::new(AccessLog::new(metrics.requests.clone()));
    let cache = ServiceBuilder::new().layer(CacheLayer::new(memory)).service(calls);

    let slow_path = slow_path(settings, &cache, &responder, &access_log);
    // The fast path: no layer stands before it, for a hit is a lookup and a head. What it does not answer goes on from
    // there, parsed, authenticated and looked up.
    ReportService::new(parser, cache, responder, access_log, slow_path)
}

/// What a request passes that the fast path does not answer, as long as it is HTTP.
fn slow_path(
    settings: &Settings,
    cache: &Cache<Calls>,
    responder: &Arc<Responder>,
    access_log: &Arc<AccessLog>,
) -> SlowPath {
    let limits = RequestLimits {
        max_in_flight: settings.server.max_in_flight,
        request_timeout: settings.server.request_timeout,
    };
    let stack = ServiceBuilder::new()
        // Outermost: a preflight's answer has an id too, and may leave a body unread.
        .layer(from_fn((), complete_head))
        // A browser must be allowed to read errors too. Preflights end here: they ask for no report, and are not counted.
        .option_layer(options::cors(&settings.cors))
        // Outside of all that can fail: whatever became of a request is counted, timed and logged.
        .layer(from_fn(Arc::clone(access_log), record))
        // Inside the access log, whose line says the same and more; around everything else that may log.
        .layer(from_fn((), trace))
        // Panics become 500 where the access log still sees them.
        .layer(from_fn((), catch_panic))
        // HTTP ends here: a miss goes down, a report or an error comes up.
        .layer(from_fn((Arc::clone(responder), Arc::clone(cache.memory())), respond))
        .service(misses(limits, cache.clone()));
    SlowPath::new(stack)
}

/// What a miss passes on its way to the cache, which has it fetched.
pub fn misses<S>(
    limits: RequestLimits,
    cache: Cache<S>,
) -> impl Service<Miss, Response = Served, Error = FetchError, Future: Send> + Clone + Send + Sync + 'static
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    ServiceBuilder::new()
        // Before any error, that of a limit included, the copy that is held is the answer.
        .layer(from_fn(Arc::clone(cache.memory()), stale_if_error))
        // Below the lookup, since what memory can answer takes no room; above the deadline: whoever is shed waits for nothing.
        .layer(from_fn(InFlightLimit::new(limits.max_in_flight), shed_load))
        // Above the cache: it bounds the waiting for a fetch, which goes on.
        .layer(from_fn(limits.request_timeout, deadline))
        .service(cache)
}
