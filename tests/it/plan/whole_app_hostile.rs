//! Bad days through the whole proxy: no burst of calls, no refusals of reports that are cached, and no budget left over
//! while reports are stale.

use std::time::Duration;

use link_report_proxy::{
    plan::{Dashboards, Population, Watching, Workload},
    refresh::ReportForm,
    report::Unreachable,
    simulator::{Fall, ScriptedCampaign},
};

use super::whole_app::dashboards;
use crate::support::{
    pipe::Connection,
    played_day::{Figures, Kept, PlayedDay, replayed},
};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// One day of the dashboards, without a day before it.
pub(super) fn first_day() -> Workload {
    Dashboards { warm_days: 0, ..dashboards() }.workload(1)
}

/// Twice the hour's share: the ceiling counts calls by a decay of about an hour. Uncached reports are beside it.
pub(super) fn is_calm(figures: &Figures, workload: &Workload) {
    assert!(figures.busiest_second() < 5, "{}", figures.busiest_second());
    let (hour, keys) = (figures.busiest(HOUR), workload.campaigns.len() * 2);
    assert!(hour <= workload.per_day as usize * 3 / 10 + keys, "{hour} calls within an hour");
}

/// All but a twentieth of the calls are used by midnight, and none beyond them.
pub(super) fn day_is_used(figures: &Figures, workload: &Workload) {
    let (used, per_day) = (figures.calls_in(Duration::ZERO..24 * HOUR), workload.per_day as usize);
    assert!((per_day * 19 / 20..=per_day).contains(&used), "{used} calls of {per_day}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_down_for_two_hours_at_noon_gets_no_burst_when_it_is_back() {
    let workload = first_day();
    let mut day = PlayedDay::begin(workload.clone(), &[]).await;
    day.play_until(12 * HOUR).await;
    day.set_connection(Connection::Nowhere(Unreachable::Connect));
    day.play_until(14 * HOUR).await;
    day.set_connection(Connection::Vendor);
    let figures = day.play_to_end().await;
    is_calm(&figures, &workload);
    day_is_used(&figures, &workload);
    assert_eq!(figures.calls_in(12 * HOUR + MINUTE..14 * HOUR), 0);
    assert_eq!(figures.of_hours(0..24).refused, 0, "what is cached is served meanwhile");
    let back = figures.calls_in(14 * HOUR..14 * HOUR + 10 * MINUTE);
    let keys = workload.campaigns.len() * 2;
    assert!((10..=keys).contains(&back), "{back} calls in the first ten minutes, of {keys} reports");
}

#[tokio::test(start_paused = true)]
async fn at_midnight_with_every_report_due_the_calls_are_spread() {
    let workload = Dashboards { per_day: 400, ..dashboards() }.workload(2);
    // The reports that were fetched at the start are a day old then, and calls for them fail.
    let no_limit = ("CACHE__STALE_IF_ERROR", "240h");
    let mut day = PlayedDay::begin(workload.clone(), &[no_limit]).await;
    day.play_until(21 * HOUR).await;
    day.set_connection(Connection::Nowhere(Unreachable::Connect));
    day.play_until(24 * HOUR).await;
    day.set_connection(Connection::Vendor);
    day.play_until(27 * HOUR).await;
    let figures = day.figures();
    is_calm(&figures, &workload);
    assert_eq!(figures.of_hours(0..27).refused, 0, "what is cached is served meanwhile");
    let first = figures.calls_in(24 * HOUR..24 * HOUR + 10 * MINUTE);
    let keys = workload.campaigns.len() * 2;
    assert!((10..=keys).contains(&first), "{first} calls in the first ten minutes, of {keys} reports");
}

async fn restarted(workload: &Workload, kept: Kept) -> Figures {
    let mut day = PlayedDay::begin_with_state(workload.clone(), &[]).await;
    day.play_until(12 * HOUR).await;
    day.restart(kept).await;
    day.play_to_end().await
}

#[tokio::test(start_paused = true)]
async fn a_restart_costs_a_call_for_each_report_and_goes_on_with_what_is_stored() {
    let workload = first_day();
    let undisturbed = PlayedDay::begin(workload.clone(), &[]).await.play_to_end().await;
    let usual = undisturbed.of_hours(12..24).missed_per_answer();
    for (kept, most) in [(Kept::State, 1.5), (Kept::Nothing, 2.5)] {
        let figures = restarted(&workload, kept).await;
        is_calm(&figures, &workload);
        assert_eq!(figures.of_hours(0..24).refused, 0, "{kept:?}");
        let (first, keys) =
            (figures.calls_in(12 * HOUR..12 * HOUR + 10 * MINUTE), workload.campaigns.len() * 2);
        assert!(first <= keys + 20, "{kept:?}: {first} calls in the first ten minutes, of {keys} reports");
        let ratio = figures.of_hours(12..24).missed_per_answer() / usual;
        assert!(ratio < most, "{kept:?}: {ratio} times the clicks missed without a restart");
        let used = figures.calls_in(Duration::ZERO..24 * HOUR);
        assert!((600..=702).contains(&used), "{kept:?}: {used} calls of 700");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_another_program_are_learned_and_the_calls_then_last_all_day() {
    let mut workload = Dashboards { warm_days: 2, poll: 4 * MINUTE, ..dashboards() }.workload(1);
    workload.unseen = (0..3)
        .flat_map(|day| (0..280).map(move |call| (24 * day + 9) * HOUR + MINUTE * call * 8 * 60 / 280))
        .collect();
    let (figures, outcome) =
        (PlayedDay::begin(workload.clone(), &[]).await.play_to_end().await, replayed(&workload));
    is_calm(&figures, &workload);
    let calls = |from: u32, to: u32| figures.calls_in(from * HOUR..to * HOUR);
    let replayed =
        |from: u32, to: u32| outcome.made.iter().filter(|at| (from * HOUR..to * HOUR).contains(*at)).count();
    let days = [0, 24, 48].map(|from| calls(from, from + 24));
    let expected = [0, 24, 48].map(|from| replayed(from, from + 24));
    assert!(days.iter().zip(expected).all(|(calls, most)| *calls <= most + 10), "{days:?}, {expected:?}");
    // The first day ended early: the calls of the second do not begin with a burst.
    let (lockout, burst, usual) = (calls(18, 24), calls(24, 25), replayed(24, 25));
    assert!(lockout < 10, "{lockout} calls at the end of the first day");
    assert!(burst <= usual * 3 / 2 + 5, "{burst} calls in the hour after midnight, {usual} in the replay");
    assert!(days[2] > 380 && calls(70, 72) > 10, "{days:?}, {} in the last two hours", calls(70, 72));
    // The other program's calls are random to us: in one run of twenty one of ours meets the vendor's limit.
    let refused = figures.of_hours(48..72).refused;
    assert!(refused <= 3, "{refused} refused");
}

#[tokio::test(start_paused = true)]
async fn forms_that_do_not_add_up_cost_the_app_what_they_cost_the_replay() {
    let workload = Workload { more_in_all_links: 7, ..dashboards().workload(1) };
    let (figures, outcome) =
        (PlayedDay::begin(workload.clone(), &[]).await.play_to_end().await, replayed(&workload));
    is_calm(&figures, &workload);
    let ratio = figures.measured.missed_per_answer() / outcome.missed_per_answer();
    assert!((ratio - 1.0).abs() < 0.05, "{ratio} of the clicks that the replay misses");
    assert_eq!(figures.measured.refused, 0);
}

#[tokio::test(start_paused = true)]
async fn a_campaign_whose_clicks_fall_is_asked_for_no_more_often_and_shown_as_it_is() {
    let workload = first_day();
    let last = workload.polls.last().expect("a poll").campaign;
    let mut calls = [0, 0];
    for (calls, falls) in calls.iter_mut().zip([None, Some(500)]) {
        let day = PlayedDay::begin(workload.clone(), &[]).await;
        let (id, start) = (day.ids[last as usize], day.vendor.now());
        let nanos = workload.campaigns[last as usize].nanos();
        let times = nanos.iter().map(|nanos| start + Duration::from_nanos(nanos.unsigned_abs()));
        let mut script = ScriptedCampaign::new(start, times);
        script.falls = falls.map(|clicks| Fall { at: start + 12 * HOUR, clicks });
        day.vendor.play(id, script);
        let vendor = day.vendor.clone();
        let figures = day.play_to_end().await;
        is_calm(&figures, &workload);
        day_is_used(&figures, &workload);
        *calls = vendor.calls_for(id);
    }
    assert!(calls[1] <= calls[0] * 3 / 2 + 10, "{calls:?}");
}

pub(super) fn watching(
    campaign: u32,
    form: ReportForm,
    period: Duration,
    since: f64,
    until: f64,
) -> Watching {
    Watching { campaign, form, period, since, until, viewer: 0, hours: None }
}

#[tokio::test(start_paused = true)]
async fn a_dashboard_of_400_campaigns_opened_at_once_is_filled_in_minutes_and_leaves_calls_for_the_rest() {
    let mut population = Population::new(1, 0, 2_500);
    let (opened, until) = (15.0 * 3_600.0, population.end());
    for index in 0..400 {
        let campaign = population.campaign(f64::from(index) * -43_200.0, 800.0);
        let clicked = ReportForm::Clicked;
        if index < 20 {
            population.watch(&watching(campaign, ReportForm::AllLinks, 2 * MINUTE, 0.0, until));
        }
        population.watch(&watching(campaign, clicked, MINUTE / 2, opened, opened + 300.0));
        population.watch(&watching(campaign, clicked, 4 * MINUTE, opened + 300.0, until));
    }
    let workload = population.finish();
    let mut day = PlayedDay::begin(workload.clone(), &[]).await;
    day.play_until(15 * HOUR + 3 * MINUTE).await;
    let refused = day.figures().of_hours(0..24).refused;
    let figures = day.play_to_end().await;
    assert!(figures.busiest_second() < 5 && figures.most_in_a_day() <= 2_500);
    // Those that find a full queue: four a second are fetched.
    assert!(refused < 800, "{refused} refused while 400 reports were fetched");
    assert_eq!(figures.of_hours(0..24).refused, refused, "after three minutes all are cached");
    let (first_hour, last_hour) =
        (figures.calls_in(15 * HOUR..16 * HOUR), figures.calls_in(23 * HOUR..24 * HOUR));
    assert!(first_hour < 400 + 750, "{first_hour} calls in the first hour");
    assert!(last_hour > 25, "{last_hour} calls in the last hour");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_drafts_polled_all_day_do_not_starve_the_reports_of_those_that_were_sent() {
    let mut population = Population::new(1, 0, 5_000);
    let until = population.end();
    for index in 0..1_020_u32 {
        let (sent, period) =
            if index < 20 { (f64::from(index) * -43_200.0, 2 * MINUTE) } else { (until + 1.0, 10 * MINUTE) };
        let campaign = population.campaign(sent, 800.0);
        population.watch(&watching(campaign, ReportForm::Clicked, period, 0.0, until));
    }
    let workload = population.finish();
    let figures = PlayedDay::begin(workload.clone(), &[]).await.play_to_end().await;
    is_calm(&figures, &workload);
    day_is_used(&figures, &workload);
    assert_eq!(figures.of_hours(0..24).refused, 0);
    let outcome = replayed(&workload);
    let ratio = figures.measured.missed_per_answer() / outcome.missed_per_answer();
    assert!(ratio < 1.05, "{ratio} of the clicks that the replay misses");
}
