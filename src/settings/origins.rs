//! Where each setting comes from, and variables that look like settings but are none.

use std::collections::BTreeMap;
use std::fmt;

use config::{Config, File, FileFormat, Value, ValueKind};
use secrecy::{ExposeSecret as _, SecretString};

use super::load::{PREFIX, SEPARATOR, SettingsSources};
use super::model::Settings;
use super::section::join;

/// The variable that names the settings file, for every command.
pub(crate) const CONFIG_VARIABLE: &str = "LINK_REPORT_PROXY_CONFIG";

/// What Kubernetes adds for a Service whose name begins like this program's.
const SERVICE_LINKS: [&str; 2] = ["_SERVICE_", "_PORT"];

/// Which source has the last word on a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// `config/default.toml`
    Default,
    /// The settings file.
    File,
    /// This environment variable.
    Variable(String),
}

/// A variable that begins like a setting and is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayVariable {
    name: String,
    /// The variable that was probably meant.
    meant: Option<String>,
}

// === impl SettingOrigin ===

impl SettingOrigin {
    /// As `GET /config` names it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Variable(name) => name,
        }
    }
}

// === impl StrayVariable ===

impl fmt::Display for StrayVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sets nothing and is ignored", self.name)?;
        match &self.meant {
            Some(meant) => write!(f, ": did you mean {meant}?"),
            None => write!(f, ": settings are written {PREFIX}{SEPARATOR}SECTION{SEPARATOR}KEY"),
        }
    }
}

// === impl SettingsSources ===

impl SettingsSources {
    /// Variables that begin with `LINK_REPORT_PROXY_` and are neither settings nor from Kubernetes.
    pub fn stray_variables(&self, settings: &Settings) -> Vec<StrayVariable> {
        let keys = settings.keys();
        let names = self.environment.iter().filter_map(|(name, _)| name.to_str());
        let mut stray: Vec<_> = names
            .filter(|name| *name != CONFIG_VARIABLE && !SERVICE_LINKS.iter().any(|link| name.contains(link)))
            .filter_map(|name| {
                let rest = name.strip_prefix(PREFIX)?.strip_prefix('_')?;
                // With two underscores it is a setting: an unknown one was refused.
                if rest.starts_with('_') {
                    return None;
                }
                let meant = keys.iter().find(|key| key.replace('.', "_").eq_ignore_ascii_case(rest));
                Some(StrayVariable { name: name.to_owned(), meant: meant.map(|key| variable(key)) })
            })
            .collect();
        stray.sort_by(|one, other| one.name.cmp(&other.name));
        stray
    }

    /// The origin of each key that is not a default. `text` is the file's.
    pub fn origins(&self, text: Option<&SecretString>) -> BTreeMap<String, SettingOrigin> {
        let mut origins = BTreeMap::new();
        let file = text.map(|text| File::from_str(text.expose_secret(), FileFormat::Toml));
        if let Some(Ok(file)) = file.map(|file| Config::builder().add_source(file).build()) {
            keys_of("", &file.cache, &mut |key| {
                origins.insert(key, SettingOrigin::File);
            });
        }
        for name in self.environment.iter().filter_map(|(name, _)| name.to_str()) {
            if let Some(key) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(SEPARATOR)) {
                let key = key.to_lowercase().replace(SEPARATOR, ".");
                origins.insert(key, SettingOrigin::Variable(name.to_owned()));
            }
        }
        origins
    }
}

// === impl Settings ===

impl Settings {
    /// Every key, like `cache.ttl`.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        if let Some(sections) = self.effective().as_object() {
            for (section, settings) in sections {
                let settings = settings.as_object().into_iter().flat_map(serde_json::Map::keys);
                keys.extend(settings.map(|key| join(section, key)));
            }
        }
        keys
    }
}

/// The variable that sets a key.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{SEPARATOR}{}", key.to_uppercase().replace('.', SEPARATOR))
}

fn keys_of(key: &str, value: &Value, found: &mut impl FnMut(String)) {
    match &value.kind {
        ValueKind::Table(table) => {
            table.iter().for_each(|(name, value)| keys_of(&join(key, name), value, found));
        }
        _ => found(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TOKEN: (&str, &str) = ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", "a");

    #[test]
    fn a_variable_with_one_underscore_is_named_with_the_one_that_was_meant() {
        let sources = SettingsSources::new(
            None,
            [
                TOKEN,
                ("LINK_REPORT_PROXY_CACHE_TTL", "5m"),
                ("LINK_REPORT_PROXY_CACHE__TTL", "5m"),
                ("LINK_REPORT_PROXY_CONFIG", "/nowhere"),
                ("LINK_REPORT_PROXY_SERVICE_HOST", "10.0.0.1"),
                ("LINK_REPORT_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"),
                ("LINK_REPORT_PROXY_PORT", "tcp://10.0.0.1:8080"),
                ("LINK_REPORT_PROXY_ADMIN_SERVICE_PORT_HTTP", "9090"),
                ("LINK_REPORT_PROXYING", "unrelated"),
            ],
        );
        let said: Vec<_> =
            sources.stray_variables(&sources.load().unwrap()).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "LINK_REPORT_PROXY_CACHE_TTL sets nothing and is ignored: did you mean LINK_REPORT_PROXY__CACHE__TTL?",
                "LINK_REPORT_PROXY_CACHE__TTL sets nothing and is ignored: settings are written LINK_REPORT_PROXY__SECTION__KEY",
            ]
        );
    }

    #[test]
    fn the_origin_of_a_key_is_the_source_that_has_the_last_word() {
        let variables = [TOKEN, ("LINK_REPORT_PROXY__CACHE__TTL", "9m")];
        let sources = SettingsSources::new(Some(Path::new("/unread")), variables);
        let text = "[cache]\nttl = '7m'\nempty_ttl = '7s'\n[cors]\nallowed_origins = ['https://a.example']"
            .to_owned()
            .into();
        let origins = sources.origins(Some(&text));
        let of = |key| origins.get(key).cloned().unwrap_or(SettingOrigin::Default);
        assert_eq!(of("cache.ttl"), SettingOrigin::Variable("LINK_REPORT_PROXY__CACHE__TTL".into()));
        assert_eq!(of("cache.empty_ttl"), SettingOrigin::File);
        assert_eq!(of("cors.allowed_origins"), SettingOrigin::File);
        assert_eq!(of("cache.negative_ttl"), SettingOrigin::Default);
    }

    #[test]
    fn healthcheck_s_setting_needs_no_token_and_no_other_setting() {
        let wrong =
            [("LINK_REPORT_PROXY__ADMIN__LISTEN", "127.0.0.1:7"), ("LINK_REPORT_PROXY__CACHE__TTL", "soon")];
        assert_eq!(SettingsSources::new(None, wrong).admin_listen().unwrap().port(), 7);
        let none: [(&str, &str); 0] = [];
        assert_eq!(SettingsSources::new(None, none).admin_listen().unwrap().port(), 9090);
        let error = SettingsSources::new(None, [("LINK_REPORT_PROXY__ADMIN__LISTEN", "here")]).admin_listen();
        assert!(error.unwrap_err().to_string().starts_with("admin.listen: \"here\""));
    }
}
