//! One fetch per key at a time, whoever asks.
//!
//! The fetch is owned by a task of its own: a caller who leaves cancels nobody. A fetch that panics frees its
//! waiters. What is purged while it is being fetched is given to those who wait, but not remembered.

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

/// While so many fetches are in the air, no refresh behind an answer begins: the next hit may begin it. Fetches that
/// somebody waits for are bounded by their callers' permits.
const MOST_BEHIND: usize = 1_024;

/// What a fetch came to.
pub(super) type FetchOutcome = Result<Fetched, FetchError>;

/// How a flight ended.
pub(super) type FlightResult = Result<Landed, FetchError>;

/// What a flight brought.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) entry: Arc<Entry>,
    pub(super) exchange: Exchange,
    pub(super) stored: StoreOutcome,
}

/// Who will wait for a flight?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightAudience {
    /// The caller.
    Caller,
    /// Nobody: the caller has been answered.
    Nobody,
}

/// The fetches in the air.
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

/// May a flight's answer be remembered?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retain {
    Yes,
    /// Its key was purged after it took off.
    No,
}

/// A place on a flight.
#[derive(Debug)]
pub(super) enum Joined {
    /// On a flight that took off for this caller.
    Leader(FlightWaiter),
    /// On one that was in the air.
    Waiter(FlightWaiter),
    /// The flight in the air is older than a purge that this caller comes after: wait for its end, then look again.
    Outdated(FlightWaiter),
    /// On none: there was no need for one any more, or no room.
    Declined,
}

/// Waits for a flight to land.
#[derive(Debug)]
pub(super) struct FlightWaiter(Arc<FlightEnd>);

/// Flies one fetch; whatever becomes of it, the key is free afterwards and nobody waits for ever.
#[derive(Debug)]
struct FlightGuard {
    flights: Arc<Flights>,
    key: ReportKey,
    end: Arc<FlightEnd>,
}

// === impl Flights ===

impl Flights {
    /// Boards the flight for `key`. If none is in the air and one is still `needed`, what `take_off` makes takes off as
    /// one: the fetch, and what decides what is remembered of its outcome. The latter runs before anybody can board
    /// another flight for this key.
    pub(super) fn join_or_start<F, S>(
        self: &Arc<Self>,
        key: ReportKey,
        audience: FlightAudience,
        needed: impl FnOnce() -> bool,
        take_off: impl FnOnce() -> (F, S),
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
        // Asked under the lock: a flight may have landed since the caller looked.
        if !room || !needed() {
            return Joined::Declined;
        }
        let end = Arc::<FlightEnd>::default();
        in_flight.insert(key, Flight { end: Arc::clone(&end), keep: Retain::Yes });
        drop(in_flight);
        let guard = FlightGuard { flights: Arc::clone(self), key, end: Arc::clone(&end) };
        let (fetch, apply_fetch) = take_off();
        tokio::spawn(async move {
            // A panic is one more way to fail: it is settled, so that a key whose fetch panics is left alone for a while.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let outcome = fetched.unwrap_or_else(|_panic| Err(Cause::Internal.into()));
            guard.land(|keep| apply_fetch(outcome, keep));
        });
        Joined::Leader(FlightWaiter(end))
    }

    /// Is a fetch of this key in the air?
    pub(super) fn is_in_flight(&self, key: &ReportKey) -> bool {
        self.in_flight().contains_key(key)
    }

    /// Runs `purge` on the memory, and sees to it that no flight in the air whose key `concerns` brings back what was
    /// purged.
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
    /// Waits until the flight has landed.
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
    /// Settles the outcome and frees the key in one step, then tells the waiters.
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
