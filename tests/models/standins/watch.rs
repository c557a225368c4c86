//! `tokio::sync::watch`. What runs while a value is borrowed takes no step: tokio's own lock is held.

use real_tokio::sync::watch as real;

use super::{Arc, Step};

pub use real::{Ref, error::RecvError};

/// `watch::Sender`.
#[derive(Debug)]
pub struct Sender<T> {
    real: real::Sender<T>,
    step: Arc<Step>,
}

/// `watch::Receiver`.
#[derive(Debug)]
pub struct Receiver<T> {
    real: real::Receiver<T>,
    step: Arc<Step>,
}

// === impl Sender ===

impl<T> Sender<T> {
    pub fn new(value: T) -> Self {
        Self { real: real::Sender::new(value), step: Arc::default() }
    }

    pub fn subscribe(&self) -> Receiver<T> {
        self.step.take();
        Receiver { real: self.real.subscribe(), step: Arc::clone(&self.step) }
    }

    pub fn borrow(&self) -> Ref<'_, T> {
        self.step.take();
        self.real.borrow()
    }

    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.step.take();
        self.real.send_modify(modify);
    }

    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        self.step.take();
        self.real.send_if_modified(modify)
    }
}

// === impl Receiver ===

impl<T> Receiver<T> {
    pub fn borrow(&self) -> Ref<'_, T> {
        self.step.take();
        self.real.borrow()
    }

    pub fn has_changed(&self) -> Result<bool, RecvError> {
        self.step.take();
        self.real.has_changed()
    }

    pub fn mark_unchanged(&mut self) {
        self.step.take();
        self.real.mark_unchanged();
    }

    pub async fn changed(&mut self) -> Result<(), RecvError> {
        self.step.take();
        self.real.changed().await
    }

    pub async fn wait_for(&mut self, condition: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        self.step.take();
        self.real.wait_for(condition).await
    }
}
