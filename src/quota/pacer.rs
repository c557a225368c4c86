//! Per-second pacing: spaces upstream calls evenly, so that no second holds more than the vendor allows.
//!
//! A queue of places rather than a counter of tokens: a counter lets a burst go at the seam of two windows, and
//! whether the vendor's second is a fixed or a sliding window is unknown. Even spacing satisfies both.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use tokio::time::Instant;

use crate::{backoff::Backoff, report::Reason};

/// The window that the vendor counts in.
const WINDOW: Duration = Duration::from_secs(1);

/// What is added to the window: two calls that leave a second apart may arrive closer together, by as much as
/// the first one was held up on its way.
const JITTER: Duration = Duration::from_millis(50);

/// The pause after a 429 that does not say which limit it means: it may be the day's. At most ten minutes: a limit that
/// is lifted is noticed within that time.
const UNSPECIFIED_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10 * 60));

/// The slowest that `throttled` answers can make us: other programs may be spending the same second.
const SLOWEST: u32 = 8;

/// The `throttled` in a row that make us that slow. Each one more doubles the silence after it: whoever else spends the
/// second leaves us none of it.
const SLOWINGS: u32 = SLOWEST.ilog2();

/// That pause.
const THROTTLED_BACKOFF: Backoff = Backoff::new(WINDOW.saturating_add(JITTER), LONGEST_THROTTLED);
const LONGEST_THROTTLED: Duration = Duration::from_secs(60);

/// A place in the queue, to be redeemed by [`Pacer::take`] or handed back by [`Pacer::give_back`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueTicket {
    priority: Priority,
    number: u64,
}

/// Who goes first. Nobody overtakes in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// Nothing is held of the key, and somebody waits.
    Miss,
    /// An old copy is held.
    Refresh,
}

/// What [`Pacer::take`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The call may leave now; the place is used up. Nobody else is told so before [`Pacer::sent`] or
    /// [`Pacer::ended`].
    Go,
    /// Ask again then; the place is kept. Later than promised when the bucket was slowed meanwhile, or when a better
    /// lane has filled.
    NotBefore(Instant),
    /// Ask again once the call before this one is sent; the place is kept.
    AfterConnecting,
}

/// Was it the call whose turn it is that was told of?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connecting {
    /// It was: the next one is due at a known time.
    Over,
    /// That had been told of before.
    Another,
}

/// The queue is longer than anyone should wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the calls of the next {wait:?} are taken")]
pub(super) struct QueueFull {
    /// How long a call that comes now would have to wait.
    pub(super) wait: Duration,
}

/// A pure machine: time comes as an argument, waiting is the caller's.
#[derive(Debug)]
pub(super) struct Pacer {
    full_speed: Duration,
    interval: Duration,
    max_wait: Duration,
    next: Instant,
    slowed_at: Option<Instant>,
    throttled_in_a_row: u32,
    unclear_in_a_row: u32,
    queue: BTreeSet<QueueTicket>,
    /// Has had its turn, and may have no connection yet. A connection that is being made delays its call, and not the
    /// next one: were they both let go, they could meet on the wire.
    connecting: Option<QueueTicket>,
    issued: u64,
    left: VecDeque<Instant>,
}

// === impl Priority ===

impl From<Reason> for Priority {
    fn from(reason: Reason) -> Self {
        match reason {
            // A second attempt ends what has been begun; when calls are scarce there is none.
            Reason::Miss | Reason::Retry => Self::Miss,
            Reason::Refresh => Self::Refresh,
        }
    }
}

// === impl Pacer ===

impl Pacer {
    /// A bucket that lets the first call go at once. `None` for `per_second` spaces nothing, yet still holds
    /// calls back when the upstream asks for it.
    pub(super) fn new(per_second: Option<NonZeroU32>, max_wait: Duration, now: Instant) -> Self {
        let full_speed = per_second.map_or(Duration::ZERO, |calls| (WINDOW + JITTER) / calls.get());
        Self {
            full_speed,
            interval: full_speed,
            max_wait,
            next: now,
            slowed_at: None,
            throttled_in_a_row: 0,
            unclear_in_a_row: 0,
            queue: BTreeSet::new(),
            connecting: None,
            issued: 0,
            left: VecDeque::new(),
        }
    }

    /// Joins the queue.
    ///
    /// # Errors
    /// [`QueueFull`] when the place would be due later than `max_wait` from now.
    pub(super) fn reserve(&mut self, priority: Priority, now: Instant) -> Result<QueueTicket, QueueFull> {
        let wait = self.wait(priority, now);
        if wait > self.max_wait {
            return Err(QueueFull { wait });
        }
        let ticket = QueueTicket { priority, number: self.issued };
        self.issued += 1;
        self.queue.insert(ticket);
        Ok(ticket)
    }

