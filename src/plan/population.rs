//! The workload generator: random campaigns, clicks and polls from a seed.

use std::time::Duration;

use super::{CampaignWave, ClickTimes, ClicksByDay, Poll, Workload};
use crate::refresh::ReportForm;

/// How clicks decay after a send: (share of the clicks, half-life in hours).
const CLICK_CURVE: [(f64, f64); 3] = [(0.80, 3.5), (0.18, 24.0), (0.02, 14.0 * 24.0)];

/// The limits of a campaign's age as it is estimated from its clicks and their rate.
const YOUNGEST: Duration = Duration::from_mins(10);
const OLDEST: Duration = Duration::from_hours(60 * 24);

/// The builder of a [`Workload`]. The same seed and the same calls give the same workload.
#[derive(Debug)]
pub struct Population {
    workload: Workload,
    random: fastrand::Rng,
}

/// Hours in which clients poll, in local time; past midnight if `close` is before `open`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpeningHours {
    /// First hour with polls, from 0 to 24.
    pub open: f64,
    /// End of the polls, from 0 to 24.
    pub close: f64,
    /// Offset of the local time from UTC, in hours.
    pub ahead_of_utc: f64,
}

/// Regular polls of a report by one client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watching {
    /// Index of the campaign.
    pub campaign: u32,
    /// Form of the report.
    pub form: ReportForm,
    /// Time between two polls.
    pub period: Duration,
    /// Start of the polls, in seconds since the start of the replay.
    pub since: f64,
    /// End of the polls, in seconds since the start of the replay.
    pub until: f64,
    /// The client that polls.
    pub viewer: u16,
    /// Polls only in these hours. `None`: around the clock.
    pub hours: Option<OpeningHours>,
}

/// Campaigns that are sent at regular times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignSchedule {
    /// Time between two campaigns.
    pub every: Duration,
    /// When the first campaign after the start of the replay is sent.
    pub first: Duration,
    /// Number of campaigns that were sent before `first`.
    pub count: u32,
    /// Median of the campaigns' total clicks (log-normal).
    pub median_clicks: f64,
    /// Standard deviation of the logarithm of the total clicks.
    pub sigma: f64,
}

// === impl OpeningHours ===

impl OpeningHours {
    /// Whether clients poll at this time, in seconds since a midnight UTC.
    pub(crate) fn contain(self, seconds: f64) -> bool {
        let hour = (seconds / 3600.0 + self.ahead_of_utc).rem_euclid(24.0);
        if self.open <= self.close {
            (self.open..self.close).contains(&hour)
        } else {
            hour >= self.open || hour < self.close
        }
    }
}

// === impl Population ===

