//! Files: those that outlive the process, and the secrets that others replace.

use prometheus::{IntGauge, IntGaugeVec};

use super::series::SeriesFactory;

/// The files in `state.dir`, and the secret files.
#[derive(Debug, Clone)]
pub struct StateMetrics {
    damaged_files: IntGauge,
    secret_files: IntGaugeVec,
}

// === impl StateMetrics ===

impl StateMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            damaged_files: series.int_gauge(
                "state_damaged_files",
                "Damaged state files that were renamed to NAME.damaged-TIME and were in state.dir at the start.",
            ),
            secret_files: series.int_gauges(
                "secret_file_readable",
                "1: the file of this setting holds what is in use; 0: it cannot be used, and what it held before is.",
                &["key"],
            ),
        }
    }

    /// Whether the file of this setting can be used.
    pub fn secret_file(&self, key: &'static str) -> IntGauge {
        let gauge = self.secret_files.with_label_values(&[key]);
        gauge.set(1);
        gauge
    }

    /// How many damaged files were found at the start.
    pub fn damaged_files(&self, files: usize) {
        self.damaged_files.set(i64::try_from(files).unwrap_or(i64::MAX));
    }
}
