//! The second's pace as all calls share it: a call waits here for its turn.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

use super::pacer::{Admission, Connecting, Pacer, Priority, QueueFull, QueueTicket};

#[derive(Debug)]
pub(super) struct SharedPacer {
    pacer: Mutex<Pacer>,
    /// Someone left the queue, or has been sent: those behind may be due earlier.
    queue_changed: Notify,
    max_wait: Duration,
}

/// A place in the queue that is given back if its owner goes away while waiting.
struct QueuedCall<'a> {
    shared: &'a SharedPacer,
    ticket: QueueTicket,
}

// === impl SharedPacer ===

impl SharedPacer {
    pub(super) fn new(pacer: Pacer, max_wait: Duration) -> Self {
        Self { pacer: Mutex::new(pacer), queue_changed: Notify::new(), max_wait }
    }

    pub(super) fn with<T>(&self, with: impl FnOnce(&mut Pacer, Instant) -> T) -> T {
        with(&mut self.pacer.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Waits until it is this call's turn, which has to be ended by [`Pacer::ended`].
    ///
    /// # Errors
    /// [`QueueFull`]: it would wait longer than it may.
    pub(super) async fn turn(&self, priority: Priority, arrived: Instant) -> Result<QueueTicket, QueueFull> {
        let queued = self.join(priority)?;
        let latest = arrived + self.max_wait;
        loop {
            // Before the look at the queue, so that a move between look and wait is not missed.
            let queue_changed = self.queue_changed.notified();
            match self.with(|pacer, now| pacer.take(queued.ticket, now)) {
                Admission::Go => return Ok(queued.ticket),
                // The upstream has slowed us since the place was given, or a better lane has filled.
                Admission::NotBefore(due) if due > latest => {
                    return Err(QueueFull { wait: due.saturating_duration_since(Instant::now()) });
                }
                Admission::NotBefore(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = queue_changed => {}
                    }
                }
                Admission::AfterConnecting if timeout_at(latest, queue_changed).await.is_err() => {
                    return Err(QueueFull { wait: self.max_wait });
                }
                Admission::AfterConnecting => {}
            }
        }
    }

    /// One turn may be over: then the next is due at a known time.
    pub(super) fn turn_over(&self, tell: impl FnOnce(&mut Pacer, Instant) -> Connecting) {
        match self.with(tell) {
            Connecting::Over => self.queue_changed.notify_waiters(),
            Connecting::Another => {}
        }
    }

    fn join(&self, priority: Priority) -> Result<QueuedCall<'_>, QueueFull> {
        let ticket = self.with(|pacer, now| pacer.reserve(priority, now))?;
        Ok(QueuedCall { shared: self, ticket })
    }
}

// === impl QueuedCall ===

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        // A place that was redeemed is not in the queue any more, and nobody moves up for it.
        if self.shared.with(|pacer, _now| pacer.give_back(self.ticket)) {
            self.shared.queue_changed.notify_waiters();
        }
    }
}
