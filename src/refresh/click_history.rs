//! Click history: the clicks of a campaign as its looks have shown them, and the click rate.
//!
//! A look gives a count, not just "changed or not", so the rate is simply clicks ÷ time. It is taken over about the
//! last eight clicks, however long they took, so it follows quickly while clicks are frequent and slowly when they
//! are rare.

use std::time::Duration;

/// The number of clicks that the rate is taken over. Results with 4 to 32 differ by less than 4 %.
const MEMORY: f64 = 8.0;
/// The prior of the rate before the second look: half a click in ten seconds. A polled campaign has a second look
/// within a minute, which gives a better rate.
const PRIOR_CLICKS: f64 = 0.5;
const PRIOR_SECONDS: f64 = 10.0;
/// After ten minutes of looks without a click the rate counts as known (and low). Slightly less than 600 s, as looks
/// often come at exact minutes.
const WATCHED_SECONDS: f64 = 599.9;
/// How much the stored sums may exceed their limits: they are rounded, and the times are stored in milliseconds.
const ROUNDING: f64 = 0.01;

/// The clicks that the looks at a campaign have shown, in 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClickHistory {
    looked_at_ns: u64,
    clicks: u32,
    seen_clicks: f64,
    seen_seconds: f64,
}

/// The stored form of a [`ClickHistory`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClickHistoryRecord {
    /// The time of the last look.
    pub looked_at: Duration,
    /// The clicks at the last look.
    pub clicks: u32,
    /// The clicks that the rate is taken over, at most eight.
    pub seen_clicks: f64,
    /// The seconds in which they came.
    pub seen_seconds: f64,
}

/// A click rate, in clicks a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ClickRate(f64);

// === impl ClickHistory ===

impl ClickHistory {
    /// The history after the first look, which showed `clicks`.
    pub fn first_look(clicks: u32, at: Duration) -> Self {
        Self { looked_at_ns: nanos(at), clicks, seen_clicks: 0.0, seen_seconds: 0.0 }
    }

    /// Continues from a stored record. `None` if it cannot be true: a look later than `now`, or sums that no looks give.
    pub fn restore(record: &ClickHistoryRecord, now: Duration) -> Option<Self> {
        let ClickHistoryRecord { looked_at, clicks, seen_clicks, seen_seconds } = *record;
        let is_possible = looked_at <= now
            && (0.0..=MEMORY + ROUNDING).contains(&seen_clicks)
            && (0.0..=looked_at.as_secs_f64() + ROUNDING).contains(&seen_seconds);
        is_possible.then(|| Self { looked_at_ns: nanos(looked_at), clicks, seen_clicks, seen_seconds })
    }

    /// The history, to be stored.
    pub const fn record(&self) -> ClickHistoryRecord {
        let Self { clicks, seen_clicks, seen_seconds, .. } = *self;
        ClickHistoryRecord { looked_at: self.looked_at(), clicks, seen_clicks, seen_seconds }
    }

    /// Records a look. One that is not newer than the last, such as a response that arrived out of order, is ignored.
    /// A count lower than before is accepted, and counts as no new clicks.
    pub fn look(&mut self, clicks: u32, at: Duration) {
        let at_ns = nanos(at);
        if at_ns <= self.looked_at_ns {
            return;
        }
        let seconds = (at_ns - self.looked_at_ns) as f64 / 1e9;
        let new = f64::from(clicks.saturating_sub(self.clicks));
        if new >= MEMORY {
            self.seen_clicks = MEMORY;
            self.seen_seconds = seconds * MEMORY / new;
        } else {
            // Where none was seen before, the quotient is infinite.
            let kept = ((MEMORY - new) / self.seen_clicks).min(1.0);
            self.seen_clicks = self.seen_clicks * kept + new;
            self.seen_seconds = self.seen_seconds * kept + seconds;
        }
        self.looked_at_ns = at_ns;
        self.clicks = clicks;
    }

    /// Records a look after a time that is not known well: the rate stays as it was.
    pub(super) fn look_after_unknown_time(&mut self, clicks: u32, at: Duration) {
        if nanos(at) > self.looked_at_ns {
            (self.looked_at_ns, self.clicks) = (nanos(at), clicks);
        }
    }

    /// The clicks at the last look.
    pub const fn clicks(&self) -> u32 {
        self.clicks
    }

    /// The time of the last look.
    pub const fn looked_at(&self) -> Duration {
        Duration::from_nanos(self.looked_at_ns)
    }

    /// The click rate.
    pub fn rate(&self) -> ClickRate {
        ClickRate((self.seen_clicks + PRIOR_CLICKS) / (self.seen_seconds + PRIOR_SECONDS))
    }

    /// Whether the rate is based on clicks, or on enough time without any; else it is a guess.
    pub fn is_rate_known(&self) -> bool {
        self.seen_clicks > 0.0 || self.seen_seconds > WATCHED_SECONDS
    }
}

// === impl ClickRate ===

impl ClickRate {
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }

    /// A stored rate. `None` if it cannot be true.
    pub(super) fn restore(per_second: f64) -> Option<Self> {
        (per_second.is_finite() && per_second >= 0.0).then_some(Self(per_second))
    }

    pub(super) const fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// The rate in clicks a second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// The rate in clicks an hour, for display.
    pub fn per_hour(self) -> f64 {
        self.per_second() * 3600.0
    }
}

