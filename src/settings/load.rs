//! From the three layers to [`Settings`].

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;

use super::check::check;
use super::model::Settings;
use super::problem::{SettingProblems, SettingsError};
use super::section::Setting;

pub(crate) const DEFAULTS: &str = include_str!("../../config/default.toml");
/// Two underscores follow it: Kubernetes sets names like `LINK_REPORT_PROXY_PORT` for a Service of that name.
pub(super) const PREFIX: &str = "LINK_REPORT_PROXY";
pub(super) const SEPARATOR: &str = "__";

/// Where settings are read from, also again while the proxy runs. Not printable: it holds secrets.
#[derive(Clone)]
pub struct SettingsSources {
    /// TOML over the compiled-in defaults.
    defaults: String,
    file: Option<PathBuf>,
    pub(super) environment: Vec<(OsString, OsString)>,
}

// === impl SettingsSources ===

impl SettingsSources {
    /// The compiled-in defaults, then `file`, then those variables of `environment` whose names begin with
    /// `LINK_REPORT_PROXY__`; later ones win. `std::env::vars_os()` is the environment.
    pub fn new<K, V>(file: Option<&Path>, environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { defaults: String::new(), file: file.map(Into::into), environment: environment.collect() }
    }

    /// The settings file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Unknown keys, bad values, impossible combinations and secret files that cannot be read: one line each.
    pub fn load(&self) -> Result<Settings, SettingsError> {
        self.parse(self.read()?.as_ref())
    }

    /// The text of the file, if there is one. It may hold secrets.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> Result<Option<SecretString>, SettingsError> {
        let Some(path) = &self.file else { return Ok(None) };
        let mut problems = SettingProblems::default();
        let text = fs::read_to_string(path).map_err(|error| {
            problems.add("--config", format!("{} cannot be read: {error}", path.display()));
        });
        problems.finish(text.ok()).map(|text| Some(text.into()))
    }

    /// `admin.listen`, the only setting that `healthcheck` needs; the others are not checked.
    ///
    /// # Errors
    /// As [`SettingsSources::load`].
    pub fn admin_listen(&self) -> Result<SocketAddr, SettingsError> {
        let (environment, mut problems) = our_variables(self.environment.iter().cloned());
        let merged = self.merge(self.read()?.as_ref(), environment, &mut problems);
        let merged = problems.finish(merged)?;
        let value = |value: Value, key| match value.kind {
            ValueKind::Table(mut table) => table.remove(key),
            _ => None,
        };
        let listen = value(merged, "admin").and_then(|admin| value(admin, "listen"));
        let listen = Setting::read(listen, "admin.listen", &mut problems);
        problems.finish(listen)
    }

    /// Checks all settings, with this text in place of the file's.
    ///
    /// # Errors
    /// As [`SettingsSources::load`].
    pub fn parse(&self, text: Option<&SecretString>) -> Result<Settings, SettingsError> {
        let (environment, mut problems) = our_variables(self.environment.iter().cloned());
        let merged = self.merge(text, environment, &mut problems);
        let merged = problems.finish(merged)?;
        let settings = Settings::read(Some(merged), "", &mut problems);
        let settings = problems.finish(settings)?;
        check(&settings, &mut problems);
        problems.finish(Some(settings))
    }

    fn merge(
        &self,
        file: Option<&SecretString>,
        environment: HashMap<String, String>,
        problems: &mut SettingProblems,
    ) -> Option<Value> {
        let mut layers = Config::builder();
        for defaults in [DEFAULTS, &self.defaults] {
            layers = layers.add_source(File::from_str(defaults, FileFormat::Toml));
        }
        if let Some(text) = file {
            layers = layers.add_source(File::from_str(text.expose_secret(), FileFormat::Toml));
        }
        // No `try_parsing`: a token of `0123` or `1e5` would be guessed into a number.
        let environment = Environment::with_prefix(PREFIX).separator(SEPARATOR).source(Some(environment));
        match layers.add_source(environment).build() {
            Ok(config) => Some(config.cache),
            // Only the file's syntax can be wrong: the defaults are compiled in, and variables have no syntax.
            Err(error) => {
                let file = self.file.as_deref().unwrap_or(Path::new("the file")).display();
                problems.add("--config", format!("{file}: {}", syntax(&error)));
                None
            }
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Reads settings from [`SettingsSources`].
    ///
    /// # Errors
    /// As [`SettingsSources::load`].
    pub fn load<K, V>(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, SettingsError>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        SettingsSources::new(file, environment).load()
    }

    /// The same, with `defaults` (TOML) over the compiled-in defaults.
    ///
    /// # Errors
    /// As [`SettingsSources::load`].
    pub fn load_with<K, V>(
        defaults: &str,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, SettingsError>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        SettingsSources { defaults: defaults.to_owned(), ..SettingsSources::new(file, environment) }.load()
    }

    /// The effective settings by key, as an operator would write them; secrets are `"[redacted]"`, unset keys `null`.
    pub fn effective(&self) -> Json {
        self.show()
    }
}

/// The variables with our prefix, and which key each of them sets.
fn our_variables<K: Into<OsString>, V: Into<OsString>>(
    environment: impl IntoIterator<Item = (K, V)>,
) -> (HashMap<String, String>, SettingProblems) {
    let mut values = HashMap::new();
    let mut names = BTreeMap::<_, String>::new();
    let (mut not_text, mut twice) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        // A name that is not UTF-8 cannot have our prefix and name a key.
        let Ok(name) = name.into().into_string() else { continue };
        let Some(key) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(SEPARATOR)) else {
            continue;
        };
        let key = key.to_lowercase().replace(SEPARATOR, ".");
        if let Some(other) = names.insert(key.clone(), name.clone()).filter(|other| *other != name) {
            twice.push((key.clone(), [other, name.clone()]));
        }
        match value.into().into_string() {
            Ok(value) => {
                values.insert(name, value);
            }
            Err(_) => not_text.push(key),
        }
    }
    let mut problems = SettingProblems::new(names);
    for key in not_text {
        problems.add(&key, "is not UTF-8");
    }
    // Names count in any case, and the environment has no order: which of the two won would change from start to start.
    for (key, mut names) in twice {
        names.sort_unstable();
        let [one, other] = names;
        problems.add_plain(&key, format!("is set by {one} and by {other}: remove one of them"));
    }
    (values, problems)
}

/// The position and the reason; the lines between them quote the file, and perhaps a secret with it.
fn syntax(error: &ConfigError) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let place = lines.next().unwrap_or("the file is not valid TOML");
    match lines.next_back() {
        Some(reason) => format!("{place}: {reason}"),
        None => place.to_owned(),
    }
}
