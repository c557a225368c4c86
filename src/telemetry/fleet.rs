//! The fleet of replicas that share a store: who is there, what was lost, and what was done without the store.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge};

use super::series::{SeriesFactory, start_at_zero};

/// Series that exist where replicas share a store only. Counters are of this process: their sum is the fleet's.
#[derive(Debug, Clone)]
pub struct FleetMetrics {
    forks: IntCounter,
    charged: IntCounter,
    offline_calls: IntCounter,
    flights: IntCounterVec,
    feed_lag: Gauge,
    clock_skew: Gauge,
    replicas_seen: IntGauge,
    replicas_configured: IntGauge,
}

// === impl FleetMetrics ===

impl FleetMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            forks: series.counter(
                "shared_forks_total",
                "Epochs that this replica has begun because the shared store had lost writes, or may have.",
            ),
            charged: series.counter(
                "quota_charged_total",
                "Calls that this replica has added to the day's count because the shared store may have lost as many.",
            ),
            offline_calls: series.counter(
                "quota_offline_calls_total",
                "Calls that this replica has made without the shared store, from its share of the reserved calls.",
            ),
            flights: series.counters(
                "shared_flights_total",
                "Fetches for the whole fleet, by what the shared store said: leased: fetched here; newer: another replica had it; \
                 in_flight: waited for another replica's fetch; back_off: failed elsewhere; away, unusable: fetched without the store.",
                &["result"],
            ),
            feed_lag: series.gauge(
                "shared_feed_lag_seconds",
                "Time since this replica had last read all changes of the others; up to 5 s where nothing changes.",
            ),
            clock_skew: series.gauge(
                "shared_clock_skew_seconds",
                "How far the shared store's clock is ahead of this replica's, to half a round trip; negative: behind it.",
            ),
            replicas_seen: series.int_gauge(
                "shared_replicas_seen",
                "Replicas with a heartbeat in the last minute, when the shared store last replied; 0: it never has.",
            ),
            replicas_configured: series.int_gauge(
                "shared_replicas_configured",
                "The setting shared.replicas: among how many the reserved calls are shared while the store is away.",
            ),
        }
    }

    /// Has a series for each result of a flight from now on, and shows the setting.
    pub fn announce(&self, flight_results: &[&'static str], replicas_configured: u64) {
        start_at_zero(&self.flights, flight_results);
        self.replicas_configured.set(i64::try_from(replicas_configured).unwrap_or(i64::MAX));
    }

    /// This replica has begun an epoch because the store had lost writes.
    pub fn forked(&self) {
        self.forks.inc();
    }

    /// With an epoch that this replica has begun, so many calls were added to the day's count.
    pub fn charged(&self, calls: u64) {
        self.charged.inc_by(calls);
    }

    /// A call is made without the store.
    pub fn offline_call(&self) {
        self.offline_calls.inc();
    }

    /// A flight has ended so.
    pub fn flight(&self, result: &'static str) {
        self.flights.with_label_values(&[result]).inc();
    }

    /// So long ago all changes were read.
    pub fn feed_lag(&self, lag: Duration) {
        self.feed_lag.set(lag.as_secs_f64());
    }

    /// The store's clock is ahead of ours by so many seconds.
    pub fn clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// So many replicas are known to live.
    pub fn replicas_seen(&self, replicas: usize) {
        self.replicas_seen.set(i64::try_from(replicas).unwrap_or(i64::MAX));
    }
}
