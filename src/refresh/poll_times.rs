//! When the next poll comes: a dashboard asks again after its period.
//!
//! Behind an answer is the worst moment for a refresh: the next answer is as old as the time between two polls. Just
//! before the next answer is the best, and costs the same call. Nobody waits for it; where no period shows, or the poll
//! comes early, the refresh happens behind an answer as ever.

use std::time::Duration;

/// So many polls are remembered; a period shows if not more viewers than this less two ask in turn.
const REMEMBERED: usize = 8;
/// Two polls are a period apart if the two before them were too, as exactly as this.
const EXACT_TO_MS: u32 = 500;

/// The times of the last polls of a copy: 36 bytes, of which an entry's count of answers may be four. A hit writes one slot,
/// beside that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollTimes {
    /// In milliseconds, wrapping; 0 is none. The first poll has the number 1.
    slots: [u32; REMEMBERED],
    /// The number of the last poll; it is in the slot of this number.
    last: u32,
}

// === impl PollTimes ===

impl PollTimes {
    /// The polls in the slots of an entry, the last of them being of this number.
    pub const fn from_slots(slots: [u32; REMEMBERED], last: u32) -> Self {
        Self { slots, last }
    }

    /// The slot that a poll is written to.
    pub const fn slot(number: u32) -> usize {
        number as usize % REMEMBERED
    }

    /// What is written to it.
    pub const fn stamp(now: Duration) -> u32 {
        match now.as_millis() as u32 {
            0 => 1,
            millis => millis,
        }
    }

    /// A poll came.
    pub const fn record(&mut self, now: Duration) {
        self.last = self.last.wrapping_add(1);
        self.slots[Self::slot(self.last)] = Self::stamp(now);
    }

    /// How long after the last poll the next is to be expected. `None`: no period shows.
    pub fn next(&self) -> Option<Duration> {
        let (last, one_before) = (self.back(0), self.back(1));
        for turns in 1..REMEMBERED as u32 - 1 {
            let (asked, asked_before) = (self.back(turns), self.back(turns + 1));
            if asked_before == 0 {
                return None;
            }
            let period = last.wrapping_sub(asked);
            if period.abs_diff(one_before.wrapping_sub(asked_before)) <= EXACT_TO_MS {
                // Whoever asked a period ago but one asks next.
                let since = last.wrapping_sub(self.back(turns - 1));
                return Some(Duration::from_millis(period.saturating_sub(since).into()));
            }
        }
        None
    }

    /// [`Self::next`] is no longer than this.
    pub fn longest_wait(&self) -> Duration {
        let oldest = self.back(REMEMBERED as u32 - 1);
        let oldest = if oldest == 0 { self.slots[Self::slot(1)] } else { oldest };
        Duration::from_millis(self.back(0).wrapping_sub(oldest).into())
    }

    /// The poll that many before the last; 0 if there was none.
    const fn back(&self, polls: u32) -> u32 {
        self.slots[Self::slot(self.last.wrapping_sub(polls))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is expected after the last of these polls.
    fn expected_after(seconds: &[f64]) -> Option<f64> {
        let mut polls = PollTimes::default();
        seconds.iter().for_each(|seconds| polls.record(Duration::from_secs_f64(*seconds)));
        polls.next().map(|next| next.as_secs_f64())
    }

    #[test]
    fn a_viewer_asks_again_after_the_same_time() {
        assert_eq!(expected_after(&[10.0, 40.0]), None, "two polls show no period");
        assert_eq!(expected_after(&[10.0, 40.0, 70.0]), Some(30.0));
        assert_eq!(expected_after(&[10.0, 40.2, 70.0]), Some(29.8));
    }

    #[test]
    fn of_three_viewers_the_one_whose_turn_it_is_comes_next() {
        let turns = [1.0, 4.0, 20.0, 31.0, 34.0, 50.0, 61.0, 64.0, 80.0];
        assert_eq!(expected_after(&turns[..7]), Some(3.0));
        assert_eq!(expected_after(&turns[..8]), Some(16.0));
        assert_eq!(expected_after(&turns), Some(11.0));
    }

    #[test]
    fn polls_without_a_period_promise_nothing() {
        assert_eq!(expected_after(&[1.0, 5.0, 17.0, 18.5, 40.0, 47.0, 63.0, 90.0]), None);
        assert_eq!(expected_after(&[]), None);
    }

    #[test]
    fn the_clock_of_the_slots_may_wrap() {
        let mut polls = PollTimes::default();
        let wrap = Duration::from_millis(1 << 32);
        let (before, after) = (wrap - Duration::from_secs(40), wrap + Duration::from_secs(20));
        [before, before + Duration::from_secs(30), after].into_iter().for_each(|at| polls.record(at));
        assert_eq!(polls.next(), Some(Duration::from_secs(30)));
        assert_eq!(size_of::<PollTimes>(), 36);
    }
}
