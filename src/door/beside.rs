//! Two futures of one task, of which one is polled for every request and the other hardly ever.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{future::Either, task::AtomicWaker};

/// Waits for whichever of the two ends first; both live on, and may be used again.
///
/// `often` is polled whenever the task is, `seldom` only when it was woken itself: its timers and signals cost a request
/// nothing.
pub(super) fn beside<A, B>(often: A, seldom: B) -> Beside<A, B> {
    let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: AtomicWaker::new() });
    Beside { often, seldom, waker: Waker::from(Arc::clone(&bell)), bell, registered: None }
}

/// See [`beside`].
pub(super) struct Beside<A, B> {
    often: A,
    seldom: B,
    /// Rings the bell.
    waker: Waker,
    bell: Arc<Bell>,
    /// Whom the bell wakes, kept to see at a glance that it is still the same.
    registered: Option<Waker>,
}

/// Tells that `seldom` is to be polled.
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

// === impl Beside ===

impl<A: Future + Unpin, B: Future + Unpin> Future for Beside<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(end) = Pin::new(&mut this.often).poll(cx) {
            return Poll::Ready(Either::Left(end));
        }
        let is_registered = this.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let rung = this.bell.rung.load(Ordering::Acquire);
        // Ringing takes the registered waker away.
        if rung || !is_registered {
            this.bell.task.register(cx.waker());
            this.registered = Some(cx.waker().clone());
        }
        // Cleared after registering: whoever rings from here on wakes the task, and whoever did before is heard below.
        if rung || this.bell.rung.load(Ordering::Acquire) {
            this.bell.rung.store(false, Ordering::Relaxed);
            let end = Pin::new(&mut this.seldom).poll(&mut Context::from_waker(&this.waker));
            return end.map(Either::Right);
        }
        Poll::Pending
    }
}

// === impl Bell ===

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, pin::pin, time::Duration};

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
    async fn the_end_of_the_often_one_leaves_the_other_alone() {
        let mut never = pin!(std::future::pending::<()>());
        let ended = beside(pin!(async { 7 }), never.as_mut()).await;
        assert!(matches!(ended, Either::Left(7)));
    }
}
