//! Makes workloads: campaigns that are sent, clicked and asked for.

use std::time::Duration;

use super::{CampaignWave, ClickTimes, ClicksByDay, Poll, Workload};
use crate::refresh::ReportForm;

/// Of a campaign's clicks, this share comes with this half-life in hours.
const CLICK_CURVE: [(f64, f64); 3] = [(0.80, 3.5), (0.18, 24.0), (0.02, 14.0 * 24.0)];

/// Campaigns and polls under construction. The same seed makes the same.
#[derive(Debug)]
pub struct Population {
    workload: Workload,
    random: fastrand::Rng,
}

/// When people work, by the clock of their time zone; over midnight if it closes before it opens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpeningHours {
    /// The hour from which they ask.
    pub open: f64,
    /// The hour from which they do not.
    pub close: f64,
    /// Hours that their clocks are ahead of UTC.
    pub ahead_of_utc: f64,
}

/// Who asks for a report, and how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watching {
    /// Which.
    pub campaign: u32,
    /// In which form.
    pub form: ReportForm,
    /// How often.
    pub period: Duration,
    /// From when on, in seconds since the start.
    pub since: f64,
    /// Until when.
    pub until: f64,
    /// Who.
    pub viewer: u16,
    /// Only at these hours.
    pub hours: Option<OpeningHours>,
}

/// Campaigns that are sent one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignSchedule {
    /// How often.
    pub every: Duration,
    /// When the first of the replay is sent.
    pub first: Duration,
    /// So many before it.
    pub count: u32,
    /// The clicks that half of them exceed in the end.
    pub median_clicks: f64,
    /// The spread of their logarithm.
    pub sigma: f64,
}

// === impl OpeningHours ===

impl OpeningHours {
    fn contain(self, seconds: f64) -> bool {
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
    /// Nobody yet, and nothing sent. The last day is measured, those before it are for warming up.
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

    /// Dice, from the same seed.
    pub fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    /// What has been made so far; its clicks and the order of its polls come at the end.
    pub fn workload_mut(&mut self) -> &mut Workload {
        &mut self.workload
    }

    /// When each campaign is first sent, in seconds since the start.
    pub fn sent(&self) -> Vec<f64> {
        self.workload.waves.iter().map(|waves| waves.first().map_or(0.0, |wave| wave.sent)).collect()
    }

    /// The end, in seconds since the start.
    pub fn end(&self) -> f64 {
        self.workload.end.as_secs_f64()
    }

    /// Clicks follow the day.
    pub fn clicks_by_day(&mut self, amplitude: f64, peak_hour: f64) {
        self.workload.clicks_by_day = ClicksByDay { amplitude, peak_hour };
    }

    /// A campaign that is sent once. Returns its index.
    pub fn campaign(&mut self, sent: f64, clicks: f64) -> u32 {
        self.workload.waves.push(vec![CampaignWave { sent, clicks }]);
        (self.workload.waves.len() - 1) as u32
    }

    /// A campaign is sent again.
    pub fn resend(&mut self, campaign: u32, sent: f64, clicks: f64) {
        self.workload.waves[campaign as usize].push(CampaignWave { sent, clicks });
    }

    /// Campaigns that are sent one after the other, until the end.
    pub fn send(&mut self, sending: &CampaignSchedule) {
        let (every, first) = (sending.every.as_secs_f64(), sending.first.as_secs_f64());
        let later = ((self.end() - first) / every).ceil().max(0.0) as u32;
        for index in 0..sending.count + later {
            let clicks = (sending.median_clicks * (sending.sigma * self.normal()).exp()).round().max(1.0);
            self.campaign(first + (f64::from(index) - f64::from(sending.count)) * every, clicks);
        }
    }

    /// Somebody asks at regular times.
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

    /// Somebody asks at times that nobody can foresee, so many a second on average.
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

    /// Somebody asks once.
    pub fn poll(&mut self, campaign: u32, form: ReportForm, viewer: u16, at: f64) {
        self.workload.polls.push(Poll { at: Duration::from_secs_f64(at), campaign, form, viewer });
    }

    /// Everything is said: the clicks are drawn, and the polls come in order.
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

    /// A time that nobody can foresee, of this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random.f64()).ln()
    }

    /// From the bell curve of mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.random.f64()).cos()
    }
}

// === impl CampaignWave ===

impl CampaignWave {
    /// The clicks a second that are to be expected at a time.
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
    fn clicks_come_as_their_curve_says() {
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
    fn nobody_asks_outside_the_opening_hours_of_their_own_zone() {
        let hours = OpeningHours { open: 7.0, close: 20.0, ahead_of_utc: 1.0 };
        let asked = [5.9, 6.1, 18.9, 19.1].map(|hour| hours.contain(hour * 3600.0));
        assert_eq!(asked, [false, true, true, false]);
        let night = OpeningHours { open: 22.0, close: 6.0, ahead_of_utc: 0.0 };
        assert_eq!([23.0, 5.0, 12.0].map(|hour| night.contain(hour * 3600.0)), [true, true, false]);
    }
}
