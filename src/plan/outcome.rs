//! Result of a replay: clicks missed, ages of responses, and calls.

use std::time::Duration;

use crate::refresh::UtcTime;

/// Five minutes of the timeline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// End of the interval, since the start.
    pub until: Duration,
    /// Price of a call in clicks missed, at the end of the interval. `None`: the strategy has no price.
    pub price: Option<f64>,
    /// Calls of the UTC day up to the end of the interval.
    pub used: u32,
    /// Responses in the interval.
    pub answers: u64,
    /// Clicks that these responses missed.
    pub missed: u64,
}

/// What a replay measured; warm-up days are included only where a field says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Responses in the measured span.
    pub answers: u64,
    /// Sum of the clicks that these responses missed.
    pub missed: u64,
    /// Polls in the measured span without a report: nothing was cached, and the call was denied.
    pub refused: u64,
    /// Polls on all days that had to wait for a call, including misses whose call was denied.
    pub waited: u64,
    /// Sum of the ages of the responses.
    pub total_age: Duration,
    /// The histogram: by number of clicks missed, how many responses missed that many.
    missed_counts: Vec<u64>,
    /// Calls by UTC day, on all days.
    pub calls_by_day: Vec<u32>,
    /// Calls in the measured span.
    pub calls: u64,
    /// Calls that were requested and denied, on all days.
    pub denied: u64,
    /// When each call was sent, on all days.
    pub made: Vec<Duration>,
    /// The timeline of all days, in intervals of five minutes.
    pub timeline: Vec<Interval>,
}

/// The last bucket of the histogram: responses that miss more are counted here.
const MOST_COUNTED: usize = 200_000;

// === impl Outcome ===

impl Outcome {
    pub(super) fn answered(&mut self, missed: u32, age: Duration) {
        self.answers += 1;
        self.missed += u64::from(missed);
        self.total_age += age;
        let missed = (missed as usize).min(MOST_COUNTED);
        if missed >= self.missed_counts.len() {
            self.missed_counts.resize(missed + 1, 0);
        }
        self.missed_counts[missed] += 1;
    }

    pub(super) fn count_calls(&mut self, made: &[Duration], measured_from: Duration, end: Duration) {
        self.calls = made.iter().filter(|at| (measured_from..end).contains(*at)).count() as u64;
        self.made = made.to_vec();
        self.calls_by_day = vec![0; end.as_secs().div_ceil(UtcTime::DAY.as_secs()) as usize];
        for at in made {
            if let Some(day) = self.calls_by_day.get_mut(UtcTime::since_epoch(*at).day() as usize) {
                *day += 1;
            }
        }
    }

    /// Mean number of clicks missed per response: the score.
    pub fn missed_per_answer(&self) -> f64 {
        self.missed as f64 / self.answers.max(1) as f64
    }

    /// Mean age of a response.
    pub fn mean_age(&self) -> Duration {
        self.total_age / u32::try_from(self.answers.max(1)).unwrap_or(u32::MAX)
    }

    /// The quantile: `share` of the responses missed this many clicks or fewer.
    pub fn missed_at(&self, share: f64) -> u32 {
        let enough = (share * self.answers as f64).ceil() as u64;
        let mut answers = 0;
        let found = self.missed_counts.iter().position(|count| {
            answers += count;
            answers >= enough
        });
        found.unwrap_or(0) as u32
    }

    /// Most clicks that a response missed, at most 200,000 (the last bucket).
    pub fn worst(&self) -> u32 {
        self.missed_counts.len().saturating_sub(1) as u32
    }

    /// Adds the result of another replica for the same workload.
    pub(super) fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.missed += other.missed;
        self.refused += other.refused;
        self.waited += other.waited;
        self.total_age += other.total_age;
        self.calls += other.calls;
        self.denied += other.denied;
        if self.missed_counts.len() < other.missed_counts.len() {
            self.missed_counts.resize(other.missed_counts.len(), 0);
        }
        for (count, more) in self.missed_counts.iter_mut().zip(&other.missed_counts) {
            *count += more;
        }
        self.calls_by_day.resize(other.calls_by_day.len().max(self.calls_by_day.len()), 0);
        for (calls, more) in self.calls_by_day.iter_mut().zip(&other.calls_by_day) {
            *calls += more;
        }
        if self.timeline.is_empty() {
            self.timeline.clone_from(&other.timeline);
            return;
        }
        for (interval, more) in self.timeline.iter_mut().zip(&other.timeline) {
            interval.used += more.used;
            interval.answers += more.answers;
            interval.missed += more.missed;
            interval.price = interval.price.zip(more.price).map(|(price, more)| price.max(more));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_mean_and_what_few_answers_exceed() {
        let mut outcome = Outcome::default();
        (0..98).for_each(|_| outcome.answered(0, Duration::from_secs(10)));
        outcome.answered(3, Duration::from_secs(20));
        outcome.answered(97, Duration::from_secs(20));
        assert!((outcome.missed_per_answer() - 1.0).abs() < 1e-9);
        assert_eq!([0.5, 0.98, 0.99, 1.0].map(|share| outcome.missed_at(share)), [0, 0, 3, 97]);
        assert_eq!((outcome.worst(), outcome.mean_age()), (97, Duration::from_millis(10_200)));
        let whole = outcome.clone();
        outcome.add(&whole);
        assert_eq!((outcome.answers, outcome.missed, outcome.missed_at(0.99)), (200, 200, 3));
    }
}
