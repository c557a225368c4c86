//! The whole proxy in simulated time on the days of the refresh plan: what its answers miss, beside what the replay of
//! the same day misses and the square-root law.

#[path = "support/exported.rs"]
mod exported;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../tests/it/support/pipe.rs"]
mod pipe;
#[path = "../tests/it/support/played.rs"]
mod played;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/support/played_day.rs"]
mod played_day;
#[path = "../tests/it/support/state_lock.rs"]
mod state_lock;

use std::path::Path;

use exported::ExportedDay;
use link_report_proxy::plan::{PlanOptions, Probing, Scenario, SquareRootLaw, Workload, read_trace};
use played_day::{Figures, PlayedDay, replayed_with};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEAD: &str = "day               answers   law     replay          app             app/replay  calls, replay  \
                    worst second  refused";

/// Each argument is a scenario's name, a seed, the path of a trace or of a folder with an exported day (then its answers
/// and calls are written there), or a setting such as `UPSTREAM__CHANGE_PROBE=on`; without a day: all scenarios, seed 1.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let seed = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let settings: Vec<_> = arguments.iter().filter_map(|argument| argument.split_once('=')).collect();
    let is_meant = |name: &str| arguments.iter().any(|argument| argument == name);
    let traces: Vec<_> = arguments.iter().filter(|argument| argument.ends_with(".trace")).collect();
    let folders: Vec<_> = arguments.iter().map(Path::new).filter(|path| path.is_dir()).collect();
    let is_named = Scenario::ALL.iter().any(|scenario| is_meant(scenario.as_str()));
    let all = traces.is_empty() && folders.is_empty() && !is_named;
    println!("{HEAD}");
    for scenario in Scenario::ALL.into_iter().filter(|scenario| all || is_meant(scenario.as_str())) {
        let workload = scenario.workload(seed);
        println!("{}", row(scenario.as_str(), &workload, &settings));
    }
    for trace in traces {
        let text = std::fs::read_to_string(trace).expect("a trace");
        let workload = read_trace(&text).expect("a trace");
        println!("{}", row(trace, &workload, &settings));
    }
    for folder in folders {
        let day = ExportedDay::read(folder);
        let (row, figures) = compared(&folder.display().to_string(), &day.workload, &settings);
        day.write(&figures);
        println!("{row}");
    }
}

fn played(workload: &Workload, settings: &[(&str, &str)]) -> Figures {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(async { PlayedDay::begin(workload.clone(), settings).await.play_to_end().await })
}

fn row(name: &str, workload: &Workload, settings: &[(&str, &str)]) -> String {
    compared(name, workload, settings).0
}

fn compared(name: &str, workload: &Workload, settings: &[(&str, &str)]) -> (String, Figures) {
    let figures = played(workload, settings);
    // Other settings are not in the replay.
    let probing =
        if settings.contains(&("UPSTREAM__CHANGE_PROBE", "on")) { Probing::Always } else { Probing::Off };
    let law = SquareRootLaw::of(workload).map_or(f64::NAN, |law| law.missed_per_answer);
    let outcome = replayed_with(workload, PlanOptions { probing, ..PlanOptions::default() });
    let (day, replayed) = (workload.measured_from..workload.end, outcome.missed_per_answer());
    let missed = figures.measured.missed_per_answer();
    let row = format!(
        "{name:<16} {:>8}  {law:.4}  {replayed:.4} (x{:.2})  {missed:.4} (x{:.2})  {:>8.3}  {:>7} {:>7}  {:>12}  {:>7}",
        figures.measured.answered,
        replayed / law,
        missed / law,
        missed / replayed,
        figures.calls_in(day),
        outcome.calls,
        figures.busiest_second(),
        figures.measured.refused,
    );
    (row, figures)
}
