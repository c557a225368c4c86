//! Waits for a call's turn in the second.

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    bucket::{Bucket, Connecting, Lane, Place, QueueFull, Turn},
    quota::Shared,
};
use crate::report::Cause;

/// A place in the bucket's queue that is given back if its owner goes away while waiting.
struct Held<'a> {
    shared: &'a Shared,
    place: Place,
}

// === impl Shared ===

impl Shared {
    pub(super) async fn turn(&self, lane: Lane, arrived: Instant) -> Result<Place, Cause> {
        let held = self.join(lane).map_err(|full| self.denied_second(full.wait))?;
        let latest = arrived + self.limits.max_wait;
        loop {
            // Before the look at the queue, so that a move between look and wait is not missed.
            let moved_up = self.moved_up.notified();
            match self.bucket(|bucket, now| bucket.take(held.place, now)) {
                Turn::Go => return Ok(held.place),
                // The upstream has slowed us since the place was given, or a better lane has filled.
                Turn::NotBefore(due) if due > latest => {
                    return Err(self.denied_second(due.saturating_duration_since(Instant::now())));
                }
                Turn::NotBefore(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = moved_up => {}
                    }
                }
                Turn::AfterConnecting if timeout_at(latest, moved_up).await.is_err() => {
                    return Err(self.denied_second(self.limits.max_wait));
                }
                Turn::AfterConnecting => {}
            }
        }
    }

    /// One turn may be over: then the next is due at a known time.
    pub(super) fn turn_over(&self, tell: impl FnOnce(&mut Bucket, Instant) -> Connecting) {
        match self.bucket(tell) {
            Connecting::Over => self.moved_up.notify_waiters(),
            Connecting::Another => {}
        }
    }

    fn join(&self, lane: Lane) -> Result<Held<'_>, QueueFull> {
        let place = self.bucket(|bucket, now| bucket.reserve(lane, now))?;
        Ok(Held { shared: self, place })
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A place that was redeemed is not in the queue any more, and nobody moves up for it.
        if self.shared.bucket(|bucket, _now| bucket.give_back(self.place)) {
            self.shared.moved_up.notify_waiters();
        }
    }
}
