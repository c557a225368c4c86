//! Quota pressure: how scarce upstream calls are. The cache delays refreshes by it, and the retry middleware denies
//! retries.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

/// How scarce upstream calls are. It delays refreshes and denies retries; a miss is always fetched, as far as the quota
/// allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QuotaPressure {
    /// Stale entries are refreshed as usual.
    Normal,
    /// Entries are refreshed later: at `factor` times the usual age.
    Delayed {
        /// The multiple of the usual age, at least 1.
        factor: f64,
    },
    /// Entries are not refreshed.
    Stopped,
}

/// Returns the current [`QuotaPressure`]. `app` passes it to modules that must not depend on the quota module.
#[derive(Clone)]
pub struct QuotaPressureFn(Arc<dyn Fn(Instant) -> QuotaPressure + Send + Sync>);

// === impl QuotaPressureFn ===

impl QuotaPressureFn {
    /// Wraps a function that returns the pressure at an instant.
    pub fn new(ask: impl Fn(Instant) -> QuotaPressure + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// The pressure at `now`.
    pub fn ask(&self, now: Instant) -> QuotaPressure {
        (self.0)(now)
    }
}

impl fmt::Debug for QuotaPressureFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuotaPressureFn").field(&(self.0)(Instant::now())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_as_what_it_returns_now() {
        let pressure = QuotaPressureFn::new(|_now| QuotaPressure::Stopped);
        assert_eq!(format!("{pressure:?}"), "QuotaPressureFn(Stopped)");
    }
}
