//! Whether this process should be asked: from listening until draining.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Ready or not. Cheap to clone; all clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

// === impl Readiness ===

impl Readiness {
    /// Both ports listen.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The end has begun: whoever balances load should look elsewhere.
    pub fn draining(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
