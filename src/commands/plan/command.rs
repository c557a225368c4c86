//! Runs the `plan` subcommand: builds the workload, replays it, and prints the result.

use std::io::Write as _;

use super::{
    PlanArguments,
    comparison::compare,
    day::PlannedDay,
    options::OutputFormat,
    plot::day_plot,
    progress::ProgressBar,
    table::{as_json, as_table},
};
use crate::commands::{CommandOutcome, Failure};

/// Reads no settings file, and contacts a running proxy only with `--from`.
pub(in crate::commands) fn run(arguments: PlanArguments) -> CommandOutcome {
    let options = arguments.parse()?;
    let day = PlannedDay::of(&options)?;
    let comparison = compare(&day.workload, &day.settings, options.replicas, &mut ProgressBar::at_terminal());
    if let Some(path) = &options.svg {
        let written = std::fs::write(path, day_plot(&comparison));
        written.map_err(|error| Failure::Settings(format!("--svg: {}: {error}", path.display())))?;
    }
    let text = match options.output {
        OutputFormat::Table => as_table(&comparison),
        OutputFormat::Json => {
            let json = serde_json::to_string_pretty(&as_json(&comparison));
            json.map_err(|error| Failure::Bug(error.into()))? + "\n"
        }
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::Bug(error.into()))
}
