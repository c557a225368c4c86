//! The upstream stack, top to bottom.

use hyper_util::client::legacy::connect::Connect;
use tower::ServiceBuilder;

use super::{SetupError, options};
use crate::{
    middleware::{SharedService, TowerService, step},
    quota::{Quota, QuotaGate},
    report::{Call, FetchError, Fetched, QuotaPressureFn},
    resilience::{CircuitBreaker, RetryOnce, TokenGeneration},
    settings::Settings,
    telemetry::Metrics,
    token::{Authorize, TokenGate, TokenManager},
    upstream::{Fetch, FetchLimits, HttpClient, OnSend},
};

/// Everything that makes calls, behind one name: only misses pass here, and a box is nothing beside a call.
pub type Calls = SharedService<Call, Fetched, FetchError>;

/// What a call passes on its way to the wire.
pub fn calls<C>(
    settings: &Settings,
    connector: C,
    tokens: &TokenManager,
    quota: &Quota,
    metrics: &Metrics,
) -> Result<Calls, SetupError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let generation = {
        let tokens = tokens.clone();
        TokenGeneration::new(move || tokens.generation())
    };
    // The next call is let go when the one before it is on the wire, whatever its connection took.
    let on_send = {
        let quota = quota.clone();
        OnSend::new(move || quota.sent())
    };
    let wire = ServiceBuilder::new()
        // The last before the wire: nothing above ever sees the token.
        .layer(step(Authorize::new(tokens.clone())))
        .service(TowerService(HttpClient::new(connector).telling(on_send)));
    let limits = FetchLimits {
        attempt: settings.upstream.attempt_timeout,
        max_body: settings.upstream.max_body.as_u64(),
    };
    let stack = ServiceBuilder::new()
        // Outermost: a second attempt passes circuit, quota and token again, and is counted as the first was.
        .layer(step(RetryOnce::new(generation, pressure_of(quota))))
        // Outside the quota: an open circuit must not spend calls.
        .layer(step(CircuitBreaker::new(options::circuit(&settings.circuit), metrics.circuit.clone())))
        // Before the quota: what would find no token to send, or one that is known to be refused, need not queue for its
        // turn, nor be paid for.
        .layer(step(TokenGate::new(tokens.clone())))
        // The scarce good. Counts before sending: whatever leaves has been paid for.
        .layer(step(QuotaGate::new(quota.clone())))
        // From the domain's words to HTTP and back; the attempt's deadline covers the body.
        .service(Fetch::new(wire, settings.upstream.base_url.clone(), limits, metrics.upstream.clone()));
    Ok(Calls::new(stack))
}

/// How scarce calls are, for those who must not know the quota.
pub(super) fn pressure_of(quota: &Quota) -> QuotaPressureFn {
    let quota = quota.clone();
    QuotaPressureFn::new(move |now| quota.quota_pressure(now))
}
