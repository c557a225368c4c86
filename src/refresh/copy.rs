//! Statistics of a cached report: all that a cache hit has to read.

use std::time::Duration;

use super::{AnswerTimes, ClickHistory, ClickRate, click_history::nanos};

/// Of two counts that differ by as much or more, the later one was read before: by a hit, while the other was written.
const READ_BEFORE: u32 = u32::MAX - 0xffff;

/// The statistics of a cached report, in 40 bytes: five words, each in an atomic. They are written on each look at
/// the campaign, and read on each hit. A hit may read a mixture of two writes; that costs at most one early refresh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyStats {
    pub(super) looked_at_ns: u64,
    pub(super) rate: ClickRate,
    /// The campaign's clicks at the last look, through either form.
    pub(super) looked_clicks: u32,
    /// The clicks in the cached report.
    pub(super) shown_clicks: u32,
    /// The time from when the report was last known to be current to the last look.
    current_before_look_ms: u32,
    /// The responses served when the report was last known to be current.
    answers_when_current: u32,
    /// The responses served up to the last look.
    answers_at_look: u32,
}

/// The stored form of a [`CopyStats`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyRecord {
    /// The time of the last look at the campaign.
    pub looked_at: Duration,
    /// The campaign's rate of clicks.
    pub clicks_per_second: f64,
    /// The campaign's clicks at the last look.
    pub looked_clicks: u32,
    /// The clicks in the cached report.
    pub shown_clicks: u32,
    /// The time from when the report was last known to be current to the last look.
    pub current_before_look: Duration,
    /// The responses served when the report was last known to be current.
    pub answers_when_current: u32,
    /// The responses served up to the last look.
    pub answers_at_look: u32,
}

// === impl CopyStats ===

impl CopyStats {
    /// The statistics of a report fetched just now. `history` is the campaign's and includes this look; `answers` are
    /// the responses served for this key so far.
    pub fn fetched(history: &ClickHistory, shown_clicks: u32, answers: u32) -> Self {
        Self {
            looked_at_ns: nanos(history.looked_at()),
            rate: history.rate(),
            looked_clicks: history.clicks(),
            shown_clicks,
            current_before_look_ms: 0,
            answers_when_current: answers,
            answers_at_look: answers,
        }
    }

    /// Continues from a stored record. `None` if it cannot be true.
    pub fn restore(record: CopyRecord) -> Option<Self> {
        Some(Self {
            looked_at_ns: nanos(record.looked_at),
            rate: ClickRate::restore(record.clicks_per_second)?,
            looked_clicks: record.looked_clicks,
            shown_clicks: record.shown_clicks,
            current_before_look_ms: u32::try_from(record.current_before_look.as_millis()).unwrap_or(u32::MAX),
            answers_when_current: record.answers_when_current,
            answers_at_look: record.answers_at_look,
        })
    }

    /// The statistics, to be stored.
    pub fn record(&self) -> CopyRecord {
        CopyRecord {
            looked_at: self.looked_at(),
            clicks_per_second: self.rate.per_second(),
            looked_clicks: self.looked_clicks,
            shown_clicks: self.shown_clicks,
            current_before_look: Duration::from_millis(self.current_before_look_ms.into()),
            answers_when_current: self.answers_when_current,
            answers_at_look: self.answers_at_look,
        }
    }

    /// Updates the statistics after another look at the campaign: a fetch of the other form, or a probe. If the
    /// cached report already has all the clicks, it counts as just fetched.
    #[must_use]
    pub fn campaign_looked(&self, history: &ClickHistory, answers: u32) -> Self {
        let looked = Self::fetched(history, self.shown_clicks, answers);
        if history.clicks() == self.shown_clicks {
            return looked;
        }
        let behind = history.looked_at().saturating_sub(self.current_at());
        Self {
            current_before_look_ms: u32::try_from(behind.as_millis()).unwrap_or(u32::MAX),
            answers_when_current: self.answers_when_current,
            ..looked
        }
    }

    /// The time of the last look at the campaign.
    pub const fn looked_at(&self) -> Duration {
        Duration::from_nanos(self.looked_at_ns)
    }

    /// The last time when the report was known to be current.
    pub const fn current_at(&self) -> Duration {
        self.looked_at().saturating_sub(Duration::from_millis(self.current_before_look_ms as u64))
    }

    #[inline]
    pub(super) fn seconds_since_look(&self, now: Duration) -> f64 {
        // Converted from a signed integer, which takes one instruction; the difference fits (292 years).
        nanos(now).saturating_sub(self.looked_at_ns).cast_signed() as f64 * 1e-9
    }

