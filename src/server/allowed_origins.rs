//! The origins whose pages may send requests and read the responses (`cors.allowed_origins`).

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use http::HeaderValue;

/// The allowed origins. Cheap to clone; all clones see a new list at once.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins(Arc<OriginList>);

#[derive(Debug, Default)]
struct OriginList {
    /// Whether there are any: all that a request without `Origin` reads.
    any: AtomicBool,
    origins: RwLock<Vec<HeaderValue>>,
}

// === impl AllowedOrigins ===

impl AllowedOrigins {
    /// These origins, as browsers send them.
    pub fn new(origins: Vec<HeaderValue>) -> Self {
        let allowed = Self::default();
        allowed.replace(origins);
        allowed
    }

    /// Replaces the list.
    pub fn replace(&self, origins: Vec<HeaderValue>) {
        let mut held = self.0.origins.write().unwrap_or_else(PoisonError::into_inner);
        self.0.any.store(!origins.is_empty(), Ordering::Relaxed);
        *held = origins;
    }

    /// Whether no origin is allowed: CORS is off.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Relaxed)
    }

    /// Whether pages of this origin are allowed.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.0.origins.read().unwrap_or_else(PoisonError::into_inner).contains(origin)
    }
}
