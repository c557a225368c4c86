//! The demand forecast for the rest of the UTC day: the profile, scaled by how busy the last hour was.

use std::time::Duration;

use super::{DemandProfile, DemandSummary, UtcTime};

/// The time constant of the decayed sums of the last slices.
const MEMORY: Duration = Duration::from_hours(1);
/// The ratio of today's demand to the usual is limited to this factor, up and down.
const RATIO: f64 = 4.0;
/// The forecast's ratio returns to 1: its logarithm is halved in this many hours.
const FADE_HOURS: f64 = 8.0;
/// How long the demand stays out of the profile after a start without stored state: all keys are new then, their click
/// rates are guesses, and the demand is not typical.
const WARM_UP: Duration = Duration::from_hours(2);

/// The demand of about the last hour, and what the profile expected for it (decayed sums).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct DemandForecast {
    recent: f64,
    expected: f64,
    seconds: f64,
    last: f64,
    running_for: Duration,
}

/// The forecast for the rest of the UTC day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RestOfDay {
    /// Demand × seconds; `None` if there is no profile and there were no polls.
    pub(super) demand: Option<f64>,
    /// The share of the day's usual demand that is still to come.
    pub(super) share: f64,
}

// === impl DemandForecast ===

impl DemandForecast {
    /// The stored sums, decayed by the time since they were stored.
    pub(super) fn restored((recent, expected, seconds): (f64, f64, f64), passed: Duration) -> Self {
        let fade = fade(passed);
        Self {
            recent: recent * fade,
            expected: expected * fade,
            seconds: seconds * fade,
            running_for: WARM_UP,
            ..Self::default()
        }
    }

    /// The decayed sums (demand × seconds, expected, seconds), to be stored.
    pub(super) const fn sums(&self) -> (f64, f64, f64) {
        (self.recent, self.expected, self.seconds)
    }

    /// Records a demand slice, also in the profile once the warm-up is over.
    pub(super) fn observe(&mut self, summary: &DemandSummary, profile: &mut DemandProfile, hour: usize) {
        let (length, seconds) = (summary.length, summary.length.as_secs_f64());
        if self.running_for >= WARM_UP {
            profile.observe(hour, summary.demand, length);
        }
        self.running_for += length;
        self.last = summary.demand;
        let usual = profile.usual();
        if summary.demand > 0.0 || usual.is_some() {
            let fade = fade(length);
            self.recent = self.recent * fade + summary.demand * seconds;
            self.expected = self.expected * fade + usual.map_or(0.0, |usual| usual[hour] / 3600.0) * seconds;
            self.seconds = self.seconds * fade + seconds;
        }
    }

    /// The demand of the last slice.
    pub(super) const fn last(&self) -> f64 {
        self.last
    }

    /// The demand of about the last hour ÷ the usual demand, from 1/`RATIO` to `RATIO`.
    pub(super) fn ratio(&self, usual: &[f64; 24]) -> f64 {
        let some = 0.1 * usual.iter().sum::<f64>() / UtcTime::DAY.as_secs_f64() * MEMORY.as_secs_f64();
        ((self.recent + some) / (self.expected + some)).clamp(1.0 / RATIO, RATIO)
    }

    /// The demand still expected in each hour of the day, 0 for past hours; `None` while there is no profile.
    pub(super) fn by_hour(&self, profile: &DemandProfile, now: UtcTime) -> Option<[f64; 24]> {
        let usual = profile.usual().filter(|usual| usual.iter().sum::<f64>() > 0.0)?;
        let ratio = self.ratio(usual);
        Some(std::array::from_fn(|hour| {
            let ahead = (hour as f64 - now.hours()).max(0.0);
            usual[hour] * part_left(hour, now) * ratio.powf(2_f64.powf(-ahead / FADE_HOURS))
        }))
    }

    pub(super) fn rest_of_day(&self, profile: &DemandProfile, now: UtcTime) -> RestOfDay {
        let left = now.left_of_day().as_secs_f64();
        let flat = || left / UtcTime::DAY.as_secs_f64();
        let share = profile.usual().map(|usual| {
            let rest: f64 = usual.iter().enumerate().map(|(hour, usual)| usual * part_left(hour, now)).sum();
            (rest / usual.iter().sum::<f64>()).min(1.0)
        });
        match self.by_hour(profile, now) {
            Some(hours) => RestOfDay { demand: Some(hours.iter().sum()), share: share.unwrap_or_else(flat) },
            None => {
                let polled = self.last > 0.0 && self.seconds > 0.0;
                RestOfDay { demand: polled.then(|| self.recent / self.seconds * left), share: flat() }
            }
        }
    }
}

/// The part of an hour of the day that is still to come, from 0 to 1.
fn part_left(hour: usize, now: UtcTime) -> f64 {
    (hour as f64 + 1.0 - now.hours()).clamp(0.0, 1.0)
}

