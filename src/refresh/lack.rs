//! What a copy lacks: known, expected, or by surprise.

use std::time::Duration;

use super::{CopyStats, UtcTime};

/// A flood of polls on one key counts for no more than this.
const COUNTED_ANSWERS_PER_SECOND: f64 = 10.0;
/// Campaigns without clicks are that much likelier to surprise: they may be sent any minute.
const UNCLICKED_FACTOR: f64 = 60.0;
/// So many campaigns with clicks, and so many without, have the full insurance; more share it.
const INSURED_CLICKED: f64 = 120.0;
const INSURED_UNCLICKED: f64 = 20.0;

/// The clicks that each answer since the last look has lacked on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lack {
    /// Another look showed them.
    pub known: f64,
    /// At the campaign's rate.
    pub expected: f64,
    /// By surprise.
    pub unexpected: f64,
}

/// What surprises are insured against with: the clicks that a copy may lack although nothing announced them, because the
/// campaign was sent or sent again. They grow with the square of the time since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnexpectedClicks {
    /// Clicks a second squared, of a campaign with clicks.
    clicked: f64,
    /// Of one without.
    unclicked: f64,
}

// === impl CopyStats ===

impl CopyStats {
    /// What the answers since the last look have lacked.
    pub fn lack(&self, now: Duration, unexpected: UnexpectedClicks) -> Lack {
        let seconds = self.seconds_since_look(now);
        let surprise = if self.looked_clicks > 0 { unexpected.clicked } else { unexpected.unclicked };
        Lack {
            known: f64::from(self.known_missing()),
            expected: self.rate.per_second() * seconds / 2.0,
            unexpected: surprise * seconds * seconds,
        }
    }

    /// The answers since the copy was last known to be current, and the one to come.
    pub fn counted_answers(&self, answers: u32, now: Duration) -> f64 {
        let given = f64::from(self.answers_since_current(answers)) + 1.0;
        let most = COUNTED_ANSWERS_PER_SECOND * self.seconds_since_current(now);
        // Not `min`: it minds NaN, at six instructions a hit.
        if given < most { given } else { most }
    }
}

// === impl Lack ===

impl Lack {
    /// Of each answer since the last look.
    pub fn each(&self) -> f64 {
        self.known + self.expected + self.unexpected
    }

    /// Of the answer at hand, which is the last: what grew evenly is twice the average by now, what grew with the
    /// square a half more than its share, as the rule counts it.
    pub fn of_this_answer(&self) -> f64 {
        self.known + 2.0 * self.expected + 1.5 * self.unexpected
    }
}

// === impl UnexpectedClicks ===

impl UnexpectedClicks {
    /// `clicks` is what a copy whose campaign was looked at a day ago may lack on average, as the operator set it. The
    /// more campaigns are watched, the less likely it is this one: what is spent on surprises is bounded.
    pub fn shared_by(clicks: f64, clicked_campaigns: u32, unclicked_campaigns: u32) -> Self {
        let per_second_squared = clicks / UtcTime::DAY.as_secs_f64().powi(2);
        let share = |insured: f64, campaigns: u32| (insured / f64::from(campaigns.max(1))).min(1.0);
        Self {
            clicked: per_second_squared * share(INSURED_CLICKED, clicked_campaigns),
            unclicked: per_second_squared * UNCLICKED_FACTOR * share(INSURED_UNCLICKED, unclicked_campaigns),
        }
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
    fn a_campaign_without_clicks_may_be_sent_any_minute_and_many_share_the_insurance() {
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
}
