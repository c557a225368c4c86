//! Waits for a call's turn in the second.

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    admit::SharedQuota,
    pacer::{Admission, Connecting, Pacer, Priority, QueueFull, QueueTicket},
};
use crate::report::Cause;

/// A place in the bucket's queue that is given back if its owner goes away while waiting.
struct QueuedCall<'a> {
    shared: &'a SharedQuota,
    ticket: QueueTicket,
}

// === impl SharedQuota ===

impl SharedQuota {
    pub(super) async fn turn(&self, priority: Priority, arrived: Instant) -> Result<QueueTicket, Cause> {
        let held = self.join(priority).map_err(|full| self.denied_second(full.wait))?;
        let latest = arrived + self.limits.max_wait;
        loop {
            // Before the look at the queue, so that a move between look and wait is not missed.
            let queue_changed = self.queue_changed.notified();
            match self.pacer(|pacer, now| pacer.take(held.ticket, now)) {
                Admission::Go => return Ok(held.ticket),
                // The upstream has slowed us since the place was given, or a better lane has filled.
                Admission::NotBefore(due) if due > latest => {
                    return Err(self.denied_second(due.saturating_duration_since(Instant::now())));
                }
                Admission::NotBefore(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = queue_changed => {}
                    }
                }
                Admission::AfterConnecting if timeout_at(latest, queue_changed).await.is_err() => {
                    return Err(self.denied_second(self.limits.max_wait));
                }
                Admission::AfterConnecting => {}
            }
        }
    }

    /// One turn may be over: then the next is due at a known time.
    pub(super) fn turn_over(&self, tell: impl FnOnce(&mut Pacer, Instant) -> Connecting) {
        match self.pacer(tell) {
            Connecting::Over => self.queue_changed.notify_waiters(),
            Connecting::Another => {}
        }
    }

    fn join(&self, priority: Priority) -> Result<QueuedCall<'_>, QueueFull> {
        let ticket = self.pacer(|pacer, now| pacer.reserve(priority, now))?;
        Ok(QueuedCall { shared: self, ticket })
    }
}

// === impl QueuedCall ===

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        // A place that was redeemed is not in the queue any more, and nobody moves up for it.
        if self.shared.pacer(|pacer, _now| pacer.give_back(self.ticket)) {
            self.shared.queue_changed.notify_waiters();
        }
    }
}
