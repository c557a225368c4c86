//! Load shedding, the request deadline, and stale-if-error: the layers of a request that needs a fetch.
//!
//! A request that is shed or times out, or whose fetch fails, gets the stale entry if there is one. `app/stack.rs` puts
//! the layers in order.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};
use tower::{Service, ServiceExt};

use crate::{
    cache::{Miss, Permit, ReportCache, Served},
    report::{FetchError, LocalDenial, UpstreamFailure},
};

/// How many requests may need a fetch at the same time (`server.max_in_flight`). Clones share one limit.
#[derive(Debug, Clone)]
pub(crate) struct InFlightLimit(Arc<Semaphore>);

// === impl InFlightLimit ===

impl InFlightLimit {
    /// A limit of `max_in_flight` permits.
    pub(crate) fn new(max_in_flight: NonZeroUsize) -> Self {
        Self(Arc::new(Semaphore::new(max_in_flight.get().min(Semaphore::MAX_PERMITS))))
    }
}

/// On any error from below, serves the stale entry instead, if `cache.stale_if_error` allows its age (RFC 5861 §4).
pub(crate) async fn stale_if_error<S>(
    memory: Arc<ReportCache>,
    miss: Miss,
    next: S,
) -> Result<Served, FetchError>
where
    S: Service<Miss, Response = Served, Error = FetchError>,
{
    let (key, held) = (miss.key, miss.held.clone());
    match next.oneshot(miss).await {
        Ok(served) => Ok(served),
        Err(error) => memory.stale_if_error(&key, held.as_ref(), error),
    }
}

/// Load shedding: fails at once when no permit is left, since a queue would only fill with requests that time out. A
/// fetch keeps the permit of the request that started it until the fetch ends, also if the client disconnects.
pub(crate) async fn shed_load<S>(limit: InFlightLimit, miss: Miss, next: S) -> Result<Served, FetchError>
where
    S: Service<Miss, Response = Served, Error = FetchError>,
{
    match limit.0.try_acquire_owned() {
        Ok(permit) => next.oneshot(Miss { permit: Permit::new(permit), ..miss }).await,
        Err(_none_left) => Err(LocalDenial::Overloaded.into()),
    }
}

/// The request deadline (`server.request_timeout`): ends the waiting, not the fetch. The fetch continues, for the other
/// requests that wait for it and for the cache.
pub(crate) async fn deadline<S>(request_timeout: Duration, miss: Miss, next: S) -> Result<Served, FetchError>
where
    S: Service<Miss, Response = Served, Error = FetchError>,
{
    timeout(request_timeout, next.oneshot(miss))
        .await
        .unwrap_or_else(|_late| Err(UpstreamFailure::Timeout.into()))
}
