//! `std::sync` and `tokio::sync` as the checked files import them: locks and atomics of the checker, and waiters of tokio.
//!
//! tokio checks its own waiters with loom. Here each of their operations is one step, before which any other thread may
//! run, and which orders memory as the real one does.

use real_std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use real_tokio::sync as real;

pub use real_std::sync::{Arc, PoisonError};

#[path = "watch.rs"]
pub mod watch;

pub use crate::checker::sync::{Mutex, MutexGuard, RwLock, atomic};

/// A step: the checker may run another thread before it.
#[derive(Debug, Default)]
pub(crate) struct Step(atomic::AtomicUsize);

/// `tokio::sync::Notify`.
#[derive(Debug, Default)]
pub struct Notify {
    real: real::Notify,
    step: Step,
}

pin_project_lite::pin_project! {
    /// `tokio::sync::futures::Notified`.
    pub struct Notified<'a> {
        #[pin]
        real: real::futures::Notified<'a>,
        step: &'a Step,
    }
}

/// `std::sync::OnceLock`.
#[derive(Debug)]
pub struct OnceLock<T> {
    real: real_std::sync::OnceLock<T>,
    step: Step,
}

/// `tokio::sync::Semaphore`.
#[derive(Debug)]
pub struct Semaphore {
    real: Arc<real::Semaphore>,
    step: Arc<Step>,
}

/// `tokio::sync::OwnedSemaphorePermit`.
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    step: Arc<Step>,
    _real: real::OwnedSemaphorePermit,
}

// === impl Step ===

impl Step {
    pub(crate) fn take(&self) {
        self.0.fetch_add(1, atomic::Ordering::AcqRel);
    }
}

// === impl Notify ===

impl Notify {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn notify_one(&self) {
        self.step.take();
        self.real.notify_one();
    }

    pub fn notify_waiters(&self) {
        self.step.take();
        self.real.notify_waiters();
    }

    pub fn notified(&self) -> Notified<'_> {
        self.step.take();
        Notified { real: self.real.notified(), step: &self.step }
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.step.take();
        this.real.poll(cx)
    }
}

// === impl OnceLock ===

impl<T> OnceLock<T> {
    pub fn get(&self) -> Option<&T> {
        self.step.take();
        self.real.get()
    }

    pub fn set(&self, value: T) -> Result<(), T> {
        self.step.take();
        self.real.set(value)
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self { real: real_std::sync::OnceLock::new(), step: Step::default() }
    }
}

// === impl Semaphore ===

impl Semaphore {
    pub fn new(permits: usize) -> Self {
        Self { real: Arc::new(real::Semaphore::new(permits)), step: Arc::default() }
    }

    pub fn available_permits(&self) -> usize {
        self.step.take();
        self.real.available_permits()
    }

    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, real::TryAcquireError> {
        self.step.take();
        let real = Arc::clone(&self.real).try_acquire_owned()?;
        Ok(OwnedSemaphorePermit { step: Arc::clone(&self.step), _real: real })
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.step.take();
    }
}
