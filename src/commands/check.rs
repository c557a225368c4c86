//! `check`: would `serve` start with these settings, and which are they?

use std::{io::Write, path::Path};

use super::{CommandOutcome, Failure, serve};
use crate::{app::Environment, settings::Settings, state::StateStores};

/// Builds what `serve` would build, without opening a port or making a call, and prints the effective settings. Leaves
/// the state alone, and what a login left there: a running proxy may hold it, or the next one will.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let settings = Settings::load(config, std::env::vars_os())?;
    serve::block_on(&settings, async {
        serve::build(&settings, StateStores::in_memory(), Environment::default()).await.map(drop)
    })?;
    let effective =
        serde_json::to_string_pretty(&settings.effective()).map_err(|error| Failure::Bug(error.into()))?;
    writeln!(std::io::stdout(), "{effective}").map_err(|error| Failure::Bug(error.into()))
}
