//! Command-line options of `plan`. Values are parsed here and not by clap, so that a bad value exits with status 78,
//! like a bad setting.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

use super::running_proxy::AdminAddress;
use crate::{commands::Failure, plan::OpeningHours};

/// The options as text, before they are parsed.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// Campaigns on the dashboards; the newest third is polled at each interval, the others a tenth as often
    #[arg(long, value_name = "N", default_value = "120")]
    campaigns: String,
    /// Dashboards that are open at the same time; each one always polls the same replica
    #[arg(long, value_name = "N", default_value = "3")]
    viewers: String,
    /// Poll interval of each dashboard
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    poll: String,
    /// Replicas of the proxy
    #[arg(long, value_name = "N", default_value = "1")]
    replicas: String,
    /// Poll only between these hours, UTC; past midnight if the second is smaller than the first
    #[arg(long, value_name = "FROM-TO", default_value = "0-24")]
    hours: String,
    /// Daily budget: calls per UTC day [default: 10000, or quota.per_day of the proxy of --from]
    #[arg(long, value_name = "CALLS")]
    budget: Option<String>,
    /// Seed of the random numbers; another seed gives other clicks
    #[arg(long, value_name = "N", default_value = "1")]
    seed: String,
    /// Polls from an access log of the proxy (JSON; hits are logged at debug), or lines "unix_seconds activity_id
    /// no_clicks"; replaces --campaigns, --viewers, --poll and --hours; the clicks are still simulated
    #[arg(long, value_name = "FILE")]
    polls: Option<PathBuf>,
    /// Plan the day of a running proxy: the URL of its admin port, such as http://127.0.0.1:9090. Its campaigns, requests,
    /// hours and settings replace --campaigns, --viewers, --poll and --hours; the clicks are simulated from the rates it has
    /// seen
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Also write a plot of the day (SVG): price, calls used, clicks missed
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The parsed options: what to simulate, and what to print.
#[derive(Debug)]
pub(super) struct DayOptions {
    pub(super) campaigns: u32,
    pub(super) viewers: u16,
    pub(super) poll: Duration,
    pub(super) replicas: u16,
    pub(super) hours: Option<OpeningHours>,
    /// `None`: not given.
    pub(super) per_day: Option<u32>,
    pub(super) seed: u64,
    pub(super) source: DaySource,
    pub(super) output: OutputFormat,
    pub(super) svg: Option<PathBuf>,
}

/// Where the polls come from.
#[derive(Debug)]
pub(super) enum DaySource {
    /// The other options.
    Dashboards,
    /// An access log.
    Log(PathBuf),
    /// The admin port of a running proxy.
    Running(AdminAddress),
}

/// Format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputFormat {
    Table,
    Json,
}

/// Limit of the simulated polls, warm-up included: more would take too much memory.
const MOST_POLLS: f64 = 10_000_000.0;

// === impl PlanArguments ===

impl PlanArguments {
    pub(super) fn parse(self) -> Result<DayOptions, Failure> {
        let options = DayOptions {
            campaigns: number("--campaigns", &self.campaigns, 1, 2_000)?,
            viewers: number("--viewers", &self.viewers, 1, 1_000)?,
            poll: duration("--poll", &self.poll)?,
            replicas: number("--replicas", &self.replicas, 1, 32)?,
            hours: opening_hours(&self.hours)?,
            per_day: self.budget.map(|text| number("--budget", &text, 1, 1_000_000)).transpose()?,
            seed: number("--seed", &self.seed, 0, u64::MAX)?,
            source: day_source(self.polls, self.from)?,
            output: if self.json { OutputFormat::Json } else { OutputFormat::Table },
            svg: self.svg,
        };
        match options.source {
            DaySource::Dashboards if options.expected_polls() > MOST_POLLS => Err(wrong(
                "--poll",
                "so many campaigns and viewers make more than 10,000,000 polls in three days: poll less often",
            )),
            DaySource::Dashboards | DaySource::Log(_) | DaySource::Running(_) => Ok(options),
        }
    }
}

// === impl DayOptions ===

impl DayOptions {
    /// Warm-up days: the price controller learns the demand of each hour from them.
    pub(super) const WARM_DAYS: u32 = 2;

    /// Number of campaigns, the newest, that are polled at each interval; the others are polled a tenth as often.
    pub(super) fn often(&self) -> u32 {
        self.campaigns.div_ceil(3)
    }

    fn expected_polls(&self) -> f64 {
        let often = f64::from(self.often()) * f64::from(self.viewers);
        let seldom = f64::from(self.campaigns - self.often()) / 10.0;
        (often + seldom) * 2.0 * 3.0 * 86_400.0 / self.poll.as_secs_f64()
    }
}

fn day_source(polls: Option<PathBuf>, from: Option<String>) -> Result<DaySource, Failure> {
    match (polls, from) {
        (None, None) => Ok(DaySource::Dashboards),
        (Some(path), None) => Ok(DaySource::Log(path)),
        (None, Some(url)) => match AdminAddress::from_url(&url) {
            Some(address) => Ok(DaySource::Running(address)),
            None => Err(wrong("--from", "must be the URL of an admin port, such as http://127.0.0.1:9090")),
        },
        (Some(_), Some(_)) => Err(wrong("--from", "cannot be combined with --polls")),
    }
}

fn wrong(option: &str, why: &str) -> Failure {
    Failure::Settings(format!("{option}: {why}"))
}

fn number<T>(option: &str, text: &str, least: T, most: T) -> Result<T, Failure>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| wrong(option, &format!("must be a whole number from {least} to {most}")))
}

fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    let duration = humantime::parse_duration(text).ok();
    let sane = Duration::from_secs(1)..=Duration::from_hours(24);
    duration
        .filter(|duration| sane.contains(duration))
        .ok_or_else(|| wrong(option, "must be a duration from 1s to 24h, such as 30s"))
}

/// `None`: around the clock.
fn opening_hours(text: &str) -> Result<Option<OpeningHours>, Failure> {
    let hour = |text: &str| text.parse::<f64>().ok().filter(|hour| (0.0..=24.0).contains(hour));
    let hours = text.split_once('-').and_then(|(open, close)| Some((hour(open)?, hour(close)?)));
    match hours {
        Some((open, close)) if open == 0.0 && close == 24.0 => Ok(None),
        Some((open, close)) if open != close => Ok(Some(OpeningHours { open, close, ahead_of_utc: 0.0 })),
        Some(_) | None => {
            Err(wrong("--hours", "must be two different hours of the day in UTC, such as 8-18"))
        }
    }
}
