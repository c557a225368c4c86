//! The whole proxy under paused time does what the replay of the same workload does: as many calls, as many clicks missed.

use std::time::Duration;

use link_report_proxy::plan::{Dashboards, Derivation, PlanOptions, SquareRootLaw, Workload};

use crate::support::played_day::{Figures, PlayedDay, replayed_with};

/// The largest difference between the app and the replay.
const TOLERANCE: f64 = 0.03;
/// The same with derivation, which the app verifies with a call for each fiftieth report.
const WITH_DERIVATION: f64 = 0.05;

/// Dashboards that are small enough for a build with debug assertions, and poll enough to run short of calls.
pub(super) fn dashboards() -> Dashboards {
    Dashboards {
        campaigns: 30,
        often: 10,
        viewers: 2,
        poll: Duration::from_mins(2),
        per_day: 700,
        ..Dashboards::default()
    }
}

fn keeps_the_limits(figures: &Figures, workload: &Workload) {
    assert!(figures.most_in_a_day() <= workload.per_day as usize, "{}", figures.most_in_a_day());
    assert!(figures.busiest_second() < 5, "{}", figures.busiest_second());
}

/// Plays a day with the app and with the replay, with two seeds: the clicks missed and the calls made by the app, in
/// relation to the replay.
async fn app_and_replay(settings: &[(&str, &str)], derivation: Derivation) -> (f64, f64) {
    let (mut app, mut model, mut calls) = (0.0, 0.0, (0, 0));
    for seed in 1..=2 {
        let workload = dashboards().workload(seed);
        let outcome = replayed_with(&workload, PlanOptions { derivation, ..PlanOptions::default() });
        let measured = workload.measured_from..workload.end;
        let law = SquareRootLaw::of(&workload).expect("it is polled").missed_per_answer;
        let figures = PlayedDay::begin(workload.clone(), settings).await.play_to_end().await;
        keeps_the_limits(&figures, &workload);
        let made = figures.calls_in(measured);
        println!(
            "seed {seed}: {} answers, app {:.4} replay {:.4} law {law:.4}; calls {made} {}; refused {} {}; worst second {}",
            figures.measured.answered,
            figures.measured.missed_per_answer(),
            outcome.missed_per_answer(),
            outcome.calls,
            figures.measured.refused,
            outcome.refused,
            figures.busiest_second(),
        );
        assert_eq!((figures.measured.answered, figures.measured.refused), (outcome.answers, 0));
        app += figures.measured.missed_per_answer();
        model += outcome.missed_per_answer();
        calls = (calls.0 + made, calls.1 + outcome.calls);
    }
    (app / model, calls.0 as f64 / calls.1 as f64)
}

#[tokio::test(start_paused = true)]
async fn the_app_makes_the_calls_of_the_replay_and_misses_the_same_clicks() {
    let (missed, calls) = app_and_replay(&[], Derivation::Off).await;
    assert!((missed - 1.0).abs() < TOLERANCE, "{missed} of the clicks that the replay misses");
    assert!((calls - 1.0).abs() < TOLERANCE, "{calls} of the calls of the replay");
}

#[tokio::test(start_paused = true)]
async fn with_derivation_the_app_misses_the_clicks_that_the_replay_with_derivation_misses() {
    let on = [("CACHE__DERIVE_CLICKED", "on")];
    let (missed, calls) = app_and_replay(&on, Derivation::On).await;
    assert!((missed - 1.0).abs() < WITH_DERIVATION, "{missed} of the clicks that the replay misses");
    assert!((calls - 1.0).abs() < WITH_DERIVATION, "{calls} of the calls of the replay");
}

#[tokio::test(start_paused = true)]
async fn with_the_change_probe_the_app_misses_fewer_clicks_with_no_more_calls() {
    let workload = dashboards().workload(1);
    let begin = |mode| [("UPSTREAM__CHANGE_PROBE", mode)];
    let mut missed = Vec::new();
    for mode in ["off", "on"] {
        let figures = PlayedDay::begin(workload.clone(), &begin(mode)).await.play_to_end().await;
        keeps_the_limits(&figures, &workload);
        println!(
            "{mode}: {} answers, {:.4} missed, {} calls, {} refused",
            figures.measured.answered,
            figures.measured.missed_per_answer(),
            figures.calls_in(workload.measured_from..workload.end),
            figures.measured.refused,
        );
        missed.push(figures.measured.missed_per_answer());
    }
    assert!(missed[1] < missed[0], "{missed:?}");
}

#[tokio::test(start_paused = true)]
async fn derivation_and_the_change_probe_together_miss_fewer_clicks_than_derivation_alone() {
    let workload = dashboards().workload(1);
    let mut missed = Vec::new();
    for probe in ["off", "on"] {
        let settings = [("CACHE__DERIVE_CLICKED", "on"), ("UPSTREAM__CHANGE_PROBE", probe)];
        let figures = PlayedDay::begin(workload.clone(), &settings).await.play_to_end().await;
        keeps_the_limits(&figures, &workload);
        println!("derivation, probe {probe}: {:.4} missed", figures.measured.missed_per_answer());
        missed.push(figures.measured.missed_per_answer());
    }
    assert!(missed[1] < missed[0], "{missed:?}");
}
