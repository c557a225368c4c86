//! Whether the state on the disk can be used at the moment: an operator must hear of a full disk before a restart loses the
//! day's count.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// How the last access to the state ended. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct DiskHealth(Arc<AtomicBool>);

// === impl DiskHealth ===

impl DiskHealth {
    /// Did the last access succeed, or was there none yet?
    pub fn is_good(&self) -> bool {
        !self.0.load(Relaxed)
    }

    pub(super) fn note<T, E>(&self, result: &Result<T, E>) {
        self.0.store(result.is_err(), Relaxed);
    }
}
