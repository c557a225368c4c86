//! Per-second pacing: spaces upstream calls evenly, so that no second holds more than the vendor allows.
//!
//! A queue with evenly spaced departures, not a token bucket: a bucket allows a double burst where two windows meet,
//! and it is unknown whether the vendor's second is a fixed or a sliding window. Even spacing satisfies both.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use tokio::time::Instant;

use crate::{backoff::Backoff, report::Reason};

/// The window that the vendor counts in.
const WINDOW: Duration = Duration::from_secs(1);

/// Added to the window: two calls sent a second apart may arrive closer together, by the delay of the first one.
const JITTER: Duration = Duration::from_millis(50);

/// The pause after a 429 that does not say which limit it means: it may be the daily one. At most ten minutes, so that
/// the end of the limit is noticed within that time.
const UNSPECIFIED_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10 * 60));

/// By this factor at most do `throttled` responses lengthen the interval; other programs may use the same limit.
const SLOWEST: u32 = 8;

/// The number of `throttled` in a row after which the interval has its maximum. From then on each one doubles the
/// pause, since other programs seem to use the whole limit.
const SLOWINGS: u32 = SLOWEST.ilog2();

/// The pause after a `throttled`.
const THROTTLED_BACKOFF: Backoff = Backoff::new(WINDOW.saturating_add(JITTER), LONGEST_THROTTLED);
const LONGEST_THROTTLED: Duration = Duration::from_secs(60);

/// A place in the queue, to be redeemed by [`Pacer::take`] or handed back by [`Pacer::give_back`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueTicket {
    priority: Priority,
    number: u64,
}

/// The order of the queue: misses first, then by arrival. A waiting call that wakes up late may still be overtaken by a
/// later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// Nothing is cached for the key, and a caller waits.
    Miss,
    /// An entry is cached already.
    Refresh,
}

/// The result of [`Pacer::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The call may leave now; its place is gone. No other call may leave before [`Pacer::sent`] or [`Pacer::ended`].
    Go,
    /// Try again then; the place is kept. Later than first estimated if the pacer was slowed down meanwhile, or if
    /// calls of a higher priority have come.
    NotBefore(Instant),
    /// Try again once the call before this one is sent; the place is kept.
    AfterConnecting,
}

/// Whether the call that was reported as sent or ended is the one that is connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connecting {
    /// It is: the time of the next call is known now.
    Over,
    /// It is not: it was reported before.
    Another,
}

/// The queue is full: the wait would be longer than `max_wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full, a call would wait {wait:?}")]
pub(super) struct QueueFull {
    /// How long a call would have to wait now.
    pub(super) wait: Duration,
}

/// Pure: time is an argument, and the caller does the waiting.
#[derive(Debug)]
pub(super) struct Pacer {
    full_speed: Duration,
    interval: Duration,
    max_wait: Duration,
    next: Instant,
    slowed_at: Option<Instant>,
    throttled_in_a_row: u32,
    unspecified_in_a_row: u32,
    queue: BTreeSet<QueueTicket>,
    /// The call that was let go last, until it is sent. Making a connection delays it but not a call that follows: both
    /// could then be sent at the same moment.
    connecting: Option<QueueTicket>,
    issued: u64,
    left: VecDeque<Instant>,
}

// === impl Priority ===

impl From<Reason> for Priority {
    fn from(reason: Reason) -> Self {
        match reason {
            // A retry finishes what was begun; while calls are scarce there are almost none.
            Reason::Miss | Reason::Retry => Self::Miss,
            Reason::Refresh | Reason::Probe | Reason::Status => Self::Refresh,
        }
    }
}

// === impl Pacer ===

impl Pacer {
    /// A pacer that lets the first call leave at once. With `None` for `per_second` it does not space calls, but still
    /// holds them back after a 429.
    pub(super) fn new(per_second: Option<NonZeroU32>, max_wait: Duration, now: Instant) -> Self {
        let full_speed = interval_at(per_second);
        Self {
            full_speed,
            interval: full_speed,
            max_wait,
            next: now,
            slowed_at: None,
            throttled_in_a_row: 0,
            unspecified_in_a_row: 0,
            queue: BTreeSet::new(),
            connecting: None,
            issued: 0,
            left: VecDeque::new(),
        }
    }

