//! Requests on the data port: outcome, status code and duration.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{
    IntGauge,
    core::{Collector, Desc, Describer as _},
    proto::{Counter, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{
    Totals,
    series::{SeriesFactory, opts},
    sharded_histogram::{HistogramTotals, Scale, ShardedHistogram, family},
};

/// From a hit in memory to the longest a request may take (`server.request_timeout`). In nanoseconds.
const DURATIONS: Scale<17> = Scale {
    bounds: [
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        15_000_000_000,
    ],
    units: 1_000_000_000,
};

/// Requests on the data port.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    recorded: RecordedRequests,
    in_flight: IntGauge,
    connections: IntGauge,
    connections_limit: IntGauge,
}

/// One outcome with one code and client, resolved: recording it costs no label lookup.
#[derive(Debug, Clone)]
pub struct RequestSeries(Arc<ShardedHistogram<17>>);

/// The durations by outcome, code and client: `requests_total` has how many there are, `request_duration_seconds` what they
/// are by outcome.
#[derive(Debug, Clone)]
struct RecordedRequests {
    series: Arc<Mutex<BTreeMap<RequestLabels, RequestSeries>>>,
    total: Desc,
    duration: Desc,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RequestLabels {
    outcome: &'static str,
    code: Box<str>,
    client: Box<str>,
}

// === impl RequestMetrics ===

impl RequestMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        Self {
            recorded: series.register(RecordedRequests::new()),
            in_flight: series
                .int_gauge("requests_in_flight", "Requests on the data port that are not answered yet."),
            connections: series.int_gauge("connections_open", "Open connections on the data port."),
            connections_limit: series.int_gauge(
                "connections_limit",
                "Connections on the data port at which another takes the place of the quietest (server.max_connections).",
            ),
        }
    }

    /// The series of one outcome, status code and client, at zero if it is new. To be kept where it is recorded often.
    pub fn series(&self, outcome: &'static str, code: &str, client: &str) -> RequestSeries {
        let labels = RequestLabels { outcome, code: code.into(), client: client.into() };
        let new = || RequestSeries(Arc::new(ShardedHistogram::new(DURATIONS)));
        self.recorded.series().entry(labels).or_insert_with(new).clone()
    }

    /// Requests that have arrived and are not answered.
    pub const fn in_flight(&self) -> &IntGauge {
        &self.in_flight
    }

    /// How many connections there may be.
    pub fn connections_limit(&self, limit: usize) {
        self.connections_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        for (RequestLabels { outcome: _, code, client }, RequestSeries(durations)) in &*self.recorded.series()
        {
            let count = durations.totals().count();
            totals.answers += count;
            totals.server_errors += if code.starts_with('5') { count } else { 0 };
            *totals.requests_by_client.entry(client.clone()).or_default() += count;
        }
    }

    /// Open connections.
    pub const fn connections(&self) -> &IntGauge {
        &self.connections
    }
}

// === impl RequestSeries ===

impl RequestSeries {
    /// Counts one request that took `elapsed`.
    #[inline]
    pub fn record(&self, elapsed: Duration) {
        // 584 years of nanoseconds.
        self.0.record(elapsed.as_nanos() as u64);
    }
}

// === impl RecordedRequests ===

impl RecordedRequests {
    fn new() -> prometheus::Result<Self> {
        let total =
            opts("requests_total", "Requests answered on the data port, by outcome, status code and client.")
                .variable_labels(["client", "code", "outcome"].map(str::to_owned).to_vec());
        let duration =
            opts("request_duration_seconds", "Time from a request's head to its answer's head, by outcome.")
                .variable_label("outcome");
        Ok(Self { series: Arc::default(), total: total.describe()?, duration: duration.describe()? })
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<RequestLabels, RequestSeries>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for RecordedRequests {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.total, &self.duration]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut counted, mut by_outcome) = (Vec::new(), BTreeMap::new());
        for (RequestLabels { outcome, code, client }, RequestSeries(durations)) in &*self.series() {
            let totals = durations.totals();
            let mut counter = Counter::default();
            counter.set_value(totals.count() as f64);
            let labels = [("client", &**client), ("code", &**code), ("outcome", *outcome)];
            let mut metric = Metric::from_label(labels.map(label).to_vec());
            metric.set_counter(counter);
            counted.push(metric);
            let sum = by_outcome.entry(*outcome).or_insert(HistogramTotals::NOTHING);
            *sum = sum.and(&totals);
        }
        let durations = by_outcome.into_iter();
        let durations =
            durations.map(|(outcome, totals)| totals.metric(&DURATIONS, vec![label(("outcome", outcome))]));
        vec![
            family(&self.total, MetricType::COUNTER, counted),
            family(&self.duration, MetricType::HISTOGRAM, durations.collect()),
        ]
    }
}

fn label((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
