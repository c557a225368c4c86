//! What bounds a request that takes a fetch: how many there may be at a time, and for how long each may wait. Whoever is
//! turned away for one of them, or whose fetch fails, gets the old copy if one is held.
//!
//! Layers around the cache, put together in `app/stack.rs`.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};
use tower::{Service, ServiceExt};

use crate::{
    cache::{Miss, Permit, ReportCache, Served},
    report::{FetchError, LocalDenial, UpstreamFailure},
};

/// The requests that may take a fetch at a time (`server.max_in_flight`). Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct InFlightLimit(Arc<Semaphore>);

// === impl InFlightLimit ===

impl InFlightLimit {
    /// So many.
    pub(crate) fn new(max_in_flight: NonZeroUsize) -> Self {
        Self(Arc::new(Semaphore::new(max_in_flight.get().min(Semaphore::MAX_PERMITS))))
    }
}

/// Before any error: the copy that is held, if it is not too old for that (RFC 5861).
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

/// A quick no is kinder than a queue. A fetch that starts for a request keeps its permit until it ends, also when the
/// caller has hung up.
pub(crate) async fn shed_load<S>(limit: InFlightLimit, miss: Miss, next: S) -> Result<Served, FetchError>
where
    S: Service<Miss, Response = Served, Error = FetchError>,
{
    match limit.0.try_acquire_owned() {
        Ok(permit) => next.oneshot(Miss { permit: Permit::new(permit), ..miss }).await,
        Err(_none_left) => Err(LocalDenial::Overloaded.into()),
    }
}

/// Ends a caller's waiting, never the fetch: that goes on for whoever else waits, and for the cache.
pub(crate) async fn deadline<S>(request_timeout: Duration, miss: Miss, next: S) -> Result<Served, FetchError>
where
    S: Service<Miss, Response = Served, Error = FetchError>,
{
    timeout(request_timeout, next.oneshot(miss))
        .await
        .unwrap_or_else(|_late| Err(UpstreamFailure::Timeout.into()))
}
