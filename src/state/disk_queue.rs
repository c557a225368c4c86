//! Disk queue: runs blocking disk work outside the async workers, one job at a time, in order of arrival.
//!
//! Each job is a blocking task and not a message to a thread, since tokio's paused time (tests) stands still only then.

use std::sync::Arc;

use tokio::{sync::Mutex, task::spawn_blocking};

/// A disk that hangs blocks one thread only, however many callers wait. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskQueue {
    turn: Arc<Mutex<()>>,
}

/// The job did not finish: it panicked, or the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: a bug, or the process is ending")]
pub(super) struct Interrupted;

// === impl DiskQueue ===

impl DiskQueue {
    /// Runs the job after all earlier ones. Dropping the future takes it out of the queue; a job that has begun is
    /// finished anyway.
    ///
    /// # Errors
    /// [`Interrupted`]: the job panicked, or the process is ending.
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
    async fn work_is_done_in_order_and_a_dropped_job_is_not_begun() {
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
        // It has begun: dropping its future does not stop it.
        hanging.abort();
        assert!(leaver.await.unwrap_err().is_cancelled());
        assert!(done.lock().unwrap().is_empty());
        drop(recover);
        first.await.unwrap();
        last.await.unwrap();
        assert_eq!(*done.lock().unwrap(), [1, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_is_an_error_and_does_not_stop_later_jobs() {
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
