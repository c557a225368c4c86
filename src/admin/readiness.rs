//! Readiness (`/readyz`): true from when both ports listen until the drain begins.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Ready or not; not ready at first. Cheap to clone; all clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

// === impl Readiness ===

impl Readiness {
    /// Sets ready: both ports listen.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Sets not ready: the drain has begun, and load balancers should send no new requests.
    pub fn draining(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
