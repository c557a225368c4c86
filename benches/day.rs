//! The whole proxy in simulated time on the days of the refresh plan: what its answers miss, beside what the replay of
//! the same day misses and the square-root law.

#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
#[path = "../tests/it/support/pipe.rs"]
mod pipe;
#[path = "../tests/it/support/played.rs"]
mod played;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/support/played_day.rs"]
mod played_day;

use link_report_proxy::plan::{Scenario, SquareRootLaw, Workload, read_trace};
use played_day::{Figures, PlayedDay, replayed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEAD: &str = "day               answers   law     replay          app             app/replay  calls, replay  \
                    worst second  refused";

/// Each argument is a scenario's name, a seed, or the path of a trace; without any: all scenarios, seed 1.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let seed = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let is_meant = |name: &str| arguments.iter().any(|argument| argument == name);
    let traces: Vec<_> = arguments.iter().filter(|argument| argument.ends_with(".trace")).collect();
    let all = traces.is_empty() && Scenario::ALL.iter().all(|scenario| !is_meant(scenario.as_str()));
    println!("{HEAD}");
    for scenario in Scenario::ALL.into_iter().filter(|scenario| all || is_meant(scenario.as_str())) {
        println!("{}", row(scenario.as_str(), scenario.workload(seed)));
    }
    for trace in traces {
        let text = std::fs::read_to_string(trace).expect("a trace");
        println!("{}", row(trace, read_trace(&text).expect("a trace")));
    }
}

fn row(name: &str, workload: Workload) -> String {
    let law = SquareRootLaw::of(&workload).map_or(f64::NAN, |law| law.missed_per_answer);
    let outcome = replayed(&workload);
    let (day, replayed) = (workload.measured_from..workload.end, outcome.missed_per_answer());
    let figures: Figures = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(async { PlayedDay::begin(workload, &[]).await.play_to_end().await });
    let missed = figures.measured.missed_per_answer();
    format!(
        "{name:<16} {:>8}  {law:.4}  {replayed:.4} (x{:.2})  {missed:.4} (x{:.2})  {:>8.3}  {:>7} {:>7}  {:>12}  {:>7}",
        figures.measured.answered,
        replayed / law,
        missed / law,
        missed / replayed,
        figures.calls_in(day),
        outcome.calls,
        figures.busiest_second(),
        figures.measured.refused,
    )
}
