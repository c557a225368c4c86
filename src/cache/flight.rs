//! Single flight: at most one fetch per key at a time; concurrent misses of the key wait for it. Where derivation is relied
//! on, one fetch is the flight of both keys of an activity.
//!
//! Each fetch runs in its own task, so a client that disconnects does not cancel it. If the fetch panics, its waiters
//! get an internal error. If the key is purged during the fetch, the waiters get the result, but it is not stored.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tracing::Span;

use super::{Entry, StoreOutcome};
use crate::{
    report::{Cause, Exchange, FetchError, Fetched, LinkReport, NoClicks, NotDerivable, ReportKey},
    telemetry::traces::TraceContext,
};

/// The number of fetches in flight from which on no background refresh starts; a later hit will start it. Fetches that
/// a caller waits for are limited by the callers' permits instead.
const MAX_WITH_REFRESH: usize = 1_024;

/// What a flight fetches, and which keys wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightScope {
    /// The report of this key.
    One(ReportKey),
    /// The report of all links, from which the other report of the activity is derived; this key was asked for.
    BothForms(ReportKey),
}

/// What the service below the cache returned.
pub(super) type FetchOutcome = Result<Arrived, FetchError>;

/// What a fetch brought.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) fetched: Fetched,
    /// From a report of all links: the report of the clicked links. `None`: it was not tried.
    pub(super) clicked: Option<Result<LinkReport, NotDerivable>>,
}

/// The result of a flight for one key; each waiter gets a clone.
#[derive(Debug, Clone)]
pub(super) enum FlightResult {
    Landed(Landed),
    Failed(FetchError),
    /// It brought nothing for this key: look the key up again.
    Nothing,
}

/// The results of a flight, by key.
#[derive(Debug)]
pub(super) enum FlightResults {
    /// For all its keys.
    Same(FlightResult),
    ByForm {
        all: FlightResult,
        clicked: FlightResult,
    },
}

/// The result of a successful flight.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) entry: Arc<Entry>,
    pub(super) exchange: Exchange,
    pub(super) stored: StoreOutcome,
}

/// Does the caller wait for the flight?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightAudience {
    /// Yes: the fetch is for a miss.
    Caller,
    /// No: the caller was served from the cache, and the flight is a background refresh.
    Background,
}

/// The fetches in flight, by key.
#[derive(Debug, Default)]
pub(super) struct Flights {
    in_flight: Mutex<HashMap<ReportKey, Flight, RandomState>>,
}

#[derive(Debug)]
struct Flight {
    end: Arc<FlightEnd>,
    keep: Retain,
}

/// The results of a flight, and its waiters. (A `watch` channel is larger: it keeps eight lists of waiters.)
#[derive(Debug, Default)]
struct FlightEnd {
    results: OnceLock<FlightResults>,
    ended: Notify,
    /// That of the fetch, where traces are exported. Boxed: mostly there is none.
    trace: OnceLock<Box<TraceContext>>,
}

/// A flight that begins.
pub(super) struct StartedFlight<F, S> {
    pub(super) fetch: F,
    /// Stores the outcome of the fetch. It runs before another flight of these keys can start.
    pub(super) apply: S,
    pub(super) trace: Option<TraceContext>,
}

/// May the result of a flight be stored?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retain {
    Yes,
    /// No: the key was purged after the flight started.
    No,
}

/// The result of [`Flights::join_or_start`].
#[derive(Debug)]
pub(super) enum Joined {
    /// This caller started the flight.
    Leader(FlightWaiter),
    /// The key was in flight already.
    Waiter(FlightWaiter),
    /// The running flight started before a purge: wait for its end, then look the key up again.
    Outdated(FlightWaiter),
    /// No flight: it is no longer needed, or too many are in flight for a background refresh.
    Declined,
}

/// Waits for the end of a flight.
#[derive(Debug)]
pub(super) struct FlightWaiter {
    end: Arc<FlightEnd>,
    form: NoClicks,
}

/// Owned by the task of a fetch. When it is dropped, also after a panic, the flight is removed and every waiter has a
/// result.
#[derive(Debug)]
struct FlightGuard {
    flights: Arc<Flights>,
    scope: FlightScope,
    end: Arc<FlightEnd>,
}

// === impl FlightScope ===

impl FlightScope {
    /// The key that was asked for.
    pub(super) const fn asked(self) -> ReportKey {
        match self {
            Self::One(key) | Self::BothForms(key) => key,
        }
    }

    /// The key of the report that is fetched.
    pub(super) const fn fetched(self) -> ReportKey {
        match self {
            Self::One(key) => key,
            Self::BothForms(key) => ReportKey { no_clicks: NoClicks::Listed, ..key },
        }
    }

    /// The key whose requests wait for the flight beside those of the key that was asked for.
    pub(super) const fn other(self) -> Option<ReportKey> {
        match self {
            Self::One(_) => None,
            Self::BothForms(key) => Some(key.other_form()),
        }
    }

    pub(super) fn keys(self) -> impl Iterator<Item = ReportKey> {
        std::iter::once(self.asked()).chain(self.other())
    }
}

// === impl FlightResults ===

impl FlightResults {
    const fn of(&self, form: NoClicks) -> &FlightResult {
        match (self, form) {
            (Self::Same(result), _)
            | (Self::ByForm { all: result, .. }, NoClicks::Listed)
            | (Self::ByForm { clicked: result, .. }, NoClicks::Omitted) => result,
        }
    }
}

