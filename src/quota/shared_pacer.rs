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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinHandle;

    use super::*;

    const ONE: Option<NonZeroU32> = NonZeroU32::new(1);
    /// Between two calls of such a rate.
    const SPACING: Duration = Duration::from_millis(1_050);

    fn shared(max_wait: Duration) -> Arc<SharedPacer> {
        Arc::new(SharedPacer::new(Pacer::new(ONE, max_wait, Instant::now())))
    }

    /// A call that waits for its turn, and then how long it has waited.
    fn waits(shared: &Arc<SharedPacer>) -> JoinHandle<(Result<(), QueueFull>, Duration)> {
        let (shared, arrived) = (Arc::clone(shared), Instant::now());
        tokio::spawn(async move {
            let turn = shared.turn(Priority::Miss, arrived).await;
            (turn.map(|ticket| shared.turn_over(|pacer, now| pacer.ended(ticket, now))), arrived.elapsed())
        })
    }

    async fn until_one_waits(shared: &SharedPacer) {
        while shared.with(|pacer, _now| pacer.waiting()) == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_its_turn_and_no_longer_than_the_longest_wait() {
        let shared = shared(SPACING);
        assert_eq!(waits(&shared).await.unwrap(), (Ok(()), Duration::ZERO));
        let second = waits(&shared);
        until_one_waits(&shared).await;
        let full = QueueFull { wait: SPACING * 2 };
        assert_eq!(waits(&shared).await.unwrap(), (Err(full), Duration::ZERO));
        assert_eq!(second.await.unwrap(), (Ok(()), SPACING), "just as long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_held_back_while_it_waits_is_refused_when_its_turn_had_come() {
        let shared = shared(SPACING * 2);
        assert_eq!(waits(&shared).await.unwrap().0, Ok(()));
        let second = waits(&shared);
        until_one_waits(&shared).await;
        shared.with(|pacer, now| pacer.hold_until(now + SPACING * 3));
        assert_eq!(second.await.unwrap(), (Err(QueueFull { wait: SPACING * 2 }), SPACING));
        assert_eq!(shared.with(|pacer, _now| pacer.waiting()), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_call_that_is_connecting_the_next_one_waits_until_that_is_sent_or_its_time_is_up() {
        let shared = shared(SPACING * 4);
        let first = shared.turn(Priority::Miss, Instant::now()).await.unwrap();
        let second = waits(&shared);
        tokio::time::sleep(SPACING * 2).await;
        assert!(!second.is_finished());
        shared.turn_over(|pacer, now| pacer.ended(first, now));
        assert_eq!(second.await.unwrap(), (Ok(()), SPACING * 3));
        tokio::time::sleep(SPACING).await;
        let _never_sent = shared.turn(Priority::Miss, Instant::now()).await.unwrap();
        assert_eq!(waits(&shared).await.unwrap(), (Err(QueueFull { wait: SPACING * 4 }), SPACING * 4));
    }

    #[tokio::test(start_paused = true)]
    async fn new_limits_hold_for_the_next_call() {
        let shared = shared(SPACING * 4);
        assert_eq!(waits(&shared).await.unwrap().0, Ok(()));
        shared.set_limits(NonZeroU32::new(2), SPACING / 2);
        assert_eq!(waits(&shared).await.unwrap().0, Err(QueueFull { wait: SPACING }));
        tokio::time::sleep(SPACING).await;
        assert_eq!(waits(&shared).await.unwrap(), (Ok(()), Duration::ZERO));
        assert_eq!(waits(&shared).await.unwrap(), (Ok(()), SPACING / 2));
    }
}