    #[inline]
    pub(super) fn seconds_since_current(&self, now: Duration) -> f64 {
        self.seconds_since_look(now) + f64::from(self.current_before_look_ms) * 1e-3
    }

    /// The responses served since the report was last known to be current.
    pub const fn answers_since_current(&self, answers: u32) -> u32 {
        answers_between(self.answers_when_current, answers)
    }

    /// The count of responses at which so many were served since the report was last known to be current, rounded up.
    pub(super) fn answers_after_current(&self, answers: f64) -> u32 {
        self.answers_when_current.saturating_add(answers.ceil() as u32)
    }

    /// The responses served since the last look.
    pub const fn answers_since_look(&self, answers: u32) -> u32 {
        answers_between(self.answers_at_look, answers)
    }

    /// The campaign's rate of clicks, per hour.
    pub fn clicks_per_hour(&self) -> f64 {
        self.rate.per_hour()
    }

    /// The responses served up to `at`, where `answers` were served up to `now`, as if evenly since the last look.
    pub fn answers_at(&self, answers: u32, at: Duration, now: Duration) -> u32 {
        let since_look = now.saturating_sub(self.looked_at()).as_secs_f64();
        let after = now.saturating_sub(at.max(self.looked_at())).as_secs_f64();
        if after > 0.0 {
            let after = f64::from(self.answers_since_look(answers)) * after / since_look;
            answers.wrapping_sub(after.round() as u32)
        } else {
            answers
        }
    }

    /// The clicks known to be missing from the report.
    pub const fn known_missing(&self) -> u32 {
        self.looked_clicks.saturating_sub(self.shown_clicks)
    }

    /// The clicks that the responses since the last look have missed, now that a look at `at` shows `clicks`: counted by
    /// `cache_clicks_missed_total`. Call it before the statistics are replaced or updated by that look. The clicks are
    /// taken to have come evenly between the two looks, the responses by `times`.
    pub fn clicks_missed(&self, clicks: u32, answers: u32, at: Duration, times: Option<AnswerTimes>) -> f64 {
        let new = f64::from(clicks.saturating_sub(self.looked_clicks));
        let given = f64::from(self.answers_since_look(answers));
        given * (f64::from(self.known_missing()) + new * self.mean_answer_time(answers, at, times))
    }

    /// When the responses since the last look came, on average: from 0, at that look, to 1, at `at`. Evenly in between,
    /// unless it is known that none came for a while, as in a night: those before it missed few of its clicks.
    fn mean_answer_time(&self, answers: u32, at: Duration, times: Option<AnswerTimes>) -> f64 {
        const EVENLY: f64 = 0.5;
        let since_look = |time: Duration| time.saturating_sub(self.looked_at()).as_secs_f64();
        let (given, length) = (self.answers_since_look(answers), since_look(at));
        let before_slice = times.map_or(0, |times| self.answers_since_look(times.before_slice).min(given));
        match times {
            Some(AnswerTimes { polled_until, sliced_at, .. }) if before_slice > 0 && length > 0.0 => {
                let before = f64::from(before_slice) * since_look(polled_until) / 2.0;
                let after = f64::from(given - before_slice) * f64::midpoint(since_look(sliced_at), length);
                ((before + after) / f64::from(given) / length).min(1.0)
            }
            Some(_) | None => EVENLY,
        }
    }

    /// The statistics as five words, to be stored in atomics.
    pub const fn to_words(self) -> [u64; 5] {
        const fn pair(high: u32, low: u32) -> u64 {
            (high as u64) << 32 | low as u64
        }
        [
            self.looked_at_ns,
            self.rate.to_bits(),
            pair(self.looked_clicks, self.shown_clicks),
            pair(self.answers_when_current, self.answers_at_look),
            self.current_before_look_ms as u64,
        ]
    }

    /// The inverse of [`Self::to_words`].
    #[inline]
    pub const fn from_words(words: [u64; 5]) -> Self {
        let [looked_at_ns, rate, clicks, answers, current_before_look_ms] = words;
        Self {
            looked_at_ns,
            rate: ClickRate::from_bits(rate),
            looked_clicks: (clicks >> 32) as u32,
            shown_clicks: clicks as u32,
            answers_when_current: (answers >> 32) as u32,
            answers_at_look: answers as u32,
            current_before_look_ms: current_before_look_ms as u32,
        }
    }
}

