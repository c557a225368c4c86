//! The change probe: whether it is relied on, and what its answers tell.

use prometheus::{IntCounter, IntCounterVec};

use super::series::{SeriesFactory, StateGauges, start_at_zero};

/// The series of `probe_*`.
#[derive(Debug, Clone)]
pub struct ProbeMetrics {
    status: StateGauges,
    verdicts: IntCounterVec,
    confirmed: IntCounter,
    switched_off: IntCounterVec,
}

// === impl ProbeMetrics ===

impl ProbeMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            status: series.state_gauges(
                "probe_status",
                "1 for what the change probe is at present, 0 for the others.",
                "state",
            ),
            verdicts: series.counters(
                "probe_verdicts_total",
                "Verdicts of change probes: one for each campaign in a probe.",
                &["verdict"],
            ),
            confirmed: series.counter(
                "probe_confirmed_total",
                "Verdicts that a campaign has no new clicks, confirmed by the next report or probe.",
            ),
            switched_off: series.counters(
                "probe_switched_off_total",
                "1 for why the change probe was switched off until the process restarts.",
                &["reason"],
            ),
        }
    }

    /// Has a series for each of these from now on.
    pub fn announce(
        &self,
        states: &[&'static str],
        first: &'static str,
        verdicts: &[&'static str],
        reasons: &[&'static str],
    ) {
        self.status.announce(states, first);
        start_at_zero(&self.verdicts, verdicts);
        start_at_zero(&self.switched_off, reasons);
    }

    /// The change probe is now in this state.
    pub fn status(&self, state: &'static str) {
        self.status.set(state);
    }

    /// A probe told this of a campaign.
    pub fn told(&self, verdict: &'static str) {
        self.verdicts.with_label_values(&[verdict]).inc();
    }

    /// So many more verdicts were confirmed.
    pub fn confirmed(&self, verdicts: u32) {
        self.confirmed.inc_by(verdicts.into());
    }

    /// It was switched off.
    pub fn switched_off(&self, reason: &'static str) {
        self.switched_off.with_label_values(&[reason]).inc();
    }
}
