//! The cache as a tower layer: `lookup` serves from memory or returns a miss; `call` fetches for a miss.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Layer, Service, ServiceExt};
use tracing::{Instrument as _, Span};

use super::{
    CacheRequest, Entry, Forward, Lookup, Miss, Patience, Permit, ReportCache, Revalidate, Role, Served,
    ServedFrom,
    apply_fetch::{Applied, Verification},
    derivation_check::ORDER_UNCERTAIN,
    flight::{FlightAudience, FlightResult, FlightScope, Joined, Landed, StartedFlight},
};
use crate::{
    report::{Call, ClientNumber, FetchError, Fetched, Reason, ReportKey},
    telemetry::traces::TraceContext,
};

/// For so long a client waits for a refresh, with `cache.refresh = "before"`.
const SHORT_WAIT: Duration = Duration::from_millis(500);

/// Wraps a service that calls the upstream with a [`ReportCache`].
#[derive(Debug, Clone)]
pub struct CacheLayer {
    memory: Arc<ReportCache>,
}

/// The cache in front of `S`, the service that calls the upstream.
#[derive(Debug, Clone)]
pub struct Cache<S> {
    memory: Arc<ReportCache>,
    /// Shared, so that a clone of the cache is cheap; only a flight that starts clones the service.
    calls: Arc<S>,
}

/// A flight that a caller wants.
#[derive(Debug)]
struct WantedFlight<'a> {
    scope: FlightScope,
    reason: Reason,
    client: ClientNumber,
    /// The entry that the caller's lookup found.
    held: Option<&'a Arc<Entry>>,
    audience: FlightAudience,
    /// The trace of the request that wants it, where traces are exported.
    request: Option<TraceContext>,
}

/// Why a lookup served nothing.
#[derive(Debug)]
pub enum Unanswered {
    /// A fetch is needed.
    Miss(Miss),
    /// The last fetch failed, no stale entry may be served instead, and the key is still backed off.
    Failed(FetchError),
}

// === impl CacheLayer ===

impl CacheLayer {
    /// A layer that uses this cache; several layers may share it.
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
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Serves from memory, without waiting. If a refresh is due, starts it in the background.
    ///
    /// # Errors
    /// [`Unanswered::Miss`], to be passed to `call`, or [`Unanswered::Failed`] while the key is backed off.
    pub fn lookup(&self, request: CacheRequest, now: Instant) -> Result<Served, Unanswered> {
        let CacheRequest { key, revalidate, client } = request;
        match revalidate {
            Revalidate::WhenStale => {}
            Revalidate::Force => {
                let held = self.memory.peek(&key).filter(|held| self.memory.may_fetch_anew(&key, held, now));
                if let Some(held) = held {
                    return Err(Unanswered::Miss(Miss::new(request, Some(held), Forward::Request)));
                }
            }
        }
        match self.memory.lookup(&key, now) {
            Lookup::Answered(served) => Ok(served),
            Lookup::Due { served, held } => {
                if !self.memory.is_known_to_be_empty(key.id, &held, now) {
                    self.refresh(key, &held, client, TraceContext::of(&Span::current()));
                }
                Ok(served)
            }
            Lookup::Scheduled { served, held, at } => {
                self.schedule_refresh(request, &held, at);
                Ok(served)
            }
            Lookup::Awaited { held, .. } | Lookup::Absent(Some(held))
                if self.memory.is_known_to_be_empty(key.id, &held, now) =>
            {
                Ok(self.memory.serve_stale(held, now))
            }
            Lookup::Awaited { held, patience } => {
                let miss = Miss::new(request, Some(held), Forward::Stale);
                Err(Unanswered::Miss(Miss { patience, ..miss }))
            }
            Lookup::Absent(held) => {
                let forward = if held.is_some() { Forward::Stale } else { Forward::UriMiss };
                Err(Unanswered::Miss(Miss::new(request, held, forward)))
            }
            Lookup::Failed(error) => Err(Unanswered::Failed(error)),
        }
    }

