//! `std::time` and `tokio::time`: a clock that stands still until a model moves it on.

use real_std::{
    cell::{Cell, RefCell},
    future::Future,
    ops::{Add, AddAssign, Sub},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use futures_util::future::{Either, select};

pub use real_std::time::{Duration, SystemTime};

/// `tokio::time::Instant`: the time since the model began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

/// `tokio::time::Sleep`.
#[derive(Debug)]
pub struct Sleep(Instant);

/// `tokio::time::error::Elapsed`.
#[derive(Debug)]
pub struct Elapsed;

// The checkers run all threads of a model on one.
thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static SLEEPERS: RefCell<Vec<(Instant, Waker)>> = const { RefCell::new(Vec::new()) };
}

/// Another run of a model begins.
pub(crate) fn begin() {
    NOW.set(Duration::ZERO);
    SLEEPERS.take();
}

/// Moves the clock on, and wakes those whose time has come.
pub(crate) fn advance(by: Duration) {
    NOW.set(NOW.get() + by);
    let now = Instant::now();
    let due: Vec<_> =
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.extract_if(.., |(at, _)| *at <= now).collect());
    due.into_iter().for_each(|(_, waker)| waker.wake());
}

pub fn sleep_until(at: Instant) -> Sleep {
    Sleep(at)
}

pub async fn timeout_at<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), sleep_until(at)).await {
        Either::Left((output, _sleep)) => Ok(output),
        Either::Right(((), _future)) => Err(Elapsed),
    }
}

pub async fn sleep(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

// === impl Sleep ===

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 <= Instant::now() {
            return Poll::Ready(());
        }
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.push((self.0, cx.waker().clone())));
        Poll::Pending
    }
}

// === impl Instant ===

impl Instant {
    pub fn now() -> Self {
        Self(NOW.get())
    }

    pub fn duration_since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn elapsed(self) -> Duration {
        Self::now().duration_since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, time: Duration) {
        self.0 += time;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        Self(self.0 - time)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}
