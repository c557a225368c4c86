//! The reports that other replicas have stored: those that are refused.

use prometheus::IntCounterVec;

use super::series::SeriesFactory;

/// The series of reports from the shared store. They exist where `shared.url` is set only.
#[derive(Debug, Clone)]
pub struct SharedReportMetrics {
    refused: IntCounterVec,
}

// === impl SharedReportMetrics ===

impl SharedReportMetrics {
    /// With a series for each of these reasons.
    pub(super) fn new(series: &SeriesFactory<'_>, reasons: &[&'static str]) -> Self {
        let refused = series.counters(
            "shared_reports_refused_total",
            "Reports in the shared store that were refused, and then fetched from the upstream, by reason.",
            &["reason"],
        );
        for reason in reasons {
            let _at_zero = refused.with_label_values(&[*reason]);
        }
        Self { refused }
    }

    /// A report was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
