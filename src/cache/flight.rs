//! Single flight: at most one fetch per key at a time; concurrent misses of the key wait for it.
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

use super::{Entry, StoreOutcome};
use crate::report::{Cause, Exchange, FetchError, Fetched, ReportKey};

/// The number of fetches in flight from which on no background refresh starts; a later hit will start it. Fetches that
/// a caller waits for are limited by the callers' permits instead.
const MAX_WITH_REFRESH: usize = 1_024;

/// What the service below the cache returned.
pub(super) type FetchOutcome = Result<Fetched, FetchError>;

/// The result of a flight; each waiter gets a clone.
pub(super) type FlightResult = Result<Landed, FetchError>;

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

/// The result of a flight, and its waiters. (A `watch` channel is larger: it keeps eight lists of waiters.)
#[derive(Debug, Default)]
struct FlightEnd {
    result: OnceLock<FlightResult>,
    ended: Notify,
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
pub(super) struct FlightWaiter(Arc<FlightEnd>);

/// Owned by the task of a fetch. When it is dropped, also after a panic, the flight is removed and every waiter has a
/// result.
#[derive(Debug)]
struct FlightGuard {
    flights: Arc<Flights>,
    key: ReportKey,
    end: Arc<FlightEnd>,
}

// === impl Flights ===

impl Flights {
    /// Joins the flight of `key`. If there is none and one is still `needed`, starts one. `start` returns the fetch,
    /// and the function that stores its outcome; that function runs before another flight of this key can start.
    pub(super) fn join_or_start<F, S>(
        self: &Arc<Self>,
        key: ReportKey,
        audience: FlightAudience,
        needed: impl FnOnce() -> bool,
        start: impl FnOnce() -> (F, S),
    ) -> Joined
    where
        F: Future<Output = FetchOutcome> + Send + 'static,
        S: FnOnce(FetchOutcome, Retain) -> FlightResult + Send + 'static,
    {
        let mut in_flight = self.in_flight();
        if let Some(flight) = in_flight.get(&key) {
            let waiter = FlightWaiter(Arc::clone(&flight.end));
            return match flight.keep {
                Retain::Yes => Joined::Waiter(waiter),
                Retain::No => Joined::Outdated(waiter),
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
        let end = Arc::<FlightEnd>::default();
        in_flight.insert(key, Flight { end: Arc::clone(&end), keep: Retain::Yes });
        drop(in_flight);
        let guard = FlightGuard { flights: Arc::clone(self), key, end: Arc::clone(&end) };
        let (fetch, apply_fetch) = start();
        tokio::spawn(async move {
            // A panic counts as a failure, so that a key whose fetch panics is backed off.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let outcome = fetched.unwrap_or_else(|_panic| Err(Cause::Internal.into()));
            guard.finish(|keep| apply_fetch(outcome, keep));
        });
        Joined::Leader(FlightWaiter(end))
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

    fn in_flight(&self) -> MutexGuard<'_, HashMap<ReportKey, Flight, RandomState>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl FlightWaiter ===

impl FlightWaiter {
    /// Waits for the end of the flight; returns its result.
    pub(super) async fn result(self) -> FlightResult {
        let Self(end) = self;
        // Created before the check: so it is also woken by a flight that ends between the check and the await.
        let ended = end.ended.notified();
        if end.result.get().is_none() {
            ended.await;
        }
        end.result.get().cloned().unwrap_or_else(|| Err(Cause::Internal.into()))
    }
}

// === impl FlightGuard ===

impl FlightGuard {
    /// Stores the outcome and removes the flight under one lock, then wakes the waiters.
    fn finish(self, apply_fetch: impl FnOnce(Retain) -> FlightResult) {
        let mut in_flight = self.flights.in_flight();
        let keep = in_flight.get(&self.key).map_or(Retain::No, |flight| flight.keep);
        let result = apply_fetch(keep);
        in_flight.remove(&self.key);
        drop(in_flight);
        self.end.finish(result);
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        if self.end.result.get().is_some() {
            return;
        }
        // `apply_fetch` panicked, or the runtime is shutting down.
        self.flights.in_flight().remove(&self.key);
        self.end.finish(Err(Cause::Internal.into()));
    }
}

// === impl FlightEnd ===

impl FlightEnd {
    fn finish(&self, result: FlightResult) {
        let _first = self.result.set(result);
        self.ended.notify_waiters();
    }
}
