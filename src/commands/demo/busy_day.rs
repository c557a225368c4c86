//! The busy day of `demo --busy`: campaigns that are sent, clicked and sent again, and the polls of three viewers.
//! Clicks are sped up: an hour of a campaign's life takes a minute.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use crate::{
    plan::{CampaignSchedule, OpeningHours, Population, Watching, Workload},
    refresh::{DemandSlice, ReportForm},
    simulator::{LinkListing, Recomputed, ScriptedCampaign, Simulator},
};

/// How many times faster than real time campaigns age.
pub(super) const SPEED_UP: u32 = 60;
/// Times below are of the sped-up day: five minutes are five seconds.
const HOUR: f64 = 3600.0;
const DAYS: u32 = 7;
/// The time of day at which the demo starts.
const STARTS_AT: f64 = 9.0 * HOUR;
/// Campaigns that are shown at any time; of these the newest are polled often.
const SHOWN: u32 = 24;
const NEWEST: u32 = 8;
/// The demand is the average of so many slices of five minutes.
const DEMAND_SLICES: u32 = 3;
const SEND_EVERY: f64 = 3.0 * HOUR;
const POLL_NEWEST: Duration = Duration::from_mins(5);
const POLL_OLDER: Duration = Duration::from_mins(20);

/// The campaigns with their ids, and the polls in order.
pub(super) struct BusyDay {
    pub(super) campaigns: Vec<BusyCampaign>,
    pub(super) polls: Vec<BusyPoll>,
    /// Of each replica: the demand for calls as its price controller sums it, on average of the first minutes.
    pub(super) demands: Vec<f64>,
    started: SystemTime,
}

/// A campaign of the day.
pub(super) struct BusyCampaign {
    pub(super) id: Uuid,
    /// The times at which it is sent.
    sent: Vec<SystemTime>,
}

/// One poll of a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BusyPoll {
    /// Since the start of the demo.
    pub(super) at: Duration,
    /// Index into [`BusyDay::campaigns`].
    pub(super) campaign: usize,
    pub(super) listing: LinkListing,
    pub(super) viewer: u16,
}

// === impl BusyDay ===

impl BusyDay {
    /// Draws the day from a seed and has its campaigns played by the simulator. Days later there are no more polls. Each
    /// viewer asks the replica of its number, modulo the replicas.
    pub(super) fn play(simulator: &Simulator, seed: u64, replicas: u16) -> Self {
        let started = simulator.now();
        let workload = population(seed).finish();
        let mut ids = fastrand::Rng::with_seed(seed);
        let mut campaigns = Vec::new();
        for (index, (clicks, waves)) in workload.campaigns.iter().zip(&workload.waves).enumerate() {
            let id = uuid::Builder::from_random_bytes(ids.u128(..).to_be_bytes()).into_uuid();
            let sent: Vec<_> = waves.iter().map(|wave| real_time(started, wave.sent)).collect();
            let clicks = clicks.nanos().iter().map(|nanos| real_time(started, *nanos as f64 / 1e9));
            let mut script = ScriptedCampaign::new(sent[0], clicks);
            // Of every fourth campaign the counts are ten minutes old at times.
            if index % 4 == 3 {
                let period = Duration::from_mins(10) / SPEED_UP;
                script.recomputed = Recomputed::Every { period, phase: Duration::ZERO };
            }
            simulator.play(id, script);
            campaigns.push(BusyCampaign { id, sent });
        }
        let polls = workload.polls.iter().filter_map(|poll| {
            let since_start = poll.at.checked_sub(Duration::from_secs_f64(STARTS_AT))?;
            let listing = match poll.form {
                ReportForm::Clicked => LinkListing::Clicked,
                ReportForm::AllLinks => LinkListing::All,
            };
            let (at, campaign) = (since_start / SPEED_UP, poll.campaign as usize);
            Some(BusyPoll { at, campaign, listing, viewer: poll.viewer })
        });
        let demands = (0..replicas).map(|replica| demand(&workload.part(replica, replicas)));
        Self { demands: demands.collect(), polls: polls.collect(), campaigns, started }
    }

    /// The time of the sped-up day, as a person reads it.
    pub(super) fn time_of_day(&self, now: SystemTime) -> String {
        let since = now.duration_since(self.started).unwrap_or_default() * SPEED_UP;
        let minutes = (since + Duration::from_secs_f64(STARTS_AT)).as_secs() / 60;
        format!("day {} {:02}:{:02}", minutes / 1440 + 1, minutes / 60 % 24, minutes % 60)
    }

    /// The campaign sent last, and the one sent first of those that are polled.
    pub(super) fn newest_and_oldest(&self) -> Option<(Uuid, Uuid)> {
        let polled = |index: &usize| self.polls.iter().take(1_000).any(|poll| poll.campaign == *index);
        let sent: Vec<_> = (0..self.campaigns.len())
            .filter(|index| self.campaigns[*index].sent[0] <= self.started)
            .filter(polled)
            .collect();
        Some((self.campaigns[*sent.last()?].id, self.campaigns[*sent.first()?].id))
    }
}

// === impl BusyCampaign ===

impl BusyCampaign {
    /// When it was sent last, as a person reads it.
    pub(super) fn last_sent(&self, now: SystemTime) -> String {
        let sends: Vec<_> = self.sent.iter().filter_map(|sent| now.duration_since(*sent).ok()).collect();
        let Some(since) = sends.last() else { return "not sent".to_owned() };
        let hours = since.as_secs_f64() * f64::from(SPEED_UP) / HOUR;
        format!("{} {hours:.1} h ago", if sends.len() > 1 { "again" } else { "sent" })
    }
}

