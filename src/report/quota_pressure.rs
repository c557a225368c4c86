//! How scarce calls are: what the quota tells the cache and the retry.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

/// How scarce calls are: refreshes can wait, a key of which nothing is held cannot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QuotaPressure {
    /// What is old is refreshed.
    Normal,
    /// It is refreshed at an age that is this many times what it usually would be.
    Delayed {
        /// At least 1.
        factor: f64,
    },
    /// It is not refreshed.
    Stopped,
}

/// Tells how scarce calls are now. The composition root hands it to those who must not know the quota.
#[derive(Clone)]
pub struct QuotaPressureFn(Arc<dyn Fn(Instant) -> QuotaPressure + Send + Sync>);

// === impl QuotaPressureFn ===

impl QuotaPressureFn {
    /// Wraps the question.
    pub fn new(ask: impl Fn(Instant) -> QuotaPressure + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// How scarce calls are at this moment.
    pub fn ask(&self, now: Instant) -> QuotaPressure {
        (self.0)(now)
    }
}

impl fmt::Debug for QuotaPressureFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuotaPressureFn").field(&(self.0)(Instant::now())).finish()
    }
}
