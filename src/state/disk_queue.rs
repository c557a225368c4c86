//! A disk's work: off the async workers, one piece at a time, in the order in which it was asked for.
//!
//! A blocking task, and no thread with a channel: tokio's paused time stands still while it runs.

use std::sync::Arc;

use tokio::{sync::Mutex, task::spawn_blocking};

/// A disk that hangs holds one thread, whoever waits for it. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskQueue {
    turn: Arc<Mutex<()>>,
}

/// The work did not come to its end: it panicked, or the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: a bug, or the process is ending")]
pub(super) struct Interrupted;

// === impl DiskQueue ===

impl DiskQueue {
    /// Has this done when all that was asked for before is done. Whoever stops waiting takes it out of the queue; once
    /// begun, it is brought to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let working = spawn_blocking(move || {
            let _until_done = turn;
            work()
        });
        working.await.map_err(|_panicked_or_ending| Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, PoisonError, mpsc},
        time::Duration,
    };

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_done_in_order_and_what_nobody_waits_for_any_more_is_not_begun() {
        let (queue, done) = (DiskQueue::default(), Arc::new(Mutex::new(Vec::new())));
        let (recover, recovery) = mpsc::channel::<()>();
        let work = |number: u32| {
            let (queue, done) = (queue.clone(), Arc::clone(&done));
            async move {
                let note = move || done.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                queue.run(note).await.unwrap();
            }
        };
        let hanging = {
            let queue = queue.clone();
            tokio::spawn(async move { queue.run(move || recovery.recv()).await })
        };
        tokio::task::yield_now().await;
        let [first, leaver, last] = [1, 2, 3].map(|number| tokio::spawn(work(number)));
        tokio::task::yield_now().await;
        leaver.abort();
        // Begun already: that nobody waits for it does not end it.
        hanging.abort();
        assert!(leaver.await.unwrap_err().is_cancelled());
        assert!(done.lock().unwrap().is_empty());
        drop(recover);
        first.await.unwrap();
        last.await.unwrap();
        assert_eq!(*done.lock().unwrap(), [1, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_is_told_of_and_stops_nobody_else() {
        let queue = DiskQueue::default();
        queue.run(|| panic!("a bug")).await.unwrap_err();
        assert_eq!(queue.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_stands_still_while_the_disk_works() {
        let (queue, start) = (DiskQueue::default(), Instant::now());
        let (told, hears) = mpsc::channel();
        let working = queue.run(move || hears.recv().unwrap());
        let elsewhere = std::thread::spawn(move || told.send(5));
        let done = timeout(Duration::from_secs(1), working).await;
        assert_eq!(done.expect("no second has passed").unwrap(), 5);
        elsewhere.join().unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(Duration::from_secs(1)).await;
    }
}
