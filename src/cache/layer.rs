//! The cache as a service: answers from memory where it may, and otherwise boards a flight.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service, ServiceExt};

use super::{Ask, Demand, Entry, Forward, How, Lookup, Memory, Role, Served, flight::Ticket};
use crate::report::{Call, Cause, Exchange, FetchError, Fetched, Reason, ReportKey};

/// Puts a [`Memory`] before whatever makes the calls.
#[derive(Debug, Clone)]
pub struct CacheLayer {
    memory: Arc<Memory>,
}

/// The cache before the service `S` that makes the calls.
#[derive(Debug, Clone)]
pub struct Cache<S> {
    memory: Arc<Memory>,
    /// Shared: only a flight that takes off needs a service of its own.
    calls: Arc<S>,
}

// === impl CacheLayer ===

impl CacheLayer {
    /// A layer over this memory; several layers may share one.
    pub const fn new(memory: Arc<Memory>) -> Self {
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
    pub fn lookup(&self, key: ReportKey, now: Instant) -> Result<Served, Option<Arc<Entry>>> {
        match self.memory.lookup(&key, now) {
            Lookup::Answered(served) => Ok(served),
            Lookup::Due(served) => {
                let _nobody_waits = self.board(Call { key, reason: Reason::Refresh });
                Ok(served)
            }
            Lookup::Absent(old) => Err(old),
        }
    }

    /// The memory behind it.
    pub const fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    async fn answer(self, Ask { key, demand }: Ask) -> Result<Served, FetchError> {
        let now = Instant::now();
        let wanted_anew = match demand {
            Demand::Anew => self.memory.peek(&key).filter(|held| self.memory.may_fetch_anew(held, now)),
            Demand::Usual => None,
        };
        let (old, forward) = match wanted_anew {
            Some(held) => (Some(held), Forward::Request),
            None => match self.lookup(key, now) {
                Ok(served) => return Ok(served),
                Err(Some(old)) => (Some(old), Forward::Stale),
                Err(None) => (None, Forward::UriMiss),
            },
        };
        // A key is cold when there is nothing to fall back on.
        let reason = match &old {
            Some(_) => Reason::Refresh,
            None => Reason::Miss,
        };
        let deadline = now + self.memory.options.patience;
        // Past the deadline nobody starts another fetch: the upstream is metered.
        let landing = timeout_at(deadline, self.fetched(Call { key, reason }))
            .await
            .unwrap_or_else(|_| Err(Cause::Timeout.into()));
        match landing {
            Ok((entry, role, exchange)) => {
                let age = entry.age(Instant::now());
                Ok(Served { entry, how: How::Fetched { role, forward, exchange }, age })
            }
            Err(error) => self.memory.fall_back(&key, old, error),
        }
    }

    /// Waits for a fetch that is not older than this question.
    async fn fetched(&self, call: Call) -> Result<(Arc<Entry>, Role, Exchange), FetchError> {
        loop {
            let (role, seat) = match self.board(call) {
                Ticket::Leader(seat) => (Role::Leader, seat),
                Ticket::Waiter(seat) => (Role::Waiter, seat),
                Ticket::Outdated(seat) => {
                    let _older_than_the_purge = seat.landed().await;
                    continue;
                }
            };
            let (entry, exchange) = seat.landed().await?;
            return Ok((entry, role, exchange));
        }
    }

    fn board(&self, call: Call) -> Ticket {
        let memory = Arc::clone(&self.memory);
        let key = call.key;
        let fetch = || S::clone(&self.calls).oneshot(call);
        self.memory.flights.board(key, fetch, move |outcome, keep| memory.settle(key, outcome, keep))
    }
}

impl<S> Service<Ask> for Cache<S>
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

    fn call(&mut self, ask: Ask) -> Self::Future {
        Box::pin(self.clone().answer(ask))
    }
}
