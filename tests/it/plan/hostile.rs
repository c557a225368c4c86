//! Stress tests of planned refresh on difficult days: no burst of calls, no starvation of reports, and no budget left
//! unused while reports are stale.

use std::time::Duration;

use link_report_proxy::{
    plan::{
        Dashboards, Derivation, Outcome, PlanOptions, Planned, Population, RefreshTiming, Scenario,
        SquareRootLaw, Waiting, Watching, Workload, replay,
    },
    refresh::ReportForm,
};

fn run(workload: &Workload, timing: RefreshTiming) -> Outcome {
    let options = PlanOptions { timing, ..PlanOptions::default() };
    let outcome = replay(workload, &mut Planned::new(workload, options), Waiting::Seldom, |_| {});
    assert!(
        outcome.calls_by_day.iter().all(|calls| *calls <= workload.per_day),
        "never a call over the budget: {:?}",
        outcome.calls_by_day
    );
    assert!(most_in_a_second(&outcome) < 5);
    outcome
}

fn most_in_a_second(outcome: &Outcome) -> usize {
    let within = |start: usize| {
        let end = outcome.made[start] + Duration::from_secs(1);
        outcome.made[start..].iter().take_while(|at| **at < end).count()
    };
    (0..outcome.made.len()).map(within).max().unwrap_or(0)
}

fn law(workload: &Workload) -> f64 {
    SquareRootLaw::of(workload).expect("it is polled").missed_per_answer
}

/// Dashboards that are small enough for a test, and poll enough to run short of calls.
fn dashboards() -> Dashboards {
    Dashboards { campaigns: 30, often: 10, per_day: 2_500, ..Dashboards::default() }
}

#[test]
fn the_plan_comes_near_the_law_with_a_tenth_and_with_25_times_the_calls() {
    for (per_day, bound) in [(250, 1.25), (1_000, 1.15), (2_500, 1.1), (62_500, 3.5)] {
        let workload = Dashboards { per_day, ..dashboards() }.workload(1);
        for timing in [RefreshTiming::Behind, RefreshTiming::AheadOfPolls] {
            let ratio = run(&workload, timing).missed_per_answer() / law(&workload);
            assert!(ratio < bound, "{per_day} calls, {timing:?}: {ratio} times the law");
        }
    }
}

#[test]
fn a_refresh_before_the_next_poll_misses_less_and_costs_no_more() {
    for scenario in [Scenario::Small, Scenario::Sessions] {
        let workload = scenario.workload(1);
        let [behind, ahead] =
            [RefreshTiming::Behind, RefreshTiming::AheadOfPolls].map(|timing| run(&workload, timing));
        let ratio = ahead.missed_per_answer() / behind.missed_per_answer();
        assert!(ratio < 0.9, "{}: {ratio}", scenario.as_str());
    }
}

#[test]
fn forms_that_do_not_add_up_are_found_and_cost_a_multiple_of_calls_but_no_more() {
    let paired = dashboards().workload(1);
    for more_in_all_links in [1, 7] {
        let workload = Workload { more_in_all_links, ..paired.clone() };
        let mut planned = Planned::new(&workload, PlanOptions::default());
        let outcome = replay(&workload, &mut planned, Waiting::Seldom, |_| {});
        let ratio = outcome.missed_per_answer() / law(&workload);
        assert!(ratio < 1.35, "{more_in_all_links} more: {ratio} times the law");
        assert!(planned.separated > 25, "{} of 34", planned.separated);
    }
}

