//! `std::task`, `std::thread` and `tokio::spawn`: each task is a thread of the checker.

use real_std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::{Arc, PoisonError},
};

use crate::checker::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

pub use real_std::task::{Context, Poll, Wake, Waker};

/// What becomes of the tasks that are spawned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Run,
    /// The runtime shuts down: they are dropped without having run.
    Dropped,
}

/// A thread that waits for a future.
struct Parker {
    woken: Mutex<bool>,
    wake: Condvar,
}

/// The payload of a panic that a model plans: it is not printed.
struct PlannedPanic;

thread_local! {
    static FATE: Cell<Fate> = const { Cell::new(Fate::Run) };
}

/// From now on tasks end so.
pub(crate) fn destine(fate: Fate) {
    FATE.set(fate);
}

/// Spawns a task. A panic ends it, as it does in tokio.
pub fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    let fate = FATE.get();
    thread::spawn(move || match fate {
        Fate::Run => {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| block_on(task)))
                && !panic.is::<PlannedPanic>()
            {
                resume_unwind(panic);
            }
        }
        Fate::Dropped => drop(task),
    });
}

/// Waits for threads; returns what they return.
pub(crate) fn join<T>(threads: impl IntoIterator<Item = thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Panics without a word.
pub(crate) fn planned_panic() -> ! {
    resume_unwind(Box::new(PlannedPanic))
}

/// Runs a future on this thread. Where nothing wakes it any more, the checker reports a deadlock.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let parker = Arc::new(Parker { woken: Mutex::new(false), wake: Condvar::new() });
    let (waker, mut future) = (Waker::from(Arc::clone(&parker)), pin!(future));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}

// === impl Parker ===

impl Parker {
    fn park(&self) {
        let mut woken = self.woken();
        while !*woken {
            woken = self.wake.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
        *woken = false;
    }

    /// A thread that panics wakes others too.
    fn woken(&self) -> MutexGuard<'_, bool> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken() = true;
        self.wake.notify_one();
    }
}
