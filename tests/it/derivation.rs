//! `cache.derive_clicked`: one call for both reports of a campaign, in the whole proxy, under paused time.

use std::time::{Duration, SystemTime};

use link_report_proxy::{
    plan::{Dashboards, Workload},
    refresh::ReportForm,
    simulator::{LinkListing, Options, ScriptedCampaign},
};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::support::{
    in_process::InProcess,
    played_day::{Kept, PlayedDay},
};

const HOUR: Duration = Duration::from_hours(1);
/// The time between two rounds of polls.
const POLL: Duration = Duration::from_secs(20);
const CAMPAIGNS: u32 = 24;
/// What the report of all links shows more where the forms do not add up: more than the clicks of ten minutes.
const MORE: u32 = 7;

/// Campaigns whose reports are both polled every few seconds.
struct Polled {
    proxy: InProcess,
    ids: Vec<Uuid>,
    start: Instant,
    rounds: u32,
    /// Clicks that the answers did not show yet, of all answers.
    missed: u64,
    /// When an answer last showed clicks that its form does not have.
    last_wrong: Option<Duration>,
}

/// A click in each of so many seconds, some more often than others.
fn script(sent: SystemTime, campaign: u32) -> ScriptedCampaign {
    let period = Duration::from_secs(400 + 37 * u64::from(campaign));
    ScriptedCampaign::new(sent, (1..2_000).map(|click| sent + period * click))
}

// === impl Polled ===

impl Polled {
    /// With campaigns that were sent a day ago.
    fn begin(mode: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = [("CACHE__DERIVE_CLICKED", mode)].iter().chain(settings).copied().collect();
        let vendor = Options { remembered_requests: 100_000, ..Options::default() };
        let proxy = InProcess::facing(vendor, &settings, |_vendor| ());
        let ids = (0..CAMPAIGNS).map(|number| Uuid::from_u128(0x9000 + u128::from(number))).collect();
        let day = Self { proxy, ids, start: Instant::now(), rounds: 0, missed: 0, last_wrong: None };
        day.forms_differ_by(|_campaign| 0);
        day
    }

    /// From now on each report of all links shows so many clicks more.
    fn forms_differ_by(&self, more: impl Fn(u32) -> u32) {
        let sent = self.proxy.vendor.now() - self.start.elapsed() - 24 * HOUR;
        for (number, id) in (0..).zip(&self.ids) {
            let mut script = script(sent, number);
            script.more_in_all_links = more(number);
            self.proxy.vendor.play(*id, script);
        }
    }

    /// Polls until then; returns the calls so far.
    async fn poll_until(&mut self, until: Duration) -> u64 {
        while POLL * self.rounds < until {
            sleep_until(self.start + POLL * self.rounds).await;
            self.rounds += 1;
            for id in self.ids.clone() {
                self.poll(id, LinkListing::Clicked, "").await;
                self.poll(id, LinkListing::All, "?no_clicks=true").await;
            }
        }
        self.proxy.vendor.calls()
    }

    async fn poll(&mut self, id: Uuid, listing: LinkListing, query: &str) {
        let clicks = self.proxy.clicks_served(&format!("/v3/reports/email_reports/{id}/links{query}")).await;
        let vendor = &self.proxy.vendor;
        let shown = vendor.clicks_shown(id, listing, vendor.now()).expect("it is played");
        self.missed += u64::from(shown.saturating_sub(clicks));
        if clicks > shown {
            self.last_wrong = Some(self.start.elapsed());
        }
    }

    async fn counted(&self, series: &str) -> f64 {
        self.proxy.metric(&format!("link_report_proxy_{series}")).await
    }

    /// By the metric.
    async fn is(&self, status: &str) -> bool {
        self.counted(&format!("derivation_status{{state=\"{status}\"}}")).await == 1.0
    }

