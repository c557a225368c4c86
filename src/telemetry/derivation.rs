//! Derivation: whether it is relied on, what comparisons showed, and how many reports it saved a call.

use prometheus::{IntCounter, IntCounterVec};

use super::series::{SeriesFactory, StateGauges, start_at_zero};

/// The series of `derivation_*`.
#[derive(Debug, Clone)]
pub struct DerivationMetrics {
    status: StateGauges,
    comparisons: IntCounterVec,
    mismatches: IntCounterVec,
    derived: IntCounter,
}

// === impl DerivationMetrics ===

impl DerivationMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            status: series.state_gauges(
                "derivation_status",
                "1 for what derivation is at present, 0 for the others.",
                "state",
            ),
            comparisons: series.counters(
                "derivation_comparisons_total",
                "Comparisons of a derived report with the one that the upstream sent, by what they showed.",
                &["result"],
            ),
            mismatches: series.counters(
                "derivation_mismatches_total",
                "1 for how a derived report differed, which switched derivation off until the process restarts.",
                &["reason"],
            ),
            derived: series.counter(
                "derivation_reports_total",
                "Reports of the clicked links that were derived from the report of all links, without a call.",
            ),
        }
    }

    /// Has a series for each of these from now on.
    pub fn announce(
        &self,
        states: &[&'static str],
        first: &'static str,
        results: &[&'static str],
        reasons: &[&'static str],
    ) {
        self.status.announce(states, first);
        start_at_zero(&self.comparisons, results);
        start_at_zero(&self.mismatches, reasons);
    }

    /// Derivation is now in this state.
    pub fn status(&self, state: &'static str) {
        self.status.set(state);
    }

    /// A comparison showed this.
    pub fn compared(&self, result: &'static str) {
        self.comparisons.with_label_values(&[result]).inc();
    }

    /// It was switched off, since a derived report differed in this way.
    pub fn mismatched(&self, reason: &'static str) {
        self.mismatches.with_label_values(&[reason]).inc();
    }

    /// A report was derived.
    pub fn derived(&self) {
        self.derived.inc();
    }
}
