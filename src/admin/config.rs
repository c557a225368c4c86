//! `GET /config`: the settings in force, and what became of the last reload.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};

use super::reply::rfc3339;
use crate::settings::SettingOrigin;

/// The settings in force with secrets redacted, and the last reload.
#[derive(Debug)]
pub struct ShownConfig(Mutex<ConfigState>);

#[derive(Debug)]
struct ConfigState {
    settings: Value,
    /// Of the keys that are not defaults; `None`: not known.
    origins: Option<BTreeMap<String, SettingOrigin>>,
    loaded_at: SystemTime,
    /// Why newer settings are refused, and since when, if they are.
    refused: Option<(String, SystemTime)>,
    /// The keys whose new values wait for a restart.
    waiting: Vec<String>,
}

// === impl ShownConfig ===

impl ShownConfig {
    /// Those of the start.
    pub fn new(settings: Value, loaded_at: SystemTime) -> Self {
        let origins = None;
        Self(Mutex::new(ConfigState { settings, origins, loaded_at, refused: None, waiting: Vec::new() }))
    }

    /// Where the settings come from; those that are not among them are defaults.
    pub fn come_from(&self, origins: BTreeMap<String, SettingOrigin>) {
        self.state().origins = Some(origins);
    }

    /// New settings are in force, except for the keys that wait for a restart.
    pub fn reloaded(&self, settings: Value, waiting: Vec<String>, at: SystemTime) {
        let mut state = self.state();
        let origins = state.origins.take();
        *state = ConfigState { settings, origins, loaded_at: at, refused: None, waiting };
    }

    /// New settings are refused: since the first of those that were refused one after another.
    pub fn refused(&self, why: &str, at: SystemTime) {
        let mut state = self.state();
        let since = state.refused.as_ref().map_or(at, |(_, since)| *since);
        state.refused = Some((why.to_owned(), since));
    }

    /// The keys, their `origins`, and `reload`.
    pub(super) fn show(&self) -> Value {
        let state = self.state();
        let mut shown = state.settings.clone();
        if let Some(shown) = shown.as_object_mut() {
            let (error, refused_at) = state.refused.as_ref().map(|(why, at)| (why, rfc3339(*at))).unzip();
            let reload = json!({
                "success": state.refused.is_none(),
                "error": error,
                "refused_at": refused_at.flatten(),
                "loaded_at": rfc3339(state.loaded_at),
                "waits_for_restart": state.waiting,
            });
            shown.insert("reload".into(), reload);
            let origins = state.origins.as_ref().map(|origins| {
                let named = origins.iter().map(|(key, origin)| (key.clone(), origin.as_str().into()));
                Value::Object(named.collect())
            });
            shown.insert("origins".into(), json!(origins));
        }
        shown
    }

    fn state(&self) -> MutexGuard<'_, ConfigState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