    /// Takes over new limits. A slower rate holds from the last departure on; as before, `throttled` keeps it even slower.
    pub(super) fn set_limits(&mut self, per_second: Option<NonZeroU32>, max_wait: Duration) {
        let full_speed = interval_at(per_second);
        let slowed =
            if self.full_speed.is_zero() { 1.0 } else { self.interval.div_duration_f64(self.full_speed) };
        self.interval = full_speed.mul_f64(slowed);
        (self.full_speed, self.max_wait) = (full_speed, max_wait);
        if let Some(left) = self.left.back() {
            self.next = self.next.max(*left + self.interval);
        }
    }

    pub(super) const fn max_wait(&self) -> Duration {
        self.max_wait
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

    /// Lets the call leave if it is due, or says when to try again.
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
        // From the real departure, not the planned one: after a call that woke up late, the next one must still keep
        // the full interval.
        self.next = now + self.interval;
        self.forget(now);
        self.left.push_back(now);
        if !self.full_speed.is_zero() {
            self.connecting = Some(ticket);
        }
        Admission::Go
    }

    /// The connecting call has a connection now, and is being sent.
    pub(super) fn sent(&mut self, now: Instant) -> Connecting {
        let Some(_place) = self.connecting.take() else { return Connecting::Another };
        // The interval is between calls on the wire.
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

    /// Leaves the queue; later calls move up. Returns whether the place was still in it.
    pub(super) fn give_back(&mut self, ticket: QueueTicket) -> bool {
        self.queue.remove(&ticket)
    }

    /// The upstream said `throttled`: pauses for a whole window, then calls at half the rate; at the slowest rate the
    /// pause doubles each time.
    pub(super) fn throttled(&mut self, now: Instant) {
        // Responses to calls that were under way when the rate was halved say nothing new.
        if self.slowed_at.is_none_or(|slowed_at| slowed_at + WINDOW <= now) {
            self.interval = (self.interval * 2).min(self.full_speed * SLOWEST);
            self.slowed_at = Some(now);
            let pause = THROTTLED_BACKOFF.pause(self.throttled_in_a_row.saturating_sub(SLOWINGS));
            self.throttled_in_a_row += 1;
            self.hold_until(now + pause);
        }
        self.hold_until(now + WINDOW + JITTER);
    }

    /// The upstream said 429 but not which limit it means: as [`Pacer::throttled`], with a pause that doubles each
    /// time.
    pub(super) fn unspecified_429(&mut self, now: Instant) {
        if self.slowed_at.is_none_or(|slowed_at| slowed_at + WINDOW <= now) {
            let pause = UNSPECIFIED_BACKOFF.pause(self.unspecified_in_a_row);
            self.unspecified_in_a_row += 1;
            self.hold_until(now + pause);
        }
        self.throttled(now);
    }

    /// The previous process may have used the calls of the last second: waits for one window.
    pub(super) fn resume_after_restart(&mut self, now: Instant) {
        if !self.full_speed.is_zero() {
            self.hold_until(now + WINDOW + JITTER);
        }
    }

    /// No call leaves before `until`.
    pub(super) fn hold_until(&mut self, until: Instant) {
        self.next = self.next.max(until);
    }

    /// The upstream accepted a call: shortens the interval by an eighth of the one at full speed.
    pub(super) fn accepted(&mut self) {
        self.throttled_in_a_row = 0;
        self.unspecified_in_a_row = 0;
        self.interval = self.interval.saturating_sub(self.full_speed / 8).max(self.full_speed);
    }

    /// How many calls wait in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How long a call that joins the queue now would wait, if no call of a higher priority comes.
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
        // `max_wait` bounds the queue, so the conversion does not fail in practice.
        self.next + self.interval * u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}

/// The time between two calls at this rate.
fn interval_at(per_second: Option<NonZeroU32>) -> Duration {
    per_second.map_or(Duration::ZERO, |calls| (WINDOW + JITTER) / calls.get())
}

#[cfg(test)]
mod tests;
