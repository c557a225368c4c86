//! The upstream stack: retry, circuit breaker, token, quota, circuit breaker again, HTTP client; in this order.

use hyper_util::client::legacy::connect::Connect;
use tower::ServiceBuilder;

use super::options;
use crate::{
    middleware::{SharedService, TowerService, step},
    quota::{Quota, QuotaGate},
    report::{
        Call, FetchError, Fetched, FetchedStatistics, FetchedStatus, QuotaPressureFn, StatisticsCall,
        StatusCall,
    },
    resilience::{CircuitBreaker, CircuitRecheck, RetryOnce, TokenGeneration},
    settings::Settings,
    telemetry::Metrics,
    token::{Authorize, TokenGate, TokenManager},
    upstream::{Fetch, FetchLimits, HttpClient, OnSend, RecentCalls},
};

/// The upstream stack with its type erased. The box per call costs nothing compared with the call.
pub type Calls = SharedService<Call, Fetched, FetchError>;

/// The same for calls of the statistics endpoint.
pub type StatisticsCalls = SharedService<StatisticsCall, FetchedStatistics, FetchError>;

/// The same for the status of activities.
pub type StatusCalls = SharedService<StatusCall, FetchedStatus, FetchError>;

/// The upstream stack for each kind of call. All kinds share circuit breaker, token, quota and connections.
#[derive(Debug, Clone)]
pub struct UpstreamCalls {
    /// Calls for reports.
    pub reports: Calls,
    /// Calls for statistics: change probes. They are not retried, since the next one comes soon.
    pub statistics: StatisticsCalls,
    /// Calls for the status of activities. They are not retried either.
    pub statuses: StatusCalls,
    pub(super) circuit: CircuitBreaker,
    pub(super) recent: RecentCalls,
}

/// Builds the upstream stack, which every call passes from top to bottom.
pub fn calls<C>(
    settings: &Settings,
    connector: C,
    tokens: &TokenManager,
    quota: &Quota,
    metrics: &Metrics,
) -> UpstreamCalls
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let generation = {
        let tokens = tokens.clone();
        TokenGeneration::new(move || tokens.generation())
    };
    // Tells the quota when a request is written to its connection. The next call waits for that, so that the time to
    // connect does not change how many calls the upstream sees in one second.
    let on_send = {
        let quota = quota.clone();
        OnSend::new(move || quota.sent())
    };
    let wire = ServiceBuilder::new()
        // Innermost before the HTTP client: no layer above ever sees the token.
        .layer(step(Authorize::new(tokens.clone())))
        .service(TowerService(HttpClient::new(connector).telling(on_send)));
    let limits = FetchLimits {
        attempt: settings.upstream.attempt_timeout,
        max_body: settings.upstream.max_body.as_u64(),
    };
    let circuit = CircuitBreaker::new(options::circuit(&settings.circuit), metrics.circuit.clone());
    let recent = RecentCalls::default();
    let attempt = ServiceBuilder::new()
        // Above the quota: a call that an open circuit prevents must not be counted.
        .layer(step(circuit.clone()))
        // Above the quota: a call without a usable token fails at once; it does not wait in the queue and is not counted.
        .layer(step(TokenGate::new(tokens.clone())))
        // The quota: counts each call before it is sent, so that no call is missed if the process is killed.
        .layer(step(QuotaGate::new(quota.clone())))
        // Below the quota: the circuit may have opened while a call waited for its turn. Its count is taken back.
        .layer(step(CircuitRecheck::new(circuit.clone())))
        // Maps a call to an HTTP request and the response to a report; `upstream.attempt_timeout` includes the body.
        .service(Fetch::new(
            wire,
            settings.upstream.base_url.clone(),
            limits,
            (metrics.upstream.clone(), recent.clone()),
        ));
    // Outermost: the second attempt passes circuit breaker, token and quota again, and is counted like the first.
    let retried = ServiceBuilder::new().layer(step(RetryOnce::new(generation, pressure_of(quota))));
    UpstreamCalls {
        reports: Calls::new(retried.service(attempt.clone())),
        statistics: StatisticsCalls::new(attempt.clone()),
        statuses: StatusCalls::new(attempt),
        circuit,
        recent,
    }
}

/// How scarce calls are, as a function: for modules that must not import the quota.
pub(super) fn pressure_of(quota: &Quota) -> QuotaPressureFn {
    let quota = quota.clone();
    QuotaPressureFn::new(move |now| quota.quota_pressure(now))
}
