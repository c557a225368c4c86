//! Comparison with the Python model of planned refresh: on the same recorded days, the Rust code must give the model's
//! results within 1 %. They are in the `#=` lines of each trace. The model counts time in floating-point seconds, the
//! Rust code in nanoseconds; both make the same calls unless the last bit of a float decides.

use std::{fs, path::Path, time::Duration};

use link_report_proxy::plan::{
    AnswerExchange, Derivation, Outcome, PlanOptions, Planned, Probing, RefreshTiming, Waiting, Workload,
    read_trace, replay,
};

/// Largest relative difference from the model.
const TOLERANCE: f64 = 0.01;

/// The model's result for a day: the policy, clicks missed per response, and calls.
struct Recorded {
    policy: String,
    missed_per_answer: f64,
    calls: f64,
}

fn days() -> Vec<(String, Workload, Vec<Recorded>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/plan/traces");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "trace"));
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let recorded = text.lines().filter_map(|line| line.strip_prefix("#= ")).map(recorded).collect();
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (name, read_trace(&text).unwrap(), recorded)
        })
        .collect()
}

fn recorded(line: &str) -> Recorded {
    let words: Vec<_> = line.split(' ').collect();
    Recorded {
        policy: words[0].to_owned(),
        missed_per_answer: words[1].parse().unwrap(),
        calls: words[2].parse().unwrap(),
    }
}

fn run(workload: &Workload, policy: &str) -> Outcome {
    // The model knows no prediction of polls.
    let usual = PlanOptions { timing: RefreshTiming::Behind, ..PlanOptions::default() };
    let options = match policy {
        "owed" => usual,
        "owed-derive" => PlanOptions { derivation: Derivation::On, ..usual },
        "owed-probe" => PlanOptions { probing: Probing::Always, ..usual },
        "owed-probe-derive" => PlanOptions { derivation: Derivation::On, probing: Probing::Always, ..usual },
        "owed-3" => {
            let exchange = Some(AnswerExchange { replicas: 3, interval: Duration::from_secs(10) });
            PlanOptions { exchange, ..usual }
        }
        other => panic!("the model knows no {other}"),
    };
    replay(workload, &mut Planned::new(workload, options), Waiting::Seldom, |_| {})
}

#[test]
fn the_simulator_gives_the_results_of_the_model() {
    let mut faults = Vec::new();
    let mut compared = 0;
    for (day, workload, recorded) in days() {
        for Recorded { policy, missed_per_answer, calls } in recorded {
            let outcome = run(&workload, &policy);
            let missed = outcome.missed_per_answer() / missed_per_answer;
            println!(
                "{day} {policy}: {:.6} / {missed_per_answer:.6} = {missed:.4}; calls {} / {calls}",
                outcome.missed_per_answer(),
                outcome.calls
            );
            if (missed - 1.0).abs() > TOLERANCE || (outcome.calls as f64 / calls - 1.0).abs() > TOLERANCE {
                faults.push(format!("{day} {policy}: {missed:.3} of what the model misses"));
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 45);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_day_has_more_calls_than_its_budget() {
    for (day, workload, _) in days() {
        for policy in ["owed", "owed-probe-derive"] {
            let outcome = run(&workload, policy);
            assert!(
                outcome.calls_by_day.iter().all(|calls| *calls <= workload.per_day),
                "{day} {policy}: {:?}",
                outcome.calls_by_day
            );
        }
    }
}

/// `cache_clicks_missed_total` takes clicks as spread evenly between two looks, and the polls by what slices of five
/// minutes show. Those that come after the last look are not in it, which matters where few are missed at all. Of a day of
/// campaigns that are sent again it counts four fifths.
#[test]
fn the_clicks_missed_as_the_metric_counts_them_are_about_those_that_viewers_missed() {
    for (day, workload, _) in days() {
        let mut planned = Planned::new(&workload, PlanOptions::default());
        let outcome = replay(&workload, &mut planned, Waiting::Seldom, |_| {});
        let missed = outcome.timeline.iter().map(|interval| interval.missed).sum::<u64>() as f64;
        let counted = planned.estimated_missed;
        println!("{day}: {counted:.0} of {missed}");
        assert!((counted - missed).abs() < 0.25 * missed + 100.0, "{day}: {counted}, not {missed}");
    }
}