// === impl Flights ===

impl Flights {
    /// Joins the flight of the key that `scope` asks for. If there is none and one is still `needed`, starts one; of that
    /// key alone if the activity's other report is in flight.
    pub(super) fn join_or_start<F, S>(
        self: &Arc<Self>,
        scope: FlightScope,
        audience: FlightAudience,
        needed: impl FnOnce() -> bool,
        start: impl FnOnce(FlightScope) -> StartedFlight<F, S>,
    ) -> Joined
    where
        F: Future<Output = FetchOutcome> + Send + 'static,
        S: FnOnce(FetchOutcome, Retain) -> FlightResults + Send + 'static,
    {
        let (mut in_flight, asked) = (self.in_flight(), scope.asked());
        let waiter = |end: &Arc<FlightEnd>| FlightWaiter { end: Arc::clone(end), form: asked.no_clicks };
        if let Some(flight) = in_flight.get(&asked) {
            return match flight.keep {
                Retain::Yes => Joined::Waiter(waiter(&flight.end)),
                Retain::No => Joined::Outdated(waiter(&flight.end)),
            };
        }
        let room = match audience {
            FlightAudience::Caller => true,
            FlightAudience::Background => in_flight.len() < MAX_WITH_REFRESH,
        };
        // Checked under the lock: a flight may have ended since the caller looked the key up.
        if !room || !needed() {
            return Joined::Declined;
        }
        let scope = match scope.other() {
            Some(other) if in_flight.contains_key(&other) => FlightScope::One(asked),
            Some(_) | None => scope,
        };
        let end = Arc::<FlightEnd>::default();
        in_flight.extend(scope.keys().map(|key| (key, Flight { end: Arc::clone(&end), keep: Retain::Yes })));
        drop(in_flight);
        let joined = Joined::Leader(waiter(&end));
        let guard = FlightGuard { flights: Arc::clone(self), scope, end };
        let StartedFlight { fetch, apply, trace } = start(scope);
        if let Some(trace) = trace {
            let _first = guard.end.trace.set(Box::new(trace));
        }
        tokio::spawn(async move {
            // A panic counts as a failure, so that a key whose fetch panics is backed off.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let outcome = fetched.unwrap_or_else(|_panic| Err(Cause::Internal.into()));
            guard.finish(|keep| apply(outcome, keep));
        });
        joined
    }

    /// Is a fetch of this key in flight?
    pub(super) fn is_in_flight(&self, key: &ReportKey) -> bool {
        self.in_flight().contains_key(key)
    }

    /// Runs `purge`, and marks the flights whose key `concerns` accepts, so that their results are not stored.
    pub(super) fn purge<T>(&self, concerns: impl Fn(&ReportKey) -> bool, purge: impl FnOnce() -> T) -> T {
        let mut in_flight = self.in_flight();
        for (key, flight) in &mut *in_flight {
            if concerns(key) {
                flight.keep = Retain::No;
            }
        }
        purge()
    }

    /// Runs `change` while no flight lands.
    pub(super) fn undisturbed(&self, change: impl FnOnce()) {
        let _in_flight = self.in_flight();
        change();
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<ReportKey, Flight, RandomState>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl FlightWaiter ===

impl FlightWaiter {
    /// Links the span of a request that waits to that of the fetch.
    pub(super) fn link_from(&self, span: &Span) {
        if let Some(trace) = self.end.trace.get() {
            trace.link_from(span);
        }
    }

    /// Waits for the end of the flight; returns its result.
    pub(super) async fn result(self) -> FlightResult {
        let Self { end, form } = self;
        // Created before the check: so it is also woken by a flight that ends between the check and the await.
        let ended = end.ended.notified();
        if end.results.get().is_none() {
            ended.await;
        }
        let result = end.results.get().map(|results| results.of(form).clone());
        result.unwrap_or_else(|| FlightResult::Failed(Cause::Internal.into()))
    }
}

// === impl FlightGuard ===

impl FlightGuard {
    /// Stores the outcome and removes the flight under one lock, then wakes the waiters.
    fn finish(self, apply_fetch: impl FnOnce(Retain) -> FlightResults) {
        let mut in_flight = self.flights.in_flight();
        let kept = |key| in_flight.get(&key).is_some_and(|flight| flight.keep == Retain::Yes);
        let keep = if self.scope.keys().all(kept) { Retain::Yes } else { Retain::No };
        let results = apply_fetch(keep);
        self.remove_from(&mut in_flight);
        drop(in_flight);
        self.end.finish(results);
    }

    fn remove_from(&self, in_flight: &mut HashMap<ReportKey, Flight, RandomState>) {
        for key in self.scope.keys() {
            in_flight.remove(&key);
        }
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        if self.end.results.get().is_some() {
            return;
        }
        // `apply_fetch` panicked, or the runtime is shutting down.
        self.remove_from(&mut self.flights.in_flight());
        self.end.finish(FlightResults::Same(FlightResult::Failed(Cause::Internal.into())));
    }
}

// === impl FlightEnd ===

impl FlightEnd {
    fn finish(&self, results: FlightResults) {
        let _first = self.results.set(results);
        self.ended.notify_waiters();
    }
}
