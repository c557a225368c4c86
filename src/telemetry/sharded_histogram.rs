//! A histogram that each hit records in: the threads that record do not write the same memory.
//!
//! prometheus' own makes four atomic writes, all to words that every thread writes: the busier the cores, the longer each
//! waits for the others' cache lines. This one makes two, to words of the thread's own, which are added up when they are read.

use std::{
    array, fmt,
    num::NonZeroUsize,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use prometheus::{
    Opts,
    core::{Collector, Desc, Describer},
    proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

/// The most threads that do not share memory with another. Each costs a histogram 192 bytes or less.
const MAX_SHARDS: usize = 8;

/// One for each core. To ask for them takes three system files, and there are thirty histograms.
static SHARDS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_SHARDS));

/// A histogram with the bounds of its buckets, in whole units: nanoseconds, or milliseconds.
pub(super) struct ShardedHistogram<const BOUNDS: usize> {
    scale: Scale<BOUNDS>,
    shards: Box<[HistogramShard<BOUNDS>]>,
}

/// What is recorded is a whole number of units, in the first bucket whose bound is not below it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale<const BOUNDS: usize> {
    /// The upper bounds, rising, in units.
    pub(super) bounds: [u64; BOUNDS],
    /// How many units a second has.
    pub(super) units: u64,
}

/// A histogram as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HistogramTotals<const BOUNDS: usize> {
    /// By bucket, the last one above all bounds.
    within: [u64; BOUNDS],
    above: u64,
    /// In units.
    sum: u64,
}

/// Shown as one series without labels. Clones record in the same one.
#[derive(Debug, Clone)]
pub(super) struct HistogramSeries<const BOUNDS: usize> {
    pub(super) histogram: Arc<ShardedHistogram<BOUNDS>>,
    about: Desc,
}

/// In cache lines of its own.
#[repr(align(64))]
struct HistogramShard<const BOUNDS: usize> {
    sum: AtomicU64,
    within: [AtomicU64; BOUNDS],
    above: AtomicU64,
}

// === impl Scale ===

impl<const BOUNDS: usize> Scale<BOUNDS> {
    /// Units in seconds, as Prometheus wants them.
    pub(super) fn seconds(&self, units: u64) -> f64 {
        units as f64 / self.units as f64
    }
}

// === impl ShardedHistogram ===

impl<const BOUNDS: usize> ShardedHistogram<BOUNDS> {
    pub(super) fn new(scale: Scale<BOUNDS>) -> Self {
        let shard = || HistogramShard {
            sum: AtomicU64::new(0),
            within: array::from_fn(|_| AtomicU64::new(0)),
            above: AtomicU64::new(0),
        };
        Self { scale, shards: (0..*SHARDS).map(|_| shard()).collect() }
    }

    /// Counts one value.
    #[inline]
    pub(super) fn record(&self, units: u64) {
        let shard = &self.shards[thread_number() % self.shards.len()];
        let bucket = self.scale.bounds.iter().position(|bound| units <= *bound);
        bucket.map_or(&shard.above, |at| &shard.within[at]).fetch_add(1, Relaxed);
        shard.sum.fetch_add(units, Relaxed);
    }

    /// What was recorded so far. A value that is recorded meanwhile may be counted and not yet be in the sum.
    pub(super) fn totals(&self) -> HistogramTotals<BOUNDS> {
        let sum_of = |of: &dyn Fn(&HistogramShard<BOUNDS>) -> &AtomicU64| {
            self.shards.iter().map(|shard| of(shard).load(Relaxed)).fold(0, u64::wrapping_add)
        };
        HistogramTotals {
            sum: sum_of(&|shard| &shard.sum),
            within: array::from_fn(|at| sum_of(&|shard| &shard.within[at])),
            above: sum_of(&|shard| &shard.above),
        }
    }
}

impl<const BOUNDS: usize> fmt::Debug for ShardedHistogram<BOUNDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.totals(), f)
    }
}

/// The number of this thread among those that have recorded something.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

