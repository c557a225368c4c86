//! Which settings a running proxy can take over, and which wait for a restart.

use super::check::check_reloaded;
use super::model::{Cache, Log, Quota, Settings};
use super::problem::{SettingProblems, SettingsError};
use super::section::Setting as _;

/// What becomes of new settings while the proxy runs.
#[derive(Debug)]
pub struct ReloadedSettings {
    /// Those in force from now on: of `cache.*`, `quota.*`, `clients.*`, `cors.*` and `log.level` the new values.
    pub settings: Settings,
    /// The keys that change now.
    pub changed: Vec<String>,
    /// The keys whose new values need a restart; the old ones stay in force.
    pub waiting: Vec<String>,
}

// === impl Settings ===

impl Settings {
    /// What becomes of `new` in a proxy that runs with these settings.
    ///
    /// # Errors
    /// If the new values contradict those that have to wait for a restart. Nothing may change then.
    pub fn reloaded(&self, new: &Self) -> Result<ReloadedSettings, SettingsError> {
        let settings = Self {
            clients: new.clients.clone(),
            cors: new.cors.clone(),
            // What decides on a refresh, and the verification of derived reports, are set up at the start.
            cache: Cache {
                refresh: self.cache.refresh,
                derive_clicked: self.cache.derive_clicked,
                ..new.cache.clone()
            },
            quota: Quota {
                // Only a process that starts assumes calls that nobody has counted; and without a limit there is no plan.
                per_day: match (self.quota.per_day, new.quota.per_day) {
                    (0, _) | (_, 0) => self.quota.per_day,
                    (_, per_day) => per_day,
                },
                ..new.quota.clone()
            },
            log: Log { level: new.log.level.clone(), format: self.log.format },
            ..self.clone()
        };
        let mut problems = SettingProblems::default();
        check_reloaded(&settings, &mut problems);
        let settings = problems.finish(Some(settings))?;
        Ok(ReloadedSettings { changed: self.changed(&settings), waiting: settings.changed(new), settings })
    }

    /// The keys that have another value in `new`.
    fn changed(&self, new: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        self.compare(new, "", &mut changed);
        changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn at<'a>(shown: &'a Json, key: &str) -> &'a Json {
        key.split('.').fold(shown, |shown, part| &shown[part])
    }

    fn settings(keys: &[(&str, &str)]) -> Settings {
        let token = ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN".to_owned(), "a".to_owned());
        let name = |key: &str| format!("LINK_REPORT_PROXY__{}", key.to_uppercase().replace('.', "__"));
        let keys = keys.iter().map(|(key, value)| (name(key), (*value).to_owned()));
        Settings::load(None, std::iter::once(token).chain(keys)).unwrap()
    }

    #[test]
    fn each_key_is_taken_over_or_waits_for_a_restart_and_never_both() {
        for (key, value, waits) in [
            ("cache.ttl", "7m", false),
            ("cache.stale_if_error", "48h", false),
            ("cache.max_bytes", "32MiB", false),
            ("cache.client_no_cache", "limited", false),
            ("cache.refresh", "fixed", true),
            ("cache.derive_clicked", "on", true),
            ("quota.per_day", "5000", false),
            ("quota.per_day", "0", true),
            ("quota.per_second", "0", false),
            ("quota.reserve", "0.5", false),
            ("clients.allow_anonymous", "true", false),
            ("cors.allowed_origins", "https://dash.example", false),
            ("log.level", "debug", false),
            ("log.format", "text", true),
            ("server.max_connections", "7", true),
            ("status.enabled", "true", true),
            ("token.access_token", "b", true),
        ] {
            let (running, new) = (settings(&[]), settings(&[(key, value)]));
            let ReloadedSettings { settings, changed, waiting } = running.reloaded(&new).unwrap();
            let (expected_changed, expected_waiting): (&[&str], &[&str]) =
                if waits { (&[], &[key]) } else { (&[key], &[]) };
            assert_eq!(changed, expected_changed, "{key}");
            assert_eq!(waiting, expected_waiting, "{key}");
            let (in_force, old, new) = (settings.effective(), running.effective(), new.effective());
            assert_eq!(at(&in_force, key), at(if waits { &old } else { &new }, key), "{key}");
        }
    }

    #[test]
    fn a_limit_of_the_day_that_was_off_waits_for_a_restart_since_nobody_has_assumed_calls() {
        let (running, new) = (settings(&[("quota.per_day", "0")]), settings(&[]));
        let reloaded = running.reloaded(&new).unwrap();
        assert_eq!(
            (reloaded.settings.quota.per_day, reloaded.waiting),
            (0, vec!["quota.per_day".to_owned()])
        );
    }

    #[test]
    fn new_values_that_contradict_those_that_wait_are_refused() {
        let open = [("server.listen", "0.0.0.0:8080"), ("clients.allow_anonymous", "true")];
        let refused = settings(&open).reloaded(&settings(&[])).unwrap_err().to_string();
        assert!(refused.starts_with("server.listen: is not loopback"), "{refused}");
    }
}
