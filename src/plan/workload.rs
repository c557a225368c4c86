//! The workload of a replay: clicks of campaigns, and polls of their reports.

use std::time::Duration;

use super::ClickTimes;
use crate::refresh::ReportForm;

/// Polls and clicks of some days. Days before the measured span are warm-up. Times are since a midnight UTC, the start.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// Click times of each campaign, by index.
    pub campaigns: Vec<ClickTimes>,
    /// The sends of each campaign, by index; empty if they are not known.
    pub waves: Vec<Vec<CampaignWave>>,
    /// How the click rate depends on the hour of the day.
    pub clicks_by_day: ClicksByDay,
    /// Polls, sorted by time.
    pub polls: Vec<Poll>,
    /// Start of the measured span: responses from here on are scored.
    pub measured_from: Duration,
    /// End of the replay and of the measured span.
    pub end: Duration,
    /// Daily budget: calls per UTC day.
    pub per_day: u32,
    /// How often the upstream updates its click counts; zero: at each click.
    pub recompute: Duration,
    /// The report of all links shows this many clicks more, so that the two forms do not add up.
    pub more_in_all_links: u32,
    /// When other programs use a call of the same quota.
    pub unseen: Vec<Duration>,
}

/// A client polls a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// Time of the poll, since the start.
    pub at: Duration,
    /// Index into [`Workload::campaigns`].
    pub campaign: u32,
    /// Form of the report.
    pub form: ReportForm,
    /// The client that polls.
    pub viewer: u16,
}

/// One send of a campaign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignWave {
    /// Time of the send, in seconds since the start; negative before it.
    pub sent: f64,
    /// Expected total of clicks of this send.
    pub clicks: f64,
}

/// The click rate over the day: a cosine with its peak at `peak_hour`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClicksByDay {
    /// From 0 (the same rate all day) to 1.
    pub amplitude: f64,
    /// Hour of the day in UTC.
    pub peak_hour: f64,
}

// === impl Workload ===

impl Workload {
    /// Clicks that the upstream's report shows at a time. Clicks that it does not show yet do not count as missed.
    pub fn shown_in(&self, campaign: u32, form: ReportForm, at: Duration) -> u32 {
        let clicks = self.shown(campaign, at);
        match form {
            ReportForm::AllLinks => clicks + self.more_in_all_links,
            ReportForm::Clicked => clicks,
        }
    }

    /// Clicks that the upstream's statistics endpoint shows at a time.
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

    /// The part of one replica: the polls of its viewers (viewer modulo replicas) and an equal share of the budget.
    #[must_use]
    pub fn part(&self, replica: u16, replicas: u16) -> Self {
        let polls = self.polls.iter().filter(|poll| poll.viewer % replicas == replica).copied().collect();
        Self { polls, per_day: self.per_day / u32::from(replicas), ..self.clone() }
    }
}

// === impl ClicksByDay ===

impl ClicksByDay {
    /// Click rate at a time, relative to the daily mean.
    pub fn factor(self, at: Duration) -> f64 {
        self.factor_at(at.as_secs_f64())
    }

    pub(super) fn factor_at(self, seconds: f64) -> f64 {
        let hours = seconds / 3600.0;
        1.0 + self.amplitude * ((hours - self.peak_hour) * std::f64::consts::TAU / 24.0).cos()
    }
}