impl Population {
    /// An empty workload of `warm_days` warm-up days and one measured day, with `per_day` calls per UTC day.
    pub fn new(seed: u64, warm_days: u32, per_day: u32) -> Self {
        let day = Duration::from_hours(24);
        Self {
            workload: Workload {
                per_day,
                measured_from: day * warm_days,
                end: day * (warm_days + 1),
                ..Workload::default()
            },
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The random number generator of this workload.
    pub fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    /// The workload so far; [`Self::finish`] adds the clicks and sorts the polls.
    pub fn workload_mut(&mut self) -> &mut Workload {
        &mut self.workload
    }

    /// When each campaign is first sent, in seconds since the start.
    pub fn sent(&self) -> Vec<f64> {
        self.workload.waves.iter().map(|waves| waves.first().map_or(0.0, |wave| wave.sent)).collect()
    }

    /// End of the replay, in seconds since the start.
    pub fn end(&self) -> f64 {
        self.workload.end.as_secs_f64()
    }

    /// Sets how the click rate depends on the hour of the day (UTC).
    pub fn clicks_by_day(&mut self, amplitude: f64, peak_hour: f64) {
        self.workload.clicks_by_day = ClicksByDay { amplitude, peak_hour };
    }

    /// Adds a campaign with one send and returns its index.
    pub fn campaign(&mut self, sent: f64, clicks: f64) -> u32 {
        self.workload.waves.push(vec![CampaignWave { sent, clicks }]);
        (self.workload.waves.len() - 1) as u32
    }

    /// Adds another send to a campaign.
    pub fn resend(&mut self, campaign: u32, sent: f64, clicks: f64) {
        self.workload.waves[campaign as usize].push(CampaignWave { sent, clicks });
    }

    /// Adds campaigns at regular times until the end.
    pub fn send(&mut self, sending: &CampaignSchedule) {
        let (every, first) = (sending.every.as_secs_f64(), sending.first.as_secs_f64());
        let later = ((self.end() - first) / every).ceil().max(0.0) as u32;
        for index in 0..sending.count + later {
            let clicks = (sending.median_clicks * (sending.sigma * self.normal()).exp()).round().max(1.0);
            self.campaign(first + (f64::from(index) - f64::from(sending.count)) * every, clicks);
        }
    }

    /// Adds regular polls, with a random phase.
    pub fn watch(&mut self, watching: &Watching) {
        let Watching { campaign, form, period, since, until, viewer, hours } = *watching;
        let period = period.as_secs_f64();
        let (since, until) = (since.max(0.0), until.min(self.end()));
        let mut at = since + self.random.f64() * period;
        while at < until {
            if hours.is_none_or(|hours| hours.contain(at)) {
                self.poll(campaign, form, viewer, at);
            }
            at += period;
        }
    }

    /// Adds polls at random times (a Poisson process), `per_second` on average.
    pub fn watch_at_random(&mut self, campaign: u32, form: ReportForm, per_second: f64, viewer: u16) {
        let end = self.end();
        let mut at = self.workload.waves[campaign as usize][0].sent.max(0.0);
        loop {
            at += self.exponential(1.0 / per_second.max(1e-12));
            if at >= end {
                return;
            }
            self.poll(campaign, form, viewer, at);
        }
    }

    /// Adds one poll, `at` seconds since the start.
    pub fn poll(&mut self, campaign: u32, form: ReportForm, viewer: u16, at: f64) {
        self.workload.polls.push(Poll { at: Duration::from_secs_f64(at), campaign, form, viewer });
    }

    /// Draws the clicks, sorts the polls, and returns the workload.
    pub fn finish(mut self) -> Workload {
        let waves = std::mem::take(&mut self.workload.waves);
        self.workload.campaigns = waves.iter().map(|waves| self.clicks(waves)).collect();
        self.workload.waves = waves;
        self.workload.polls.sort_by_key(|poll| poll.at);
        self.workload
    }

    fn clicks(&mut self, waves: &[CampaignWave]) -> ClickTimes {
        let (by_day, end) = (self.workload.clicks_by_day, self.end());
        let mut nanos = Vec::new();
        for wave in waves {
            for _ in 0..(wave.clicks * (1.0 + by_day.amplitude)).round() as u64 {
                let half_life = self.half_life_hours() * 3600.0;
                let at = wave.sent + self.exponential(half_life / std::f64::consts::LN_2);
                let kept = self.random.f64() * (1.0 + by_day.amplitude) < by_day.factor_at(at);
                if kept && at < end {
                    nanos.push((at * 1e9) as i64);
                }
            }
        }
        ClickTimes::new(nanos)
    }

    fn half_life_hours(&mut self) -> f64 {
        let mut chance = self.random.f64();
        for (share, half_life) in CLICK_CURVE {
            if chance < share {
                return half_life;
            }
            chance -= share;
        }
        CLICK_CURVE[0].1
    }

    /// A random number from the exponential distribution of this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random.f64()).ln()
    }

    /// A random number from the normal distribution of mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.random.f64()).cos()
    }
}

// === impl CampaignWave ===

