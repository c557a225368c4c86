//! Scenarios: workloads by name, and dashboards with the operator's own values.

use std::time::Duration;

use super::{CampaignSchedule, OpeningHours, Population, Watching, Workload};
use crate::refresh::ReportForm;

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// A workload by name, with fixed settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// 120 campaigns, the newest 40 on three dashboards, around the clock.
    Reference,
    /// As `Reference`, but polls only from 7:00 to 20:00 (UTC+1), and more clicks in the daytime.
    Office,
    /// As `Reference`, and a campaign of 100,000 clicks is sent at 10:00 UTC.
    Flash,
    /// As `Reference`, and an old campaign is sent again, with 20,000 clicks.
    Resend,
    /// 1,000 campaigns; a few get most of the polls (Zipf's law), and not always the newest.
    Zipf,
    /// Dashboards are open for some minutes only, 20 on average.
    Sessions,
    /// As `Reference`, but the upstream updates its click counts every ten minutes.
    Lagged,
    /// As `Reference`, and another program uses 4,000 calls of the same quota each day.
    SharedKey,
    /// A few campaigns and two viewers: more calls than are needed.
    Small,
}

/// Dashboards that show the last campaigns: the newest are polled often, the others less often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dashboards {
    /// Number of campaigns shown at any time.
    pub campaigns: u32,
    /// How many of these, the newest, are polled often.
    pub often: u32,
    /// Clients that poll the newest campaigns.
    pub viewers: u16,
    /// Time between two polls of the newest campaigns, for each viewer.
    pub poll: Duration,
    /// Time between two polls of the other campaigns, by one viewer.
    pub poll_seldom: Duration,
    /// Time between the sends of two campaigns.
    pub send_every: Duration,
    /// Median of the campaigns' total clicks.
    pub median_clicks: f64,
    /// Polls only in these hours. `None`: around the clock.
    pub hours: Option<OpeningHours>,
    /// Daily budget: calls per UTC day.
    pub per_day: u32,
    /// Warm-up days before the measured day.
    pub warm_days: u32,
}

// === impl Scenario ===

impl Scenario {
    /// All scenarios.
    pub const ALL: [Self; 9] = [
        Self::Reference,
        Self::Office,
        Self::Flash,
        Self::Resend,
        Self::Zipf,
        Self::Sessions,
        Self::Lagged,
        Self::SharedKey,
        Self::Small,
    ];

    /// Name of the scenario, as in the file names of the traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "ref",
            Self::Office => "office",
            Self::Flash => "flash",
            Self::Resend => "resend",
            Self::Zipf => "zipf",
            Self::Sessions => "sessions",
            Self::Lagged => "lagged",
            Self::SharedKey => "shared_key",
            Self::Small => "small",
        }
    }

    /// Generates the workload from a seed.
    pub fn workload(self, seed: u64) -> Workload {
        let usual = Dashboards::default();
        match self {
            Self::Reference => usual.population(seed).finish(),
            Self::Office => office(seed),
            Self::Flash => {
                let mut population = usual.senders(seed);
                let at = population.workload_mut().measured_from.as_secs_f64() + 10.0 * HOUR;
                population.campaign(at, 100_000.0);
                usual.watch(&mut population);
                population.finish()
            }
            Self::Resend => resend(seed),
            Self::Zipf => zipf(seed),
            Self::Sessions => sessions(seed),
            Self::Lagged => {
                let mut population = usual.population(seed);
                population.workload_mut().recompute = Duration::from_mins(10);
                population.finish()
            }
            Self::SharedKey => {
                let mut population = Dashboards { warm_days: 2, ..usual }.population(seed);
                let unseen = (0..3).flat_map(|day| (0..4_000).map(move |call| (day, call)));
                population.workload_mut().unseen = unseen
                    .map(|(day, call)| {
                        let at = f64::from(day) * DAY + 9.0 * HOUR + f64::from(call) * 7.2;
                        Duration::from_secs_f64(at)
                    })
                    .collect();
                population.finish()
            }
            Self::Small => small(seed),
        }
    }
}

fn office(seed: u64) -> Workload {
    let hours = Some(OpeningHours { open: 7.0, close: 20.0, ahead_of_utc: 1.0 });
    let dashboards = Dashboards { hours, warm_days: 2, ..Dashboards::default() };
    let mut population = dashboards.population(seed);
    population.clicks_by_day(0.6, 13.0);
    population.finish()
}

fn resend(seed: u64) -> Workload {
    let usual = Dashboards::default();
    let mut population = usual.senders(seed);
    let day = population.workload_mut().measured_from.as_secs_f64();
    let old = population.sent().iter().position(|sent| *sent > day - 30.0 * DAY).unwrap_or(0) as u32;
    let (at, until) = (day + 11.0 * HOUR, population.end());
    population.resend(old, at, 20_000.0);
    usual.watch(&mut population);
    // The viewers notice the second send an hour later and then poll the campaign like a new one.
    for form in ReportForm::BOTH {
        for viewer in 0..3 {
            let period = usual.poll;
            let since = at + HOUR;
            population.watch(&Watching { campaign: old, form, period, since, until, viewer, hours: None });
        }
    }
    population.finish()
}