    /// How many of the calls since then were for all links, and how many for the clicked ones.
    fn calls_by_form(&self, since: Duration) -> (usize, usize) {
        let (seen, since) = (self.proxy.vendor.seen(), self.start + since);
        let all = |target: &str| target.contains("no_clicks=true");
        let calls = seen.iter().filter(|seen| seen.at >= since && seen.target.contains("/links"));
        let (all, clicked): (Vec<_>, Vec<_>) = calls.partition(|seen| all(&seen.target));
        (all.len(), clicked.len())
    }
}

const PLANNED: [(&str, &str); 2] = [("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "3000")];

#[tokio::test(start_paused = true)]
async fn both_reports_polled_for_hours_cost_half_the_calls_and_no_click() {
    let mut off = Polled::begin("off", &[]);
    let two_each = off.poll_until(8 * HOUR).await;
    let mut on = Polled::begin("on", &[]);
    let one_each = on.poll_until(8 * HOUR).await;
    assert!(on.is("trusted").await && on.last_wrong.is_none());
    // Two forms until it is relied on, and of one look in fifty.
    assert!((50..55).contains(&(one_each * 100 / two_each)), "{one_each} of {two_each}");
    let (all, clicked) = on.calls_by_form(HOUR);
    assert!(clicked > 0 && (45..=55).contains(&(all / clicked)), "{all} {clicked}");
    assert!(on.missed <= off.missed, "{} {}", on.missed, off.missed);
    assert!(off.is("off").await && off.counted("derivation_reports_total").await == 0.0);
}

#[tokio::test(start_paused = true)]
async fn planned_calls_show_more_clicks_and_the_answers_of_both_reports_are_counted() {
    let mut days = Vec::new();
    for mode in ["off", "on"] {
        let mut day = Polled::begin(mode, &PLANNED);
        day.poll_until(12 * HOUR).await;
        let (calls, missed) = (day.proxy.vendor.calls(), day.missed);
        let counted =
            [day.counted("cache_answers_total").await, day.counted("cache_clicks_missed_total").await];
        println!("{mode}: {calls} calls, {missed} missed, counted {counted:?}");
        let answers = f64::from(day.rounds * 2 * CAMPAIGNS);
        assert!((counted[0] / answers - 1.0).abs() < 0.05, "{} of {answers}", counted[0]);
        assert!((counted[1] / missed as f64 - 1.0).abs() < 0.15, "{} of {missed}", counted[1]);
        days.push((calls, missed));
    }
    let [(calls_off, missed_off), (calls_on, missed_on)] = days[..] else { unreachable!() };
    assert!(calls_on <= calls_off * 21 / 20 && missed_on * 10 < missed_off * 7, "{days:?}");
}

#[tokio::test(start_paused = true)]
async fn verify_counts_what_it_compares_and_decides_nothing() {
    let mut off = Polled::begin("off", &[]);
    let calls = off.poll_until(4 * HOUR).await;
    let mut verify = Polled::begin("verify", &[]);
    assert_eq!(verify.poll_until(4 * HOUR).await, calls);
    assert_eq!((off.missed, verify.last_wrong), (verify.missed, None));
    assert!(verify.is("verifying").await);
    assert!(verify.counted("derivation_comparisons_total{result=\"same\"}").await > 100.0);
    assert_eq!(verify.counted("derivation_reports_total").await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn verify_finds_forms_that_do_not_add_up() {
    for settings in [&[] as &[_], &PLANNED] {
        let mut day = Polled::begin("verify", settings);
        day.forms_differ_by(|campaign| if campaign == 3 { MORE } else { 0 });
        day.poll_until(6 * HOUR).await;
        assert!(day.is("switched_off").await && day.last_wrong.is_none());
        assert_eq!(day.counted("derivation_mismatches_total{reason=\"fewer_clicks\"}").await, 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_first_spot_check_of_forms_that_no_longer_add_up_nothing_wrong_is_served() {
    let mut day = Polled::begin("on", &[]);
    day.poll_until(2 * HOUR).await;
    assert!(day.is("trusted").await && day.last_wrong.is_none());
    day.forms_differ_by(|_campaign| MORE);
    // Twelve looks an hour at each campaign: fifty within two rounds of them.
    day.poll_until(3 * HOUR).await;
    let found = day.last_wrong.expect("until then it is derived") - 2 * HOUR;
    assert!(found < Duration::from_mins(16), "{found:?}");
    assert!(day.is("switched_off").await);
    let before = day.calls_by_form(2 * HOUR + found);
    day.poll_until(5 * HOUR).await;
    assert_eq!(day.last_wrong, Some(2 * HOUR + found));
    let (all, clicked) = day.calls_by_form(3 * HOUR);
    assert!(all.abs_diff(clicked) * 20 < all, "two keys again: {all} {clicked}, {before:?}");
}

#[tokio::test(start_paused = true)]
async fn a_derived_report_is_answered_as_any_and_said_to_be_derived() {
    let mut day = Polled::begin("on", &PLANNED);
    day.poll_until(HOUR).await;
    let id = day.ids[5];
    let explained = day.proxy.admin(&format!("/cache/{id}")).await.json();
    let sources = [0, 1].map(|form| explained["reports"][form]["held"]["source"].clone());
    assert_eq!(
        (&explained["reports"][0]["no_clicks"], sources),
        (&"false".into(), ["derived", "fetched"].map(Into::into))
    );
    let path = |query: &str| format!("/v3/reports/email_reports/{id}/links{query}");
    let clicked = day.proxy.get(&path("")).await;
    let all = day.proxy.get(&path("?no_clicks=true")).await;
    assert!(clicked.cache_status().starts_with("hit; ttl="), "{}", clicked.cache_status());
    assert_eq!(clicked.header("age"), all.header("age"), "that of the call for all links");
    let again = day.proxy.get_with(&path(""), &[("if-none-match", clicked.header("etag"))]).await;
    assert_eq!((again.status, clicked.header("etag") != all.header("etag")), (304, true));
    let quota = day.proxy.admin("/quota").await.json();
    assert_eq!(quota["plan"]["derive_clicked"], "trusted");
    // The form that is asked for first does not matter.
    let new = Uuid::from_u128(0xa000);
    day.proxy.vendor.play(new, script(day.proxy.vendor.now() - HOUR, 1));
    let clicked = day.proxy.get(&format!("/v3/reports/email_reports/{new}/links")).await;
    assert_eq!((clicked.status, clicked.cache_status()), (200, "fwd=uri-miss; stored"));
    let all = day.proxy.get(&format!("/v3/reports/email_reports/{new}/links?no_clicks=true")).await;
    assert!(all.cache_status().starts_with("hit"), "{}", all.cache_status());
}

/// Dashboards that poll both forms of reports.
fn workload() -> Workload {
    let (poll, per_day) = (Duration::from_mins(2), 700);
    Dashboards { campaigns: 30, often: 10, viewers: 2, poll, per_day, ..Dashboards::default() }.workload(1)
}

#[tokio::test(start_paused = true)]
async fn a_restart_verifies_derivation_anew() {
    let workload = workload();
    assert!(ReportForm::BOTH.iter().all(|form| workload.polls.iter().any(|poll| poll.form == *form)));
    // With a snapshot of the cache a restart makes fewer calls, and so verifies fewer in an hour.
    let settings = [("CACHE__DERIVE_CLICKED", "on"), ("STATE__SNAPSHOT_INTERVAL", "0s")];
    let mut day = PlayedDay::begin_with_state(workload, &settings).await;
    let clicked_calls = |day: &PlayedDay| {
        day.vendor.seen().iter().filter(|seen| !seen.target.contains("no_clicks=true")).count()
    };
    day.play_until(HOUR).await;
    let verified = clicked_calls(&day);
    day.play_until(12 * HOUR).await;
    let trusted = clicked_calls(&day) - verified;
    day.restart(Kept::State).await;
    day.play_until(13 * HOUR).await;
    let verified_again = clicked_calls(&day) - verified - trusted;
    assert!(verified >= 20 && verified_again >= 20 && trusted < 20, "{verified} {trusted} {verified_again}");
}
