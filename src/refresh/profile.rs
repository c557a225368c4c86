//! The demand profile: the usual demand of each hour of a UTC day.

use std::{collections::VecDeque, time::Duration};

const HOUR_SECONDS: f64 = 3600.0;
/// The number of days kept.
const DAYS: usize = 7;

/// The demand of each UTC hour, of the last seven days and of today. An hour's usual demand is the median over the
/// days on which that hour had any, so that weekends and hours without polls do not lower it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct DemandProfile {
    days: VecDeque<[Option<f64>; 24]>,
    today: [ObservedHour; 24],
    usual: Option<[f64; 24]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct ObservedHour {
    demand: f64,
    seconds: f64,
}

// === impl DemandProfile ===

impl DemandProfile {
    /// The profile of the given days, the oldest first; an hour that was not observed is `None`.
    pub(crate) fn from_days(days: impl IntoIterator<Item = [Option<f64>; 24]>) -> Self {
        let mut profile = Self { days: days.into_iter().collect(), ..Self::default() };
        profile.keep_last_days();
        profile
    }

    /// The days of the profile, the oldest first, to be stored.
    pub(crate) fn days(&self) -> impl ExactSizeIterator<Item = &[Option<f64>; 24]> {
        self.days.iter()
    }

    /// Adds the demand of a slice to its hour of today.
    pub(super) fn observe(&mut self, hour: usize, demand: f64, length: Duration) {
        let seconds = length.as_secs_f64();
        self.today[hour].demand += demand * seconds;
        self.today[hour].seconds += seconds;
    }

    /// Ends the day and adds it to the last seven. An hour counts if at least half of it was observed.
    pub(super) fn close_day(&mut self) {
        let today = std::mem::take(&mut self.today);
        self.days.push_back(today.map(|hour| {
            (hour.seconds >= HOUR_SECONDS / 2.0).then(|| hour.demand * HOUR_SECONDS / hour.seconds)
        }));
        self.keep_last_days();
    }

    /// Today's sums so far for each hour, demand × seconds and seconds observed, to be stored.
    pub(super) fn today(&self) -> [(f64, f64); 24] {
        self.today.map(|hour| (hour.demand, hour.seconds))
    }

    pub(super) fn with_today(mut self, today: [(f64, f64); 24]) -> Self {
        self.today = today.map(|(demand, seconds)| ObservedHour { demand, seconds });
        self
    }

    /// The usual demand of each hour (demand a second × 3,600 s); `None` until a day has ended.
    pub(crate) fn usual(&self) -> Option<&[f64; 24]> {
        self.usual.as_ref()
    }

    fn keep_last_days(&mut self) {
        while self.days.len() > DAYS {
            self.days.pop_front();
        }
        let hours: [Option<f64>; 24] = std::array::from_fn(|hour| self.usual_of(hour));
        let known: Vec<f64> = hours.iter().copied().flatten().collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        self.usual = (!known.is_empty()).then(|| hours.map(|usual| usual.unwrap_or(mean)));
    }

    /// The usual demand of an hour; `None` if it was never observed.
    fn usual_of(&self, hour: usize) -> Option<f64> {
        let known = self.days.iter().filter_map(|day| day[hour]);
        let mut busy: Vec<f64> = known.clone().filter(|demand| *demand > 0.0).collect();
        busy.sort_by(f64::total_cmp);
        match busy.len() {
            0 => known.clone().next().map(|_| 0.0),
            count => Some(f64::midpoint(busy[(count - 1) / 2], busy[count / 2])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(demand: f64) -> [Option<f64>; 24] {
        [Some(demand); 24]
    }

    #[test]
    fn an_hour_is_usually_the_median_of_those_with_any_demand() {
        let weekend = [1.0, 9.0, 0.0, 0.0, 2.0].map(day);
        assert_eq!(DemandProfile::from_days(weekend).usual(), Some(&[2.0; 24]));
        assert_eq!(DemandProfile::from_days([day(1.0), day(2.0)]).usual(), Some(&[1.5; 24]));
    }

    #[test]
    fn an_hour_that_was_never_observed_is_taken_to_be_like_the_others() {
        let mut known = day(3.0);
        (known[4], known[5]) = (None, Some(0.0));
        let profile = DemandProfile::from_days([known]);
        let usual = profile.usual().expect("a day was seen");
        assert_eq!(usual[5], 0.0, "closed is not unknown");
        assert!((usual[4] - 3.0 * 22.0 / 23.0).abs() < 1e-9);
        assert_eq!(DemandProfile::default().usual(), None);
    }

    #[test]
    fn a_day_counts_from_midnight_on_and_the_oldest_of_eight_is_forgotten() {
        let mut profile = DemandProfile::from_days((0..7).map(|_| day(100.0)));
        for _ in 0..4 {
            for hour in 0..24 {
                profile.observe(hour, 0.001, Duration::from_mins(30));
            }
            profile.close_day();
        }
        assert_eq!(profile.days().len(), 7);
        assert!((profile.usual().expect("days were seen")[0] - 3.6).abs() < 1e-9);
    }

    #[test]
    fn an_hour_of_which_less_than_half_was_seen_is_unknown() {
        let mut profile = DemandProfile::default();
        profile.observe(3, 1.0, Duration::from_mins(29));
        profile.close_day();
        assert_eq!(profile.usual(), None);
    }
}