fn zipf(seed: u64) -> Workload {
    let mut population = Population::new(seed, 1, 10_000);
    let sending = CampaignSchedule {
        every: Duration::from_hours(3),
        first: Duration::from_hours(1),
        count: 1_000,
        median_clicks: 300.0,
        sigma: 1.2,
    };
    population.send(&sending);
    let count = population.sent().len();
    // The newest campaigns have the highest index; the rank is recency plus noise.
    let mut ranks: Vec<(f64, u32)> =
        (0..count).map(|index| (((count - index) as f64).ln() + population.normal(), index as u32)).collect();
    ranks.sort_by(|one, other| one.0.total_cmp(&other.0));
    let whole: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
    for (rank, (_, campaign)) in ranks.into_iter().enumerate() {
        let per_second = 8.5 / whole / (rank + 1) as f64;
        for (form, share) in [(ReportForm::Clicked, 0.8), (ReportForm::AllLinks, 0.2)] {
            let viewer = population.random().u16(0..3);
            population.watch_at_random(campaign, form, per_second * share, viewer);
        }
    }
    population.finish()
}

fn sessions(seed: u64) -> Workload {
    let mut population = Dashboards::default().senders(seed);
    let (sent, end) = (population.sent(), population.end());
    for person in 0..12 {
        let mut at = population.exponential(40.0 * 60.0);
        while at < end {
            let stay = population.exponential(20.0 * 60.0);
            let there: Vec<u32> =
                (0..sent.len() as u32).filter(|index| sent[*index as usize] <= at).collect();
            let recent = &there[there.len().saturating_sub(40)..];
            let mut board = population.random().choose_multiple(recent, 7);
            board.extend(population.random().choose_multiple(&there, 3));
            board.extend(there.last());
            board.sort_unstable();
            board.dedup();
            let all_links = population.random().f64() < 0.3;
            let form = if all_links { ReportForm::AllLinks } else { ReportForm::Clicked };
            let phase = population.random().f64() * 15.0;
            for campaign in board.into_iter().copied() {
                let mut poll = at + phase + population.random().f64() * 0.3;
                while poll < (at + stay).min(end) {
                    population.poll(campaign, form, person % 3, poll);
                    poll += 15.0;
                }
            }
            at += stay + population.exponential(60.0 * 60.0);
        }
    }
    population.finish()
}

fn small(seed: u64) -> Workload {
    let mut population = Population::new(seed, 1, 10_000);
    let until = population.end();
    for index in 0..4 {
        let clicks = (800.0 * population.normal().exp()).round().max(1.0);
        let since = (f64::from(index) - 2.4) * DAY + 8.0 * HOUR;
        let campaign = population.campaign(since, clicks);
        for viewer in 0..2 {
            let (form, period) = (ReportForm::Clicked, Duration::from_secs(30));
            population.watch(&Watching { campaign, form, period, since, until, viewer, hours: None });
        }
    }
    population.finish()
}

// === impl Dashboards ===

impl Default for Dashboards {
    fn default() -> Self {
        Self {
            campaigns: 120,
            often: 40,
            viewers: 3,
            poll: Duration::from_secs(30),
            poll_seldom: Duration::from_mins(5),
            send_every: Duration::from_hours(12),
            median_clicks: 800.0,
            hours: None,
            per_day: 10_000,
            warm_days: 1,
        }
    }
}

impl Dashboards {
    /// Generates the workload from a seed.
    pub fn workload(&self, seed: u64) -> Workload {
        self.population(seed).finish()
    }

    fn population(&self, seed: u64) -> Population {
        let mut population = self.senders(seed);
        self.watch(&mut population);
        population
    }

    /// The campaigns, without polls.
    fn senders(&self, seed: u64) -> Population {
        let mut population = Population::new(seed, self.warm_days, self.per_day);
        population.send(&CampaignSchedule {
            every: self.send_every,
            first: Duration::from_hours(8),
            count: self.campaigns,
            median_clicks: self.median_clicks,
            sigma: 1.2,
        });
        population
    }

    /// Adds the polls of all campaigns that have been added so far.
    fn watch(&self, population: &mut Population) {
        let every = self.send_every.as_secs_f64();
        let (often, seldom) = (f64::from(self.often) * every, f64::from(self.campaigns) * every);
        for (campaign, sent) in population.sent().into_iter().enumerate() {
            for form in ReportForm::BOTH {
                let watching = Watching {
                    campaign: campaign as u32,
                    form,
                    period: self.poll,
                    since: sent,
                    until: sent + often,
                    viewer: 0,
                    hours: self.hours,
                };
                for viewer in 0..self.viewers {
                    population.watch(&Watching { viewer, ..watching });
                }
                let (since, until, period) = (sent + often, sent + seldom, self.poll_seldom);
                population.watch(&Watching { since, until, period, ..watching });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_day_is_as_busy_as_its_description_says() {
        let workload = Scenario::Reference.workload(1);
        let measured = workload.polls.iter().filter(|poll| poll.at >= workload.measured_from).count();
        assert!((730_000..745_000).contains(&measured), "{measured}");
        assert!(workload.polls.is_sorted_by_key(|poll| poll.at));
    }

    #[test]
    fn the_same_seed_makes_the_same_day_and_another_another() {
        for scenario in [Scenario::Small, Scenario::Sessions] {
            let polls = |seed| scenario.workload(seed).polls;
            assert_eq!(polls(3), polls(3), "{}", scenario.as_str());
            assert_ne!(polls(3), polls(4), "{}", scenario.as_str());
        }
    }
}