impl CampaignWave {
    /// The send that has brought so many clicks by `now`, and brings so many a second then.
    pub(crate) fn observed(clicks: f64, per_second: f64, now: f64) -> Self {
        // The rate in relation to the clicks falls with the age.
        let (mut young, mut old) = (YOUNGEST.as_secs_f64(), OLDEST.as_secs_f64());
        for _ in 0..50 {
            let age = (young * old).sqrt();
            let whole = Self { sent: -age, clicks: 1.0 };
            if whole.rate(0.0) / whole.brought(0.0) > per_second / clicks { young = age } else { old = age }
        }
        Self::of_age(Duration::from_secs_f64(old), clicks, now)
    }

    /// The send of this age at `now` that has brought so many clicks.
    pub(crate) fn of_age(age: Duration, clicks: f64, now: f64) -> Self {
        let whole = Self { sent: now - age.as_secs_f64(), clicks: 1.0 };
        Self { clicks: clicks / whole.brought(now), ..whole }
    }

    /// The expected clicks until a time.
    fn brought(&self, seconds: f64) -> f64 {
        let hours = (seconds - self.sent).max(0.0) / 3600.0;
        let shares = CLICK_CURVE.iter().map(|(share, half_life)| share * (1.0 - (-hours / half_life).exp2()));
        self.clicks * shares.sum::<f64>()
    }

    /// Expected clicks per second at a time.
    pub(super) fn rate(&self, seconds: f64) -> f64 {
        let age = seconds - self.sent;
        if age < 0.0 {
            return 0.0;
        }
        let per_second = CLICK_CURVE.iter().map(|(share, half_life)| {
            let half_life = half_life * 3600.0;
            share * std::f64::consts::LN_2 / half_life * (-age / half_life).exp2()
        });
        self.clicks * per_second.sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_follow_the_decay_curve() {
        let mut population = Population::new(1, 0, 100);
        let campaign = population.campaign(0.0, 10_000.0);
        population.watch(&Watching {
            campaign,
            form: ReportForm::Clicked,
            period: Duration::from_mins(1),
            since: 0.0,
            until: 3600.0,
            viewer: 0,
            hours: None,
        });
        let workload = population.finish();
        let clicks = |hours| f64::from(workload.shown(campaign, Duration::from_hours(hours)));
        let expected = |hours: f64| -> f64 {
            10_000.0
                * CLICK_CURVE.iter().map(|(share, half)| share * (1.0 - (-hours / half).exp2())).sum::<f64>()
        };
        for hours in [1, 4, 23] {
            let (clicks, expected) = (clicks(hours), expected(hours as f64));
            assert!((clicks / expected - 1.0).abs() < 0.05, "{hours} h: {clicks} of {expected}");
        }
        assert_eq!(workload.polls.len(), 60);
    }

    #[test]
    fn a_send_is_found_again_from_its_clicks_and_their_rate() {
        let wave = CampaignWave { sent: 5_000.0, clicks: 4_000.0 };
        for hours in [0.5, 4.0, 30.0, 400.0] {
            let now = wave.sent + hours * 3600.0;
            let found = CampaignWave::observed(wave.brought(now), wave.rate(now), now);
            assert!(
                (found.sent - wave.sent).abs() < 1.0 && (found.clicks - 4_000.0).abs() < 1.0,
                "{found:?}"
            );
        }
        let silent = CampaignWave::observed(10.0, 0.0, 0.0);
        assert!(silent.sent >= -OLDEST.as_secs_f64() - 1.0 && silent.clicks < 11.0, "{silent:?}");
        let sudden = CampaignWave::observed(10.0, 1e9, 0.0);
        assert!(sudden.clicks < 500.0, "{sudden:?}");
    }

    #[test]
    fn polls_are_only_in_the_opening_hours_of_their_own_time_zone() {
        let hours = OpeningHours { open: 7.0, close: 20.0, ahead_of_utc: 1.0 };
        let asked = [5.9, 6.1, 18.9, 19.1].map(|hour| hours.contain(hour * 3600.0));
        assert_eq!(asked, [false, true, true, false]);
        let night = OpeningHours { open: 22.0, close: 6.0, ahead_of_utc: 0.0 };
        assert_eq!([23.0, 5.0, 12.0].map(|hour| night.contain(hour * 3600.0)), [true, true, false]);
    }
}
