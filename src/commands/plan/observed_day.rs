//! The day of a running proxy: its campaigns as they are now, requested as they are now, over the UTC day.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{options::DayOptions, running_proxy::RunningProxy};
use crate::{
    commands::Failure,
    plan::{CampaignWave, Population, Workload},
    refresh::{ReportForm, UtcTime},
    report::ActivityId,
};

/// The age of a campaign whose rate of clicks is not known yet.
const USUAL_AGE: Duration = Duration::from_hours(48);
/// An hour with this many times the demand of now is taken to be no busier.
const BUSIEST: f64 = 4.0;
const HOUR: f64 = 3_600.0;
/// Limits of what is simulated: more would take too much memory.
const MOST_POLLS: f64 = 10_000_000.0;
const MOST_CLICKS: f64 = 50_000_000.0;

/// A campaign of the proxy.
#[derive(Debug, Clone, Copy)]
struct ObservedCampaign {
    clicks: u32,
    clicks_per_hour: Option<f64>,
}

/// The UTC day in which the proxy is now is measured; the days before it warm up.
pub(super) fn observed_workload(
    proxy: &RunningProxy,
    options: &DayOptions,
    per_day: u32,
) -> Result<Workload, Failure> {
    let mut population = Population::new(options.seed, DayOptions::WARM_DAYS, per_day);
    let unix = proxy.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time_of_day = UtcTime::since_epoch(unix).into_day().as_secs_f64();
    let now = population.workload_mut().measured_from.as_secs_f64() + time_of_day;
    let weights = hour_weights(proxy.usual_demand.as_ref(), (time_of_day / HOUR) as usize);
    let mut campaigns = BTreeMap::<ActivityId, ObservedCampaign>::new();
    for report in &proxy.reports {
        let seen = ObservedCampaign { clicks: report.clicks, clicks_per_hour: report.clicks_per_hour };
        let campaign = campaigns.entry(report.id).or_insert(seen);
        campaign.clicks = campaign.clicks.max(report.clicks);
    }
    let mut indices = BTreeMap::new();
    let mut clicks = 0.0;
    for (id, campaign) in campaigns {
        let wave = campaign.wave(now, population.end());
        clicks += wave.clicks;
        indices.insert(id, (population.campaign(wave.sent, wave.clicks), wave));
    }
    let requests: f64 = proxy.reports.iter().map(|report| report.requests_per_hour).sum();
    let hours = f64::from(DayOptions::WARM_DAYS + 1) * weights.iter().sum::<f64>();
    if requests * hours > MOST_POLLS || clicks > MOST_CLICKS {
        let why = "--from: so many requests or clicks take too much memory: more than 10,000,000 requests in three days, or \
                   50,000,000 clicks";
        return Err(Failure::Settings(why.to_owned()));
    }
    for report in &proxy.reports {
        let (campaign, wave) = indices[&report.id];
        // A draft is requested before it is sent.
        let since = if report.clicks == 0 { 0.0 } else { wave.sent };
        watch_by_hour(
            &mut population,
            (campaign, report.form),
            report.requests_per_hour / HOUR,
            since,
            &weights,
        );
    }
    let mut workload = population.finish();
    if let Some(hours) = options.hours {
        workload.polls.retain(|poll| hours.contain(poll.at.as_secs_f64()));
    }
    // The proxy does not say which client asks, so distribute the requests round robin.
    for (poll, viewer) in workload.polls.iter_mut().zip((0..options.replicas).cycle()) {
        poll.viewer = viewer;
    }
    Ok(workload)
}

/// The requests of each UTC hour in relation to those of the hour of now. Demand grows with the square root of the
/// requests.
fn hour_weights(usual_demand: Option<&[f64; 24]>, now: usize) -> [f64; 24] {
    match usual_demand {
        Some(usual) if usual[now] > 0.0 => usual.map(|demand| (demand / usual[now]).min(BUSIEST).powi(2)),
        Some(_) | None => [1.0; 24],
    }
}

/// Adds regular polls, `per_second` in an hour with weight 1.
fn watch_by_hour(
    population: &mut Population,
    (campaign, form): (u32, ReportForm),
    per_second: f64,
    since: f64,
    weights: &[f64; 24],
) {
    // The part of the interval between two polls that has passed.
    let mut passed = population.random().f64();
    let hours = (population.end() / HOUR) as usize;
    for hour in 0..hours {
        let rate = per_second * weights[hour % 24];
        let polls = passed + rate * HOUR;
        for poll in 1..=polls as u32 {
            let at = hour as f64 * HOUR + (f64::from(poll) - passed) / rate;
            if at >= since {
                population.poll(campaign, form, 0, at);
            }
        }
        passed = polls.fract();
    }
}

// === impl ObservedCampaign ===

impl ObservedCampaign {
    /// The send that has brought these clicks, and brings as many an hour now. Without clicks: none until `end`.
    fn wave(self, now: f64, end: f64) -> CampaignWave {
        match (self.clicks, self.clicks_per_hour) {
            (0, _) => CampaignWave { sent: end, clicks: 0.0 },
            (clicks, Some(per_hour)) => CampaignWave::observed(clicks.into(), per_hour / HOUR, now),
            (clicks, None) => CampaignWave::of_age(USUAL_AGE, clicks.into(), now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_without_demand_have_no_polls_and_busier_ones_more() {
        let mut usual = [0.0; 24];
        (usual[8], usual[9], usual[10]) = (1.0, 2.0, 100.0);
        let weights = hour_weights(Some(&usual), 8);
        assert_eq!((weights[7], weights[8], weights[9], weights[10]), (0.0, 1.0, 4.0, 16.0));
        assert_eq!(hour_weights(Some(&usual), 3), [1.0; 24], "nothing to compare with");
        let mut population = Population::new(1, 0, 100);
        let campaign = population.campaign(0.0, 0.0);
        watch_by_hour(&mut population, (campaign, ReportForm::Clicked), 0.01, 0.0, &weights);
        let workload = population.finish();
        let in_hour =
            |hour: u64| workload.polls.iter().filter(|poll| poll.at.as_secs() / 3_600 == hour).count();
        assert_eq!((in_hour(7), in_hour(8), in_hour(9), in_hour(11)), (0, 36, 144, 0));
        let after_nine = workload.polls.partition_point(|poll| poll.at.as_secs() < 9 * 3_600);
        let gap = workload.polls[after_nine].at - workload.polls[after_nine - 1].at;
        assert!((25..=100).contains(&gap.as_secs()), "no burst at the full hour: {gap:?}");
    }
}