// === impl HistogramTotals ===

impl<const BOUNDS: usize> HistogramTotals<BOUNDS> {
    pub(super) const NOTHING: Self = Self { within: [0; BOUNDS], above: 0, sum: 0 };

    /// How many values were recorded.
    pub(super) fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.above
    }

    /// With the values of another one of the same scale.
    #[must_use]
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            within: array::from_fn(|at| self.within[at] + other.within[at]),
            above: self.above + other.above,
            sum: self.sum.wrapping_add(other.sum),
        }
    }

    /// How many values are not above each bound; the numbers rise.
    pub(super) fn cumulative(&self) -> [u64; BOUNDS] {
        let mut so_far = 0;
        self.within.map(|count| {
            so_far += count;
            so_far
        })
    }

    pub(super) fn metric(&self, scale: &Scale<BOUNDS>, labels: Vec<LabelPair>) -> Metric {
        let mut shown = Histogram::default();
        shown.set_sample_count(self.count());
        shown.set_sample_sum(scale.seconds(self.sum));
        let buckets = scale.bounds.iter().zip(self.cumulative()).map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(scale.seconds(*bound));
            bucket.set_cumulative_count(count);
            bucket
        });
        shown.set_bucket(buckets.collect());
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(shown);
        metric
    }
}

// === impl HistogramSeries ===

impl<const BOUNDS: usize> HistogramSeries<BOUNDS> {
    pub(super) fn new(opts: &Opts, scale: Scale<BOUNDS>) -> prometheus::Result<Self> {
        Ok(Self { histogram: Arc::new(ShardedHistogram::new(scale)), about: opts.describe()? })
    }
}

impl<const BOUNDS: usize> Collector for HistogramSeries<BOUNDS> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.about]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metric = self.histogram.totals().metric(&self.histogram.scale, Vec::new());
        vec![family(&self.about, MetricType::HISTOGRAM, vec![metric])]
    }
}

/// All series of one name.
pub(super) fn family(about: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(about.fq_name.clone());
    family.set_help(about.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale<3> = Scale { bounds: [1, 500, 2_000], units: 1_000 };

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_is_not_below_it() {
        let histogram = ShardedHistogram::new(SCALE);
        for value in [0, 1, 2, 500, 501, 2_000, 2_001, 90_000] {
            histogram.record(value);
        }
        let totals = histogram.totals();
        assert_eq!((totals.within, totals.above, totals.sum), ([2, 2, 2], 2, 95_005));
        assert_eq!((totals.cumulative(), totals.count()), ([2, 4, 6], 8));
        let both = totals.and(&totals);
        assert_eq!((both.cumulative(), both.count(), both.sum), ([4, 8, 12], 16, 190_010));
    }

    #[test]
    fn what_many_threads_record_at_once_is_counted() {
        const EACH: u64 = 10_000;
        let histogram = ShardedHistogram::new(SCALE);
        // More threads than shards, so that some share one.
        let threads = 2 * histogram.shards.len() as u64 + 1;
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..EACH).for_each(|_| histogram.record(3)));
            }
        });
        let totals = histogram.totals();
        assert_eq!((totals.within, totals.sum), ([0, threads * EACH, 0], 3 * threads * EACH));
    }

    #[test]
    fn it_is_shown_as_prometheus_own_is() {
        let series = HistogramSeries::new(&Opts::new("age", "help"), SCALE).unwrap();
        let other = prometheus::Histogram::with_opts(
            prometheus::HistogramOpts::new("age", "help").buckets(vec![0.001, 0.5, 2.0]),
        );
        let other = other.unwrap();
        for milliseconds in [1, 250, 3_000] {
            series.histogram.record(milliseconds);
            other.observe(milliseconds as f64 / 1e3);
        }
        let shown =
            |families: &[MetricFamily]| prometheus::TextEncoder::new().encode_to_string(families).unwrap();
        assert_eq!(shown(&series.collect()), shown(&other.collect()));
    }
}
