//! Whether the last reload of the settings succeeded.

use std::time::{Duration, SystemTime};

use prometheus::{Gauge, IntGauge};

use super::series::SeriesFactory;

/// The settings, as last read.
#[derive(Debug, Clone)]
pub struct ConfigMetrics {
    success: IntGauge,
    success_at: Gauge,
}

// === impl ConfigMetrics ===

impl ConfigMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            success: series.int_gauge(
                "config_reload_success",
                "1: the settings were read when they last changed, or at the start; 0: they are refused, and those before are in force.",
            ),
            success_at: series.gauge(
                "config_reload_success_timestamp_seconds",
                "When settings were last read and taken over: at the start, or by a reload.",
            ),
        }
    }

    /// Settings were taken over.
    pub fn loaded(&self, at: SystemTime) {
        self.success.set(1);
        self.success_at
            .set(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |at: Duration| at.as_secs_f64()));
    }

    /// Settings were refused.
    pub fn refused(&self) {
        self.success.set(0);
    }
}
