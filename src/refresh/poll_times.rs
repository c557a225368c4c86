//! Poll prediction: when the next poll of a key is expected, as dashboards poll with a fixed period.
//!
//! A refresh made right after a response is at its worst: at the next poll the report is a whole period old. A
//! refresh just before the next poll costs the same call, and no client waits for it. Where no period is found, or
//! the poll comes early, the refresh is made in the background after a response, as without prediction.

use std::time::Duration;

/// The number of polls kept. If n clients poll in turn, their period is found for n up to this number less two.
const REMEMBERED: usize = 8;
/// The largest difference, in milliseconds, between two intervals that count as the same period.
const EXACT_TO_MS: u32 = 500;

/// So many polls within the second before the last one are many.
const MANY: u32 = 4;

/// The times of the last polls of a cached report, in 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollTimes {
    /// Times in milliseconds, wrapping; 0 is an empty slot.
    slots: [u32; REMEMBERED],
    /// The number of the last poll, as the entry counts its responses; its time is in [`Self::slot`] of this number.
    last: u32,
    /// The number of the first poll after a gap; 0 before the first poll.
    first: u32,
}

// === impl PollTimes ===

impl PollTimes {
    /// The number of the last poll recorded.
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Records the poll that is the response of this number. Where polls before it were not recorded, the older ones are
    /// forgotten: with a gap they would show a wrong period.
    pub const fn record(&mut self, number: u32, now: Duration) {
        if self.first == 0 || number != self.last.wrapping_add(1) {
            (self.slots, self.first) = ([0; REMEMBERED], number);
        }
        self.last = number;
        self.slots[Self::slot(number)] = match now.as_millis() as u32 {
            0 => 1,
            millis => millis,
        };
    }

    /// Whether the last polls came so quickly that there is no next one to predict: more than four a second.
    pub fn are_many(&self) -> bool {
        let before = self.back(MANY);
        before != 0 && self.back(0).wrapping_sub(before) < 1_000
    }

    /// The time from the last poll to the next one expected; `None` if no period was found.
    pub fn next(&self) -> Option<Duration> {
        let (last, one_before) = (self.back(0), self.back(1));
        for turns in 1..REMEMBERED as u32 - 1 {
            let (polled, polled_before) = (self.back(turns), self.back(turns + 1));
            if polled_before == 0 {
                return None;
            }
            let period = last.wrapping_sub(polled);
            if period.abs_diff(one_before.wrapping_sub(polled_before)) <= EXACT_TO_MS {
                // `turns` clients poll in turn: the one that polled after the poll a period ago comes next.
                let since = last.wrapping_sub(self.back(turns - 1));
                return Some(Duration::from_millis(period.saturating_sub(since).into()));
            }
        }
        None
    }

    /// An upper bound of [`Self::next`], cheaper to compute.
    pub fn longest_wait(&self) -> Duration {
        let kept = self.last.wrapping_sub(self.first).min(REMEMBERED as u32 - 1);
        Duration::from_millis(self.back(0).wrapping_sub(self.back(kept)).into())
    }

    /// The index of the slot for the poll of this number.
    const fn slot(number: u32) -> usize {
        number as usize % REMEMBERED
    }

    /// The slot of the poll `polls` before the last; 0 if there was none.
    const fn back(&self, polls: u32) -> u32 {
        self.slots[Self::slot(self.last.wrapping_sub(polls))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polls_at(seconds: &[f64]) -> PollTimes {
        let mut polls = PollTimes::default();
        for (number, seconds) in (1..).zip(seconds) {
            polls.record(number, Duration::from_secs_f64(*seconds));
        }
        polls
    }

    /// The seconds from the last of these polls to the next expected one.
    fn expected_after(seconds: &[f64]) -> Option<f64> {
        polls_at(seconds).next().map(|next| next.as_secs_f64())
    }

    #[test]
    fn a_client_polls_again_after_the_same_time() {
        assert_eq!(expected_after(&[10.0, 40.0]), None, "two polls show no period");
        assert_eq!(expected_after(&[10.0, 40.0, 70.0]), Some(30.0));
        assert_eq!(expected_after(&[10.0, 40.2, 70.0]), Some(29.8));
    }

    #[test]
    fn of_three_clients_the_one_whose_turn_it_is_comes_next() {
        let turns = [1.0, 4.0, 20.0, 31.0, 34.0, 50.0, 61.0, 64.0, 80.0];
        assert_eq!(expected_after(&turns[..7]), Some(3.0));
        assert_eq!(expected_after(&turns[..8]), Some(16.0));
        assert_eq!(expected_after(&turns), Some(11.0));
    }

    #[test]
    fn polls_without_a_period_predict_nothing() {
        assert_eq!(expected_after(&[1.0, 5.0, 17.0, 18.5, 40.0, 47.0, 63.0, 90.0]), None);
        assert_eq!(expected_after(&[]), None);
    }

    #[test]
    fn no_wait_is_longer_than_the_time_since_the_oldest_poll_kept() {
        let waits = [1, 2, 5, 8, 9].map(|polls| {
            let seconds: Vec<_> = (1..=polls).map(|poll| f64::from(poll) * 10.0).collect();
            polls_at(&seconds).longest_wait().as_secs()
        });
        assert_eq!(waits, [0, 10, 40, 70, 70]);
    }

    #[test]
    fn polls_before_a_gap_are_forgotten() {
        let mut polls = polls_at(&[10.0, 40.0, 70.0]);
        polls.record(5, Duration::from_secs(100));
        assert_eq!(polls.last(), 5);
        assert_eq!((polls.next(), polls.longest_wait()), (None, Duration::ZERO));
        polls.record(6, Duration::from_secs(120));
        polls.record(7, Duration::from_secs(140));
        assert_eq!(polls.next(), Some(Duration::from_secs(20)));
    }

    #[test]
    fn five_polls_within_a_second_are_many() {
        assert!(polls_at(&[9.0, 9.2, 9.4, 9.6, 9.8]).are_many());
        assert!(!polls_at(&[9.2, 9.4, 9.6, 9.8]).are_many(), "there may have been none before them");
        assert!(!polls_at(&[8.8, 9.2, 9.4, 9.6, 9.8]).are_many());
        assert!(!PollTimes::default().are_many());
    }

    #[test]
    fn the_clock_of_the_slots_may_wrap() {
        let mut polls = PollTimes::default();
        let wrap = Duration::from_millis(1 << 32);
        let (before, after) = (wrap - Duration::from_secs(40), wrap + Duration::from_secs(20));
        for (number, at) in (7..).zip([before, before + Duration::from_secs(30), after]) {
            polls.record(number, at);
        }
        assert_eq!(polls.next(), Some(Duration::from_secs(30)));
        assert_eq!(size_of::<PollTimes>(), 40);
    }
}
