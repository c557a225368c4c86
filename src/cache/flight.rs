//! One fetch per key at a time, whoever asks.
//!
//! The fetch is owned by a task of its own: a caller who leaves cancels nobody. A fetch that panics frees its
//! waiters. What is purged while it is being fetched is given to those who wait, but not remembered.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use tokio::sync::watch;

use super::{Entry, Stored};
use crate::report::{Cause, Exchange, FetchError, Fetched, ReportKey};

/// While so many fetches are in the air, no refresh behind an answer begins: the next hit may begin it. Fetches that
/// somebody waits for are bounded by their callers' permits.
const MOST_BEHIND: usize = 1_024;

/// What a fetch came to.
pub(super) type Outcome = Result<Fetched, FetchError>;

/// How a flight ended.
pub(super) type Landing = Result<Landed, FetchError>;

/// What a flight brought.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) entry: Arc<Entry>,
    pub(super) exchange: Exchange,
    pub(super) stored: Stored,
}

/// Who will wait for a flight?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// The caller.
    Caller,
    /// Nobody: the caller has been answered.
    Nobody,
}

/// The fetches in the air.
#[derive(Debug, Default)]
pub(super) struct Flights {
    air: Mutex<HashMap<ReportKey, Flight, RandomState>>,
}

#[derive(Debug)]
struct Flight {
    landing: watch::Receiver<Option<Landing>>,
    keep: Keep,
}

/// May a flight's answer be remembered?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    /// Its key was purged after it took off.
    No,
}

/// A place on a flight.
#[derive(Debug)]
pub(super) enum Ticket {
    /// On a flight that took off for this caller.
    Leader(Seat),
    /// On one that was in the air.
    Waiter(Seat),
    /// The flight in the air is older than a purge that this caller comes after: wait for its end, then look again.
    Outdated(Seat),
    /// On none: there was no need for one any more, or no room.
    Declined,
}

/// Waits for a flight to land.
#[derive(Debug)]
pub(super) struct Seat(watch::Receiver<Option<Landing>>);

/// Flies one fetch; whatever becomes of it, the key is free afterwards and nobody waits for ever.
#[derive(Debug)]
struct Pilot {
    flights: Arc<Flights>,
    key: ReportKey,
    landed: watch::Sender<Option<Landing>>,
}

// === impl Flights ===

impl Flights {
    /// Boards the flight for `key`. If none is in the air and one is still `needed`, what `take_off` makes takes off as
    /// one: the fetch, and what decides what is remembered of its outcome. The latter runs before anybody can board
    /// another flight for this key.
    pub(super) fn board<F, S>(
        self: &Arc<Self>,
        key: ReportKey,
        audience: Audience,
        needed: impl FnOnce() -> bool,
        take_off: impl FnOnce() -> (F, S),
    ) -> Ticket
    where
        F: Future<Output = Outcome> + Send + 'static,
        S: FnOnce(Outcome, Keep) -> Landing + Send + 'static,
    {
        let mut air = self.air();
        if let Some(flight) = air.get(&key) {
            let seat = Seat(flight.landing.clone());
            return match flight.keep {
                Keep::Yes => Ticket::Waiter(seat),
                Keep::No => Ticket::Outdated(seat),
            };
        }
        let room = match audience {
            Audience::Caller => true,
            Audience::Nobody => air.len() < MOST_BEHIND,
        };
        // Asked under the lock: a flight may have landed since the caller looked.
        if !room || !needed() {
            return Ticket::Declined;
        }
        let (landed, landing) = watch::channel(None);
        air.insert(key, Flight { landing: landing.clone(), keep: Keep::Yes });
        drop(air);
        let pilot = Pilot { flights: Arc::clone(self), key, landed };
        let (fetch, settle) = take_off();
        tokio::spawn(async move {
            // A panic is one more way to fail: it is settled, so that a key whose fetch panics is left alone for a while.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let outcome = fetched.unwrap_or_else(|_panic| Err(Cause::Internal.into()));
            pilot.land(|keep| settle(outcome, keep));
        });
        Ticket::Leader(Seat(landing))
    }

    /// Is a fetch of this key in the air?
    pub(super) fn is_in_the_air(&self, key: &ReportKey) -> bool {
        self.air().contains_key(key)
    }

    /// Runs `purge` on the memory, and sees to it that no flight in the air whose key `concerns` brings back what was
    /// purged.
    pub(super) fn purge<T>(&self, concerns: impl Fn(&ReportKey) -> bool, purge: impl FnOnce() -> T) -> T {
        let mut air = self.air();
        for (key, flight) in &mut *air {
            if concerns(key) {
                flight.keep = Keep::No;
            }
        }
        purge()
    }

    fn air(&self) -> MutexGuard<'_, HashMap<ReportKey, Flight, RandomState>> {
        self.air.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seat ===

impl Seat {
    /// Waits until the flight has landed.
    pub(super) async fn landed(mut self) -> Landing {
        match self.0.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or_else(|| Err(Cause::Internal.into())),
            // The pilot is gone and said nothing: settling panicked, or the process is ending.
            Err(_) => Err(Cause::Internal.into()),
        }
    }
}

// === impl Pilot ===

impl Pilot {
    /// Settles the outcome and frees the key in one step, then tells the waiters.
    fn land(self, settle: impl FnOnce(Keep) -> Landing) {
        let mut air = self.flights.air();
        let keep = air.get(&self.key).map_or(Keep::No, |flight| flight.keep);
        let landing = settle(keep);
        air.remove(&self.key);
        drop(air);
        self.landed.send_replace(Some(landing));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // After a landing this finds nothing of ours: had another flight of this key taken off since, it would be
        // told apart by its channel.
        let mut air = self.flights.air();
        if air.get(&self.key).is_some_and(|flight| flight.landing.same_channel(&self.landed.subscribe())) {
            air.remove(&self.key);
        }
    }
}