/// The responses from one count to a later one. Counts wrap: a key that is polled a thousand times a second has used 32 bits
/// up in fifty days. 0 if `later` was read before.
const fn answers_between(earlier: u32, later: u32) -> u32 {
    let answers = later.wrapping_sub(earlier);
    if answers < READ_BEFORE { answers } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_copy_that_shows_all_clicks_of_a_look_through_the_other_form_counts_as_just_fetched() {
        let mut history = ClickHistory::first_look(10, at(0));
        let copy = CopyStats::fetched(&history, 10, 3);
        history.look(10, at(60));
        assert_eq!(copy.campaign_looked(&history, 8), CopyStats::fetched(&history, 10, 8));
    }

    #[test]
    fn a_copy_that_lacks_clicks_counts_all_answers_since_it_was_current() {
        let mut history = ClickHistory::first_look(10, at(0));
        let copy = CopyStats::fetched(&history, 10, 3);
        history.look(14, at(60));
        let copy = copy.campaign_looked(&history, 8);
        assert_eq!((copy.known_missing(), copy.answers_since_current(9)), (4, 6));
        assert_eq!((copy.current_at(), copy.looked_at()), (at(0), at(60)));
        assert!((copy.seconds_since_current(at(70)) - 70.0).abs() < 1e-9);
        assert!((copy.clicks_per_hour() - 3_600.0 * history.rate().per_second()).abs() < 1e-9);
        assert!(copy.clicks_per_hour() > 1.0);
        history.look(15, at(90));
        let copy = copy.campaign_looked(&history, 9);
        assert_eq!((copy.known_missing(), copy.answers_since_current(9)), (5, 6));
        assert_eq!(copy.current_at(), at(0));
    }

    #[test]
    fn clicks_missed_are_those_known_and_half_of_those_that_came_for_each_answer_since_the_last_look() {
        let mut history = ClickHistory::first_look(10, at(0));
        let copy = CopyStats::fetched(&history, 10, 0);
        assert!((copy.clicks_missed(14, 8, at(60), None) - 16.0).abs() < 1e-9);
        history.look(14, at(60));
        let copy = copy.campaign_looked(&history, 8);
        assert!((copy.clicks_missed(16, 10, at(90), None) - 2.0 * 5.0).abs() < 1e-9);
    }

    #[test]
    fn the_responses_before_a_quiet_night_miss_few_of_its_clicks() {
        let (evening, morning) = (at(0), at(40_000));
        let copy = CopyStats::fetched(&ClickHistory::first_look(10, evening), 10, 100);
        let missed = |before_slice, answers| {
            let times = AnswerTimes { before_slice, polled_until: at(400), sliced_at: at(39_900) };
            copy.clicks_missed(1_010, answers, morning, Some(times))
        };
        assert!((missed(104, 104) - 4.0 * 5.0).abs() < 1e-9, "four in the evening");
        assert!((missed(104, 105) - (20.0 + 998.75)).abs() < 1e-9, "and one in the morning");
        assert!(
            (missed(90, 102) - 2.0 * 500.0).abs() < 1e-9,
            "none up to the last slice: nothing is known of them"
        );
        let times = AnswerTimes { before_slice: 104, polled_until: evening, sliced_at: evening };
        let at_once = copy.clicks_missed(20, 104, evening, Some(times));
        assert!((at_once - 4.0 * 5.0).abs() < 1e-9, "{at_once}: all since this same moment");
    }

    #[test]
    fn the_answers_up_to_a_time_are_those_of_an_even_pace_since_the_last_look() {
        let copy = CopyStats::fetched(&ClickHistory::first_look(10, at(100)), 10, 30);
        let answers = [50, 100, 150, 199, 200, 300].map(|seconds| copy.answers_at(130, at(seconds), at(200)));
        assert_eq!(answers, [30, 30, 80, 129, 130, 130]);
        assert_eq!(copy.answers_at(130, at(100), at(100)), 130, "all at once");
    }

    #[test]
    fn five_words_hold_all_of_it_and_so_does_a_record() {
        let mut history = ClickHistory::first_look(10, at(7));
        let copy = CopyStats::fetched(&history, 10, 3);
        history.look(14, at(60));
        let copy = copy.campaign_looked(&history, 8);
        assert_eq!(CopyStats::from_words(copy.to_words()), copy);
        assert_eq!(CopyStats::restore(copy.record()), Some(copy));
        for impossible in [f64::NAN, f64::INFINITY, -1.0] {
            let record = CopyRecord { clicks_per_second: impossible, ..copy.record() };
            assert_eq!(CopyStats::restore(record), None);
        }
        assert_eq!(size_of::<CopyStats>(), 40);
    }
}