fn fade(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::DemandSlice;

    fn noon() -> UtcTime {
        UtcTime::since_epoch(Duration::from_hours(12))
    }

    /// Six hours of slices with this demand.
    fn after(demand: f64, profile: &mut DemandProfile) -> DemandForecast {
        let mut forecast = DemandForecast::default();
        let summary = DemandSummary { demand, length: DemandSlice::LENGTH, clicked: 0, unclicked: 0 };
        for slice in 0..72 {
            forecast.observe(&summary, profile, 6 + slice / 12);
        }
        forecast
    }

    #[test]
    fn without_a_profile_the_rest_of_the_day_is_like_the_last_hour() {
        let rest = after(2.0, &mut DemandProfile::default()).rest_of_day(&DemandProfile::default(), noon());
        assert!((rest.demand.expect("it is polled") - 2.0 * 43_200.0).abs() < 1e-6);
        assert!((rest.share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn without_polls_and_without_a_profile_there_is_no_forecast() {
        let mut profile = DemandProfile::default();
        assert_eq!(after(0.0, &mut profile).rest_of_day(&profile, noon()).demand, None);
        let mut forecast = after(2.0, &mut DemandProfile::default());
        let mut summary =
            DemandSummary { demand: 0.0, length: DemandSlice::LENGTH, clicked: 0, unclicked: 0 };
        forecast.observe(&summary, &mut profile, 12);
        assert_eq!(forecast.rest_of_day(&profile, noon()).demand, None, "they have ended");
        (summary.demand, summary.length) = (2.0, Duration::ZERO);
        let mut forecast = DemandForecast::default();
        forecast.observe(&summary, &mut profile, 12);
        assert_eq!(forecast.rest_of_day(&profile, noon()).demand, None, "no time has passed");
    }

    #[test]
    fn a_profile_without_any_demand_says_nothing_of_the_hours() {
        let mut profile = DemandProfile::from_days([[Some(0.0); 24]]);
        let forecast = after(2.0, &mut profile);
        assert_eq!(forecast.by_hour(&profile, noon()), None);
        assert!((forecast.rest_of_day(&profile, noon()).share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_day_twice_as_busy_stays_so_for_the_next_hours_and_less_so_later() {
        let mut profile = DemandProfile::from_days([[Some(3600.0); 24]]);
        let forecast = after(2.0, &mut profile);
        let ratio = forecast.ratio(&[3600.0; 24]);
        assert!((1.85..2.0).contains(&ratio), "{ratio}");
        let hours = forecast.by_hour(&profile, noon()).expect("a profile");
        assert_eq!(hours[11], 0.0);
        assert!((hours[12] / 3600.0 - ratio).abs() < 1e-6, "{hours:?}");
        assert!((hours[20] / 3600.0 - ratio.sqrt()).abs() < 1e-6, "{hours:?}");
    }

    #[test]
    fn closed_hours_leave_the_whole_demand_to_come_in_the_morning() {
        let mut usual = [Some(0.0); 24];
        usual[8..18].fill(Some(10.0));
        let profile = DemandProfile::from_days([usual]);
        let rest =
            DemandForecast::default().rest_of_day(&profile, UtcTime::since_epoch(Duration::from_hours(5)));
        assert!((rest.share - 1.0).abs() < 1e-9);
        let rest =
            DemandForecast::default().rest_of_day(&profile, UtcTime::since_epoch(Duration::from_hours(13)));
        assert!((rest.share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_first_two_hours_stay_out_of_the_profile() {
        let mut profile = DemandProfile::default();
        after(2.0, &mut profile);
        profile.close_day();
        let day = profile.days().next().expect("a day");
        assert_eq!((day[7], day[8]), (None, Some(7200.0)));
    }

    #[test]
    fn a_restart_goes_on_with_the_sums_which_fade_meanwhile() {
        let mut profile = DemandProfile::from_days([[Some(7_200.0); 24]]);
        let mut forecast = DemandForecast::default();
        let summary =
            DemandSummary { demand: 3.0, length: Duration::from_secs(100), clicked: 0, unclicked: 0 };
        forecast.observe(&summary, &mut profile, 6);
        assert_eq!((forecast.sums(), forecast.last()), ((300.0, 200.0, 100.0), 3.0));
        let (recent, expected, seconds) = DemandForecast::restored(forecast.sums(), MEMORY).sums();
        for (sum, before) in [(recent, 300.0), (expected, 200.0), (seconds, 100.0)] {
            assert!((sum - before / 1_f64.exp()).abs() < 1e-9, "{sum} of {before}");
        }
    }

    #[test]
    fn the_time_before_the_first_poll_says_nothing_of_the_rest_of_the_day() {
        let mut profile = DemandProfile::default();
        let mut forecast = after(0.0, &mut profile);
        let summary = DemandSummary { demand: 2.0, length: DemandSlice::LENGTH, clicked: 0, unclicked: 0 };
        forecast.observe(&summary, &mut profile, 12);
        let demand = forecast.rest_of_day(&profile, noon()).demand.expect("it is polled");
        assert!((demand - 2.0 * 43_200.0).abs() < 1e-6, "{demand}");
    }

    #[test]
    fn an_hour_is_compared_with_the_usual_one_and_a_tenth_of_an_hour_is_taken_to_be_usual() {
        let usual = [7_200.0; 24];
        let of = |recent, expected| DemandForecast { recent, expected, ..DemandForecast::default() };
        assert!((of(300.0, 200.0).ratio(&usual) - 1_020.0 / 920.0).abs() < 1e-9);
        assert_eq!([of(1e6, 200.0), of(0.0, 1e6)].map(|forecast| forecast.ratio(&usual)), [4.0, 0.25]);
    }
}
