//! Single flight: one fetch per key at a time, however many requests wait for it.
//!
//! A task of its own owns the fetch, so that a caller that disconnects cancels nothing. A fetch that panics frees its
//! waiters. An answer whose key is purged during the fetch reaches its waiters, but is not stored.

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

/// While so many fetches are in flight, no background refresh starts: a later hit will start it. Fetches with waiting
/// callers are bounded by the callers' permits.
const MOST_BEHIND: usize = 1_024;

/// What the calls behind the cache returned.
pub(super) type FetchOutcome = Result<Fetched, FetchError>;

/// What each waiter of a flight gets.
pub(super) type FlightResult = Result<Landed, FetchError>;

/// An answer that a flight has fetched.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) entry: Arc<Entry>,
    pub(super) exchange: Exchange,
    pub(super) stored: StoreOutcome,
}

/// Will the caller wait for the flight?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightAudience {
    /// Yes.
    Caller,
    /// No, it has been answered from memory: the flight is a background refresh.
    Nobody,
}

/// The fetches in flight.
#[derive(Debug, Default)]
pub(super) struct Flights {
    in_flight: Mutex<HashMap<ReportKey, Flight, RandomState>>,
}

#[derive(Debug)]
struct Flight {
    end: Arc<FlightEnd>,
    keep: Retain,
}

/// The result of a flight, and those who wait for it. (A `watch` channel would have eight lists of them.)
#[derive(Debug, Default)]
struct FlightEnd {
    result: OnceLock<FlightResult>,
    ended: Notify,
}

/// May a flight's answer be stored?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retain {
    Yes,
    /// Its key was purged after it started.
    No,
}

/// The result of asking for a flight.
#[derive(Debug)]
pub(super) enum Joined {
    /// This caller started it.
    Leader(FlightWaiter),
    /// It was in flight already.
    Waiter(FlightWaiter),
    /// The running fetch started before a purge: wait for its end, then look the key up again.
    Outdated(FlightWaiter),
    /// None: it is not needed any more, or too many are in flight.
    Declined,
}

/// Waits for the end of a flight.
#[derive(Debug)]
pub(super) struct FlightWaiter(Arc<FlightEnd>);

/// Owned by the task of a fetch: however that ends, the key is free afterwards and every waiter has a result.
#[derive(Debug)]
struct FlightGuard {
    flights: Arc<Flights>,
    key: ReportKey,
    end: Arc<FlightEnd>,
}

// === impl Flights ===

impl Flights {
    /// Joins the flight of `key`. If there is none and one is still `needed`, `start` makes it: the fetch, and the function
    /// that decides what is stored of its outcome. The latter runs before another flight of this key can start.
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
            FlightAudience::Nobody => in_flight.len() < MOST_BEHIND,
        };
        // Under the lock: a flight may have ended since the caller looked the key up.
        if !room || !needed() {
            return Joined::Declined;
        }
        let end = Arc::<FlightEnd>::default();
        in_flight.insert(key, Flight { end: Arc::clone(&end), keep: Retain::Yes });
        drop(in_flight);
        let guard = FlightGuard { flights: Arc::clone(self), key, end: Arc::clone(&end) };
        let (fetch, apply_fetch) = start();
        tokio::spawn(async move {
            // A panic is applied like any failure, so that a key whose fetch panics is backed off.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let outcome = fetched.unwrap_or_else(|_panic| Err(Cause::Internal.into()));
            guard.land(|keep| apply_fetch(outcome, keep));
        });
        Joined::Leader(FlightWaiter(end))
    }

    /// Is a fetch of this key in flight?
    pub(super) fn is_in_flight(&self, key: &ReportKey) -> bool {
        self.in_flight().contains_key(key)
    }

    /// Runs `purge`, and marks the flights whose key `concerns` so that their answers are not stored.
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
    /// Waits for the result.
    pub(super) async fn landed(self) -> FlightResult {
        let Self(end) = self;
        // Made before the look: it is woken by an end that comes between the two.
        let ended = end.ended.notified();
        if end.result.get().is_none() {
            ended.await;
        }
        end.result.get().cloned().unwrap_or_else(|| Err(Cause::Internal.into()))
    }
}

// === impl FlightGuard ===

impl FlightGuard {
    /// Applies the outcome and frees the key in one step, then wakes the waiters.
    fn land(self, apply_fetch: impl FnOnce(Retain) -> FlightResult) {
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
        // `apply_fetch` panicked, or the process is ending.
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