    /// Starts a refresh in the background.
    #[cold]
    fn refresh(
        &self,
        key: ReportKey,
        held: &Arc<Entry>,
        client: ClientNumber,
        request: Option<TraceContext>,
    ) {
        let wanted = WantedFlight {
            scope: self.memory.flight_scope(key),
            reason: Reason::Refresh,
            client,
            held: Some(held),
            audience: FlightAudience::Background,
            request,
        };
        let _background = join_or_start(&self.memory, &*self.calls, wanted, &mut Permit::default());
    }

    /// Refreshes an entry that has probably changed, unless calls are scarce.
    pub fn refresh_changed(&self, key: ReportKey) {
        if let Some(held) = self.memory.peek(&key).filter(|held| self.memory.may_refresh(held)) {
            self.refresh(key, &held, ClientNumber::PROXY, None);
        }
    }

    /// Refreshes at that time what is then still worth a call. There is one such task per entry at most.
    #[cold]
    fn schedule_refresh(&self, request: CacheRequest, held: &Arc<Entry>, at: Instant) {
        let CacheRequest { key, revalidate: _, client } = request;
        // Weak: the task must not outlive the cache, nor keep a report in memory that is gone.
        let (memory, calls) = (Arc::downgrade(&self.memory), Arc::downgrade(&self.calls));
        let held = Arc::downgrade(held);
        let request = TraceContext::of(&Span::current());
        tokio::spawn(async move {
            sleep_until(at).await;
            let (Some(memory), Some(calls)) = (memory.upgrade(), calls.upgrade()) else { return };
            let Some(held) = held.upgrade() else { return };
            if memory.scheduled_is_due(&key, &held, Instant::now()) {
                Self { memory, calls }.refresh(key, &held, client, request);
            }
        });
    }

    /// The entries, shared with other layers.
    pub const fn memory(&self) -> &Arc<ReportCache> {
        &self.memory
    }

    /// Serves a miss: starts a fetch or joins one in flight. A fetch that starts here keeps the request's permit until
    /// it ends, also when the client disconnects.
    async fn fetch(self, mut miss: Miss) -> Result<Served, FetchError> {
        loop {
            let call = Call { key: miss.key, reason: miss.reason(), client: miss.client };
            let fetched = match (miss.patience, &miss.held) {
                (Patience::Short, Some(held)) => {
                    let (entry, fetch) = (Arc::clone(held), self.fetched(call, Some(held), &mut miss.permit));
                    match timeout(SHORT_WAIT, fetch).await {
                        Ok(fetched) => fetched?,
                        // The fetch goes on in its own task.
                        Err(_late) => {
                            return Ok(self.memory.serve_stale(entry, Instant::now()));
                        }
                    }
                }
                (Patience::Short | Patience::UntilEnd, held) => {
                    self.fetched(call, held.as_ref(), &mut miss.permit).await?
                }
            };
            if let Some((role, Landed { entry, exchange, stored })) = fetched {
                let (age, forward) = (entry.age(Instant::now()), miss.forward);
                let from = ServedFrom::Fetched { role, forward, exchange, stored };
                return Ok(Served { entry, from, age });
            }
            match self.lookup(miss.request(), Instant::now()) {
                Ok(served) => return Ok(served),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Miss(again)) => {
                    miss = Miss { permit: miss.permit, patience: miss.patience, ..again }
                }
            }
        }
    }

    /// Waits for a flight that started after the last purge of the key. `None`: it brought nothing for this key, so the
    /// caller must look it up again.
    async fn fetched(
        &self,
        call: Call,
        held: Option<&Arc<Entry>>,
        permit: &mut Permit,
    ) -> Result<Option<(Role, Landed)>, FetchError> {
        let Call { key, reason, client } = call;
        let wanted = WantedFlight {
            scope: self.memory.flight_scope(key),
            reason,
            client,
            held,
            audience: FlightAudience::Caller,
            request: TraceContext::of(&Span::current()),
        };
        let (role, waiter) = match join_or_start(&self.memory, &*self.calls, wanted, permit) {
            Joined::Leader(waiter) => (Role::Leader, waiter),
            Joined::Waiter(waiter) => {
                waiter.link_from(&Span::current());
                (Role::Waiter, waiter)
            }
            Joined::Outdated(waiter) => {
                let _fetched_before_purge = waiter.result().await;
                return Ok(None);
            }
            Joined::Declined => return Ok(None),
        };
        match waiter.result().await {
            FlightResult::Landed(landed) => Ok(Some((role, landed))),
            FlightResult::Failed(error) => Err(error),
            FlightResult::Nothing => Ok(None),
        }
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
        // Always ready: a request that joins a flight does not use the inner service, and a new flight waits until the
        // inner service is ready (`oneshot`).
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, miss: Miss) -> Self::Future {
        Box::pin(self.clone().fetch(miss))
    }
}

