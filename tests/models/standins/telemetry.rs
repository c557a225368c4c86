//! What the checked files import of `telemetry`: it counts nothing.

use real_std::time::SystemTime;

pub(crate) mod traces {
    use tracing::Span;

    #[derive(Debug)]
    pub(crate) struct TraceContext;

    impl TraceContext {
        pub(crate) fn link_from(&self, _span: &Span) {}
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TokenMetrics;

#[derive(Debug, Clone)]
pub(crate) struct SharedMetrics;

#[derive(Debug, Clone)]
pub(crate) struct CircuitMetrics;

// === impl TokenMetrics ===

impl TokenMetrics {
    pub(crate) fn renewal_due(&self, _at: SystemTime) {}

    pub(crate) fn renewed(&self) {}

    pub(crate) fn renewal_failed(&self) {}

    pub(crate) fn installed(&self, _at: SystemTime) {}
}

// === impl SharedMetrics ===

impl SharedMetrics {
    pub(crate) fn up(&self, _up: bool) {}
}

// === impl CircuitMetrics ===

impl CircuitMetrics {
    pub(crate) fn state(&self, _state: &str) {}
}
