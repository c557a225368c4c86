//! The settings of planned refresh in a replay.

use std::time::Duration;

use super::{Probing, RefreshTiming};
use crate::refresh::RefreshPolicy;

/// Settings of planned refresh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanOptions {
    /// The limits of the refresh rule.
    pub policy: RefreshPolicy,
    /// Clicks that a report may lack unexpectedly, on average, if its campaign was last looked at a day ago. A campaign
    /// that is sent again is the usual cause.
    pub unexpected_clicks: f64,
    /// Share of the daily budget that is reserved for misses.
    pub reserve: f64,
    /// Limit of the calls in about an hour, as a share of the daily budget; above it refreshes are denied.
    pub hour_share: f64,
    /// Is the report of clicked links derived from the report of all links?
    pub derivation: Derivation,
    /// When refreshes are made.
    pub timing: RefreshTiming,
    /// Whether change probes are used.
    pub probing: Probing,
    /// How replicas exchange their response counts. `None`: one replica, or replicas that share nothing.
    pub exchange: Option<AnswerExchange>,
    /// The usual demand of each hour, as it is known at the start. `None`: learned in the replay.
    pub usual_demand: Option<[f64; 24]>,
}

/// Do both reports of a campaign have one cache key?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Derivation {
    /// No: each report is fetched.
    #[default]
    Off,
    /// Yes: only the report of all links is fetched; it contains the report of clicked links.
    On,
}

/// Replicas that share cached reports and the price, and exchange their response counts at an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerExchange {
    /// Number of replicas.
    pub replicas: u16,
    /// Time between two exchanges.
    pub interval: Duration,
}

// === impl PlanOptions ===

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            policy: RefreshPolicy {
                min_refresh_interval: Duration::from_secs(10),
                stale_while_revalidate: Duration::from_mins(10),
            },
            unexpected_clicks: 20.0 / 3.0,
            reserve: 0.02,
            hour_share: 0.15,
            derivation: Derivation::Off,
            timing: RefreshTiming::default(),
            probing: Probing::Off,
            exchange: None,
            usual_demand: None,
        }
    }
}