#[test]
fn a_thousand_drafts_polled_all_day_do_not_starve_other_reports() {
    let mut population = Population::new(1, 1, 10_000);
    let until = population.end();
    for index in 0..1_020 {
        let sent = if index < 20 { f64::from(index) * -43_200.0 } else { until + 1.0 };
        let campaign = population.campaign(sent, 800.0);
        let (form, period, since) = (ReportForm::Clicked, Duration::from_mins(1), 0.0);
        population.watch(&Watching { campaign, form, period, since, until, viewer: 0, hours: None });
    }
    let workload = population.finish();
    let outcome = run(&workload, RefreshTiming::Behind);
    assert!(outcome.refused == 0 && outcome.calls > 5_000, "{} {}", outcome.refused, outcome.calls);
    let sent_only = outcome.missed_per_answer() * 1_020.0 / 20.0;
    assert!(sent_only < 0.4, "a report that was sent misses {sent_only}");
}

#[test]
fn the_first_polls_of_a_morning_wait_for_one_refresh_together() {
    let mut population = Population::new(1, 0, 10_000);
    let campaign = population.campaign(0.0, 3_000.0);
    for (form, hours) in
        [(ReportForm::Clicked, 1.0), (ReportForm::Clicked, 14.0), (ReportForm::AllLinks, 14.000_005)]
    {
        population.poll(campaign, form, 0, hours * 3_600.0);
    }
    let workload = population.finish();
    let options = PlanOptions { derivation: Derivation::On, ..PlanOptions::default() };
    let outcome = replay(&workload, &mut Planned::new(&workload, options), Waiting::Seldom, |_| {});
    assert_eq!((outcome.answers, outcome.calls, outcome.waited, outcome.worst()), (3, 2, 3, 0));
}

#[test]
fn a_flood_of_polls_on_one_report_takes_no_more_than_its_share() {
    let mut population = Population::new(1, 1, 2_500);
    let until = population.end();
    for index in 0..30 {
        let campaign = population.campaign(f64::from(index) * -43_200.0, 800.0);
        for form in ReportForm::BOTH {
            let (period, since) = (Duration::from_secs(30), 0.0);
            population.watch(&Watching { campaign, form, period, since, until, viewer: 0, hours: None });
        }
    }
    let (form, period) = (ReportForm::Clicked, Duration::from_millis(50));
    let (since, until) = (until - 36_000.0, until - 28_800.0);
    population.watch(&Watching { campaign: 3, form, period, since, until, viewer: 1, hours: None });
    let workload = population.finish();
    let outcome = run(&workload, RefreshTiming::AheadOfPolls);
    let before_flood = outcome.timeline.iter().find(|row| row.until.as_secs_f64() >= since).expect("a row");
    let after_flood = outcome.timeline.iter().find(|row| row.until.as_secs_f64() >= until).expect("a row");
    let spent = after_flood.used - before_flood.used;
    assert!(spent < 500, "two hours of flood took {spent} of 2,500 calls");
}

#[test]
fn at_midnight_the_price_moves_without_a_burst() {
    let workload = dashboards().workload(2);
    let outcome = run(&workload, RefreshTiming::Behind);
    let around = |from: u64, to: u64| {
        let span = Duration::from_secs(from)..Duration::from_secs(to);
        outcome.made.iter().filter(|at| span.contains(*at)).count()
    };
    let (before, after) = (around(84_600, 86_400), around(86_400, 88_200));
    assert!(after < 2 * before.max(20), "{before} calls in the half hour before midnight, {after} after");
}

#[test]
fn calls_of_another_program_are_learned_in_two_days() {
    let mut workload = Dashboards { warm_days: 3, ..dashboards() }.workload(1);
    workload.unseen = (0..4_000)
        .map(|call| Duration::from_secs(86_400 * (call / 1_000) + 32_400 + call % 1_000 * 28))
        .collect();
    let outcome = run(&workload, RefreshTiming::Behind);
    let last = outcome.timeline.iter().rev().find(|row| row.answers > 0).expect("a row");
    assert!(last.until > workload.end - Duration::from_mins(10) && last.used > 1_200, "{last:?}");
    assert_eq!(outcome.refused, 0);
    assert!(outcome.missed_per_answer() / law(&workload) < 2.5);
}
