//! The cache's options while it runs: those that stay, and those that can change.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use super::PlanClock;
use crate::{refresh::ShadowMode, report::LifetimePolicy};

/// The options that stay as they are.
#[derive(Debug)]
pub(super) struct KeptOptions {
    /// The clock of the refresh plan.
    pub(super) clock: PlanClock,
    /// Whether derived reports may be served.
    pub(super) derivation: ShadowMode,
}

/// The options that can change, under a lock that no fresh hit takes.
#[derive(Debug)]
pub(super) struct LiveOptions(RwLock<LiveValues>);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LiveValues {
    pub(super) lifetimes: LifetimePolicy,
    pub(super) client_no_cache_interval: Duration,
}

// === impl LiveOptions ===

impl LiveOptions {
    pub(super) const fn new(values: LiveValues) -> Self {
        Self(RwLock::new(values))
    }

    pub(super) fn get(&self) -> LiveValues {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the values before.
    pub(super) fn replace(&self, new: LiveValues) -> LiveValues {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), new)
    }
}
