//! The kinds of series, and how they are named and registered.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};

use super::sharded_histogram::{HistogramSeries, Scale, ShardedHistogram};

const NAMESPACE: &str = "link_report_proxy";

/// Makes series and registers them. A name that is taken or malformed is a bug of ours that every test meets, hence the
/// panics.
pub(super) struct SeriesFactory<'a>(pub(super) &'a Registry);

/// A gauge for each state of a set, of which the current one is 1 and the others are 0.
#[derive(Debug, Clone)]
pub(super) struct StateGauges {
    gauges: IntGaugeVec,
    /// Those that have a gauge.
    states: Arc<Mutex<Vec<&'static str>>>,
}

// === impl SeriesFactory ===

impl SeriesFactory<'_> {
    pub(super) fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::with_opts(opts(name, help)))
    }

    pub(super) fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(opts(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(opts(name, help), labels))
    }

    pub(super) fn state_gauges(&self, name: &str, help: &str, label: &str) -> StateGauges {
        StateGauges { gauges: self.int_gauges(name, help, &[label]), states: Arc::default() }
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(opts(name, help), labels))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(opts(name, help)))
    }

    pub(super) fn float_counter(&self, name: &str, help: &str) -> Counter {
        self.register(Counter::with_opts(opts(name, help)))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(histogram_opts(name, help, buckets)))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        self.register(HistogramVec::new(histogram_opts(name, help, buckets), labels))
    }

    pub(super) fn sharded_histogram<const BOUNDS: usize>(
        &self,
        name: &str,
        help: &str,
        scale: Scale<BOUNDS>,
    ) -> Arc<ShardedHistogram<BOUNDS>> {
        self.register(HistogramSeries::new(&opts(name, help), scale)).histogram
    }

    pub(super) fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
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

/// Has a counter for each of these values from now on, at zero: a rate of a series that appears with its first event
/// misses that event.
pub(super) fn start_at_zero(counters: &IntCounterVec, values: &[&'static str]) {
    for value in values {
        let _at_zero = counters.with_label_values(&[*value]);
    }
}

// === impl StateGauges ===

impl StateGauges {
    /// Has a gauge for each of these states from now on, and `current` at 1.
    pub(super) fn announce(&self, states: &[&'static str], current: &'static str) {
        self.change(states, current);
    }

    /// The state is now `current`. A state that was not announced gets its gauge now.
    pub(super) fn set(&self, current: &'static str) {
        self.change(&[], current);
    }

    fn change(&self, more: &[&'static str], current: &'static str) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for state in more.iter().chain([&current]) {
            if !states.contains(state) {
                states.push(state);
            }
        }
        for state in &*states {
            self.gauges.with_label_values(&[*state]).set(i64::from(*state == current));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_current_state_is_1_whether_or_not_it_was_announced() {
        let registry = Registry::new();
        let gauges = SeriesFactory(&registry).state_gauges("state", "help", "state");
        gauges.announce(&["on", "off"], "off");
        let values = || ["on", "off", "odd"].map(|state| gauges.gauges.with_label_values(&[state]).get());
        assert_eq!(values(), [0, 1, 0]);
        gauges.set("odd");
        assert_eq!(values(), [0, 0, 1]);
        gauges.set("on");
        assert_eq!(values(), [1, 0, 0]);
    }
}
