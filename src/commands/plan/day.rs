//! Builds the workload from the command's options.

use std::{collections::BTreeMap, time::Duration};

use super::{
    comparison::ReplaySettings,
    observed_day::observed_workload,
    options::{DayOptions, DaySource},
    polls::{LoggedPolls, read_polls},
    running_proxy::{RunningProxy, RunningRefresh, RunningSettings, SettingDuration},
};
use crate::{
    commands::Failure,
    plan::{Dashboards, FixedOptions, PlanOptions, Poll, Population, Waiting, Workload},
    refresh::RefreshPolicy,
};

/// The workload, and the settings that it is replayed with.
#[derive(Debug)]
pub(super) struct PlannedDay {
    pub(super) workload: Workload,
    pub(super) settings: ReplaySettings,
}

/// The calls of a day, if neither an option nor a proxy says how many.
const PER_DAY: u32 = 10_000;

/// Time between the sends of two campaigns.
const SEND_EVERY: Duration = Duration::from_hours(12);
/// Total clicks of a campaign are log-normal: the median, and the standard deviation of the logarithm.
const MEDIAN_CLICKS: f64 = 800.0;
const SPREAD: f64 = 1.2;

// === impl PlannedDay ===

impl PlannedDay {
    pub(super) fn of(options: &DayOptions) -> Result<Self, Failure> {
        let per_day = options.per_day.unwrap_or(PER_DAY);
        let day = match &options.source {
            DaySource::Dashboards => {
                let workload = dashboards(options, per_day).workload(options.seed);
                Self { workload, settings: ReplaySettings::default() }
            }
            DaySource::Log(path) => {
                let logged = read_polls(path)
                    .map_err(|error| Failure::Settings(format!("--polls: {}: {error}", path.display())))?;
                let workload = logged_workload(&logged, options, per_day);
                Self { workload, settings: ReplaySettings::default() }
            }
            DaySource::Running(address) => {
                let proxy = RunningProxy::read(address)?;
                let per_day = options.per_day.unwrap_or(proxy.settings.quota.per_day);
                if per_day == 0 {
                    let why = "is needed: that proxy has quota.per_day = 0, so its calls are not limited";
                    return Err(Failure::Settings(format!("--budget: {why}")));
                }
                let workload = observed_workload(&proxy, options, per_day)?;
                Self { workload, settings: ReplaySettings::of(&proxy) }
            }
        };
        if u32::from(options.replicas) > day.workload.per_day {
            return Err(Failure::Settings("--budget: is less than one call for each replica".to_owned()));
        }
        Ok(day)
    }
}

// === impl ReplaySettings ===

impl ReplaySettings {
    fn of(proxy: &RunningProxy) -> Self {
        let RunningSettings { cache, quota } = &proxy.settings;
        let SettingDuration(min_refresh_interval) = cache.min_refresh_interval;
        let SettingDuration(stale_while_revalidate) = cache.stale_while_revalidate;
        Self {
            planned: PlanOptions {
                policy: RefreshPolicy { min_refresh_interval, stale_while_revalidate },
                unexpected_clicks: cache.unexpected_clicks,
                reserve: quota.reserve,
                hour_share: quota.refresh_hour_share,
                usual_demand: proxy.usual_demand,
                ..PlanOptions::default()
            },
            waiting: match cache.refresh {
                RunningRefresh::Planned | RunningRefresh::Fixed => Waiting::Seldom,
                RunningRefresh::Before => Waiting::WhenDue,
            },
            fixed: FixedOptions {
                ttl: cache.ttl.0,
                empty_ttl: cache.empty_ttl.0,
                jitter: cache.ttl_jitter,
                reserve: quota.reserve,
            },
        }
    }
}

fn dashboards(options: &DayOptions, per_day: u32) -> Dashboards {
    Dashboards {
        campaigns: options.campaigns,
        often: options.often(),
        viewers: options.viewers,
        poll: options.poll,
        poll_seldom: options.poll * 10,
        send_every: SEND_EVERY,
        median_clicks: MEDIAN_CLICKS,
        hours: options.hours,
        per_day,
        warm_days: DayOptions::WARM_DAYS,
    }
}

/// Logged polls with simulated clicks. Campaigns first polled within the first hour of the log are assumed to be sent
/// before it, the most polled last; each other campaign is assumed to be sent at its first poll.
fn logged_workload(logged: &LoggedPolls, options: &DayOptions, per_day: u32) -> Workload {
    let mut population = Population::new(options.seed, logged.days - 1, per_day);
    let mut asked = BTreeMap::<u32, (Duration, u32)>::new();
    for (at, key) in &logged.polls {
        let (first, polls) = asked.entry(key.campaign).or_insert((*at, 0));
        (*first, *polls) = ((*first).min(*at), *polls + 1);
    }
    let start = asked.values().map(|(first, _)| *first).min().unwrap_or_default();
    let mut before: Vec<(u32, u32)> = asked
        .iter()
        .filter(|(_, (first, _))| *first < start + Duration::from_hours(1))
        .map(|(campaign, (_, polls))| (*polls, *campaign))
        .collect();
    before.sort_unstable_by_key(|(polls, campaign)| (std::cmp::Reverse(*polls), *campaign));
    let ranks: BTreeMap<u32, u32> = (0..).zip(before).map(|(rank, (_, campaign))| (campaign, rank)).collect();
    for (campaign, (first, _)) in &asked {
        let sent = match ranks.get(campaign) {
            Some(rank) => start.as_secs_f64() - SEND_EVERY.as_secs_f64() * (f64::from(*rank) + 0.5),
            None => first.as_secs_f64(),
        };
        let clicks = MEDIAN_CLICKS * (SPREAD * population.normal()).exp();
        population.campaign(sent, clicks.round().max(1.0));
    }
    // The log does not say which replica got a request, so distribute them round robin.
    let mut workload = population.finish();
    workload.polls = (0..options.replicas)
        .cycle()
        .zip(&logged.polls)
        .map(|(viewer, (at, key))| Poll { at: *at, campaign: key.campaign, form: key.form, viewer })
        .collect();
    workload
}
