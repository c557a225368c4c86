//! The inbound stack, from top to bottom: fast path, slow path, load shedding, deadline, cache.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tower::{Service, ServiceBuilder};

use super::{Calls, cors::CorsWhereAllowedLayer, options};
use crate::{
    cache::{Cache, CacheLayer, Miss, ReportCache, Served, StatusChecks},
    inbound::{
        AccessLog, ActivityResponder, InFlightLimit, OptionalHeaders, ReportService, RequestParser,
        Responder, Responders, SlowPath, TableResponder, catch_panic, complete_head, deadline, record,
        respond, shed_load, stale_if_error, trace,
    },
    middleware::from_fn,
    quota::WallClock,
    report::{Call, FetchError, Fetched},
    server::{AllowedOrigins, BearerAuth},
    settings::Settings,
    telemetry::Metrics,
};

/// The limits of a request that needs a fetch.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// How many such requests there may be at the same time (`server.max_in_flight`); 503 beyond it.
    pub max_in_flight: NonZeroUsize,
    /// How long each may wait for the fetch (`server.request_timeout`); 504 after it.
    pub request_timeout: Duration,
}

/// What the data port allows its callers. Cheap to clone; all clones see a change at once.
#[derive(Debug, Clone)]
pub struct CallerRules {
    /// The tokens that are accepted.
    pub clients: BearerAuth,
    pub(super) origins: AllowedOrigins,
    pub(super) optional_headers: OptionalHeaders,
}

/// What the data port calls.
#[derive(Debug, Clone)]
pub struct DataPortCalls {
    /// For a report.
    pub reports: Calls,
    /// For the status of an activity; `None`: there are no such calls.
    pub checks: Option<StatusChecks>,
}

// === impl DataPortCalls ===

/// Without calls for statuses.
impl From<Calls> for DataPortCalls {
    fn from(reports: Calls) -> Self {
        Self { reports, checks: None }
    }
}

// === impl CallerRules ===

impl CallerRules {
    /// Those of the settings, for these clients.
    pub fn new(settings: &Settings, clients: BearerAuth) -> Self {
        let origins = AllowedOrigins::new(options::allowed_origins(&settings.cors));
        let (no_cache, traces) = (options::no_cache(&settings.cache), options::callers_traces(settings));
        Self { clients, origins, optional_headers: OptionalHeaders::new(no_cache, traces) }
    }
}

/// The data port's service: serves callers from the cache `memory`, which fetches by `calls`.
pub fn data_port(
    settings: &Settings,
    memory: Arc<ReportCache>,
    calls: impl Into<DataPortCalls>,
    rules: &CallerRules,
    metrics: &Metrics,
    clock: WallClock,
) -> ReportService<Calls> {
    let DataPortCalls { reports, checks } = calls.into();
    let CallerRules { clients, origins, optional_headers } = rules.clone();
    // Parses and authenticates every request, once.
    let parser = RequestParser {
        browser_guard: options::browser_guard(settings, settings.server.listen, origins.clone()),
        clients,
        optional_headers: optional_headers.clone(),
        allowed_origins: origins.clone(),
    };
    let responder = Arc::new(Responder::new(origins.clone()));
    let access_log = Arc::new(AccessLog::new(metrics.requests.clone(), metrics.clients.clone()));
    let activities = ActivityResponder {
        memory: Arc::clone(&memory),
        checks,
        clock: clock.clone(),
        deadline: settings.server.request_timeout,
    };
    let cache = ServiceBuilder::new().layer(CacheLayer::new(memory)).service(reports);

    let tables = TableResponder::new(Arc::clone(&responder), clock, settings.server.request_timeout);
    let responders = Responders { reports: Arc::clone(&responder), tables, activities };
    let slow_path = slow_path(settings, (origins, optional_headers), &cache, responders, &access_log);
    // The fast path has no tower layers: a hit needs none of them. Other requests go to the slow path already parsed,
    // authenticated and looked up.
    ReportService::new(parser, cache, responder, access_log, slow_path)
}

/// The slow path: the layers that a request passes if the fast path does not answer it.
fn slow_path(
    settings: &Settings,
    (origins, optional_headers): (AllowedOrigins, OptionalHeaders),
    cache: &Cache<Calls>,
    responders: Responders,
    access_log: &Arc<AccessLog>,
) -> SlowPath {
    let limits = RequestLimits {
        max_in_flight: settings.server.max_in_flight,
        request_timeout: settings.server.request_timeout,
    };
    let cors = CorsWhereAllowedLayer { cors: options::cors(origins.clone()), origins };
    let stack = ServiceBuilder::new()
        // Outermost: the response to a CORS preflight needs an id too, and may leave a body unread.
        .layer(from_fn((), complete_head))
        // Above all errors: a browser must be allowed to read them too. Preflights end here: they request no report, and
        // are neither counted nor logged.
        .layer(cors)
        // The access log, above everything that can fail: every request is counted, timed and logged.
        .layer(from_fn(Arc::clone(access_log), record))
        // The span, below the access log, whose line has the same fields; above everything else that logs.
        .layer(from_fn(optional_headers, trace))
        // Panics become 500, below the access log so that it records them.
        .layer(from_fn((), catch_panic))
        // HTTP ends here: passes a miss down, gets a report or an error back, and builds the response.
        .layer(from_fn((Arc::new(responders), Arc::clone(cache.memory())), respond))
        .service(misses(limits, cache.clone()));
    SlowPath::new(stack)
}

/// The layers that a miss passes before the cache fetches the report.
pub fn misses<S>(
    limits: RequestLimits,
    cache: Cache<S>,
) -> impl Service<Miss, Response = Served, Error = FetchError, Future: Send> + Clone + Send + Sync + 'static
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    ServiceBuilder::new()
        // Outermost: a stale entry is served instead of any error, also of those of the two limits below.
        .layer(from_fn(Arc::clone(cache.memory()), stale_if_error))
        // Load shedding. Only misses come here: a hit needs no permit. Above the deadline, since shedding does not wait.
        .layer(from_fn(InFlightLimit::new(limits.max_in_flight), shed_load))
        // The deadline, above the cache: it ends the waiting for a fetch; the fetch continues.
        .layer(from_fn(limits.request_timeout, deadline))
        .service(cache)
}
