//! The access token: is it good, and when did it last change.

use std::{sync::Arc, time::SystemTime};

use prometheus::{Gauge, IntGaugeVec};

use super::metrics::{Closed, Series, only};

const STATES: [&str; 4] = ["valid", "renewing", "expired", "reauthorisation_required"];

/// The one OAuth token.
#[derive(Debug, Clone)]
pub struct TokenMetrics {
    state: IntGaugeVec,
    renewals: Arc<Closed>,
    last_renewal: Gauge,
}

// === impl TokenMetrics ===

impl TokenMetrics {
    pub(super) fn new(series: &Series<'_>) -> Self {
        let metrics = Self {
            state: series.int_gauges(
                "token_state",
                "1 for the state that the access token is in.",
                &["state"],
            ),
            renewals: Arc::new(series.closed_counters(
                "token_renewals_total",
                "Attempts to come by a newer access token, by what they brought.",
                "result",
                &["success", "error"],
            )),
            last_renewal: series.gauge(
                "token_last_renewal_timestamp_seconds",
                "When the access token in use was taken up, in Unix time; 0: none yet.",
            ),
        };
        metrics.state("expired");
        metrics
    }

    /// The token is now `valid`, `renewing`, `expired` or `reauthorisation_required`.
    pub fn state(&self, state: &'static str) {
        only(&self.state, &STATES, state);
    }

    /// A newer token was taken up at this time.
    pub fn renewed(&self, now: SystemTime) {
        self.renewals.inc("success");
        self.last_renewal.set(unix_seconds(now));
    }

    /// A newer token was wanted and not to be had.
    pub fn renewal_failed(&self) {
        self.renewals.inc("error");
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
