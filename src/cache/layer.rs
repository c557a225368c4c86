//! The cache as a service: answers from memory where it may, and otherwise boards a flight.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service, ServiceExt};
use tracing::{Instrument as _, Span};

use super::{
    CacheRequest, Entry, Forward, Lookup, Permit, ReportCache, Revalidate, Role, Served, ServedFrom,
    flight::{FlightAudience, Joined, Landed},
};
use crate::report::{Call, FetchError, Fetched, Reason, ReportKey, UpstreamFailure};

/// Puts a [`ReportCache`] before whatever makes the calls.
#[derive(Debug, Clone)]
pub struct CacheLayer {
    memory: Arc<ReportCache>,
}

/// The cache before the service `S` that makes the calls.
#[derive(Debug, Clone)]
pub struct Cache<S> {
    memory: Arc<ReportCache>,
    /// Shared: only a flight that takes off needs a service of its own.
    calls: Arc<S>,
}

/// Why memory alone cannot answer.
#[derive(Debug)]
pub enum Unanswered {
    /// It takes a call; what is held may stand in if that fails.
    Absent(Option<Arc<Entry>>),
    /// The last call has failed, nothing stands in, and it is too early for another.
    Failed(FetchError),
}

// === impl CacheLayer ===

impl CacheLayer {
    /// A layer over this memory; several layers may share one.
    pub const fn new(memory: Arc<ReportCache>) -> Self {
        Self { memory }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, calls: S) -> Cache<S> {
        Cache { memory: Arc::clone(&self.memory), calls: Arc::new(calls) }
    }
}

// === impl Cache ===

impl<S> Cache<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
{
    /// What memory alone can answer, at once. A refresh that is due takes off, and nobody waits for it.
    pub fn lookup(&self, key: ReportKey, now: Instant) -> Result<Served, Unanswered> {
        match self.memory.lookup(&key, now) {
            Lookup::Answered(served) => Ok(served),
            Lookup::Due { served, held } => {
                let (call, mut free) = (Call { key, reason: Reason::Refresh }, Permit::default());
                let _nobody_waits = self.join_or_start(call, Some(&held), FlightAudience::Nobody, &mut free);
                Ok(served)
            }
            Lookup::Absent(held) => Err(Unanswered::Absent(held)),
            Lookup::Failed(error) => Err(Unanswered::Failed(error)),
        }
    }

    /// The memory behind it.
    pub const fn memory(&self) -> &Arc<ReportCache> {
        &self.memory
    }

    /// The answer to a caller that holds a `permit`; a call that it makes holds it until it ends, whether or not the
    /// caller still waits.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn answer(
        self,
        CacheRequest { key, revalidate }: CacheRequest,
        mut permit: Permit,
    ) -> Result<Served, FetchError> {
        let deadline = Instant::now() + self.memory.options.request_timeout;
        loop {
            let now = Instant::now();
            let wanted_anew = match revalidate {
                Revalidate::Force => {
                    self.memory.peek(&key).filter(|held| self.memory.may_fetch_anew(held, now))
                }
                Revalidate::WhenStale => None,
            };
            let (held, forward) = match wanted_anew {
                Some(held) => (Some(held), Forward::Request),
                None => match self.lookup(key, now) {
                    Ok(served) => return Ok(served),
                    Err(Unanswered::Failed(error)) => return Err(error),
                    Err(Unanswered::Absent(Some(held))) => (Some(held), Forward::Stale),
                    Err(Unanswered::Absent(None)) => (None, Forward::UriMiss),
                },
            };
            // A key is cold when there is nothing to fall back on, nor to know that there is nothing.
            let reason = match &held {
                Some(_) => Reason::Refresh,
                None => Reason::Miss,
            };
            let fetched = self.fetched(Call { key, reason }, held.as_ref(), &mut permit);
            // Past the deadline nobody starts another fetch: the upstream is metered.
            let fetched =
                timeout_at(deadline, fetched).await.unwrap_or_else(|_| Err(UpstreamFailure::Timeout.into()));
            match fetched {
                Ok(Some((role, Landed { entry, exchange, stored }))) => {
                    let age = entry.age(Instant::now());
                    return Ok(Served {
                        entry,
                        from: ServedFrom::Fetched { role, forward, exchange, stored },
                        age,
                    });
                }
                Ok(None) => {}
                Err(error) => return self.memory.stale_if_error_from(held.as_ref(), error),
            }
        }
    }

    /// Waits for a fetch that is not older than this question; `None` when memory is to be asked again.
    async fn fetched(
        &self,
        call: Call,
        held: Option<&Arc<Entry>>,
        permit: &mut Permit,
    ) -> Result<Option<(Role, Landed)>, FetchError> {
        let (role, waiter) = match self.join_or_start(call, held, FlightAudience::Caller, permit) {
            Joined::Leader(waiter) => (Role::Leader, waiter),
            Joined::Waiter(waiter) => (Role::Waiter, waiter),
            Joined::Outdated(waiter) => {
                let _older_than_the_purge = waiter.landed().await;
                return Ok(None);
            }
            Joined::Declined => return Ok(None),
        };
        Ok(Some((role, waiter.landed().await?)))
    }

    /// Boards a flight, for a caller who saw that this was `held`.
    fn join_or_start(
        &self,
        call: Call,
        held: Option<&Arc<Entry>>,
        audience: FlightAudience,
        permit: &mut Permit,
    ) -> Joined {
        let key = call.key;
        let needed = || self.memory.is_as_seen(&key, held);
        let take_off = || {
            let (memory, permit) = (Arc::clone(&self.memory), std::mem::take(permit));
            let fetch = S::clone(&self.calls).oneshot(call).instrument(flight_span(call));
            (fetch, move |outcome, keep| {
                let result = memory.apply_fetch(key, outcome, keep);
                drop(permit);
                result
            })
        };
        self.memory.flights.join_or_start(key, audience, needed, take_off)
    }
}

impl<S> Service<CacheRequest> for Cache<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Served;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Served, FetchError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        // Readiness of the calls is the flight's affair: a hit must not wait for it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: CacheRequest) -> Self::Future {
        Box::pin(self.clone().answer(ask, Permit::default()))
    }
}

/// A fetch outlives the request that began it, and others wait for it too: it is no request's child, and only follows
/// from the one that began it.
fn flight_span(Call { key, reason }: Call) -> Span {
    let (id, no_clicks, reason) = (key.id, key.no_clicks.as_str(), reason.as_str());
    let span = tracing::debug_span!(parent: None, "fetch", %id, no_clicks, reason);
    span.follows_from(Span::current());
    span
}
