//! The access token: is it good, and when did it last change.

use std::{sync::Arc, time::SystemTime};

use prometheus::{Gauge, IntGauge, IntGaugeVec};

use super::metrics::{FixedLabels, SeriesFactory, set_state};

const STATES: [&str; 6] = ["valid", "renewing", "rejected", "expired", "missing", "reauthorization_required"];

/// The one OAuth token.
#[derive(Debug, Clone)]
pub struct TokenMetrics {
    state: IntGaugeVec,
    renewals: Arc<FixedLabels>,
    last_renewal: Gauge,
    expiry: Gauge,
    at_risk: IntGauge,
}

// === impl TokenMetrics ===

impl TokenMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let metrics = Self {
            state: series.int_gauges(
                "token_state",
                "1 for the state that the access token is in.",
                &["state"],
            ),
            renewals: Arc::new(series.closed_counters(
                "token_renewals_total",
                "Attempts to get a newer access token, by result.",
                "result",
                &["success", "error"],
            )),
            last_renewal: series.gauge(
                "token_installed_timestamp_seconds",
                "When the access token in use was installed, in Unix time; 0: none yet.",
            ),
            expiry: series.gauge(
                "token_expiry_timestamp_seconds",
                "When the access token in use expires, in Unix time; 0: not known, as for a token that was given.",
            ),
            at_risk: series.int_gauge(
                "token_refresh_token_volatile",
                "1: the refresh token rotates and is kept in memory only, so that a restart loses it.",
            ),
        };
        metrics.state("missing");
        metrics
    }

    /// The token is now one of `valid`, `renewing`, `rejected`, `expired`, `missing`, `reauthorization_required`.
    pub fn state(&self, state: &'static str) {
        set_state(&self.state, &STATES, state);
    }

    /// The token in use came at this time.
    pub fn installed(&self, at: SystemTime) {
        self.last_renewal.set(unix_seconds(at));
    }

    /// A newer token was come by.
    pub fn renewed(&self) {
        self.renewals.inc("success");
    }

    /// The token in use expires at this time, if that is known.
    pub fn expires(&self, at: Option<SystemTime>) {
        self.expiry.set(at.map_or(0.0, unix_seconds));
    }

    /// A restart would lose the refresh token.
    pub fn at_risk(&self) {
        self.at_risk.set(1);
    }

    /// It would not, as far as is known.
    pub fn safe(&self) {
        self.at_risk.set(0);
    }

    /// A newer token was wanted and not to be had.
    pub fn renewal_failed(&self) {
        self.renewals.inc("error");
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
