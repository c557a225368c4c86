//! `demo` in a build without the feature: explains why the command is missing. Without it, clap would only say
//! "unrecognized subcommand".

use std::path::Path;

use super::options::DemoOptions;
use crate::commands::{CommandOutcome, Failure};

/// Fails with an explanation.
pub(in crate::commands) fn run(_config: Option<&Path>, options: &DemoOptions) -> CommandOutcome {
    let command = options.as_command();
    Err(Failure::Unavailable(format!(
        "demo: this binary was built without the cargo feature \"demo\", like the one in the container image: run \
         \"cargo run --release -- {command}\" in the source tree"
    )))
}
