//! The score of a replay.

use std::time::Duration;

use crate::refresh::UtcTime;

/// A stretch of the timeline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its end.
    pub until: Duration,
    /// The price at its end.
    pub price: Option<f64>,
    /// The calls of the UTC day so far.
    pub used: u32,
    /// Answers given.
    pub answers: u64,
    /// Clicks that they missed.
    pub missed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Answers of the measured span.
    pub answers: u64,
    /// The clicks that they missed together.
    pub missed: u64,
    /// Polls that got no answer, as nothing was cached and no call was to be had.
    pub refused: u64,
    /// Answers that waited for a call.
    pub waited: u64,
    /// The ages of the answers, added up.
    pub total_age: Duration,
    /// How many answers missed so many clicks.
    missed_counts: Vec<u64>,
    /// Calls by UTC day.
    pub calls_by_day: Vec<u32>,
    /// Calls of the measured span.
    pub calls: u64,
    /// Calls that were wanted and not to be had, of all days.
    pub denied: u64,
    /// When each call left.
    pub made: Vec<Duration>,
    /// The timeline of all days, in stretches of five minutes.
    pub timeline: Vec<Interval>,
}

/// Answers that miss more than this are counted as if they missed this many.
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

    /// Clicks missed per answer: the measure.
    pub fn missed_per_answer(&self) -> f64 {
        self.missed as f64 / self.answers.max(1) as f64
    }

    /// The mean age of an answer.
    pub fn mean_age(&self) -> Duration {
        self.total_age / u32::try_from(self.answers.max(1)).unwrap_or(u32::MAX)
    }

    /// So many clicks or fewer were missed by that share of the answers.
    pub fn missed_at(&self, share: f64) -> u32 {
        let enough = (share * self.answers as f64).ceil() as u64;
        let mut answers = 0;
        let found = self.missed_counts.iter().position(|count| {
            answers += count;
            answers >= enough
        });
        found.unwrap_or(0) as u32
    }

    /// The most that an answer missed.
    pub fn worst(&self) -> u32 {
        self.missed_counts.len().saturating_sub(1) as u32
    }

    /// Adds what another replica did of the same workload.
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