/// Joins or starts the flight of a key. If the key's entry has changed since the lookup, no flight starts.
fn join_or_start<S>(
    memory: &Arc<ReportCache>,
    calls: &S,
    WantedFlight { scope, reason, client, held, audience, request }: WantedFlight<'_>,
    permit: &mut Permit,
) -> Joined
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
{
    let needed = || memory.is_as_seen(&scope.asked(), held);
    let start = |scope: FlightScope| {
        let (memory, calls, permit) = (Arc::clone(memory), calls.clone(), std::mem::take(permit));
        let (deriving, call) = (Arc::clone(&memory), Call { key: scope.fetched(), reason, client });
        let fetch = calls.clone().oneshot(call);
        let fetch = async move { Ok(deriving.derive(call.key, fetch.await?).await) };
        let span = flight_span(call, audience, request);
        let trace = TraceContext::of(&span);
        let apply = move |outcome, keep| {
            let Applied { results, next } = memory.apply_fetch(scope, reason, outcome, keep);
            drop(permit);
            if let Some(next) = next {
                tokio::spawn(verify(memory, calls, next));
            }
            results
        };
        StartedFlight { fetch: fetch.instrument(span), apply, trace }
    };
    memory.flights.join_or_start(scope, audience, needed, start)
}

/// Verifies derivation by what a flight has brought.
async fn verify<S>(memory: Arc<ReportCache>, calls: S, next: Verification)
where
    S: Service<Call, Response = Fetched, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
{
    match next {
        Verification::Compare(pair) => memory.compare(pair).await,
        Verification::Fetch { clicked, derived } => {
            // Any sooner, and more clicks of a link could be newer ones in either report.
            sleep(ORDER_UNCERTAIN).await;
            let wanted = WantedFlight {
                scope: FlightScope::One(clicked),
                reason: Reason::Refresh,
                client: ClientNumber::PROXY,
                held: Some(&derived),
                audience: FlightAudience::Background,
                request: None,
            };
            let _in_background = join_or_start(&memory, &calls, wanted, &mut Permit::default());
        }
    }
}

/// The tracing span of a fetch. A fetch can outlive the request that started it, and other requests wait for it too, so
/// it is not a child of that request's span: it only follows from it. In an exported trace it is one, so that a caller sees
/// what it has waited for; but a background refresh is a trace of its own, with a link to that request.
fn flight_span(
    Call { key, reason, client: _ }: Call,
    audience: FlightAudience,
    request: Option<TraceContext>,
) -> Span {
    let (id, no_clicks, reason) = (key.id, key.no_clicks.as_str(), reason.as_str());
    let span = tracing::debug_span!(parent: None, "fetch", %id, no_clicks, reason);
    match (audience, request) {
        (FlightAudience::Caller, Some(request)) => request.adopt(&span),
        (FlightAudience::Background, Some(request)) => request.link_from(&span),
        (FlightAudience::Caller | FlightAudience::Background, None) => {
            span.follows_from(Span::current());
        }
    }
    span
}
