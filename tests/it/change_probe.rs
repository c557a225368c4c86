//! `upstream.change_probe`: what the whole proxy makes of the vendor's statistics, under paused time.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use link_report_proxy::simulator::{EmClicks, LinkListing, Options, Recomputed, Scope, ScriptedCampaign};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::support::in_process::{InProcess, failure};

const HOUR: Duration = Duration::from_hours(1);
/// The time between two rounds of polls.
const POLL: Duration = Duration::from_secs(20);
const CAMPAIGNS: u32 = 12;

/// Campaigns that are all polled every few seconds.
struct Polled {
    proxy: InProcess,
    ids: Vec<Uuid>,
    start: Instant,
    rounds: u32,
    /// Clicks that the answers did not show yet, of all answers.
    missed: u64,
}

/// What a day has cost and brought so far.
#[derive(Debug, Clone, Copy)]
struct Figures {
    reports: u64,
    probes: u64,
    missed: u64,
}

/// A click in each of so many seconds, some more often than others.
fn script(sent: SystemTime, campaign: u32) -> ScriptedCampaign {
    let period = Duration::from_secs(400 + 37 * u64::from(campaign));
    ScriptedCampaign::new(sent, (1..2_000).map(|click| sent + period * click))
}

// === impl Polled ===

impl Polled {
    /// With campaigns that were sent a day ago, each changed as the test wants it.
    fn begin(mode: &str, change: impl Fn(u32, &mut ScriptedCampaign)) -> Self {
        let settings =
            [("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "2000"), ("UPSTREAM__CHANGE_PROBE", mode)];
        let vendor = Options { remembered_requests: 100_000, ..Options::default() };
        let proxy = InProcess::facing(vendor, &settings, |_vendor| ());
        let sent = proxy.vendor.now() - 24 * HOUR;
        let ids: Vec<_> = (0..CAMPAIGNS).map(|number| Uuid::from_u128(0x9000 + u128::from(number))).collect();
        for (number, id) in (0..).zip(&ids) {
            let mut campaign = script(sent, number);
            change(number, &mut campaign);
            proxy.vendor.play(*id, campaign);
        }
        Self { proxy, ids, start: Instant::now(), rounds: 0, missed: 0 }
    }

    fn usual(mode: &str) -> Self {
        Self::begin(mode, |_, _| ())
    }

    /// Polls every campaign every few seconds until then.
    async fn poll_until(&mut self, until: Duration) -> Figures {
        while POLL * self.rounds < until {
            sleep_until(self.start + POLL * self.rounds).await;
            self.rounds += 1;
            for id in &self.ids {
                let clicks = self.proxy.clicks_served(&format!("/v3/reports/email_reports/{id}/links")).await;
                let shown =
                    self.proxy.vendor.clicks_shown(*id, LinkListing::Clicked, self.proxy.vendor.now());
                self.missed += u64::from(shown.expect("it is played").saturating_sub(clicks));
            }
        }
        let vendor = &self.proxy.vendor;
        Figures { reports: vendor.calls(), probes: vendor.statistics_calls(), missed: self.missed }
    }

    async fn counted(&self, series: &str) -> f64 {
        self.proxy.metric(&format!("link_report_proxy_{series}")).await
    }

    async fn told(&self, verdict: &str) -> f64 {
        self.counted(&format!("probe_verdicts_total{{verdict=\"{verdict}\"}}")).await
    }

    async fn status(&self) -> String {
        let quota = self.proxy.admin("/quota").await.json();
        let shown = quota["plan"]["change_probe"].as_str().expect("a word").to_owned();
        assert_eq!(self.counted(&format!("probe_status{{state=\"{shown}\"}}")).await, 1.0);
        shown
    }

    /// How many probes were made since then, and how many of them were of this campaign.
    fn probes_of(&self, id: Uuid, since: Duration) -> (usize, usize) {
        let seen = self.proxy.vendor.seen();
        let since = self.start + since;
        let probes = || seen.iter().filter(|seen| seen.target.contains("/stats/") && seen.at >= since);
        (probes().count(), probes().filter(|seen| seen.target.contains(&id.to_string())).count())
    }
}

// === impl Figures ===

impl std::ops::Sub for Figures {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            reports: self.reports - before.reports,
            probes: self.probes - before.probes,
            missed: self.missed - before.missed,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_no_probe_is_made() {
    let mut day = Polled::usual("off");
    assert_eq!(day.poll_until(HOUR).await.probes, 0);
    assert_eq!(day.status().await, "off");
}

#[tokio::test(start_paused = true)]
async fn verify_counts_what_probes_tell_and_decides_nothing_by_it() {
    let mut day = Polled::usual("verify");
    let figures = day.poll_until(8 * HOUR).await;
    let (unmoved, confirmed) = (day.told("unmoved").await, day.counted("probe_confirmed_total").await);
    println!("{figures:?}: {unmoved} unmoved, {confirmed} confirmed");
    assert_eq!((day.status().await.as_str(), day.told("contradicted").await), ("verifying", 0.0));
    assert!(confirmed > 50.0 && confirmed <= unmoved, "{confirmed} of {unmoved}");
    // Once enough are confirmed, a probe is made each ten minutes only.
    assert!((20..8 * 60).contains(&figures.probes), "{figures:?}");
    let without = Polled::usual("off").poll_until(8 * HOUR).await;
    assert!(figures.reports.abs_diff(without.reports) * 10 < without.reports, "{figures:?} {without:?}");
}

#[tokio::test(start_paused = true)]
async fn on_it_is_relied_on_after_fifty_confirmations_and_fewer_reports_miss_no_more_clicks() {
    let mut day = Polled::usual("on");
    let before = day.poll_until(8 * HOUR).await;
    assert_eq!(day.status().await, "trusted");
    assert!(day.counted("probe_confirmed_total").await >= 50.0);
    let figures = day.poll_until(14 * HOUR).await - before;
    let mut day = Polled::usual("off");
    let before = day.poll_until(8 * HOUR).await;
    let without = day.poll_until(14 * HOUR).await - before;
    println!("{figures:?}, without {without:?}");
    assert!(figures.probes > 0 && figures.reports < without.reports, "{figures:?} {without:?}");
    assert!(figures.missed < without.missed, "{figures:?} {without:?}");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_does_not_move_with_every_link_is_found_and_switches_probes_off() {
    for mode in ["verify", "on"] {
        let third = EmClicks::Nth(NonZeroU32::new(3).unwrap());
        let mut day = Polled::begin(mode, |_, campaign| {
            (campaign.em_clicks, campaign.all_clicks) = (third, third);
        });
        let figures = day.poll_until(8 * HOUR).await;
        assert_eq!(day.status().await, "switched_off", "{mode} {figures:?}");
        assert_eq!(day.counted("probe_switched_off_total{reason=\"contradicted\"}").await, 1.0);
        let after = day.poll_until(9 * HOUR).await - figures;
        assert!(after.probes == 0 && after.reports > 0, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn em_clicks_that_stands_still_does_not_matter_beside_a_count_of_all_clicks() {
    let mut day = Polled::begin("on", |_, campaign| {
        campaign.em_clicks = EmClicks::Nth(NonZeroU32::new(3).unwrap());
    });
    day.poll_until(8 * HOUR).await;
    assert_eq!((day.status().await.as_str(), day.told("contradicted").await), ("trusted", 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_403_switches_probes_off_until_a_restart_and_reports_are_fetched_as_ever() {
    let mut day = Polled::usual("on");
    day.proxy.vendor.inject(failure(403), Scope::StatisticsCalls);
    let first = day.poll_until(HOUR).await;
    assert_eq!((day.status().await.as_str(), first.probes), ("switched_off", 1));
    assert_eq!(day.counted("probe_switched_off_total{reason=\"forbidden\"}").await, 1.0);
    day.proxy.vendor.clear_faults();
    let after = day.poll_until(2 * HOUR).await - first;
    assert!(after.probes == 0 && after.reports > 0, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn one_campaign_that_the_endpoint_does_not_know_is_left_out_and_the_others_are_probed_on() {
    let mut day = Polled::usual("on");
    day.poll_until(8 * HOUR).await;
    assert_eq!(day.status().await, "trusted");
    // As after a deletion: it has no statistics.
    let deleted = day.ids[3];
    day.proxy.vendor.play(deleted, script(day.proxy.vendor.now() + 100 * HOUR, 3));
    day.ids.remove(3);
    day.proxy.call(&format!("/v3/reports/email_reports/{deleted}/links"));
    day.poll_until(9 * HOUR).await;
    let (probes, asked) = day.probes_of(deleted, 8 * HOUR);
    assert!((2..=5).contains(&asked), "of {probes}: rejected, and searched in halves: {asked}");
    day.poll_until(10 * HOUR).await;
    let (probes, asked) = day.probes_of(deleted, 9 * HOUR);
    assert!(probes > 20 && asked == 0, "{probes} {asked}");
    assert_eq!(day.status().await, "trusted");
}

#[tokio::test(start_paused = true)]
async fn statistics_as_old_as_the_reports_cost_few_clicks() {
    let mut day = Polled::begin("on", |number, campaign| {
        let (period, phase) = (Duration::from_mins(10), Duration::from_secs(u64::from(number) * 53));
        campaign.statistics_recomputed = Recomputed::Every { period, phase };
    });
    let before = day.poll_until(10 * HOUR).await;
    let figures = day.poll_until(16 * HOUR).await - before;
    assert_eq!(day.told("contradicted").await, 0.0);
    let mut day = Polled::usual("off");
    let before = day.poll_until(10 * HOUR).await;
    let without = day.poll_until(16 * HOUR).await - before;
    println!("{figures:?}, without {without:?}");
    assert!(figures.missed < without.missed * 6 / 5, "{figures:?} {without:?}");
}
