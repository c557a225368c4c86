//! `beside` polls two futures in one task: one at every wake-up of the task, the other only when its own waker is woken.
//!
//! A connection's HTTP is the first, its timers and the drain signal are the second: a request does not poll those.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::future::Either;

/// Waits until one of the two completes. The other one is not cancelled: pass references to keep using it.
///
/// `often` is polled whenever the task is, `seldom` only when its own waker was woken.
pub(super) fn beside<A, B>(often: A, seldom: B) -> Beside<A, B> {
    let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) });
    Beside { often, seldom, waker: Waker::from(Arc::clone(&bell)), bell, registered: None }
}

/// See [`beside`].
pub(super) struct Beside<A, B> {
    often: A,
    seldom: B,
    /// The waker that `seldom` is polled with: wakes `bell`.
    waker: Waker,
    bell: Arc<Bell>,
    /// The task's waker that `bell` has now: compared without taking the lock.
    registered: Option<Waker>,
}

/// Notes that `seldom` was woken and must be polled, and wakes the task.
struct Bell {
    /// `seldom` was woken and not polled since.
    rung: AtomicBool,
    /// The task's waker. Waking clones it and leaves it here: if waking took it, as `AtomicWaker` does, `poll` would have to
    /// register it again each time, and could not know whether it does so before or after the wake-up.
    task: Mutex<Waker>,
}

// === impl Beside ===

impl<A: Future + Unpin, B: Future + Unpin> Future for Beside<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(end) = Pin::new(&mut this.often).poll(cx) {
            return Poll::Ready(Either::Left(end));
        }
        if !this.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            this.bell.wakes(cx.waker());
            this.registered = Some(cx.waker().clone());
        }
        // Checked after registering: a later wake-up wakes this task, an earlier one is seen here. The swap (acquire) also
        // sees a wake-up that comes between load and swap, together with what was written before it.
        if this.bell.rung.load(Ordering::Acquire) && this.bell.rung.swap(false, Ordering::AcqRel) {
            let end = Pin::new(&mut this.seldom).poll(&mut Context::from_waker(&this.waker));
            return end.map(Either::Right);
        }
        Poll::Pending
    }
}

// === impl Bell ===

impl Bell {
    fn wakes(&self, waker: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
    }

    fn wake_task(&self) {
        // Waking runs the runtime's code: not while holding the lock.
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        task.wake();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.wake_task();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, pin::pin, sync::atomic::AtomicU32, time::Duration};

    use tokio::{sync::Notify, time::sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_seldom_one_is_polled_when_it_is_woken_and_not_when_the_other_is() {
        let (often, seldom) = (Notify::new(), Cell::new(0));
        let mut answers = pin!(async {
            loop {
                often.notified().await;
            }
        });
        let mut counted = pin!(async {
            for _ in 0..3 {
                let mut timer = pin!(sleep(Duration::from_secs(60)));
                std::future::poll_fn(|cx| {
                    seldom.set(seldom.get() + 1);
                    timer.as_mut().poll(cx)
                })
                .await;
            }
        });
        let mut both = pin!(beside(answers.as_mut(), counted.as_mut()));
        let ask = async {
            for _ in 0..100 {
                often.notify_one();
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = &mut both => assert!(matches!(ended, Either::Right(()))),
            () = ask => {}
        }
        assert_eq!(seldom.get(), 6, "once to set each timer, once when it rang");
    }

    #[tokio::test]
    async fn the_end_of_the_often_one_does_not_need_the_other_to_end() {
        let mut never = pin!(std::future::pending::<()>());
        let ended = beside(pin!(async { 7 }), never.as_mut()).await;
        assert!(matches!(ended, Either::Left(7)));
    }

    /// A future that never completes; keeps the last waker it was polled with, and counts the polls.
    #[derive(Default)]
    struct Seldom {
        waker: Option<Waker>,
        polls: u32,
    }

    impl Future for Seldom {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.waker = Some(cx.waker().clone());
            self.polls += 1;
            Poll::Pending
        }
    }

    /// A task: true if it was woken, so that an executor would poll it again.
    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Task {
        /// Polls as an executor does: until it is not woken again.
        fn run<A: Future + Unpin, B: Future + Unpin>(self: &Arc<Self>, both: &mut Beside<A, B>) {
            let waker = Waker::from(Arc::clone(self));
            while self.0.swap(false, Ordering::SeqCst) {
                assert!(Pin::new(&mut *both).poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
    }

    #[test]
    fn a_wakeup_that_comes_at_the_same_time_as_a_request_costs_no_later_one() {
        const ROUNDS: u32 = 2_000;
        let task = Arc::new(Task::default());
        let mut both = beside(std::future::pending::<()>(), Seldom::default());
        task.0.store(true, Ordering::SeqCst);
        task.run(&mut both);
        let bell = both.seldom.waker.clone().unwrap();
        let (begun, ended, mut lost) = (AtomicU32::new(0), AtomicU32::new(0), 0);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for round in 1..=ROUNDS {
                    while begun.load(Ordering::SeqCst) != round {
                        std::thread::yield_now();
                    }
                    bell.wake_by_ref();
                    ended.store(round, Ordering::SeqCst);
                }
            });
            for round in 1..=ROUNDS {
                begun.store(round, Ordering::SeqCst);
                let mut requests = 0_u32;
                while ended.load(Ordering::SeqCst) != round {
                    task.0.store(true, Ordering::SeqCst);
                    task.run(&mut both);
                    requests += 1;
                    // Not every time: on one processor two threads that always yield would alternate, and never race.
                    if requests.is_multiple_of(20_000) {
                        std::thread::yield_now();
                    }
                }
                task.run(&mut both);
                let polls = both.seldom.polls;
                bell.wake_by_ref();
                task.run(&mut both);
                lost += u32::from(both.seldom.polls == polls);
            }
        });
        assert_eq!(lost, 0, "of {ROUNDS} wakeups");
    }

    #[test]
    fn a_request_between_the_halves_of_a_wakeup_costs_no_later_one() {
        let task = Arc::new(Task::default());
        let mut both = beside(std::future::pending::<()>(), Seldom::default());
        let request = |both: &mut Beside<_, _>| {
            task.0.store(true, Ordering::SeqCst);
            task.run(both);
        };
        request(&mut both);
        let bell = Arc::clone(&both.bell);
        bell.rung.store(true, Ordering::SeqCst);
        request(&mut both);
        assert_eq!(both.seldom.polls, 2, "seen before the task is woken");
        bell.wake_task();
        task.run(&mut both);
        bell.wake_by_ref();
        task.run(&mut both);
        assert_eq!(both.seldom.polls, 3);
    }

    #[test]
    fn the_bell_wakes_the_task_that_polled_last() {
        let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut both = beside(std::future::pending::<()>(), Seldom::default());
        for task in [&first, &second] {
            task.0.store(true, Ordering::SeqCst);
            task.run(&mut both);
        }
        both.seldom.waker.clone().unwrap().wake();
        assert!(!first.0.load(Ordering::SeqCst) && second.0.load(Ordering::SeqCst));
        second.run(&mut both);
        assert_eq!(both.seldom.polls, 2);
    }
}