fn population(seed: u64) -> Population {
    let mut population = Population::new(seed, DAYS - 1, 0);
    population.clicks_by_day(0.4, 13.0);
    population.send(&CampaignSchedule {
        every: Duration::from_secs_f64(SEND_EVERY),
        first: Duration::from_secs_f64(STARTS_AT + 2.0 * HOUR),
        count: SHOWN,
        median_clicks: 800.0,
        sigma: 0.8,
    });
    // Within the first minutes somebody watches, a large campaign is sent and an old one is sent again.
    population.campaign(STARTS_AT + 0.5 * HOUR, 3_000.0);
    let old = SHOWN / 4;
    let again = STARTS_AT + 2.0 * HOUR;
    population.resend(old, again, 3_000.0);
    let (often, shown) = (f64::from(NEWEST) * SEND_EVERY, f64::from(SHOWN) * SEND_EVERY);
    for (campaign, sent) in (0..).zip(population.sent()) {
        watch_often(&mut population, campaign, sent, sent + often);
        watch_seldom(&mut population, campaign, sent + often, sent + shown);
    }
    // Viewers notice a second send half an hour later.
    watch_often(&mut population, old, again + 0.5 * HOUR, again + often);
    population
}

/// On the dashboards of three viewers, one of whom keeps office hours.
fn watch_often(population: &mut Population, campaign: u32, since: f64, until: f64) {
    let office = OpeningHours { open: 8.0, close: 18.0, ahead_of_utc: 0.0 };
    for (viewer, hours) in (0..).zip([None, None, Some(office)]) {
        for form in ReportForm::BOTH {
            let period = POLL_NEWEST;
            population.watch(&Watching { campaign, form, period, since, until, viewer, hours });
        }
    }
}

/// On one dashboard, which is seldom updated.
fn watch_seldom(population: &mut Population, campaign: u32, since: f64, until: f64) {
    for form in ReportForm::BOTH {
        let period = POLL_OLDER;
        population.watch(&Watching { campaign, form, period, since, until, viewer: 0, hours: None });
    }
}

/// The sum over all reports of sqrt(polls a second × clicks a second), in real seconds.
fn demand(workload: &Workload) -> f64 {
    let slice = DemandSlice::LENGTH * SPEED_UP;
    let slices = (0..DEMAND_SLICES).map(|slice_number| {
        let begins = Duration::from_secs_f64(STARTS_AT) + slice * slice_number;
        let ends = begins + slice;
        let mut polls = BTreeMap::<(u32, usize), u32>::new();
        for poll in workload.polls.iter().filter(|poll| (begins..ends).contains(&poll.at)) {
            *polls.entry((poll.campaign, poll.form.index())).or_default() += 1;
        }
        let of_report = |((campaign, _), polls): (&(u32, usize), &u32)| {
            let clicks = workload.shown(*campaign, ends) - workload.shown(*campaign, begins);
            (f64::from(*polls) * f64::from(clicks)).sqrt()
        };
        polls.iter().map(of_report).sum::<f64>() / DemandSlice::LENGTH.as_secs_f64()
    });
    slices.sum::<f64>() / f64::from(DEMAND_SLICES)
}

/// The real time of a time of the sped-up day, which may be long before its start.
fn real_time(started: SystemTime, seconds: f64) -> SystemTime {
    let since = (seconds - STARTS_AT) / f64::from(SPEED_UP);
    let distance = Duration::from_secs_f64(since.abs());
    let moved = if since < 0.0 { started.checked_sub(distance) } else { started.checked_add(distance) };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Options;

    #[tokio::test(start_paused = true)]
    async fn within_two_minutes_a_campaign_is_sent_another_again_and_both_are_clicked() {
        let simulator = Simulator::new(Options::default());
        let day = BusyDay::play(&simulator, 1, 1);
        let now = simulator.now();
        let clicks = |campaign: &BusyCampaign, seconds| {
            let at = now + Duration::from_secs(seconds);
            simulator.clicks_shown(campaign.id, LinkListing::All, at).unwrap()
        };
        let sent_within = |campaign: &&BusyCampaign| {
            campaign.sent.iter().any(|sent| now < *sent && *sent < now + Duration::from_secs(121))
        };
        let sent: Vec<_> = day.campaigns.iter().filter(sent_within).collect();
        assert!(sent.len() >= 2, "{}", sent.len());
        assert!(sent.iter().any(|campaign| campaign.sent.len() == 2));
        assert!(sent.iter().all(|campaign| clicks(campaign, 180) > clicks(campaign, 0)));
        assert_eq!(day.time_of_day(now + Duration::from_secs(90)), "day 1 10:30");
    }

    #[tokio::test(start_paused = true)]
    async fn polls_are_some_ten_a_second_and_the_same_for_the_same_seed() {
        let polls = |seed| BusyDay::play(&Simulator::new(Options::default()), seed, 1).polls;
        let day = polls(1);
        assert!(day == polls(1) && day != polls(2));
        assert!(day.is_sorted_by_key(|poll| poll.at));
        let first_minute = day.iter().take_while(|poll| poll.at < Duration::from_secs(60)).count();
        assert!((400..1_000).contains(&first_minute), "{first_minute}");
    }
}
