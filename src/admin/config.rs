//! `GET /config`: the settings in force, and what became of the last reload.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};

use super::reply::rfc3339;

/// The settings in force with secrets redacted, and the last reload.
#[derive(Debug)]
pub struct ShownConfig(Mutex<ConfigState>);

#[derive(Debug)]
struct ConfigState {
    settings: Value,
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
        Self(Mutex::new(ConfigState { settings, loaded_at, refused: None, waiting: Vec::new() }))
    }

    /// New settings are in force, except for the keys that wait for a restart.
    pub fn reloaded(&self, settings: Value, waiting: Vec<String>, at: SystemTime) {
        *self.state() = ConfigState { settings, loaded_at: at, refused: None, waiting };
    }

    /// New settings are refused.
    pub fn refused(&self, why: &str, at: SystemTime) {
        self.state().refused = Some((why.to_owned(), at));
    }

    /// The keys, and `reload`.
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
        }
        shown
    }

    fn state(&self) -> MutexGuard<'_, ConfigState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
