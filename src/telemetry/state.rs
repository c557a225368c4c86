//! The files that outlive the process.

use prometheus::IntGauge;

use super::series::SeriesFactory;

/// The files in `state.dir`.
#[derive(Debug, Clone)]
pub struct StateMetrics {
    damaged_files: IntGauge,
}

// === impl StateMetrics ===

impl StateMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            damaged_files: series.int_gauge(
                "state_damaged_files",
                "Damaged state files that were renamed to NAME.damaged-TIME and were in state.dir at the start.",
            ),
        }
    }

    /// How many damaged files were found at the start.
    pub fn damaged_files(&self, files: usize) {
        self.damaged_files.set(i64::try_from(files).unwrap_or(i64::MAX));
    }
}
