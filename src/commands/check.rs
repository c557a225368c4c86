//! `check`: validates the settings as `serve` would, and prints the effective ones.

use std::{io::Write, path::Path};

use super::{CommandOutcome, Failure, serve};
use crate::{app::Environment, settings::Settings, state::StateStores};

/// Builds the app as `serve` would, without opening a port or making a call, and prints the effective settings. Does not
/// open `state.dir`: a running proxy may have locked it, and tokens left there by `login` are for `serve`.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let settings = Settings::load(config, std::env::vars_os())?;
    serve::block_on(&settings, async {
        let (stores, shared) = (StateStores::in_memory(), serve::shared_backend(&settings)?);
        serve::build(&settings, stores, shared, Environment::default()).await.map(drop)
    })?;
    let effective =
        serde_json::to_string_pretty(&settings.effective()).map_err(|error| Failure::Bug(error.into()))?;
    writeln!(std::io::stdout(), "{effective}").map_err(|error| Failure::Bug(error.into()))
}
