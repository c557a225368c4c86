//! The per-second pacer, shared by all calls: a call waits here for its turn.

use std::{
    num::NonZeroU32,
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
    /// Notified when a call left the queue or was sent: the waiting ones may be due earlier.
    queue_changed: Notify,
}

/// A place in the queue; given up when the waiting call is cancelled.
struct QueuedCall<'a> {
    shared: &'a SharedPacer,
    ticket: QueueTicket,
}

// === impl SharedPacer ===

impl SharedPacer {
    pub(super) fn new(pacer: Pacer) -> Self {
        Self { pacer: Mutex::new(pacer), queue_changed: Notify::new() }
    }

    /// As [`Pacer::set_limits`]; calls that wait may be due earlier.
    pub(super) fn set_limits(&self, per_second: Option<NonZeroU32>, max_wait: Duration) {
        self.with(|pacer, _now| pacer.set_limits(per_second, max_wait));
        self.queue_changed.notify_waiters();
    }

    pub(super) fn with<T>(&self, with: impl FnOnce(&mut Pacer, Instant) -> T) -> T {
        with(&mut self.pacer.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Waits until the call may leave. [`Pacer::ended`] has to be called with the ticket afterwards.
    ///
    /// # Errors
    /// [`QueueFull`]: it would wait longer than `max_wait`.
    pub(super) async fn turn(&self, priority: Priority, arrived: Instant) -> Result<QueueTicket, QueueFull> {
        let queued = self.join(priority)?;
        let max_wait = self.with(|pacer, _now| pacer.max_wait());
        let latest = arrived + max_wait;
        loop {
            // Created before the check, so that a change between check and wait is not missed.
            let queue_changed = self.queue_changed.notified();
            match self.with(|pacer, now| pacer.take(queued.ticket, now)) {
                Admission::Go => return Ok(queued.ticket),
                // Since it joined, the upstream has slowed us down, or calls of a higher priority have come.
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
                    return Err(QueueFull { wait: max_wait });
                }
                Admission::AfterConnecting => {}
            }
        }
    }

    /// Reports that a call was sent or has ended, and wakes the waiting ones if that lets the next one leave.
    pub(super) fn turn_over(&self, report: impl FnOnce(&mut Pacer, Instant) -> Connecting) {
        match self.with(report) {
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
        // After its turn the place is no longer in the queue, and no other call moves up.
        if self.shared.with(|pacer, _now| pacer.give_back(self.ticket)) {
            self.shared.queue_changed.notify_waiters();
        }
    }
}