    /// Redeems a place, or says when to ask again.
    pub(super) fn take(&mut self, ticket: QueueTicket, now: Instant) -> Admission {
        if self.connecting.is_some() {
            return Admission::AfterConnecting;
        }
        let ahead = self.queue.range(..ticket).count();
        let due = self.due(ahead);
        if now < due {
            return Admission::NotBefore(due);
        }
        self.queue.remove(&ticket);
        // From the real departure, not from the planned one: a call that woke late must not draw the next one
        // closer than the interval.
        self.next = now + self.interval;
        self.forget(now);
        self.left.push_back(now);
        if !self.full_speed.is_zero() {
            self.connecting = Some(ticket);
        }
        Admission::Go
    }

    /// The call whose turn it is has a connection, and is being sent.
    pub(super) fn sent(&mut self, now: Instant) -> Connecting {
        let Some(_place) = self.connecting.take() else { return Connecting::Another };
        // The interval is one between calls on the wire.
        self.next = self.next.max(now + self.interval);
        if let Some(left) = self.left.back_mut() {
            *left = now;
        }
        Connecting::Over
    }

    /// The call that had this place has ended, sent or not.
    pub(super) fn ended(&mut self, ticket: QueueTicket, now: Instant) -> Connecting {
        if self.connecting == Some(ticket) { self.sent(now) } else { Connecting::Another }
    }

    /// Leaves the queue; those behind move up. Says whether the place was still in it.
    pub(super) fn give_back(&mut self, ticket: QueueTicket) -> bool {
        self.queue.remove(&ticket)
    }

    /// The upstream said `throttled`: a whole window of silence, then half the rate; and at the slowest rate a silence
    /// that grows.
    pub(super) fn throttled(&mut self, now: Instant) {
        // The calls that were already under way when the rate was halved say nothing new.
        if self.slowed_at.is_none_or(|slowed_at| slowed_at + WINDOW <= now) {
            self.interval = (self.interval * 2).min(self.full_speed * SLOWEST);
            self.slowed_at = Some(now);
            let pause = THROTTLED_BACKOFF.pause(self.throttled_in_a_row.saturating_sub(SLOWINGS));
            self.throttled_in_a_row += 1;
            self.hold_until(now + pause);
        }
        self.hold_until(now + WINDOW + JITTER);
    }

    /// The upstream said 429 and not which limit it means: as [`Pacer::throttled`], and a silence that grows.
    pub(super) fn unspecified_429(&mut self, now: Instant) {
        if self.slowed_at.is_none_or(|slowed_at| slowed_at + WINDOW <= now) {
            let pause = UNSPECIFIED_BACKOFF.pause(self.unclear_in_a_row);
            self.unclear_in_a_row += 1;
            self.hold_until(now + pause);
        }
        self.throttled(now);
    }

    /// Another bucket has spaced the calls up to now: the last second may have had all of its calls.
    pub(super) fn resume_after_restart(&mut self, now: Instant) {
        if !self.full_speed.is_zero() {
            self.hold_until(now + WINDOW + JITTER);
        }
    }

    /// The upstream named a moment before which it wants no call.
    pub(super) fn hold_until(&mut self, until: Instant) {
        self.next = self.next.max(until);
    }

    /// The upstream took a call without complaint: back towards full speed, an eighth of it a call.
    pub(super) fn accepted(&mut self) {
        self.throttled_in_a_row = 0;
        self.unclear_in_a_row = 0;
        self.interval = self.interval.saturating_sub(self.full_speed / 8).max(self.full_speed);
    }

    /// How many calls wait in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How long until a call that is not yet in the queue could leave, if nobody comes in a better lane.
    pub(super) fn wait(&self, priority: Priority, now: Instant) -> Duration {
        let ahead = self.queue.iter().filter(|ticket| ticket.priority <= priority).count();
        self.due(ahead).saturating_duration_since(now)
    }

    /// How many calls left within the last second.
    pub(super) fn used(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.left.len()
    }

    fn forget(&mut self, now: Instant) {
        while self.left.front().is_some_and(|left| *left + WINDOW <= now) {
            self.left.pop_front();
        }
    }

    fn due(&self, ahead: usize) -> Instant {
        // The queue is bounded by max_wait, the cast cannot bite in a real one.
        self.next + self.interval * u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
