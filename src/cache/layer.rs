//! The cache as a service: a lookup answers from memory or finds a miss, and a miss is answered by a fetch.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tracing::{Instrument as _, Span};

use super::{
    CacheRequest, Entry, Forward, Lookup, Miss, Permit, ReportCache, Revalidate, Role, Served, ServedFrom,
    flight::{FlightAudience, Joined, Landed},
};
use crate::report::{Call, FetchError, Fetched, Reason};

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
    /// It takes a fetch.
    Miss(Miss),
    /// The last fetch has failed, nothing stands in for it, and it is too early for another.
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
    /// What memory alone can answer, at once; else a miss, for this same service. A refresh that is due starts here, and
    /// nobody waits for it.
    pub fn lookup(&self, request: CacheRequest, now: Instant) -> Result<Served, Unanswered> {
        let CacheRequest { key, revalidate } = request;
        match revalidate {
            Revalidate::WhenStale => {}
            Revalidate::Force => {
                let held = self.memory.peek(&key).filter(|held| self.memory.may_fetch_anew(held, now));
                if let Some(held) = held {
                    return Err(Unanswered::Miss(Miss::new(key, Some(held), Forward::Request)));
                }
            }
        }
        match self.memory.lookup(&key, now) {
            Lookup::Answered(served) => Ok(served),
            Lookup::Due { served, held } => {
                let (call, mut free) = (Call { key, reason: Reason::Refresh }, Permit::default());
                let _nobody_waits = self.join_or_start(call, Some(&held), FlightAudience::Nobody, &mut free);
                Ok(served)
            }
            Lookup::Absent(held) => {
                let forward = if held.is_some() { Forward::Stale } else { Forward::UriMiss };
                Err(Unanswered::Miss(Miss::new(key, held, forward)))
            }
            Lookup::Failed(error) => Err(Unanswered::Failed(error)),
        }
    }

    /// The memory behind it.
    pub const fn memory(&self) -> &Arc<ReportCache> {
        &self.memory
    }

    /// The answer by a fetch, of this caller's own or of one before it. A fetch that starts here keeps the caller's permit
    /// until it ends, also when the caller has hung up.
    async fn fetch(self, mut miss: Miss) -> Result<Served, FetchError> {
        loop {
            let call = Call { key: miss.key, reason: miss.reason() };
            let fetched = self.fetched(call, miss.held.as_ref(), &mut miss.permit).await?;
            if let Some((role, Landed { entry, exchange, stored })) = fetched {
                let (age, forward) = (entry.age(Instant::now()), miss.forward);
                let from = ServedFrom::Fetched { role, forward, exchange, stored };
                return Ok(Served { entry, from, age });
            }
            match self.lookup(miss.request(), Instant::now()) {
                Ok(served) => return Ok(served),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Miss(again)) => miss = Miss { permit: miss.permit, ..again },
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

impl<S> Service<Miss> for Cache<S>
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Served;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Served, FetchError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        // A fetch sees to the readiness of the calls itself: whoever joins one that is under way need not wait for it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, miss: Miss) -> Self::Future {
        Box::pin(self.clone().fetch(miss))
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
