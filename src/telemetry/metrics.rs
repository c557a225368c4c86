//! The registry: every series of the process, named once.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, process_collector::ProcessCollector,
};

use super::{
    CacheMetrics, CircuitMetrics, QuotaMetrics, RequestMetrics, StateMetrics, TokenMetrics, UpstreamMetrics,
    logging,
};

const NAMESPACE: &str = "link_report_proxy";

/// All metrics, grouped by the module that moves them.
pub struct Metrics {
    /// The data port.
    pub requests: RequestMetrics,
    /// The cache.
    pub cache: CacheMetrics,
    /// The calls that left.
    pub upstream: UpstreamMetrics,
    /// What may still be called.
    pub quota: QuotaMetrics,
    /// The circuit breaker.
    pub circuit: CircuitMetrics,
    /// What outlives the process.
    pub state: StateMetrics,
    /// The access token.
    pub token: TokenMetrics,
    registry: Registry,
    before_scrape: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

/// Makes series and enters them in the registry. A name that is taken or malformed is a bug of ours that every test
/// meets, hence the panics.
pub(super) struct SeriesFactory<'a>(pub(super) &'a Registry);

// === impl Metrics ===

impl Metrics {
    /// A registry of its own, with every series at zero.
    ///
    /// # Panics
    /// If two series share a name: a bug, met by whatever starts first.
    pub fn new() -> Self {
        let registry = Registry::new();
        let series = SeriesFactory(&registry);
        let build = series.int_gauges("build_info", "The running build; always 1.", &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), Self::revision()]).set(1);
        series.enter(Ok(logging::lost_lines()));
        let metrics = Self {
            requests: RequestMetrics::new(&series),
            cache: CacheMetrics::new(&series),
            upstream: UpstreamMetrics::new(&series),
            quota: QuotaMetrics::new(&series),
            circuit: CircuitMetrics::new(&series),
            state: StateMetrics::new(&series),
            token: TokenMetrics::new(&series),
            before_scrape: Mutex::default(),
            registry,
        };
        metrics.registry.register(Box::new(ProcessCollector::for_self())).expect("process series are free");
        metrics
    }

    /// The source revision that was built, where the build was told (`LINK_REPORT_PROXY_REVISION`).
    pub const fn revision() -> &'static str {
        match option_env!("LINK_REPORT_PROXY_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        }
    }

    /// Has `observe` called before each scrape: for gauges that are cheaper asked for than kept.
    pub fn before_scrape(&self, observe: impl Fn() + Send + 'static) {
        self.before_scrape.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(observe));
    }

    /// Every series in Prometheus' text format.
    ///
    /// # Errors
    /// If a series cannot be written as text, which only a bug can cause.
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

// === impl SeriesFactory ===

impl SeriesFactory<'_> {
    pub(super) fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.enter(IntGauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.enter(Gauge::with_opts(opts(name, help)))
    }

    pub(super) fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.enter(IntGaugeVec::new(opts(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.enter(GaugeVec::new(opts(name, help), labels))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.enter(IntCounterVec::new(opts(name, help), labels))
    }

    /// Counters of one label whose values are all known: each exists from the start.
    pub(super) fn closed_counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&'static str],
    ) -> FixedLabels {
        let counters = self.counters(name, help, &[label]);
        FixedLabels(values.iter().map(|value| (*value, counters.with_label_values(&[*value]))).collect())
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.enter(Histogram::with_opts(histogram_opts(name, help, buckets)))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        self.enter(HistogramVec::new(histogram_opts(name, help, buckets), labels))
    }

    fn enter<C: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("a well-formed series");
        self.0.register(Box::new(collector.clone())).expect("a name of its own");
        collector
    }
}

pub(super) fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn histogram_opts(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec())
}

/// Counters of one label, all of whose values exist from the start.
#[derive(Debug)]
pub(super) struct FixedLabels(Vec<(&'static str, IntCounter)>);

// === impl FixedLabels ===

impl FixedLabels {
    /// Adds one under `value`. A value that was not announced is a bug of ours, and is not worth a new series.
    pub(super) fn inc(&self, value: &'static str) {
        let known = self.0.iter().find(|(name, _)| *name == value);
        debug_assert!(known.is_some(), "an unannounced label value: {value}");
        if let Some((_, counter)) = known {
            counter.inc();
        }
    }
}

/// Seconds, as Prometheus counts them.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Sets a gauge per state so that exactly one is 1.
pub(super) fn set_state(gauges: &IntGaugeVec, states: &[&'static str], current: &'static str) {
    debug_assert!(states.contains(&current), "an unannounced label value: {current}");
    for state in states {
        gauges.with_label_values(&[*state]).set(i64::from(*state == current));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_an_alert_could_use_exists_from_the_start() {
        let text = Metrics::new().render().unwrap();
        insta::assert_snapshot!(
            text.lines()
                .filter(|line| !line.starts_with("process_") && !line.contains(" process_"))
                .filter(|line| !line.contains("_bucket{") || line.contains("le=\"+Inf\""))
                .map(|line| line
                    .replace(env!("CARGO_PKG_VERSION"), "VERSION")
                    .replace(Metrics::revision(), "REVISION")
                    + "\n")
                .collect::<String>()
        );
    }

    #[test]
    fn gauges_are_asked_for_before_a_scrape() {
        let metrics = std::sync::Arc::new(Metrics::new());
        let seen = metrics.cache.clone();
        metrics.before_scrape(move || seen.size(3, 4_096));
        assert!(metrics.render().unwrap().contains("link_report_proxy_cache_bytes 4096\n"));
    }
}