/// Nanoseconds; they wrap after five centuries. Each hit needs this, and `as_nanos` is slower (128-bit arithmetic).
pub(super) const fn nanos(time: Duration) -> u64 {
    time.as_secs().wrapping_mul(1_000_000_000).wrapping_add(time.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_campaign_seen_once_is_taken_to_get_a_click_each_twenty_seconds() {
        let history = ClickHistory::first_look(500, at(10));
        assert!((history.rate().per_second() - 0.05).abs() < 1e-6);
        assert!((history.rate().per_hour() - 180.0).abs() < 1e-3);
        assert!(!history.is_rate_known());
    }

    #[test]
    fn a_rate_is_known_after_a_click_or_enough_time_without_any() {
        let first = ClickHistory::first_look(500, at(10));
        for (clicks, seconds, is_known) in
            [(500, WATCHED_SECONDS, false), (500, WATCHED_SECONDS + 1.0, true), (501, 1.0, true)]
        {
            let mut history = first;
            history.look(clicks, at(10) + Duration::from_secs_f64(seconds));
            assert_eq!(history.is_rate_known(), is_known, "{clicks} after {seconds} s");
        }
    }

    #[test]
    fn the_rate_follows_the_last_eight_clicks_at_once() {
        let mut history = ClickHistory::first_look(0, at(0));
        history.look(100, at(1_000));
        assert!((history.rate().per_second() - 8.5 / 90.0).abs() < 1e-6, "{:?}", history.rate());
        history.look(100 + 80, at(1_010));
        assert!((history.rate().per_second() - 8.5 / 11.0).abs() < 1e-6, "{:?}", history.rate());
    }

    #[test]
    fn clicks_that_thin_out_lower_the_rate_with_each_look_that_shows_none() {
        let mut history = ClickHistory::first_look(0, at(0));
        history.look(8, at(80));
        let rates: Vec<_> = (1..5)
            .map(|look| {
                history.look(8, at(80 + look * 1_000));
                history.rate().per_second()
            })
            .collect();
        assert!(rates.is_sorted_by(|before, after| before > after), "{rates:?}");
        assert!((rates[3] - 8.5 / 4_090.0).abs() < 1e-6, "{rates:?}");
    }

    #[test]
    fn a_new_click_takes_the_place_of_an_eighth_of_what_was_seen() {
        let mut history = ClickHistory::first_look(0, at(0));
        history.look(8, at(800));
        history.look(10, at(810));
        assert!((history.rate().per_second() - 8.5 / (600.0 + 10.0 + 10.0)).abs() < 1e-6);
    }

    #[test]
    fn a_count_that_falls_is_accepted_and_an_overtaken_look_is_not() {
        let mut history = ClickHistory::first_look(100, at(100));
        history.look(90, at(200));
        assert_eq!(history.clicks(), 90);
        history.look(150, at(150));
        assert_eq!((history.clicks(), history.looked_at()), (90, at(200)));
        history.look(91, at(300));
        assert!((history.rate().per_second() - 1.5 / 210.0).abs() < 1e-6);
    }

    #[test]
    fn a_stored_history_continues_with_the_same_rate() {
        let mut history = ClickHistory::first_look(3, at(1_000));
        for (clicks, seconds) in [(4, 1_007), (9, 1_100), (13, 1_101), (200, 1_333)] {
            history.look(clicks, at(seconds));
            assert_eq!(ClickHistory::restore(&history.record(), at(1_333)), Some(history));
        }
        let before = history;
        history.look(201, at(1_400));
        let mut restored = ClickHistory::restore(&before.record(), at(1_400)).unwrap();
        restored.look(201, at(1_400));
        assert_eq!(restored, history);
    }

    #[test]
    fn a_stored_history_that_cannot_be_true_is_refused() {
        let record =
            ClickHistoryRecord { looked_at: at(100), clicks: 7, seen_clicks: 3.0, seen_seconds: 90.0 };
        assert!(ClickHistory::restore(&record, at(100)).is_some());
        assert_eq!(ClickHistory::restore(&record, at(99)), None, "looked at later than now");
        for (seen_seconds, possible) in [(100.0, true), (100.02, false)] {
            let record = ClickHistoryRecord { seen_seconds, ..record };
            assert_eq!(
                ClickHistory::restore(&record, at(100)).is_some(),
                possible,
                "{seen_seconds} s of 100"
            );
        }
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5, 1e300] {
            let clicks = ClickHistoryRecord { seen_clicks: wrong, ..record };
            let seconds = ClickHistoryRecord { seen_seconds: wrong, ..record };
            for record in [clicks, seconds] {
                assert_eq!(ClickHistory::restore(&record, at(100)), None, "{record:?}");
            }
        }
        let nine = ClickHistoryRecord { seen_clicks: 9.0, ..record };
        assert_eq!(ClickHistory::restore(&nine, at(100)), None, "the rate is taken over eight clicks");
    }

    #[test]
    fn ten_minutes_without_a_click_are_known_to_be_quiet() {
        let mut history = ClickHistory::first_look(3, at(0));
        history.look(3, at(599));
        assert!(!history.is_rate_known());
        history.look(3, at(600));
        assert!(history.is_rate_known());
        assert_eq!(size_of::<ClickHistory>(), 32);
    }

    #[test]
    fn after_an_unknown_time_too_a_look_that_is_not_newer_is_ignored() {
        let mut history = ClickHistory::first_look(3, at(100));
        history.look_after_unknown_time(5, at(100));
        assert_eq!(history, ClickHistory::first_look(3, at(100)));
        history.look_after_unknown_time(5, at(101));
        assert_eq!((history.clicks(), history.looked_at()), (5, at(101)));
    }
}
