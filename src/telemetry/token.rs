//! The access token: its state, its renewals, its expiry.

use std::time::SystemTime;

use prometheus::{Gauge, IntCounterVec, IntGauge};

use super::series::{SeriesFactory, StateGauges, start_at_zero};

const SUCCESS: &str = "success";
const ERROR: &str = "error";

/// The one OAuth token.
#[derive(Debug, Clone)]
pub struct TokenMetrics {
    state: StateGauges,
    renewals: IntCounterVec,
    installed: Gauge,
    expiry: Gauge,
    renewal_due: Gauge,
    at_risk: IntGauge,
}

/// The token that replicas share. Its series exist only where they do.
#[derive(Debug, Clone)]
pub struct FleetTokenMetrics {
    version: IntGauge,
    store_behind: IntGauge,
}

// === impl TokenMetrics ===

impl TokenMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let metrics = Self {
            state: series.state_gauges(
                "token_state",
                "1 for the state that the access token is in.",
                "state",
            ),
            renewals: series.counters(
                "token_renewals_total",
                "Attempts to get a newer access token, by result.",
                &["result"],
            ),
            installed: series.gauge(
                "token_installed_timestamp_seconds",
                "When the access token in use was installed, in Unix time; 0: none yet.",
            ),
            expiry: series.gauge(
                "token_expiry_timestamp_seconds",
                "When the access token in use expires, in Unix time; 0: not known, as for a token from the settings or a file.",
            ),
            renewal_due: series.gauge(
                "token_renewal_due_timestamp_seconds",
                "When the access token in use is or was to be renewed, in Unix time, whatever came of it; 0: it is not renewed here.",
            ),
            at_risk: series.int_gauge(
                "token_refresh_token_volatile",
                "1: the refresh token rotates and is kept in memory only, so that a restart loses it.",
            ),
        };
        start_at_zero(&metrics.renewals, &[SUCCESS, ERROR]);
        metrics
    }

    /// The states there are, and the first.
    pub fn announce(&self, states: &[&'static str], first: &'static str) {
        self.state.announce(states, first);
    }

    /// The token is now in this state.
    pub fn state(&self, state: &'static str) {
        self.state.set(state);
    }

    /// The token in use was installed at this time.
    pub fn installed(&self, at: SystemTime) {
        self.installed.set(unix_seconds(at));
    }

    /// A newer token was received or read.
    pub fn renewed(&self) {
        self.renewals.with_label_values(&[SUCCESS]).inc();
    }

    /// The token in use expires at this time; `None`: not known.
    pub fn expires(&self, at: Option<SystemTime>) {
        self.expiry.set(at.map_or(0.0, unix_seconds));
    }

    /// The token in use is to be renewed at this time; if there is none yet, one is to be obtained.
    pub fn renewal_due(&self, at: SystemTime) {
        self.renewal_due.set(unix_seconds(at));
    }

    /// The refresh token rotates and is kept in memory only: a restart would lose it.
    pub fn at_risk(&self) {
        self.at_risk.set(1);
    }

    /// A restart would not lose the refresh token, as far as is known.
    pub fn safe(&self) {
        self.at_risk.set(0);
    }

    /// An attempt to get a newer token failed.
    pub fn renewal_failed(&self) {
        self.renewals.with_label_values(&[ERROR]).inc();
    }
}

// === impl FleetTokenMetrics ===

impl FleetTokenMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            version: series.int_gauge(
                "token_version",
                "The version of the token record that the replicas share, as far as this one knows; 0: there is none.",
            ),
            store_behind: series.int_gauge(
                "token_store_behind",
                "1 while the shared store does not have the newest token that this replica knows of.",
            ),
        }
    }

    /// The newest version that this replica knows of.
    pub fn version(&self, version: u64) {
        self.version.set(i64::try_from(version).unwrap_or(i64::MAX));
    }

    /// Whether the store has an older one.
    pub fn store_behind(&self, is_behind: bool) {
        self.store_behind.set(is_behind.into());
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
