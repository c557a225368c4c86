//! Builds the workload from the command's options.

use std::{collections::BTreeMap, time::Duration};

use super::{
    options::DayOptions,
    polls::{LoggedPolls, read_polls},
};
use crate::{
    commands::Failure,
    plan::{Dashboards, Poll, Population, Workload},
};

/// Time between the sends of two campaigns.
const SEND_EVERY: Duration = Duration::from_hours(12);
/// Total clicks of a campaign are log-normal: the median, and the standard deviation of the logarithm.
const MEDIAN_CLICKS: f64 = 800.0;
const SPREAD: f64 = 1.2;
/// Warm-up days: the price controller learns the demand of each hour from them.
const WARM_DAYS: u32 = 2;

pub(super) fn workload(options: &DayOptions) -> Result<Workload, Failure> {
    if let Some(path) = &options.polls {
        let logged = read_polls(path)
            .map_err(|error| Failure::Settings(format!("--polls: {}: {error}", path.display())))?;
        return Ok(logged_workload(&logged, options));
    }
    let dashboards = Dashboards {
        campaigns: options.campaigns,
        often: options.often(),
        viewers: options.viewers,
        poll: options.poll,
        poll_seldom: options.poll * 10,
        send_every: SEND_EVERY,
        median_clicks: MEDIAN_CLICKS,
        hours: options.hours,
        per_day: options.per_day,
        warm_days: WARM_DAYS,
    };
    Ok(dashboards.workload(options.seed))
}

/// Logged polls with simulated clicks. Campaigns first polled within the first hour of the log are assumed to be sent
/// before it, the most polled last; each other campaign is assumed to be sent at its first poll.
fn logged_workload(logged: &LoggedPolls, options: &DayOptions) -> Workload {
    let mut population = Population::new(options.seed, logged.days - 1, options.per_day);
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
