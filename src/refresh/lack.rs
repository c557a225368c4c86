//! Missing clicks: how many clicks a cached report lacks, known, expected and unexpected.

use std::time::Duration;

use super::{CopyStats, UtcTime};

/// A key's responses count for at most this rate, so that a flood of polls on one key does not use up the calls.
const COUNTED_ANSWERS_PER_SECOND: f64 = 10.0;
/// The factor by which unexpected clicks are likelier in a campaign without clicks, since it may be sent at any minute.
const UNCLICKED_FACTOR: f64 = 60.0;
/// The number of polled campaigns, with clicks and without, up to which each gets the full allowance for unexpected
/// clicks; more campaigns share it.
const FULL_SHARES_CLICKED: f64 = 120.0;
const FULL_SHARES_UNCLICKED: f64 = 20.0;

/// The average number of clicks that each response since the last look has missed, by cause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lack {
    /// Clicks that a later look has shown.
    pub known: f64,
    /// Clicks expected at the campaign's rate.
    pub expected: f64,
    /// Clicks that may have come unexpectedly.
    pub unexpected: f64,
}

/// The allowance for unexpected clicks: those that a cached report may lack although no look has shown a rise,
/// because the campaign was sent or sent again. They grow with the square of the time since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnexpectedClicks {
    /// Clicks per second squared, for a campaign with clicks.
    clicked: f64,
    /// The same for a campaign without clicks.
    unclicked: f64,
}

// === impl CopyStats ===

impl CopyStats {
    /// The clicks that the responses since the last look have missed on average.
    #[inline]
    pub fn lack(&self, now: Duration, unexpected: UnexpectedClicks) -> Lack {
        let seconds = self.seconds_since_look(now);
        let per_second_squared =
            if self.looked_clicks > 0 { unexpected.clicked } else { unexpected.unclicked };
        Lack {
            known: f64::from(self.known_missing()),
            expected: self.rate.per_second() * seconds / 2.0,
            unexpected: per_second_squared * seconds * seconds,
        }
    }

    /// The responses since the cached report was last known to be current, plus one for the next; limited to
    /// ten for each second since then.
    #[inline]
    pub fn counted_answers(&self, answers: u32, now: Duration) -> f64 {
        let given = f64::from(self.answers_since_current(answers)) + 1.0;
        let most = self.most_counted_answers(now);
        // Not `f64::min`: its NaN handling costs six instructions on each hit.
        if given < most { given } else { most }
    }

    /// The most that [`Self::counted_answers`] can be then.
    #[inline]
    pub(super) fn most_counted_answers(&self, now: Duration) -> f64 {
        COUNTED_ANSWERS_PER_SECOND * self.seconds_since_current(now)
    }
}

// === impl Lack ===

impl Lack {
    /// The clicks missed by each response since the last look, on average.
    #[inline]
    pub fn each(&self) -> f64 {
        self.known + self.expected + self.unexpected
    }

    /// The clicks missed by the last response alone. What grows linearly is now twice its average; what grows with
    /// the square is counted by the rule at 1.5 times `unexpected`.
    #[inline]
    pub fn of_this_answer(&self) -> f64 {
        self.known + 2.0 * self.expected + 1.5 * self.unexpected
    }
}

// === impl UnexpectedClicks ===

impl UnexpectedClicks {
    /// `clicks` is the operator's setting: the clicks that a response may miss on average, one day after the last
    /// look. With more campaigns polled each gets a smaller share, which limits the calls used for unexpected clicks.
    pub fn shared_by(clicks: f64, clicked_campaigns: u32, unclicked_campaigns: u32) -> Self {
        let per_second_squared = clicks / UtcTime::DAY.as_secs_f64().powi(2);
        let share = |full_shares: f64, campaigns: u32| (full_shares / f64::from(campaigns.max(1))).min(1.0);
        Self {
            clicked: per_second_squared * share(FULL_SHARES_CLICKED, clicked_campaigns),
            unclicked: per_second_squared
                * UNCLICKED_FACTOR
                * share(FULL_SHARES_UNCLICKED, unclicked_campaigns),
        }
    }

    /// The allowance as two words, to be stored in atomics.
    pub const fn to_words(self) -> [u64; 2] {
        [self.clicked.to_bits(), self.unclicked.to_bits()]
    }

    /// The inverse of [`Self::to_words`].
    #[inline]
    pub const fn from_words([clicked, unclicked]: [u64; 2]) -> Self {
        Self { clicked: f64::from_bits(clicked), unclicked: f64::from_bits(unclicked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::ClickHistory;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_flood_of_polls_counts_for_ten_a_second() {
        let copy = CopyStats::fetched(&ClickHistory::first_look(9, at(1_000)), 9, 50);
        assert!((copy.counted_answers(100_050, at(1_020)) - 200.0).abs() < 1e-9);
        assert!((copy.counted_answers(60, at(1_020)) - 11.0).abs() < 1e-9);
    }

    #[test]
    fn a_campaign_without_clicks_has_a_larger_allowance_and_many_share_it() {
        let day = UtcTime::DAY;
        let lack = |clicks, unexpected| {
            let copy = CopyStats::fetched(&ClickHistory::first_look(clicks, at(0)), clicks, 0);
            copy.lack(day, unexpected).unexpected
        };
        let few = UnexpectedClicks::shared_by(7.0, 120, 20);
        let many = UnexpectedClicks::shared_by(7.0, 1_200, 80);
        for (clicks, unexpected, expected) in
            [(5, few, 7.0), (0, few, 420.0), (5, many, 0.7), (0, many, 105.0)]
        {
            assert!((lack(clicks, unexpected) - expected).abs() < 1e-6, "{clicks}");
        }
    }

    #[test]
    fn what_a_response_lacks_is_known_expected_at_the_rate_and_unexpected() {
        let mut history = ClickHistory::first_look(0, at(0));
        history.look(100, at(1_000));
        let (copy, allowance) = (CopyStats::fetched(&history, 97, 0), UnexpectedClicks::shared_by(7.0, 1, 1));
        let lack = copy.lack(at(1_020), UnexpectedClicks::from_words(allowance.to_words()));
        let (expected, unexpected) = (10.0 * history.rate().per_second(), 7.0 * (20.0 / 86_400_f64).powi(2));
        for (is, should_be) in [
            (lack.known, 3.0),
            (lack.expected, expected),
            (lack.unexpected, unexpected),
            (lack.each(), 3.0 + expected + unexpected),
            (lack.of_this_answer(), 3.0 + 2.0 * expected + 1.5 * unexpected),
        ] {
            assert!((is - should_be).abs() < 1e-12, "{is}, not {should_be}");
        }
    }
}
