//! `check`: validates the settings as `serve` would, and prints the effective ones.

use std::{
    collections::BTreeMap,
    io::{Write, stderr},
    path::Path,
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    CommandOutcome, Failure,
    output::print,
    probe::{self, ProbeCost},
    serve,
};
use crate::{
    app::Environment,
    settings::{SettingOrigin, SettingsSources, variable},
    state::StateStores,
};

/// What `check` prints.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct CheckOptions {
    /// How to print the effective settings
    #[arg(long, value_enum, default_value_t = PrintedFormat::Toml)]
    format: PrintedFormat,
    /// Print where each setting comes from, too
    #[arg(long)]
    show_origin: bool,
    /// Try what the settings name, and print a line about each instead of the settings: ports, state.dir, the API and its
    /// clock, the token endpoint, the shared store. Uses no refresh token
    #[arg(
        long,
        value_enum,
        value_name = "COST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "free",
        conflicts_with_all = ["format", "show_origin"]
    )]
    probe: Option<ProbeCost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrintedFormat {
    /// As a settings file
    Toml,
    /// As one object
    Json,
    /// As environment variables
    Env,
}

/// The effective settings, and where they come from if that is to be printed.
struct Printed<'a> {
    settings: Value,
    file: Option<&'a Path>,
    origins: Option<BTreeMap<String, SettingOrigin>>,
}

/// Builds the app as `serve` would, without opening a port or making a call, and prints the effective settings, or what
/// `--probe` finds. The app does not open `state.dir`: a running proxy may have locked it, and tokens left there by `login`
/// are for `serve`.
pub(super) fn run(
    config: Option<&Path>,
    CheckOptions { format, show_origin, probe }: CheckOptions,
) -> CommandOutcome {
    let sources = SettingsSources::new(config, std::env::vars_os());
    let text = sources.read()?;
    let settings = sources.parse(text.as_ref())?;
    for stray in sources.stray_variables(&settings) {
        // If standard error is closed, nobody can be warned.
        let _written = writeln!(stderr(), "warning: {stray}");
    }
    serve::block_on(&settings, async {
        let (stores, shared) = (StateStores::in_memory(), serve::shared_backend(&settings)?);
        let app = serve::build(&settings, stores, shared, Environment::default()).await?;
        match probe {
            Some(cost) => probe::run(&settings, cost, app.admin.tokens.snapshot().status).await,
            None => Ok(()),
        }
    })?;
    if probe.is_some() {
        return Ok(());
    }
    let origins = show_origin.then(|| sources.origins(text.as_ref()));
    let printed = Printed { settings: settings.effective(), file: sources.file(), origins };
    print(&match format {
        PrintedFormat::Toml => printed.toml(),
        PrintedFormat::Json => printed.json()?,
        PrintedFormat::Env => printed.env(),
    })
}

// === impl Printed ===

impl Printed<'_> {
    fn toml(&self) -> String {
        let mut text = String::new();
        for (section, settings) in self.settings.as_object().into_iter().flatten() {
            text.push_str(&format!("{}[{section}]\n", if text.is_empty() { "" } else { "\n" }));
            for (key, value) in settings.as_object().into_iter().flatten() {
                let origin = self.origin(&format!("{section}.{key}"), "  # ");
                // JSON's strings, numbers and lists of strings are TOML's.
                match value {
                    Value::Null => text.push_str(&format!("# {key} is not set\n")),
                    value => text.push_str(&format!("{key} = {value}{origin}\n")),
                }
            }
        }
        text
    }

    fn json(&self) -> Result<String, Failure> {
        let mut shown = self.settings.clone();
        if self.origins.is_some() {
            for (section, settings) in shown.as_object_mut().into_iter().flatten() {
                for (key, value) in settings.as_object_mut().into_iter().flatten() {
                    let origin = self.origin(&format!("{section}.{key}"), "");
                    *value = json!({ "value": value.take(), "origin": origin });
                }
            }
        }
        let text = serde_json::to_string_pretty(&shown).map_err(|error| Failure::Bug(error.into()))?;
        Ok(text + "\n")
    }

    fn env(&self) -> String {
        let mut text = String::new();
        for (section, settings) in self.settings.as_object().into_iter().flatten() {
            for (key, value) in settings.as_object().into_iter().flatten() {
                let key = format!("{section}.{key}");
                let value = match value {
                    Value::Null => continue,
                    Value::String(value) => value.clone(),
                    Value::Array(values) => {
                        values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
                    }
                    value => value.to_string(),
                };
                // A list that is empty cannot be set by a variable.
                if !value.is_empty() {
                    let quoted = value.replace('\'', r"'\''");
                    let origin = self.origin(&key, "  # ");
                    text.push_str(&format!("{}='{quoted}'{origin}\n", variable(&key)));
                }
            }
        }
        text
    }

    /// Where a key's value comes from, after `lead`; nothing if that is not to be printed.
    fn origin(&self, key: &str, lead: &str) -> String {
        match self.origins.as_ref().map(|origins| origins.get(key)) {
            None => String::new(),
            Some(None | Some(SettingOrigin::Default)) => format!("{lead}default"),
            Some(Some(SettingOrigin::File)) => {
                format!("{lead}{}", self.file.unwrap_or(Path::new("--config")).display())
            }
            Some(Some(SettingOrigin::Variable(name))) => format!("{lead}{name}"),
        }
    }
}
