//! What happens: campaigns that are clicked, and polls of their reports.

use std::time::Duration;

use super::ClickTimes;
use crate::refresh::ReportForm;

/// Some days of polls and clicks. Those before the measured span are for warming up.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// By index: when each was clicked.
    pub campaigns: Vec<ClickTimes>,
    /// When each was sent and to how many, where that is known.
    pub waves: Vec<Vec<CampaignWave>>,
    /// How clicks follow the hour of the day.
    pub clicks_by_day: ClicksByDay,
    /// In order of time, since a midnight UTC.
    pub polls: Vec<Poll>,
    /// From when on answers are scored.
    pub measured_from: Duration,
    /// The end.
    pub end: Duration,
    /// Calls a UTC day.
    pub per_day: u32,
    /// The upstream works its figures out this often; zero: at once.
    pub recompute: Duration,
    /// So many clicks more are in the report of all links: the two do not add up.
    pub more_in_all_links: u32,
    /// When other programs spend a call of the same quota.
    pub unseen: Vec<Duration>,
}

/// Somebody asks for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// Since the start.
    pub at: Duration,
    /// An index of the campaigns.
    pub campaign: u32,
    /// Which of its reports.
    pub form: ReportForm,
    /// Who asks.
    pub viewer: u16,
}

/// A campaign was sent to so many that it will have so many clicks in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignWave {
    /// In seconds since the start; negative before it.
    pub sent: f64,
    /// Clicks in the end.
    pub clicks: f64,
}

/// Clicks follow the day like a cosine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClicksByDay {
    /// 0: not at all.
    pub amplitude: f64,
    /// UTC.
    pub peak_hour: f64,
}

// === impl Workload ===

impl Workload {
    /// The clicks of a campaign that the upstream shows at a time. What it does not know yet, nobody can miss.
    pub fn shown_in(&self, campaign: u32, form: ReportForm, at: Duration) -> u32 {
        let clicks = self.shown(campaign, at);
        match form {
            ReportForm::AllLinks => clicks + self.more_in_all_links,
            ReportForm::Clicked => clicks,
        }
    }

    /// The same of its statistics.
    pub fn shown(&self, campaign: u32, at: Duration) -> u32 {
        let clicks = &self.campaigns[campaign as usize];
        let period = self.recompute.as_nanos() as i64;
        if period == 0 {
            return clicks.count(at);
        }
        let phase = i64::from(campaign) * 7919 * 1_000_000_000 % period;
        let at = at.as_nanos() as i64;
        clicks.count_at((at - phase).div_euclid(period) * period + phase)
    }

    /// The same, asked for by some of its viewers only, with a part of the budget.
    #[must_use]
    pub fn part(&self, replica: u16, replicas: u16) -> Self {
        let polls = self.polls.iter().filter(|poll| poll.viewer % replicas == replica).copied().collect();
        Self { polls, per_day: self.per_day / u32::from(replicas), ..self.clone() }
    }
}

// === impl ClicksByDay ===

impl ClicksByDay {
    /// How many times as many clicks as on average.
    pub fn factor(self, at: Duration) -> f64 {
        self.factor_at(at.as_secs_f64())
    }

    pub(super) fn factor_at(self, seconds: f64) -> f64 {
        let hours = seconds / 3600.0;
        1.0 + self.amplitude * ((hours - self.peak_hour) * std::f64::consts::TAU / 24.0).cos()
    }
}
