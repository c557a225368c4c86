//! All metrics of the process, and how they are scraped.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use prometheus::{IntGauge, Registry, TextEncoder, process_collector::ProcessCollector};

use super::{
    CacheMetrics, CircuitMetrics, ClientMetrics, ConfigMetrics, FleetMetrics, FleetTokenMetrics,
    QuotaMetrics, RequestMetrics, SharedMetrics, SharedReportMetrics, SnapshotMetrics, StateMetrics,
    TokenMetrics, Totals, UpstreamMetrics, logging, series::SeriesFactory, traces,
};

/// All metrics, grouped by the module that changes them.
pub struct Metrics {
    /// Requests on the data port.
    pub requests: RequestMetrics,
    /// The clients, and the calls that they cause.
    pub clients: ClientMetrics,
    /// Entries, evictions and refreshes.
    pub cache: CacheMetrics,
    /// Calls sent to the upstream.
    pub upstream: UpstreamMetrics,
    /// Limits, use and denials of the quota.
    pub quota: QuotaMetrics,
    /// The circuit breaker's state.
    pub circuit: CircuitMetrics,
    /// The files in `state.dir`.
    pub state: StateMetrics,
    /// Reloads of the settings.
    pub config: ConfigMetrics,
    /// The access token's state and renewals.
    pub token: TokenMetrics,
    registry: Registry,
    before_scrape: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

// === impl Metrics ===

impl Metrics {
    /// A new registry. Series whose label values other modules own exist once those are announced.
    ///
    /// # Panics
    /// If two series share a name: a bug that every test meets.
    pub fn new() -> Self {
        let registry = Registry::new();
        let series = SeriesFactory(&registry);
        let build = series.int_gauges("build_info", "The running build; always 1.", &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), Self::revision()]).set(1);
        series.register(Ok(logging::lost_lines()));
        series.register(Ok(traces::lost_spans()));
        series.register(Ok(traces::exported_spans()));
        let clients = ClientMetrics::new(&series);
        let metrics = Self {
            requests: RequestMetrics::new(&series),
            upstream: UpstreamMetrics::new(&series, clients.clone()),
            cache: CacheMetrics::new(&series),
            quota: QuotaMetrics::new(&series, clients.clone()),
            clients,
            circuit: CircuitMetrics::new(&series),
            state: StateMetrics::new(&series),
            config: ConfigMetrics::new(&series),
            token: TokenMetrics::new(&series),
            before_scrape: Mutex::default(),
            registry,
        };
        metrics
            .registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("no other series is named process_");
        metrics
    }

    /// The source revision of this build (`LINK_REPORT_PROXY_REVISION` at build time), or `unknown`.
    pub const fn revision() -> &'static str {
        match option_env!("LINK_REPORT_PROXY_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        }
    }

    /// The series `state_durable`, which exists from now on: where `state.dir` is set.
    ///
    /// # Panics
    /// If it is called again.
    pub fn durable_state(&self) -> IntGauge {
        SeriesFactory(&self.registry).int_gauge(
            "state_durable",
            "1: the last write to state.dir succeeded; 0: a restart now would lose calls that were counted, or the token.",
        )
    }

    /// The series of the cache's snapshot, which exist from now on. Once: where snapshots are kept.
    ///
    /// # Panics
    /// If it is called again.
    pub fn snapshot(&self) -> SnapshotMetrics {
        SnapshotMetrics::new(&SeriesFactory(&self.registry))
    }

    /// The series of the shared store, which exist from now on. Once: where `shared.url` is set.
    ///
    /// # Panics
    /// If it is called again.
    pub fn shared(&self) -> SharedMetrics {
        SharedMetrics::new(&SeriesFactory(&self.registry))
    }

    /// The series of the fleet, which exist from now on. Once: where replicas share a store.
    ///
    /// # Panics
    /// If it is called again.
    pub fn fleet(&self) -> FleetMetrics {
        FleetMetrics::new(&SeriesFactory(&self.registry))
    }

    /// The series of reports from the shared store, by the reasons to refuse one. Once, as [`Metrics::shared`].
    ///
    /// # Panics
    /// If it is called again.
    pub fn shared_reports(&self, reasons: &[&'static str]) -> SharedReportMetrics {
        SharedReportMetrics::new(&SeriesFactory(&self.registry), reasons)
    }

    /// The series of a token that replicas share, which exist from now on. Once.
    ///
    /// # Panics
    /// If it is called again.
    pub fn fleet_token(&self) -> FleetTokenMetrics {
        FleetTokenMetrics::new(&SeriesFactory(&self.registry))
    }

    /// Calls `observe` before each scrape: for gauges that are cheaper to read then than to keep up to date.
    pub fn before_scrape(&self, observe: impl Fn() + Send + 'static) {
        self.before_scrape.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(observe));
    }

    /// Totals since the start, for the status page.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.requests.add_to(&mut totals);
        self.cache.add_to(&mut totals);
        self.upstream.add_to(&mut totals);
        totals
    }

    /// Every series in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// If a series cannot be written as text: a bug.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        for observe in &*self.before_scrape.lock().unwrap_or_else(PoisonError::into_inner) {
            observe();
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_read_before_a_scrape() {
        let metrics = std::sync::Arc::new(Metrics::new());
        let seen = metrics.cache.clone();
        metrics.before_scrape(move || seen.size(3, 4_096));
        assert!(metrics.render().unwrap().contains("link_report_proxy_cache_bytes 4096\n"));
    }
}
